// Plain objects in memory, read from the JSON file BENCH_DATA with the types of the file BENCH_SCHEMA.
import { readFileSync } from 'node:fs';
import { makeExecutableSchema } from '@graphql-tools/schema';

export async function open() {
  const facilities = new Map(JSON.parse(readFileSync(process.env.BENCH_DATA, 'utf8')).map((one) => [one.id, one]));
  const schema = makeExecutableSchema({
    typeDefs: readFileSync(process.env.BENCH_SCHEMA, 'utf8'),
    resolvers: {
      Query: { facility: (_, { id }) => facilities.get(id) ?? null },
      Facility: {
        classes: ({ classes }, { first }) => ({ nodes: classes.slice(0, first) }),
        members: ({ members }, { first }) => ({ nodes: members.slice(0, first) }),
      },
      Class: { occurrences: ({ occurrences }, { first }) => occurrences.slice(0, first) },
    },
  });
  return { schema, contextOf: () => ({}) };
}

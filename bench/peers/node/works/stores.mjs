// NexFit's own databases, read by the official drivers: what OwnerOverview and a facility's timetable need of schema.graphql.
import { readFileSync } from 'node:fs';
import { makeExecutableSchema } from '@graphql-tools/schema';
import { MongoClient } from 'mongodb';
import pg from 'pg';
import { Loaders } from './loaders.mjs';
import { resolvers } from './resolvers.mjs';
import { instantOfText } from './scalars.mjs';
import { viewerOf } from './tokens.mjs';

export async function open() {
  const client = new MongoClient(process.env.NEXFIT_MONGO_URL, { readConcernLevel: 'majority', maxPoolSize: 50 });
  const postgres = new pg.Pool({
    connectionString: process.env.NEXFIT_POSTGRES_URL,
    max: 10,
    options: '-c timezone=UTC -c jit=off -c plan_cache_mode=force_generic_plan', // as NexFit has it
    types: { getTypeParser: parserOf },
  });
  await Promise.all([client.connect(), postgres.query('SELECT 1')]);
  const mongo = client.db(process.env.NEXFIT_MONGO_DATABASE);
  const typeDefs = readFileSync(new URL('../../../../schema.graphql', import.meta.url), 'utf8');
  const contextOf = (authorization) => {
    const now = new Date();
    return { viewer: viewerOf(authorization, now), now, loaders: new Loaders(mongo, postgres, now) };
  };
  const close = async () => {
    await Promise.all([client.close(), postgres.end()]);
  };
  return { schema: makeExecutableSchema({ typeDefs, resolvers }), contextOf, close };
}

const { INT8, DATE, TIMESTAMPTZ } = pg.types.builtins;

const parsers = new Map([
  [INT8, Number],
  [DATE, (text) => text],
  [TIMESTAMPTZ, instantOfText], // a JavaScript date would lose the microseconds
]);

function parserOf(type, format) {
  return parsers.get(type) ?? pg.types.getTypeParser(type, format);
}

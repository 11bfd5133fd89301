// A response cache: the whole answer from Redis by a hash of the viewer, the query and its variables, sent as it is.
// What is not there is executed by graphql-js and stored.
import { hash } from 'node:crypto';
import Fastify from 'fastify';
import { graphql } from 'graphql';
import { Redis } from 'ioredis';
import { HOST } from './index.mjs';

const SECONDS = 60;

export async function listen({ schema, contextOf, port }) {
  const redis = new Redis(process.env.NEXFIT_REDIS_URL, { enableAutoPipelining: true });
  const app = Fastify();
  app.get('/readyz', async () => 'ok');
  app.post('/graphql', async (request, reply) => {
    const { query, variables } = request.body;
    const context = contextOf(request.headers.authorization);
    const key = `peers:${hash('sha256', `${context.viewer}\n${query}\n${JSON.stringify(variables)}`)}`;
    reply.type('application/json; charset=utf-8');
    const stored = await redis.getBuffer(key);
    if (stored !== null) return reply.send(stored);
    const answer = JSON.stringify(
      await graphql({ schema, source: query, variableValues: variables, contextValue: context }),
    );
    await redis.set(key, answer, 'EX', SECONDS);
    return reply.send(answer);
  });
  await app.listen({ host: HOST, port });
  return async () => {
    await app.close();
    redis.disconnect();
  };
}

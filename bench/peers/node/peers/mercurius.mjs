// Mercurius on Fastify; every operation is compiled by graphql-jit from its second execution on.
import Fastify from 'fastify';
import mercurius from 'mercurius';
import { HOST } from './index.mjs';

export async function listen({ schema, contextOf, port }) {
  const app = Fastify();
  app.get('/readyz', async () => 'ok');
  app.register(mercurius, { schema, jit: 1, context: (request) => contextOf(request.headers.authorization) });
  await app.listen({ host: HOST, port });
  return () => app.close();
}

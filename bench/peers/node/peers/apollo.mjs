// Apollo Server on Fastify. It keeps parsed and validated documents by default; NODE_ENV=production turns the rest off.
import { ApolloServer } from '@apollo/server';
import { fastifyApolloHandler } from '@as-integrations/fastify';
import Fastify from 'fastify';
import { HOST } from './index.mjs';

export async function listen({ schema, contextOf, port }) {
  const apollo = new ApolloServer({ schema, stopOnTerminationSignals: false });
  await apollo.start();
  const app = Fastify();
  app.get('/readyz', async () => 'ok');
  app.post(
    '/graphql',
    fastifyApolloHandler(apollo, { context: async (request) => contextOf(request.headers.authorization) }),
  );
  await app.listen({ host: HOST, port });
  return () => app.close();
}

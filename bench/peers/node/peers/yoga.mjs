// GraphQL Yoga on Node's own HTTP server. It keeps parsed and validated documents by default.
import { createServer } from 'node:http';
import { createYoga } from 'graphql-yoga';
import { HOST } from './index.mjs';

export async function listen({ schema, contextOf, port }) {
  const yoga = createYoga({
    schema,
    context: ({ req }) => contextOf(req.headers.authorization),
    graphiql: false,
    landingPage: false,
    logging: false,
    multipart: false,
    healthCheckEndpoint: '/readyz',
  });
  const server = createServer(yoga);
  await new Promise((resolve) => server.listen(port, HOST, resolve));
  return async () => {
    server.closeAllConnections();
    server.close();
  };
}

// The servers. Each takes an executable schema and `contextOf`, which makes a request's context of its Authorization header.
export const HOST = '127.0.0.1';

export const peers = {
  apollo: async (given) => (await import('./apollo.mjs')).listen(given),
  cached: async (given) => (await import('./cached.mjs')).listen(given),
  mercurius: async (given) => (await import('./mercurius.mjs')).listen(given),
  yoga: async (given) => (await import('./yoga.mjs')).listen(given),
};

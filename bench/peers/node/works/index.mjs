// What a server serves: `schema`, `contextOf(authorization)`, and `close` where something has to be closed.
export const works = {
  memory: async () => (await import('./memory.mjs')).open(),
  stores: async () => (await import('./stores.mjs')).open(),
};

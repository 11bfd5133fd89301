// Subscriptions on Node as graphql-ws serves them: `node fanout.mjs PORT`. Reads the same stream of events as NexFit from
// the Redis at BENCH_REDIS and sends each one to every subscriber of its facility. Started by `python -m bench fanout`.
import { createServer } from 'node:http';
import { buildSchema } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import Redis from 'ioredis';
import { WebSocketServer } from 'ws';

const schema = buildSchema(`
  scalar DateTime
  enum VisitSource { FRONT_DESK SELF_SERVICE CLASS_CHECK_IN IMPORT }
  enum ActivityState { STARTED RESUMED RESTARTED MISSED }
  interface FacilityActivity { cursor: String! }
  type Visit { id: ID! at: DateTime! source: VisitSource! }
  type VisitActivity implements FacilityActivity { cursor: String! at: DateTime! visit: Visit }
  type ActivityNotice implements FacilityActivity { cursor: String! state: ActivityState! }
  type Query { ok: Boolean }
  type Subscription { facilityActivity(facility: ID!, after: String): FacilityActivity! }
`);

const followers = new Map();

/** The events of one subscriber, from a notice on. */
class Events {
  waiting = [];
  wake = null;

  constructor(facility) {
    this.facility = facility;
    this.push({ __typename: 'ActivityNotice', cursor: '0', state: 'STARTED' });
    if (!followers.has(facility)) followers.set(facility, new Set());
    followers.get(facility).add(this);
  }

  push(facilityActivity) {
    const value = { facilityActivity };
    if (this.wake) {
      this.wake({ value, done: false });
      this.wake = null;
    } else {
      this.waiting.push(value);
    }
  }

  next() {
    if (this.waiting.length) return Promise.resolve({ value: this.waiting.shift(), done: false });
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }

  return() {
    followers.get(this.facility).delete(this);
    this.wake?.({ value: undefined, done: true });
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

const globalId = (type, id) => Buffer.from(`${type}:${id}`).toString('base64url');
const facilityOf = (id) => Buffer.from(id, 'base64url').toString().split(':')[1];
const roots = { subscription: { facilityActivity: ({ facility }) => new Events(facilityOf(facility)) } };

async function follow() {
  const redis = new Redis(process.env.BENCH_REDIS);
  let last = '$';
  for (;;) {
    const found = await redis.xread('COUNT', 500, 'BLOCK', 5000, 'STREAMS', 'nexfit:events', last);
    for (const [id, fields] of found?.[0]?.[1] ?? []) {
      last = id;
      const facility = followers.get(fields[1]);
      if (!facility?.size) continue;
      const { payload } = JSON.parse(fields[3]);
      const activity = {
        __typename: 'VisitActivity',
        cursor: id.split('-')[0],
        at: payload.at,
        visit: { id: globalId('Visit', payload.visitId), at: payload.at, source: payload.source.toUpperCase() },
      };
      for (const events of facility) events.push(activity);
    }
  }
}

const server = createServer((_, response) => response.end('ok'));
useServer({ schema, roots }, new WebSocketServer({ server, path: '/graphql' }));
server.listen(Number(process.argv[2]), '127.0.0.1', 4096);
follow();
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => process.exit(0));

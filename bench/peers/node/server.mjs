// One GraphQL server on Node: `node server.mjs PEER WORK PORT`. Started, warmed, measured and ended by `python -m bench peers`.
import { peers } from './peers/index.mjs';
import { works } from './works/index.mjs';

const [peer, work, port] = process.argv.slice(2);
const { schema, contextOf, close } = await works[work]();
const stop = await peers[peer]({ schema, contextOf, port: Number(port) });
for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, async () => {
    await stop();
    await close?.();
    process.exit(0);
  });
}

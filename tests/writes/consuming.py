"""A process that consumes and hangs with its effect written and nothing committed: `python consuming.py NAME`."""

import asyncio
import sys

from nexfit.hybrid.consuming import Consumer
from nexfit.hybrid.event_stream import Envelope
from nexfit.settings import Settings
from nexfit.stores.connections import open_stores
from nexfit.stores.postgres_transactions import PostgresTransaction


async def _hang(tx: PostgresTransaction, envelope: Envelope) -> None:
    await tx.execute("INSERT INTO effects (consumer, pair) VALUES ($1, $2)", sys.argv[1], envelope.aggregate_id)
    print("written", flush=True)
    await asyncio.Event().wait()


async def _main() -> None:
    async with open_stores(Settings()) as stores:
        await Consumer(stores, sys.argv[1], {"PairWritten"}, _hang).run()


if __name__ == "__main__":
    asyncio.run(_main())

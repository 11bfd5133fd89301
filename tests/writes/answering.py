"""A process that writes a pair under a key and is killed when it is about to answer: `answering KIND USER NAME`."""

import asyncio
import os
import signal
import sys
from typing import Any

from bson import ObjectId

from nexfit.domains.idempotency import once
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.settings import Settings
from nexfit.stores.connections import open_stores

from .conftest import write_document, write_row


async def _main(kind: str, user: str, name: str) -> None:
    async def body(work: Any) -> dict[str, int]:
        if kind != "mongo":
            await write_row(work, name, 1)
        if kind != "postgres":
            await write_document(work, name, 1)
        return {"answered by": os.getpid()}

    async with open_stores(Settings()) as stores:
        units = UnitsOfWork(stores, JoinedViews(stores.redis).invalidate)
        await once(stores.mongo, getattr(units, kind)("test"), ObjectId(user), "test", "key", {"name": name}, body)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))

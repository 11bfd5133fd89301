"""`python -m bench.feeds.follower`: the background work of an API worker and nothing else; NEXFIT_* name the stores."""

from __future__ import annotations

import asyncio

from nexfit.operations.background import background
from nexfit.settings import Settings


async def _main() -> None:
    async with background(Settings()):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())

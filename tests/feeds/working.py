"""A process with the background work of an API worker: `python working.py`, with the stores named by NEXFIT_*."""

import asyncio

from nexfit.operations.background import background
from nexfit.settings import Settings


async def _main() -> None:
    async with background(Settings()):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())

"""A process that leads a task when nobody else does, and says so: `python leading.py URL NAME`."""

import asyncio
import os
import sys

from pydantic import SecretStr

from nexfit.hybrid.leadership import lead
from nexfit.settings import PostgresSettings


async def _work() -> None:
    print(f"leads {os.getpid()}", flush=True)
    try:
        await asyncio.Event().wait()
    finally:
        print(f"stops {os.getpid()}", flush=True)


if __name__ == "__main__":
    asyncio.run(lead(PostgresSettings(url=SecretStr(sys.argv[1])), {sys.argv[2]: _work}))

"""Audit entries put into their business's hash chain, soon after they were committed."""

from __future__ import annotations

import asyncio

from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.stores.connections import Stores
from nexfit.stores.postgres import Postgres

BATCH = 500
REST = 2.0
"""Seconds between two looks for entries; so long an entry may be without a seal."""

_SEAL = "SELECT finance.seal_audit_entries($1) AS sealed"


async def seal(postgres: Postgres) -> int:
    """Seal everything that is committed now; how many entries. Raises StoreError."""
    total = 0
    while True:
        [row] = await postgres.fetch(_SEAL, BATCH)
        sealed: int = row["sealed"]
        total += sealed
        if sealed < BATCH:
            return total


async def keep_sealed(stores: Stores) -> None:
    """Seal what is written, until cancelled. Raises StoreError."""
    while True:
        stop_if_cancelled()
        await seal(stores.postgres)
        await asyncio.sleep(REST)

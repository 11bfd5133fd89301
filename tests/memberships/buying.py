"""A process that buys and is killed at a named point: `python -m tests.memberships.buying`, a task per line of stdin.

Each task is run by a process forked from this one, which has imported everything; `beside` so many others run it, too,
and nobody kills them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from bson import ObjectId

from nexfit.domains.identity.access import Actor
from nexfit.domains.memberships import billing, member_import, program_sales, purchase
from nexfit.domains.memberships.billing import Billing
from nexfit.domains.memberships.purchase import OnlineSales
from nexfit.hybrid import fault_points
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.payments import open_provider
from nexfit.settings import Settings
from nexfit.stores.connections import open_stores


async def _no_purge(_: object) -> None:
    pass


async def _act(task: dict[str, Any]) -> None:
    settings = Settings()
    async with open_stores(settings) as stores:
        sales = OnlineSales.of(
            UnitsOfWork(stores, _no_purge), stores, open_provider(settings.payments), settings.payments
        )
        now = datetime.fromisoformat(task["now"])
        if "bill" in task:
            billing.TOGETHER = task.get("together", billing.TOGETHER)
            await billing.run(Billing(sales.units, stores, sales.provider), now=now)
            return
        if "members" in task:
            owner = Actor(ObjectId(task["owner"]))
            place = await member_import.permitted(stores.mongo, owner, ObjectId(task["facility"]))
            content = task["members"].encode()
            await member_import.import_members(sales.units, stores, owner, place, content, apply=True, now=now)
            return
        if "purchase" in task:
            await purchase.proceed(sales, UUID(task["purchase"]), now=now)
            return
        if "program" in task:
            buyer, program = Actor(ObjectId(task["member"])), ObjectId(task["program"])
            total = Decimal(task["total"])
            await purchase.begin_program(sales, buyer, program=program, expected_total=total, key="tap", now=now)
            return
        if "give_back" in task:
            buyer, id_ = Actor(ObjectId(task["member"])), UUID(task["give_back"])
            await program_sales.give_back(sales.units, stores, sales.provider, buyer, id_, now=now)
            return
        await purchase.begin(
            sales,
            Actor(ObjectId(task["member"])),
            plan=ObjectId(task["plan"]),
            expected_total=Decimal(task["total"]),
            renew=False,
            auto_renew=True,
            key="tap",
            now=now,
        )


def _child(task: dict[str, Any]) -> None:
    def reached(point: str) -> None:
        if point == task["point"]:
            os.kill(os.getpid(), signal.SIGKILL)

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is logged is no answer
    fault_points.listen(reached)
    asyncio.run(_act(task))


def _fork(task: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            _child(task)
        finally:
            os._exit(1)
    return pid


def _main() -> None:
    for line in sys.stdin:
        task = json.loads(line)
        pid = _fork(task)
        beside = [_fork(task | {"point": None}) for _ in range(task.get("beside", 0))]
        _, status = os.waitpid(pid, 0)
        for other in beside:
            os.waitpid(other, 0)
        print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, flush=True)


if __name__ == "__main__":
    _main()

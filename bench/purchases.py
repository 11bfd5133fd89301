"""`python -m bench purchases`: memberships sold per second, at the desk and online, at one facility and at many.

A sale at the desk is one commit of both stores; a purchase online is the promise, the provider's answer over HTTP, what
it says, and the same commit of both stores. At one facility all of them take turns at its invoice numbers, which have
no gap; at many they do not. The provider is the local one, in a thread of its own. Kinds take turns within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

from bson import Decimal128, ObjectId
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from bench.crashes.servers import stores_on
from bench.crashes.worker import Where
from nexfit.domains.finance.words import PaymentMethod
from nexfit.domains.identity.access import Actor
from nexfit.domains.memberships import purchase, sale
from nexfit.domains.memberships.purchase import OnlineSales
from nexfit.embedded import EmbeddedServers
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.payments.local import LocalPayments
from nexfit.payments.local_server import LocalProvider, serving_beside
from nexfit.settings import PaymentSettings
from nexfit.stores.connections import Stores, open_stores

BUYERS = (1, 16)
FACILITIES = 50
PRICE = Decimal("999.90")

Sale = Callable[[int], Awaitable[None]]


async def _business(stores: Stores) -> tuple[ObjectId, ObjectId]:
    """A facility's owner and its plan."""
    owner, facility, plan, now = ObjectId(), ObjectId(), ObjectId(), datetime.now(UTC)
    stamps = {"createdAt": now, "updatedAt": now}
    database = stores.mongo.database
    await database["facilities"].insert_one(
        {
            "_id": facility,
            "name": "Bench",
            "nameFolded": "bench",
            "type": "gym",
            "ownerId": owner,
            "timezone": "Europe/Istanbul",
            "address": {"country": "TR"},
            "contact": {},
            "media": {},
            **stamps,
        }
    )
    await database["memberships"].insert_one(
        {
            "_id": plan,
            "facilityId": facility,
            "name": "Aylık",
            "duration": {"value": 1, "unit": "month"},
            "price": Decimal128(PRICE),
            "currency": "TRY",
            "isActive": True,
            **stamps,
        }
    )
    return owner, plan


async def _person(stores: Stores) -> ObjectId:
    id_, now = ObjectId(), datetime.now(UTC)
    await stores.mongo.database["users"].insert_one(
        {
            "_id": id_,
            "firstName": "Ada",
            "lastName": "Işık",
            "nameFolded": "ada isik",
            "role": ["client"],
            "email": f"{id_}@example.org",
            "emailNormalized": f"{id_}@example.org",
            "isActive": True,
            "createdAt": now,
            "updatedAt": now,
        }
    )
    return id_


async def kinds(stores: Stores, sales: OnlineSales) -> Mapping[str, Sale]:
    """The kinds of sales by name."""
    businesses = [await _business(stores) for _ in range(FACILITIES)]

    async def at_desk(owner: ObjectId, plan: ObjectId) -> None:
        member = await _person(stores)
        given: dict[str, Any] = {"method": PaymentMethod.CASH, "expected_total": PRICE, "renew": False}
        await sale.sell(
            sales.units,
            stores.mongo,
            Actor(owner),
            plan=plan,
            member=member,
            key=str(member),
            now=datetime.now(UTC),
            **given,
        )

    async def online(plan: ObjectId) -> None:
        member = await _person(stores)
        given: dict[str, Any] = {"expected_total": PRICE, "renew": False, "auto_renew": True, "key": "k"}
        await purchase.begin(sales, Actor(member), plan=plan, now=datetime.now(UTC), **given)

    return {
        "at the desk, one facility": lambda _: at_desk(*businesses[0]),
        "at the desk, many facilities": lambda place: at_desk(*businesses[place % FACILITIES]),
        "online, one facility": lambda _: online(businesses[0][1]),
        "online, many facilities": lambda place: online(businesses[place % FACILITIES][1]),
    }


async def measure(where: Where, url: str, rounds: int, seconds: float) -> dict[int, dict[str, list[float]]]:
    """Sales per second of each kind in each round, by the number of buyers."""
    found: dict[int, dict[str, list[float]]] = {}
    settings = where.settings()
    roomy = settings.model_copy(update={"postgres": settings.postgres.model_copy(update={"pool_size": 20})})
    payments = PaymentSettings(
        provider="local", secret=SecretStr("bench"), webhook_secret=SecretStr("bench"), url=url, timeout=30
    )

    async def purge(_: object) -> None:
        pass

    async with open_stores(roomy) as stores:
        client = LocalPayments(payments)
        every = await kinds(stores, OnlineSales.of(UnitsOfWork(stores, purge), stores, client, payments))
        for buyers in BUYERS:
            of_kind: dict[str, list[float]] = {kind: [] for kind in every}
            for turn in range(rounds + 1):
                for kind, sell in every.items():
                    rate = await _window(sell, buyers, seconds)
                    if turn:  # the first one warms up
                        of_kind[kind].append(rate)
            found[buyers] = of_kind
        await client.close()
    return found


async def _window(sell: Sale, buyers: int, seconds: float) -> float:
    """Sales per second of so many buyers together."""
    started, numbers, done = time.perf_counter(), itertools.count(), 0

    async def buy() -> None:
        nonlocal done
        while time.perf_counter() - started < seconds:
            await sell(next(numbers))
            done += 1

    await asyncio.gather(*(buy() for _ in range(buyers)))
    return done / (time.perf_counter() - started)


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench purchases", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds in which every kind has a window (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a window (2)")
    given = parser.parse_args(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=120)
    provider = LocalProvider("bench", "bench")
    provider.faults.pay_at_once, provider.faults.delivery = True, "never"
    with (
        tempfile.TemporaryDirectory(prefix="nexfit-purchases-") as folder,
        EmbeddedServers(Path(folder) / "servers", durable=True) as servers,
        stores_on(servers.urls) as where,
        serving_beside(provider) as url,
    ):
        found = asyncio.run(measure(where, url, given.rounds, given.seconds))
    table = Table(title="Memberships sold per second", caption="median over rounds; both stores durable")
    table.add_column("sold")
    for buyers in found:
        table.add_column(f"{buyers} at once", justify="right")
    for kind in next(iter(found.values())):
        table.add_row(kind, *(f"{median(of_kind[kind]):.0f}" for of_kind in found.values()))
    console.print(table)
    return 0

"""How members stand: what both stores say, cached, and never older than it may be, whoever writes in whichever way."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest
from bson import ObjectId

from nexfit.domains.memberships import standings
from nexfit.domains.memberships.documents import VisitSource
from nexfit.domains.memberships.events import VisitRecorded
from nexfit.domains.memberships.standings import STANDING, Standing
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.hybrid.versions import GENERATION
from nexfit.settings import Settings
from nexfit.stores.commands import command_log
from nexfit.stores.connections import Stores, open_stores

from .conftest import Database, following, now, until
from .members import Member, Pair, pay, somebody, told_by_stores, visit

SOON = 20.0
"""Seconds a change made elsewhere may take where the machine has much else to do; `bench feeds` measures them."""


async def _standings(stores: Stores, views: JoinedViews, *pairs: Pair) -> dict[Pair, Standing]:
    return await standings.of_members(stores.mongo, stores.postgres, views, pairs, now())


@pytest.fixture
def kept_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a change gives a value up, not a slow machine."""
    monkeypatch.setattr(standings, "STANDING", replace(STANDING, lifetime=3600.0))


@pytest.fixture
async def as_if_followed(stores: Stores) -> AsyncIterator[None]:
    """An empty cache whose values count although nobody follows the feeds."""
    await stores.redis.send([("FLUSHDB",), ("SET", GENERATION, "1:1")])
    yield
    await stores.redis.send([("DEL", GENERATION)])


@pytest.mark.usefixtures("kept_long", "as_if_followed")
async def test_it_is_what_both_stores_say_and_is_read_once(
    stores: Stores, mongo: Database, postgres: asyncpg.Connection
) -> None:
    true = await told_by_stores(mongo, postgres, now())
    names = {str(plan["_id"]): plan["name"] async for plan in mongo.memberships.find()}
    strangers = [(facility, str(ObjectId())) for facility, _ in list(true)[:2]]
    views = JoinedViews(stores.redis)
    found = await _standings(stores, views, *true, *strangers)
    assert found.keys() == true.keys()
    for pair, one in found.items():
        _, status, plan, _, last_visit, next_booking, _, balance, open_invoices, _, last_payment = true[pair]
        assert (one.status, one.plan_id, one.plan_name) == (status, plan, names.get(str(plan)))
        assert (one.last_visit_at, one.next_booking_at, one.last_payment_at) == (last_visit, next_booking, last_payment)
        assert (one.balance, one.open_invoices) == (balance, open_invoices)
    assert any(one.balance for one in found.values())
    assert any(one.next_booking_at for one in found.values())
    with command_log() as log:
        assert await _standings(stores, views, *true, *strangers) == found
        assert await _standings(stores, JoinedViews(stores.redis), *list(true)[:5]) == {
            pair: found[pair] for pair in list(true)[:5]
        }
    assert (log.count("mongo"), log.count("postgres")) == (0, 0)  # that somebody is a stranger is remembered, too


@dataclass(frozen=True, slots=True)
class Way:
    """What somebody else writes, and what must be seen of it then."""

    write: Callable[[Database, asyncpg.Connection, Member], Awaitable[None]]
    sees: Callable[[Standing, Standing], bool]


async def _comes(mongo: Database, _: asyncpg.Connection, member: Member) -> None:
    await visit(mongo, member, now() + timedelta(hours=1))


async def _books(mongo: Database, _: asyncpg.Connection, member: Member) -> None:
    booking = {"classId": ObjectId(), "occurrenceId": ObjectId(), "facilityId": member.facility, "userId": member.user}
    await mongo.class_bookings.insert_one(
        {**booking, "date": now() + timedelta(minutes=90), "status": "booked", "bookedAt": now()}
    )


async def _freezes(_: Database, postgres: asyncpg.Connection, member: Member) -> None:
    await postgres.execute(
        "UPDATE finance.subscriptions SET status = 'frozen' WHERE subscription_id = $1",
        UUID(member.contract["subscriptionId"]),
    )


async def _names(mongo: Database, _: asyncpg.Connection, member: Member) -> None:
    await mongo.memberships.update_one({"_id": member.contract["membershipId"]}, {"$set": {"name": "Başka Bir Ad"}})


async def _pays(_: Database, postgres: asyncpg.Connection, member: Member) -> None:
    await pay(postgres, member.pair)


async def _settles(_: Database, postgres: asyncpg.Connection, member: Member) -> None:
    await postgres.execute(
        "UPDATE finance.invoices SET status = 'void' WHERE facility_id = $1 AND user_id = $2 AND status = 'open'",
        *member.pair,
    )


WAYS = {
    "a visit in MongoDB": Way(_comes, lambda old, new: new.last_visit_at != old.last_visit_at),
    "a booking in MongoDB": Way(_books, lambda old, new: new.next_booking_at != old.next_booking_at),
    "a subscription in PostgreSQL": Way(_freezes, lambda _, new: new.status == "frozen"),
    "a plan's name in MongoDB": Way(_names, lambda _, new: new.plan_name == "Başka Bir Ad"),
    "a payment in PostgreSQL": Way(_pays, lambda old, new: new.last_payment_at != old.last_payment_at),
    "an invoice in PostgreSQL": Way(_settles, lambda _, new: (new.balance, new.open_invoices) == (Decimal(0), 0)),
}


@pytest.mark.usefixtures("followed", "kept_long")
@pytest.mark.parametrize("name", WAYS)
async def test_what_others_write_is_seen(
    stores: Stores, mongo: Database, postgres: asyncpg.Connection, name: str
) -> None:
    way, member = WAYS[name], await somebody(mongo, status="past_due" if "invoice" in name else "active")
    views = JoinedViews(stores.redis)
    plan = await mongo.memberships.find_one({"_id": member.contract["membershipId"]})
    before = (await _standings(stores, views, member.pair))[member.pair]
    await way.write(mongo, postgres, member)

    async def is_seen() -> bool:
        return way.sees(before, (await _standings(stores, views, member.pair))[member.pair])

    try:
        await until(is_seen, SOON)
    finally:
        await mongo.memberships.replace_one({"_id": plan["_id"]}, plan)


@pytest.fixture
async def three(settings: Settings) -> AsyncIterator[list[tuple[Stores, JoinedViews, UnitsOfWork]]]:
    """What three processes of the API have, each for itself."""
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(3):
            stores = await stack.enter_async_context(open_stores(settings))
            views = JoinedViews(stores.redis)
            stack.callback(views.close)
            made.append((stores, views, UnitsOfWork(stores, views.invalidate)))
        yield made


async def test_no_reader_sees_less_than_was_acknowledged(
    settings: Settings, three: list[tuple[Stores, JoinedViews, UnitsOfWork]], mongo: Database
) -> None:
    """Members come in by units of work and past the application, while 12 clients of three processes read."""
    members = [await somebody(mongo, status="active") for _ in range(3)]
    acknowledged: dict[Pair, datetime] = {}
    out_of_band: dict[Pair, datetime] = {}
    wrong: list[str] = []
    done: Counter[str] = Counter()
    start, ends = now() + timedelta(hours=2), time.monotonic() + 4

    def next_time() -> datetime:
        done["writes"] += 1
        return start + timedelta(seconds=done["writes"])

    async def come(units: UnitsOfWork, member: Member) -> None:
        at, id_ = next_time(), ObjectId()

        async def body(work: MongoWork) -> None:
            entry = {"facilityId": member.facility, "userId": member.user, "at": at, "source": "front_desk"}
            await work.mongo.insert("visits", {"_id": id_, **entry})
            work.emit(
                VisitRecorded(
                    facility_id=member.pair[0],
                    visit_id=str(id_),
                    user_id=member.pair[1],
                    at=at,
                    source=VisitSource.FRONT_DESK,
                )
            )

        await units.mongo("test").run(body)
        acknowledged[member.pair] = max(at, acknowledged.get(member.pair, at))

    async def client(number: int) -> None:
        chance = random.Random(number)  # noqa: S311
        while time.monotonic() < ends:
            (stores, views, units), member = chance.choice(three), chance.choice(members)
            what = chance.random()
            if what < 0.1:
                await come(units, member)
            elif what < 0.13:
                at = next_time()
                await visit(mongo, member, at)
                out_of_band[member.pair] = max(at, out_of_band.get(member.pair, at))
            else:
                least = acknowledged.get(member.pair)
                seen = (await _standings(stores, views, member.pair))[member.pair].last_visit_at
                done["reads"] += 1
                if least is not None and (seen is None or seen < least):
                    wrong.append(f"client {number} saw {seen}, not {least}")
            await asyncio.sleep(chance.random() * 0.01)

    async def sees_all(stores: Stores, views: JoinedViews) -> bool:
        seen = await _standings(stores, views, *out_of_band)
        return all((last := seen[pair].last_visit_at) and at <= last for pair, at in out_of_band.items())

    async with following(settings):
        await asyncio.gather(*map(client, range(12)))
        for stores, views, _ in three:
            await until(lambda stores=stores, views=views: sees_all(stores, views), SOON)
    assert wrong == []
    assert out_of_band
    counted = [views.counters[STANDING.name] for _, views, _ in three]
    assert sum(one.memory + one.redis for one in counted) > 0.2 * done["reads"]
    assert done["writes"] > 20

"""Whatever happened to documents, in whichever order and how often it is told, the same rows and tags come of it."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from bson import ObjectId

from nexfit.domains import tags
from nexfit.hybrid.freshness import Freshness
from nexfit.hybrid.mongo_feed import Pending
from nexfit.operations.feeds.documents import DocumentEffect
from nexfit.operations.member_facts import rebuild_member_facts
from nexfit.stores.change_stream import ChangeStream, DocumentChange, change_stream
from nexfit.stores.connections import Stores
from nexfit.stores.postgres_transactions import PostgresTransaction

from .conftest import Database, now
from .members import Member, told_by_rows, told_by_stores, visit

FIELDS = set().union(*map(tags.fields_of, tags.DOCUMENTS.values())) - {"_id"}
MEMBERS, WRITES = 16, 20
"""Of a history, and of one half of it: few for each member, so that none is made true by a later change."""

KINDS = ("visit", "visit", "move", "unvisit", "status", "plan", "sell", "end", "name", "book", "cancel")


class Told:
    """The effect of changes, and which tags it has raised. Nobody renews a lease here."""

    def __init__(self, stores: Stores) -> None:
        self.tags: set[str] = set()
        self._effect = DocumentEffect(stores, Freshness(stores.redis, self._raise, ("documents",), 1))

    async def _raise(self, raised: Collection[str]) -> None:
        self.tags |= set(raised)

    async def tell(self, chance: random.Random, changes: Sequence[DocumentChange]) -> None:
        """Tell of all of them in some order, of some of them twice, in batches of some size."""
        told = [*changes, *chance.choices(changes, k=len(changes) // 2)]
        chance.shuffle(told)
        while told:
            size = chance.randrange(1, 9)
            batch, told = told[:size], told[size:]
            await self._effect(batch, (), self._save)

    async def _save(self, _: PostgresTransaction, pending: Pending) -> None:
        assert [*pending] == []


async def _write(mongo: Database, chance: random.Random, members: Sequence[Member]) -> None:
    member, other = chance.sample(members, 2)
    theirs = {"userId": member.user, "facilityId": member.facility}
    match chance.choice(KINDS):
        case "visit":
            await visit(mongo, member, now() + timedelta(seconds=chance.randrange(9)))
        case "move":
            to = {"userId": other.user, "facilityId": other.facility}
            await mongo.visits.find_one_and_update(theirs, {"$set": to}, sort=[("at", -1)])
        case "unvisit":
            await mongo.visits.find_one_and_delete(theirs, sort=[("at", -1)])
        case "status":
            status = chance.choice(("frozen", "active", "suspended"))
            await mongo.member_subscriptions.update_one({"_id": member.contract["_id"]}, {"$set": {"status": status}})
        case "plan":
            plan = {"membershipId": other.contract["membershipId"]}
            await mongo.member_subscriptions.update_one({"_id": member.contract["_id"]}, {"$set": plan})
        case "sell":
            contract = member.contract | {"_id": ObjectId(), "status": "expired", "paymentHistory": []}
            number = f"00000000-0000-7000-8000-{chance.randrange(16**12):012x}"
            await mongo.member_subscriptions.insert_one(contract | {"subscriptionId": number, "createdAt": now()})
        case "end":
            await mongo.member_subscriptions.find_one_and_delete({**theirs, "_id": {"$ne": member.contract["_id"]}})
        case "name":
            name = f"name {chance.randrange(99)}"
            await mongo.users.update_one({"_id": member.user}, {"$set": {"nameFolded": name, "lastName": name}})
        case "book":
            await mongo.class_bookings.insert_one(_booking(member, chance))
        case "cancel":
            await mongo.class_bookings.update_one({**theirs, "status": "booked"}, {"$set": {"status": "cancelled"}})


def _booking(member: Member, chance: random.Random) -> dict[str, Any]:
    return {
        "classId": ObjectId(),
        "occurrenceId": ObjectId(),
        "facilityId": member.facility,
        "userId": member.user,
        "date": now() + timedelta(days=chance.randrange(1, 99)),
        "status": "booked",
        "bookedAt": now(),
    }


async def _half(
    mongo: Database, stream: ChangeStream, chance: random.Random, members: Sequence[Member]
) -> list[DocumentChange]:
    """Some writes, and what the stream tells of them."""
    for _ in range(WRITES):
        await _write(mongo, chance, members)
    last = await visit(mongo, members[0], now())
    found: list[DocumentChange] = []
    while not found or found[-1].id != last:
        if (change := await stream.next()) is not None:
            found.append(change)
    return found


@pytest.mark.parametrize("seed", range(6))
async def test_late_repeated_and_reordered_changes_leave_the_same_rows(
    stores: Stores, mongo: Database, postgres: asyncpg.Connection, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311
    contracts = await mongo.member_subscriptions.find({"status": {"$in": ["active", "frozen", "suspended"]}}).to_list()
    members = [Member(one["facilityId"], one["userId"], one) for one in chance.sample(contracts, MEMBERS)]
    await rebuild_member_facts(stores)
    told = Told(stores)
    async with change_stream(stores.mongo, tags.DOCUMENTS, FIELDS, None) as stream:
        first = await _half(mongo, stream, chance, members)
        late, early = first[::2], first[1::2]
        await told.tell(chance, early)
        second = await _half(mongo, stream, chance, members)
        await told.tell(chance, late + second)
    true = await told_by_stores(mongo, postgres, now())
    assert await told_by_rows(postgres) == true
    # Told once more nothing is written, and nothing else is raised.
    raised, again = told.tags, Told(stores)
    moment = await postgres.fetchval("SELECT clock_timestamp()")
    await again.tell(chance, first + second)
    assert await postgres.fetchval("SELECT count(*) FROM platform.member_facts WHERE updated_at > $1", moment) == 0
    assert again.tags <= raised
    assert {f"facility:{member.facility}:members" for member in members} & raised

"""What another program writes into MongoDB is in the member facts within a second, whatever it does and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from bson import Decimal128, ObjectId

from nexfit.domains.memberships.projection import project
from nexfit.hybrid import feed_positions
from nexfit.operations import feeds
from nexfit.settings import Settings
from nexfit.stores.connections import Stores

from .conftest import Database, following, now, until
from .members import Member, fact, pay, somebody, told_by_rows, told_by_stores, visit

pytestmark = pytest.mark.usefixtures("swept_often", "followed")

SOON = 20.0
"""Seconds a change may take where the machine has much else to do; `bench feeds` measures what it does take."""


@pytest.fixture
def swept_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no event tells is looked for more than once in ten seconds."""
    monkeypatch.setattr(feeds, "SWEEP", 0.5)


@pytest.fixture
async def says(postgres: asyncpg.Connection) -> Callable[..., Awaitable[float]]:
    """Waits until a member's row says this, and answers how long that took."""

    async def wait(member: Member, seconds: float = SOON, **expected: Any) -> float:
        async def holds() -> bool:
            row = await fact(postgres, member.pair)
            return row is not None and all(row[name] == value for name, value in expected.items())

        return await until(holds, seconds)

    return wait


Says = Callable[..., Awaitable[float]]


async def test_a_visit_comes_and_goes(mongo: Database, postgres: asyncpg.Connection, says: Says) -> None:
    member = await somebody(mongo, status="active")
    before = await fact(postgres, member.pair)
    assert before is not None
    first, second = now(), now() + timedelta(milliseconds=5)
    await visit(mongo, member, first)
    await says(member, last_visit_at=first)
    entry = await visit(mongo, member, second)
    await says(member, last_visit_at=second)
    await mongo.visits.update_one({"_id": entry}, {"$set": {"at": second + timedelta(milliseconds=2)}})
    await says(member, last_visit_at=second + timedelta(milliseconds=2))
    await mongo.visits.delete_one({"_id": entry})
    await says(member, last_visit_at=first)
    await mongo.visits.delete_many({"userId": member.user, "at": {"$gte": first}})
    await says(member, last_visit_at=before["last_visit_at"])


async def test_a_visit_that_was_somebody_elses_moves(mongo: Database, says: Says) -> None:
    one, other = await somebody(mongo, status="active"), await somebody(mongo, status="active")
    at = now()
    entry = await visit(mongo, one, at)
    await says(one, last_visit_at=at)
    await mongo.visits.update_one({"_id": entry}, {"$set": {"userId": other.user, "facilityId": other.facility}})
    await says(other, last_visit_at=at)
    newest = await mongo.visits.find_one({"userId": one.user, "facilityId": one.facility}, sort=[("at", -1)])
    await says(one, last_visit_at=newest["at"] if newest else None)
    await mongo.visits.replace_one(
        {"_id": entry}, {"facilityId": one.facility, "userId": one.user, "at": at, "source": "import"}
    )
    await says(one, last_visit_at=at)


async def test_a_booking_is_the_next_one_until_it_is_cancelled_or_begins(mongo: Database, says: Says) -> None:
    member = await somebody(mongo, status="active")
    await mongo.class_bookings.delete_many({"userId": member.user})
    occurrence = await mongo.class_occurrences.find_one()
    booking = {
        "classId": occurrence["classId"],
        "occurrenceId": ObjectId(),
        "facilityId": member.facility,
        "userId": member.user,
        "date": now() + timedelta(days=400),
        "status": "booked",
        "bookedAt": now(),
    }
    soon = booking | {"occurrenceId": ObjectId(), "date": now() + timedelta(seconds=5)}
    await mongo.class_bookings.insert_one(dict(booking))
    await says(member, next_booking_at=booking["date"])
    await mongo.class_bookings.insert_one(dict(soon))
    await says(member, next_booking_at=soon["date"])
    await mongo.class_bookings.update_one({"occurrenceId": booking["occurrenceId"]}, {"$set": {"status": "cancelled"}})
    # No event tells that a moment has passed: the sweep does.
    await says(member, seconds=40, next_booking_at=None)


async def test_a_new_name_and_birthday(mongo: Database, postgres: asyncpg.Connection, says: Says) -> None:
    member = await somebody(mongo, status="active")
    person = await mongo.users.find_one({"_id": member.user})
    await mongo.users.update_one(
        {"_id": member.user}, {"$set": {"firstName": "Işıl", "lastName": "Çağ", "nameFolded": "isil cag"}}
    )
    await says(member, name_folded="isil cag")
    await mongo.users.update_one(
        {"_id": member.user}, {"$set": {"roleSpecificData.client.dateOfBirth": now().replace(month=2, day=28)}}
    )
    await says(member, birthday=228)
    try:
        await mongo.users.delete_one({"_id": member.user})
        await says(member, name_folded="", birthday=None)
        assert (await fact(postgres, member.pair))["status"] == "active"  # type: ignore[index]
    finally:
        await mongo.users.insert_one(person)
    await says(member, name_folded=person["nameFolded"])


async def test_a_new_name_of_an_instructor_reaches_classes_and_dates(mongo: Database) -> None:
    taught = await mongo.classes.find_one({"instructor": {"$exists": True}})
    coach = taught["instructor"]["userId"]
    wrong = {"instructor.userId": coach, "instructor.name": {"$ne": "Yeni Hoca"}}
    assert await mongo.class_occurrences.count_documents(wrong) > 3
    await mongo.users.update_one(
        {"_id": coach}, {"$set": {"firstName": "Yeni", "lastName": "Hoca", "nameFolded": "yeni hoca"}}
    )

    async def renamed() -> bool:
        return not await mongo.classes.count_documents(wrong) + await mongo.class_occurrences.count_documents(wrong)

    await until(renamed, SOON)


async def test_contracts_come_change_and_go(mongo: Database, postgres: asyncpg.Connection, says: Says) -> None:
    guest = await mongo.users.find_one({"role": "gym_owner"})
    model = await mongo.member_subscriptions.find_one({"status": "active"})
    contract = model | {
        "_id": ObjectId(),
        "userId": guest["_id"],
        "subscriptionId": "00000000-0000-7000-8000-000000000001",
        "paymentHistory": [],
    }
    newcomer = Member(model["facilityId"], guest["_id"], contract)
    await mongo.member_subscriptions.insert_one(contract)
    plan = str(model["membershipId"])
    await says(newcomer, status="active", plan_id=plan, name_folded=guest["nameFolded"], joined_at=model["createdAt"])
    await mongo.member_subscriptions.update_one({"_id": contract["_id"]}, {"$set": {"status": "frozen"}})
    await says(newcomer, status="frozen")
    await mongo.member_subscriptions.delete_one({"_id": contract["_id"]})

    async def is_gone() -> bool:
        return await fact(postgres, newcomer.pair) is None

    await until(is_gone, SOON)


async def test_somebody_who_only_paid_keeps_a_row_and_gets_a_name(
    mongo: Database, postgres: asyncpg.Connection, says: Says
) -> None:
    member = await somebody(mongo, status="active")
    elsewhere = await mongo.facilities.find_one({"_id": {"$ne": member.facility}})
    guest = Member(elsewhere["_id"], member.user, {})
    await pay(postgres, guest.pair)
    person = await mongo.users.find_one({"_id": member.user})
    await says(guest, name_folded=person["nameFolded"], status="none")
    await mongo.member_subscriptions.delete_many({"userId": member.user})
    await says(member, status="none", plan_id=None, joined_at=None, name_folded=person["nameFolded"])


async def test_events_told_again_and_late_leave_the_same_rows(
    settings: Settings, stores: Stores, mongo: Database, postgres: asyncpg.Connection, says: Says
) -> None:
    position = await feed_positions.load(stores.postgres, "documents")
    assert position is not None
    member = await somebody(mongo, status="active")
    for number in range(30):
        entry = await visit(mongo, member, now() + timedelta(milliseconds=number))
        if number % 3:
            await mongo.visits.delete_one({"_id": entry})
    await mongo.member_subscriptions.update_one({"_id": member.contract["_id"]}, {"$set": {"status": "suspended"}})
    await mongo.member_subscriptions.update_one({"_id": member.contract["_id"]}, {"$set": {"status": "active"}})
    last = await visit(mongo, member, now() + timedelta(seconds=1))
    await says(member, status="active", last_visit_at=(await mongo.visits.find_one({"_id": last}))["at"])
    rows = await told_by_rows(postgres)
    writes = "SELECT count(*) FROM platform.member_facts WHERE updated_at > $1"
    moment = await postgres.fetchval("SELECT clock_timestamp()")
    await postgres.execute(
        "UPDATE platform.feed_positions SET position = $1, version = version + 1 WHERE name = 'documents'",
        _json(dict(position.value)),
    )

    async def is_told_again() -> bool:
        saved = await feed_positions.load(stores.postgres, "documents")
        return saved is not None and saved.value["time"] > position.value["time"]

    # The one that follows now is replaced, as a leader is that slept; the next one begins at the old position.
    async with following(settings):
        await until(is_told_again)
        await asyncio.sleep(0.3)
    assert await told_by_rows(postgres) == rows == await told_by_stores(mongo, postgres, now())
    assert await postgres.fetchval(writes, moment) == 0


def _json(value: dict[str, Any]) -> str:
    import orjson

    return orjson.dumps(value).decode()


async def test_a_row_that_somebody_holds_keeps_nobody_else_waiting(
    stores: Stores, mongo: Database, postgres: asyncpg.Connection, says: Says
) -> None:
    held, free = await somebody(mongo, status="active"), await somebody(mongo, status="active")
    guest = await mongo.users.find_one({"role": "coach"})
    contract = held.contract | {
        "_id": ObjectId(),
        "userId": guest["_id"],
        "subscriptionId": "00000000-0000-7000-8000-000000000002",
        "paymentHistory": [],
    }
    newcomer = Member(held.facility, guest["_id"], contract)
    # Two commits over both stores that died in the middle: one changed a member's row, one made somebody's first.
    for number, member in enumerate((held, newcomer)):
        await postgres.execute("BEGIN")
        await pay(postgres, member.pair)
        await postgres.execute(f"PREPARE TRANSACTION 'held-{number}'")
    try:
        at = now()
        await mongo.member_subscriptions.insert_one(contract)
        for member in (held, free):
            await visit(mongo, member, at)
        await says(free, last_visit_at=at)
        later = at + timedelta(milliseconds=1)
        await visit(mongo, free, later)
        await says(free, last_visit_at=later)
        row = await fact(postgres, held.pair)
        assert row is not None
        assert row["last_visit_at"] != at
        assert await fact(postgres, newcomer.pair) is None
    finally:
        await postgres.execute("COMMIT PREPARED 'held-0'")
        await postgres.execute("ROLLBACK PREPARED 'held-1'")
    await says(held, last_visit_at=at)
    await says(newcomer, status="active")
    await mongo.member_subscriptions.delete_one({"_id": contract["_id"]})


async def test_two_projectors_never_leave_the_older_state(
    stores: Stores, mongo: Database, postgres: asyncpg.Connection, says: Says
) -> None:
    member = await somebody(mongo, status="active")
    done = asyncio.Event()

    async def project_again_and_again() -> None:
        while not done.is_set():
            async with feed_positions.transaction(stores.postgres) as transaction:
                await project(transaction, stores.mongo, [member.pair], now())

    others = [asyncio.create_task(project_again_and_again()) for _ in range(3)]
    for number in range(60):
        at = now() + timedelta(milliseconds=number)
        await visit(mongo, member, at)
    await says(member, last_visit_at=at)
    await asyncio.sleep(0.2)
    done.set()
    await asyncio.gather(*others)
    await says(member, last_visit_at=at)


async def test_the_cheapest_plan_of_a_facility_follows_its_plans(mongo: Database) -> None:
    plan = await mongo.memberships.find_one({"isActive": True})
    assert plan is not None
    facility = {"_id": plan["facilityId"]}
    before = await mongo.facilities.find_one(facility)

    async def listed(price: Decimal128) -> None:
        async def holds() -> bool:
            found = await mongo.facilities.find_one(facility)
            return bool(found["listing"]["price"] == price)

        await until(holds)

    cheap = {**plan, "_id": ObjectId(), "name": "Günlük", "price": Decimal128("7.5")}
    await mongo.memberships.insert_one(cheap)
    await listed(cheap["price"])
    await mongo.memberships.update_one({"_id": cheap["_id"]}, {"$set": {"price": Decimal128("8")}})
    await listed(Decimal128("8"))
    await mongo.memberships.update_one({"_id": cheap["_id"]}, {"$set": {"isActive": False}})
    await listed(before["listing"]["price"])
    await mongo.memberships.delete_one({"_id": cheap["_id"]})

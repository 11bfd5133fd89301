"""What may exist once is decided by the database, for anybody who writes."""

import asyncio
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from nexfit.domains.classes.documents import LIVE_BOOKING_STATUSES, BookingStatus
from nexfit.domains.coaching.documents import LIVE_RELATION_STATUSES, RelationStatus
from nexfit.domains.identity.documents import User
from nexfit.domains.memberships.documents import LIVE_SUBSCRIPTION_STATUSES, SubscriptionStatus
from nexfit.domains.text import normalize_email
from nexfit.operations.mongo_schema import ALL_DOCUMENTS
from nexfit.operations.mongo_validators import collection_name
from nexfit.stores.mongo_ddl import Database

from .samples import sample

MODELS = {collection_name(model): model for model in ALL_DOCUMENTS}


def another(collection: str, **same: Any) -> dict[str, Any]:
    """A new document that shares only the given fields with others."""
    made = sample(MODELS[collection]) | same
    if collection == "member_subscriptions" and "subscriptionId" not in same:
        made["subscriptionId"] = f"00000000-0000-0000-{ObjectId()!s:.4}-{str(ObjectId())[-12:]}"
    return made


@pytest.mark.parametrize("email", ["İLKER@example.org", "ILKER@EXAMPLE.ORG", "ılker@example.org", "ilker@Example.Org"])
async def test_one_address_is_one_person_in_any_case_and_with_any_i(database: Database, email: str) -> None:
    await database.users.delete_many({})
    first = User.model_validate(another("users", email="ilker@example.org"))
    await first.insert()
    with pytest.raises(DuplicateKeyError):
        await User.model_validate(another("users", email=email)).insert()
    found = await database.users.find_one({"emailNormalized": normalize_email(email)})
    assert found is not None
    assert found["_id"] == first.id


@pytest.mark.parametrize("status", BookingStatus)
async def test_one_live_booking_per_date_and_person(database: Database, status: BookingStatus) -> None:
    pair = {"occurrenceId": ObjectId(), "userId": ObjectId()}
    await database.class_bookings.insert_one(another("class_bookings", **pair, status=str(status)))
    again = another("class_bookings", **pair, status="booked")
    if status in LIVE_BOOKING_STATUSES:
        with pytest.raises(DuplicateKeyError):
            await database.class_bookings.insert_one(again)
    else:
        await database.class_bookings.insert_one(again)
        await database.class_bookings.insert_one(another("class_bookings", **pair, status=str(status)))


async def test_parallel_bookings_of_one_place_leave_one(database: Database) -> None:
    pair = {"occurrenceId": ObjectId(), "userId": ObjectId()}
    outcomes = await asyncio.gather(
        *(database.class_bookings.insert_one(another("class_bookings", **pair, status="booked")) for _ in range(20)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, DuplicateKeyError) for outcome in outcomes) == 19
    assert await database.class_bookings.count_documents(pair) == 1


@pytest.mark.parametrize("status", SubscriptionStatus)
async def test_one_live_subscription_per_person_facility_and_plan(
    database: Database, status: SubscriptionStatus
) -> None:
    triple = {"userId": ObjectId(), "facilityId": ObjectId(), "membershipId": ObjectId()}
    await database.member_subscriptions.insert_one(another("member_subscriptions", **triple, status=str(status)))
    again = another("member_subscriptions", **triple, status="active")
    if status in LIVE_SUBSCRIPTION_STATUSES:
        with pytest.raises(DuplicateKeyError):
            await database.member_subscriptions.insert_one(again)
    else:
        await database.member_subscriptions.insert_one(again)
    other_plan = another("member_subscriptions", **{**triple, "membershipId": ObjectId()}, status="active")
    await database.member_subscriptions.insert_one(other_plan)


@pytest.mark.parametrize("status", RelationStatus)
async def test_one_live_relation_per_coach_and_client(database: Database, status: RelationStatus) -> None:
    pair = {"coachId": ObjectId(), "clientId": ObjectId()}
    await database.coach_clients.insert_one(another("coach_clients", **pair, relationship={"status": str(status)}))
    again = another("coach_clients", **pair, relationship={"status": "pending"})
    if status in LIVE_RELATION_STATUSES:
        with pytest.raises(DuplicateKeyError):
            await database.coach_clients.insert_one(again)
    else:
        await database.coach_clients.insert_one(again)


@pytest.mark.parametrize(
    ("collection", "fields"),
    [
        ("class_occurrences", ("classId", "originalStart")),
        ("reviews", ("authorId", "subjectType", "subjectId")),
        ("devices", ("fcmToken",)),
        ("consents", ("granteeId", "userId")),
        ("member_subscriptions", ("subscriptionId",)),
        ("foods", ("source", "sourceId")),
        ("exercises", ("source", "sourceId")),
        ("facilities", ("source", "sourceId")),
        ("workout_logs", ("userId", "source", "sourceId")),
        ("decisions", ("_id",)),
    ],
)
async def test_these_fields_together_are_unique(database: Database, collection: str, fields: tuple[str, ...]) -> None:
    await database[collection].delete_many({})
    first = sample(MODELS[collection])
    await database[collection].insert_one(first)
    with pytest.raises(DuplicateKeyError):
        await database[collection].insert_one(another(collection, **{field: first[field] for field in fields}))
    await database[collection].delete_many({})


@pytest.mark.parametrize("collection", ["foods", "exercises", "facilities", "workout_logs"])
async def test_documents_without_a_source_do_not_collide(database: Database, collection: str) -> None:
    for _ in range(2):
        document = sample(MODELS[collection])
        del document["source"], document["sourceId"]
        await database[collection].insert_one(document)

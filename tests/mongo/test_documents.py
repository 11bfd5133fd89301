"""Every model and its validator agree, and the store holds everybody to them."""

import datetime as dt
import math
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest
from bson import Decimal128, ObjectId, Regex
from pydantic import ValidationError
from pymongo.errors import WriteError

from nexfit.domains.identity.documents import Role, User
from nexfit.domains.memberships.documents import Duration, DurationUnit, Membership
from nexfit.operations.mongo_schema import ALL_DOCUMENTS
from nexfit.operations.mongo_validators import collection_name
from nexfit.stores.documents import StoredDocument
from nexfit.stores.mongo_ddl import Database

from .samples import DAY, START, places, sample

NOW = dt.datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=dt.UTC)
DOCUMENT_VALIDATION_FAILURE = 121

MODELS = {collection_name(model): model for model in ALL_DOCUMENTS}


async def refused(database: Database, collection: str, document: dict[str, Any]) -> bool:
    """Whether the validator, and nothing else, keeps the document out."""
    try:
        await database[collection].insert_one(document)
    except WriteError as error:
        if error.code != DOCUMENT_VALIDATION_FAILURE:
            raise
        return True
    await database[collection].delete_one({"_id": document["_id"]})
    return False


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    copy = deepcopy(document)
    for inner, container, key in places(copy):
        if inner == path:
            container[key] = value  # type: ignore[index]
            return copy
    raise AssertionError(path)


def without(document: dict[str, Any], path: str) -> dict[str, Any]:
    copy = deepcopy(document)
    for inner, container, key in places(copy):
        if inner == path:
            del container[key]  # type: ignore[arg-type]
            return copy
    raise AssertionError(path)


@pytest.mark.parametrize("model", ALL_DOCUMENTS, ids=collection_name)
async def test_a_full_document_is_stored_as_written_and_read_back_equal(
    database: Database, model: type[StoredDocument]
) -> None:
    written = sample(model)
    made = model.model_validate(written)
    await made.insert()
    assert await database[collection_name(model)].find_one({"_id": written["_id"]}) == written
    assert await model.get(made.id) == made
    await made.delete()


@pytest.mark.parametrize("model", ALL_DOCUMENTS, ids=collection_name)
async def test_what_the_model_requires_alone_is_enough(database: Database, model: type[StoredDocument]) -> None:
    full = sample(model)
    required = {field.alias for field in model.model_fields.values() if field.is_required()} | {"_id"}
    made = model.model_validate({name: full[name] for name in required})
    await made.insert()
    stored = await database[collection_name(model)].find_one({"_id": full["_id"]})
    assert stored is not None
    assert None not in stored.values()
    assert await model.get(made.id) == made
    await made.delete()


@pytest.mark.parametrize("collection", MODELS)
async def test_every_place_refuses_null_and_foreign_types_and_every_object_unknown_fields(
    database: Database, collection: str
) -> None:
    full = sample(MODELS[collection])
    taken = []
    for path, container, key in places(deepcopy(full)):
        value = container[key]  # type: ignore[index]
        bad: list[Any] = [Regex("x")] if path == "_id" else [Regex("x"), None]
        if isinstance(value, dict) and path != "token":
            bad.append({**value, "unheardOf": 1})
        if isinstance(value, list):
            bad.append([Regex("x")])
            bad.append(value * 4000)
        if isinstance(value, str):
            bad += ["x" * 20_000, ""]
        if isinstance(value, int | float) and not isinstance(value, bool):
            bad += [-1e12, 1e12, math.nan, math.inf]
        if isinstance(value, Decimal128):
            bad += [Decimal128("-0.01"), Decimal128("NaN"), Decimal128("1E+16"), 12.5, 12]
        for wrong in bad:
            # MongoDB itself refuses a regular expression as _id before any validator sees it.
            if path == "_id":
                continue
            if not await refused(database, collection, changed(full, path, wrong)):
                taken.append((path, str(wrong)[:40]))
    if not await refused(database, collection, {**full, "unheardOf": 1}):
        taken.append(("", "unheardOf"))
    assert taken == []
    assert not await refused(database, collection, full), "the sample itself must be accepted"


@pytest.mark.parametrize("collection", MODELS)
async def test_required_fields_cannot_be_left_out(database: Database, collection: str) -> None:
    full = sample(MODELS[collection])
    required = {str(field.alias) for field in MODELS[collection].model_fields.values() if field.is_required()} - {"_id"}
    assert required
    for name in required:
        assert await refused(database, collection, without(full, name)), name


BAD = [
    ("users", "role", ["emperor"]),
    ("users", "role", []),
    ("users", "role", "client"),
    ("users", "phoneNumber", "0532 123 45 67"),
    ("users", "phoneNumber", "+905321234567\n"),
    ("users", "roleSpecificData.client.medicalConditions", ["asthma"]),
    ("users", "roleSpecificData.client.medicalConditions", {"keyId": "a", "nonce": bytes(12)}),
    ("users", "roleSpecificData.client.medicalConditions.nonce", bytes(11)),
    ("users", "roleSpecificData.client.medicalConditions.ciphertext", bytes(15)),
    ("users", "roleSpecificData.gym_owner.taxId", "9000000001"),
    ("users", "roleSpecificData.gym_owner.taxId.nonce", bytes(13)),
    ("users", "roleSpecificData.coach.hourlyRate", 12.5),
    ("facilities", "type", "pool"),
    ("facilities", "timezone", "+03:00; drop"),
    ("facilities", "address.coordinates", {"latitude": 41.0, "longitude": 29.0}),
    ("facilities", "address.coordinates", [29.0, 41.0]),
    ("facilities", "address.coordinates.type", "Polygon"),
    ("facilities", "address.coordinates.coordinates", [35.68, 139.69]),
    ("facilities", "address.coordinates.coordinates", [180.1, 0.0]),
    ("facilities", "address.coordinates.coordinates", [0.0, -90.1]),
    ("facilities", "address.coordinates.coordinates", [29.0]),
    ("facilities", "address.coordinates.coordinates", [29.0, 41.0, 0.0]),
    ("facilities", "operatingHours.0.openTime", "24:00"),
    ("facilities", "operatingHours.0.openTime", "7:00"),
    ("facilities", "staff.0.permissions", ["everything"]),
    ("memberships", "price", Decimal128("-1")),
    ("memberships", "price", 12.5),
    ("memberships", "currency", "try"),
    ("memberships", "currency", "TRY\n"),
    ("memberships", "duration.unit", "fortnight"),
    ("memberships", "duration.value", 0),
    ("memberships", "duration.value", 1.5),
    ("member_subscriptions", "status", "paused"),
    ("member_subscriptions", "subscriptionId", "42"),
    ("member_subscriptions", "startDate", START),
    ("member_subscriptions", "endDate", DAY - dt.timedelta(days=1)),
    ("class_occurrences", "seatsTaken", 3),
    ("class_occurrences", "seatsTaken", -1),
    ("class_occurrences", "endsAt", START),
    ("classes", "schedule.endTime", START),
    ("classes", "schedule.recurrence.weekdays", [7]),
    ("classes", "schedule.recurrence.frequency", "hourly"),
    ("class_bookings", "status", "no-show"),
    ("coach_clients", "relationship.status", "friends"),
    ("pt_sessions", "endTime", START),
    ("workout_logs", "endTime", START - dt.timedelta(seconds=1)),
    ("workout_logs", "location.coordinates", [190.0, 10.0]),
    ("reviews", "rating", 6),
    ("decisions", "decision", "maybe"),
    ("decisions", "_id", ObjectId()),
    ("credentials", "_id", "somebody"),
]


@pytest.mark.parametrize(("collection", "path", "value"), BAD)
async def test_bad_values_are_refused_by_store_and_model(
    database: Database, collection: str, path: str, value: Any
) -> None:
    model = MODELS[collection]
    document = changed(sample(model), path, value)
    assert await refused(database, collection, document)
    with pytest.raises(ValidationError):
        model.model_validate(document)


@pytest.mark.parametrize(
    ("collection", "path", "value"),
    [("users", "createdAt", "2026-03-02T15:00:00Z"), ("memberships", "price", "12.50"), ("reviews", "rating", "5")],
)
async def test_text_is_taken_by_the_model_as_what_it_means_and_refused_by_the_store(
    database: Database, collection: str, path: str, value: Any
) -> None:
    document = changed(sample(MODELS[collection]), path, value)
    assert await refused(database, collection, document)
    made = MODELS[collection].model_validate(document)
    await made.insert()
    await made.delete()


async def test_a_recurrence_ends_one_way_only(database: Database) -> None:
    document = sample(MODELS["classes"])
    document["schedule"]["recurrence"]["maxOccurrences"] = 10
    assert await refused(database, "classes", document)
    with pytest.raises(ValidationError, match="exclude each other"):
        MODELS["classes"].model_validate(document)


async def test_lowering_capacity_below_seats_taken_is_refused(database: Database) -> None:
    document = {**sample(MODELS["class_occurrences"]), "capacity": 5, "seatsTaken": 5}
    await database.class_occurrences.insert_one(document)
    with pytest.raises(WriteError):
        await database.class_occurrences.update_one({"_id": document["_id"]}, {"$set": {"capacity": 4}})
    await database.class_occurrences.delete_one({"_id": document["_id"]})


@pytest.mark.parametrize(
    ("amount", "currency", "message"),
    [
        ("10.001", "TRY", "more decimals"),
        ("10.5", "JPY", "more decimals"),
        ("10.50", "XYZ", "unknown currency"),
        ("NaN", "TRY", "finite"),
        ("-1", "TRY", "greater than or equal"),
    ],
)
def test_money_keeps_to_its_currency(database: Database, amount: str, currency: str, message: str) -> None:
    values = sample(Membership) | {"price": Decimal(amount), "currency": currency}
    with pytest.raises(ValidationError, match=message):
        Membership.model_validate(values)


@pytest.mark.parametrize(
    ("amount", "currency"), [("10.500", "TRY"), ("1000", "JPY"), ("1.234", "KWD"), ("1E+3", "TRY")]
)
def test_money_within_its_currency_is_taken(database: Database, amount: str, currency: str) -> None:
    values = sample(Membership) | {"price": Decimal(amount), "currency": currency}
    assert Membership.model_validate(values).price == Decimal(amount)


def test_an_unknown_zone_and_an_instant_without_zone_are_refused(database: Database) -> None:
    facility = sample(MODELS["facilities"])
    for zone in ("Europe/Kadikoy", "../etc/passwd", ""):
        with pytest.raises(ValidationError):
            MODELS["facilities"].model_validate({**facility, "timezone": zone})
    with pytest.raises(ValidationError, match="needs a time zone"):
        MODELS["facilities"].model_validate({**facility, "createdAt": dt.datetime(2026, 3, 1)})  # noqa: DTZ001


async def test_python_names_defaults_and_derived_fields(database: Database) -> None:
    user = User(
        email="İlker@Example.org",
        first_name="İlker",
        last_name="Şahin",
        role=[Role.CLIENT],
        is_active=True,
        created_at=NOW,
        updated_at=NOW,
    )
    await user.insert()
    stored = await database.users.find_one({"_id": user.id})
    assert stored == {
        "_id": user.id,
        "email": "İlker@Example.org",
        "emailNormalized": "ilker@example.org",
        "firstName": "İlker",
        "lastName": "Şahin",
        "nameFolded": "ilker sahin",
        "role": ["client"],
        "isActive": True,
        "roleSpecificData": {},
        "createdAt": NOW.replace(microsecond=123000),
        "updatedAt": NOW.replace(microsecond=123000),
    }
    user.profile_image = "people/1.jpg"
    await user.save()
    user.profile_image = None
    await user.save()
    assert await database.users.find_one({"_id": user.id}) == stored, "clearing a field removes it, no null is left"
    await user.delete()


async def test_money_is_decimal_in_the_store_and_in_python(database: Database) -> None:
    plan = Membership(
        facility_id=ObjectId(),
        name="Aylık",
        duration=Duration(value=1, unit=DurationUnit.MONTH),
        price=Decimal("1249.90"),
        currency="TRY",
        is_active=True,
        created_at=NOW,
        updated_at=NOW,
    )
    await plan.insert()
    stored = await database.memberships.find_one({"_id": plan.id})
    assert stored is not None
    assert stored["price"] == Decimal128("1249.90")
    read = await Membership.get(plan.id)
    assert read is not None
    assert read.price == Decimal("1249.90")
    await plan.delete()

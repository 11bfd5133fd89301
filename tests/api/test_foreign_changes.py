"""Every mutation that names something, called with what belongs to another business: refused, and nothing changed."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import pytest
from bson import ObjectId, json_util
from graphql import GraphQLInputObjectType, get_named_type, get_nullable_type, is_list_type, is_required_input_field

from nexfit.stores.connections import Stores

from .conftest import Business, Client, business_of, facility_of, global_id, local, login
from .test_access import texts
from .walk import object_type, schema, shown, some

NAMED = {
    "alternates": "Exercise",
    "booking": "ClassBooking",
    "class": "Class",
    "client": "User",
    "coach": "User",
    "enrolment": "ProgramEnrolment",
    "exercise": "Exercise",
    "facility": "Facility",
    "id": "Session",
    "instructor": "User",
    "invoice": "Invoice",
    "measurement": "Measurement",
    "member": "Member",
    "membership": "MemberSubscription",
    "note": "MemberNote",
    "occurrence": "ClassOccurrence",
    "original": "WorkoutProgram",
    "package": "CoachingPackage",
    "plan": "Membership",
    "program": "WorkoutProgram",
    "relation": "CoachClient",
    "session": "PtSession",
    "subject": "WorkoutProgram",
    "template": "WorkoutTemplate",
    "transaction": "Transaction",
    "user": "User",
    "workout": "WorkoutLog",
}
"""What the ID fields of inputs name."""

FOR_ONESELF = {
    "createExercise",
    "startWorkout",
    "copyWorkoutProgram",
    "saveReview",
    "purchaseMembership",
    "inviteClient",
}
"""What names something public and makes something of the viewer's own: nobody is a stranger to it."""

REFUSALS = {"NOT_FOUND", "UNAUTHENTICATED", "FORBIDDEN", "MEMBERSHIP_REQUIRED", "BOOKING_CLOSED"}

assert schema.mutation_type is not None
MUTATIONS = {
    name: input_type
    for name, field in schema.mutation_type.fields.items()
    if name not in FOR_ONESELF
    and isinstance(input_type := get_named_type(field.args["input"].type), GraphQLInputObjectType)
    and any(get_named_type(part.type).name == "ID" for part in input_type.fields.values())
}
EMAILS = {
    "owner": "owner@demo.nexfit.app",
    "coach": "coach@demo.nexfit.app",
    "member": "client@demo.nexfit.app",
    "guest": None,
}


def made(input_type: GraphQLInputObjectType, ids: dict[str, str]) -> dict[str, Any]:
    """An input that names foreign things, and has some value wherever one is needed."""
    given: dict[str, Any] = {}
    for name, part in input_type.fields.items():
        named = get_named_type(part.type)
        if named.name == "ID":
            named_id = ids.get(NAMED[name]) or global_id(NAMED[name], "6a" * 12)
            given[name] = [named_id] if is_list_type(get_nullable_type(part.type)) else named_id
        elif is_required_input_field(part):
            given[name] = some(part.type, name)
    return given


@pytest.fixture(scope="module")
async def foreign(small_http: httpx.AsyncClient, small_stores: Stores) -> Business:
    """The studio, to which none of the viewers belongs, with a session of its owner."""
    facility = await facility_of(small_stores, "alsancak")
    business = await business_of(small_stores, facility)
    owner = await login(small_http, "studio@demo.nexfit.app")
    sessions = (await owner.data("{ viewer { sessions(first: 1) { nodes { id } } } }"))["viewer"]["sessions"]
    business.ids["Facility"] = business.facility
    business.ids["Session"] = sessions["nodes"][0]["id"]
    upcoming = await small_stores.mongo.database["class_occurrences"].find_one(
        {"facilityId": facility, "status": "scheduled"}, sort=[("startsAt", -1)]
    )
    assert upcoming is not None
    business.ids["ClassOccurrence"] = global_id("ClassOccurrence", upcoming["_id"])
    return business


async def state(stores: Stores, facility: ObjectId) -> str:
    """Everything of a facility that a mutation could change."""
    found = []
    for collection, key in (
        *((name, "facilityId") for name in ("class_bookings", "class_occurrences", "member_subscriptions", "visits")),
        *((name, "facilityId") for name in ("outbox", "audit_entries")),
        ("facilities", "_id"),
    ):
        found += await stores.mongo.database[collection].find({key: facility}, sort=[("_id", 1)]).to_list()
    found += await stores.mongo.database["sessions"].find({}, {"endedAt": 1}, sort=[("_id", 1)]).to_list()
    found += await stores.mongo.database["consents"].find({}, sort=[("_id", 1)]).to_list()
    for table in ("transactions", "subscriptions", "invoices", "refunds", "credit_notes", "outbox"):
        rows = await stores.postgres.fetch(
            f"SELECT t::text FROM finance.{table} t WHERE facility_id = $1 ORDER BY 1", str(facility)
        )
        found += [row["t"] for row in rows]
    return hashlib.sha256(json_util.dumps(found).encode()).hexdigest()


def test_every_id_an_input_takes_is_known_here() -> None:
    taken = {
        name
        for input_type in MUTATIONS.values()
        for name, part in input_type.fields.items()
        if get_named_type(part.type).name == "ID"
    }
    assert taken <= NAMED.keys()
    assert len(MUTATIONS) >= 10


@pytest.mark.parametrize("role", EMAILS)
async def test_nothing_foreign_is_changed_or_shown(
    small_http: httpx.AsyncClient, small_stores: Stores, foreign: Business, role: str
) -> None:
    email = EMAILS[role]
    client = Client(small_http) if email is None else await login(small_http, email)
    facility = ObjectId(local(foreign.facility))
    people = await small_stores.mongo.database["users"].find({}, {"email": 1, "phoneNumber": 1}).to_list()
    viewer = (await client.data("{ viewer { email } }"))["viewer"]
    contacts = {text for user in people for text in (user["email"], user.get("phoneNumber")) if text} - {email}
    before = await state(small_stores, facility)
    for name, input_type in MUTATIONS.items():
        field = object_type("Mutation").fields[name]
        payload = object_type(get_named_type(field.type).name)
        query = f"mutation ($input: {input_type.name}!) {{ {name}(input: $input) {{ {shown(payload, 5)} }} }}"
        answer = await client.run(query, {"input": made(input_type, foreign.ids)})
        if answer.get("errors"):
            codes = {error["extensions"]["code"] for error in answer["errors"]}
            assert codes <= {"UNAUTHENTICATED", "FORBIDDEN"}, (name, answer)
        else:
            result = answer["data"][name]
            errors = result.pop("userErrors")
            for error in errors:  # of a value, only that the thing it names is none for the viewer
                of_name = error["code"] == "BAD_USER_INPUT" and error["path"][-1] in NAMED
                assert of_name or error["code"] in REFUSALS, (name, answer)
            assert errors, (name, answer)
            assert not any(result.values()), (name, answer)
        assert contacts.isdisjoint(texts(answer)), name
        assert await state(small_stores, facility) == before, name
    assert (viewer is None) == (role == "guest")

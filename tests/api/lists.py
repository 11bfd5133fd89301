"""Every list of the schema, and what a test has to know of each: who views it, and which stored rows it shows.

A field that returns a connection and has no recipe here fails `tests/contract/test_lists.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    get_named_type,
)

from .conftest import Client, global_id
from .stored_rows import INSTANT, At, Documents, Row, Rows, Timeline
from .walk import is_connection, object_type, schema, target

PAGING = ("first", "after", "last", "before")
OWNER, COACH, MEMBER = (f"{name}@demo.nexfit.app" for name in ("owner", "coach", "client"))


@dataclass(frozen=True, slots=True)
class List:
    """How a list is asked for. `given` are arguments it is always asked with; `filters` are others, each with what it
    leaves of the rows: a filter of MongoDB or a condition of PostgreSQL. Every argument of the field stands in one, but
    those `apart`, parts of filters and values of `orderBy` that a test of their own pages.
    """

    viewer: str
    rows: Documents | Rows | Timeline
    filters: Callable[[At], Mapping[str, Any]] = lambda _: {}
    given: str = ""
    apart: frozenset[str] = frozenset()


SINCE, UNTIL = datetime(2026, 6, 10, tzinfo=UTC), datetime(2026, 6, 12, tzinfo=UTC)
MAY = datetime(2026, 5, 1, tzinfo=UTC)
NEXT_WEEK = SINCE + timedelta(days=7)
_OVERDUE = "open_invoices > 0 AND oldest_open_due < (now() AT TIME ZONE 'Europe/Istanbul')::date"
_VIP = "(facility_id, user_id) IN (SELECT facility_id, user_id FROM platform.member_tags WHERE tag_folded = 'vip')"
_TODAY = "(now() AT TIME ZONE 'Europe/Istanbul')::date"
_HOLDS_NOTHING = """NOT EXISTS (SELECT FROM finance.subscriptions l WHERE l.facility_id = t.facility_id
  AND l.user_id = t.user_id AND l.status IN ('incomplete', 'active', 'past_due', 'suspended', 'frozen'))"""
_UNSEALED = dict.fromkeys(("chain", "chain_position", "previous_hash", "entry_hash"))


def _facility(at: At) -> Row:
    return {"facilityId": at.facility}


def _facility_row(at: At) -> Row:
    return {"facility_id": str(at.facility)}


def _person(at: At) -> Row:
    return {"userId": at.viewer}


def _person_row(at: At) -> Row:
    return {"user_id": str(at.viewer)}


def _ledger(type_: str, of: Callable[[At], Row], order: str = "-created_at", **more: Any) -> Rows:
    """A table of the ledger, under a facility or a person."""
    table = type_.lower()
    fresh = {
        "transaction": lambda at: {"transaction_id": at.uuid()},
        "subscription": lambda at: {"subscription_id": at.uuid(), "plan_id": str(at.id())},
        "invoice": lambda at: {
            "invoice_id": at.uuid(),
            "invoice_sequence": at.number(),
            "subscription_id": None,
            "period_start": None,
        },
    }[table]
    return Rows(type_, f"finance.{table}s", f"{table}_id", of, {"": order}, fresh, **more)


LISTS: Mapping[str, List] = {
    "Query.facilities": List(
        OWNER,
        Documents(
            "Facility",
            "facilities",
            lambda _: {},
            {"": "nameFolded", "NAME": "nameFolded", "CREATED_AT": "createdAt"},
            lambda at: {"ownerId": at.id(), "staff": []},
        ),
        lambda _: {
            "filter: { type: STUDIO }": {"type": "studio"},
            'filter: { city: "İSTANBUL" }': {"address.cityFolded": "istanbul"},
            'filter: { name: "a" }': {"nameFolded": {"$regex": "^a"}},
        },
        # tests/facilities/test_search.py
        apart=frozenset({"near", "openNow", "text", "amenities", "DISTANCE", "PRICE", "RATING"}),
    ),
    "Query.coaches": List(
        OWNER,
        Documents(
            "Coach",
            "users",
            lambda _: {"coachListing": {"$exists": True}, "isActive": True},
            {"": "nameFolded", "NAME": "nameFolded"},
            lambda at: {"email": f"{at.id()}@example.org", "emailNormalized": f"{at.id()}@example.org"},
        ),
        lambda at: {
            "filter: { rating: 4 }": {"coachListing.rating": {"$gte": 4}},
            'filter: { specializations: ["PİLATES"] }': {"coachListing.specializations": "pilates"},
            f'filter: {{ facility: "{global_id("Facility", at.facility)}" }}': {
                "coachListing.facilityIds": at.facility
            },
        },
        # tests/facilities/test_coaches.py
        apart=frozenset({"text", "near", "price", "free", "languages", "DISTANCE", "PRICE", "RATING"}),
    ),
    "Coach.reviews": List(
        OWNER,
        Documents(
            "CoachReview",
            "reviews",
            lambda at: {"subjectType": "coach", "subjectId": at.parents["Coach"][0]},
            {"": "-createdAt"},
            lambda at: {"authorId": at.id()},
        ),
    ),
    "User.facilities": List(
        OWNER,
        Documents(
            "Facility",
            "facilities",
            lambda at: {"$or": [{"ownerId": at.viewer}, {"staff.userId": at.viewer}]},
            {"": "nameFolded"},
        ),
    ),
    "Facility.classes": List(
        OWNER,
        Documents(
            "Class",
            "classes",
            lambda at: {"facilityId": at.facility, "isActive": True},
            {"": "name", "NAME": "name", "START_TIME": "schedule.startTime"},
        ),
    ),
    "Facility.schedule": List(
        OWNER,
        Documents(
            "ClassOccurrence",
            "class_occurrences",
            lambda at: {"facilityId": at.facility, "startsAt": {"$gte": SINCE, "$lt": UNTIL}},
            {"": "startsAt"},
            lambda at: {"classId": at.id()},
        ),
        given=f'since: "{SINCE.isoformat()}" until: "{UNTIL.isoformat()}"',
    ),
    "Query.schedule": List(
        OWNER,
        Documents(
            "ClassOccurrence",
            "class_occurrences",
            lambda at: {"startsAt": {"$gte": SINCE, "$lt": UNTIL}},
            {"": "startsAt"},
            lambda at: {"classId": at.id(), "instructor": {"userId": at.viewer, "name": "Deniz Kaya"}},
        ),
        lambda at: {
            f'filter: {{ facilities: ["{global_id("Facility", at.facility)}"] }}': {"facilityId": at.facility},
            # All of the demo's facilities: what a circle leaves out has a test of its own.
            "filter: { near: { latitude: 39.5, longitude: 30, kilometres: 500 } }": {},
            f'filter: {{ instructor: "{global_id("User", at.viewer)}" }}': {"instructor.userId": at.viewer},
        },
        given=f'since: "{SINCE.isoformat()}" until: "{UNTIL.isoformat()}"',
    ),
    "ClassOccurrence.bookings": List(
        OWNER,
        Documents(
            "ClassBooking",
            "class_bookings",
            lambda at: {"occurrenceId": at.parents["ClassOccurrence"][0]},
            {"": "_id"},
            lambda at: {"userId": at.id()},
        ),
    ),
    "User.classBookings": List(
        MEMBER,
        Documents("ClassBooking", "class_bookings", _person, {"": "-date"}, lambda at: {"occurrenceId": at.id()}),
    ),
    "Facility.members": List(
        OWNER,
        Rows(
            "Member",
            "platform.member_facts",
            "user_id",
            _facility_row,
            {
                "": "name_folded",
                "NAME": "name_folded",
                "LAST_PAYMENT": "last_payment_at",
                "LAST_VISIT": "last_visit_at",
                "JOINED": "joined_at",
                "NEXT_BOOKING": "next_booking_at",
                "BIRTHDAY": "birthday",
            },
            lambda at: {"user_id": str(at.id())},
            like=lambda at: {"birthday": 615},
            local="facility_id || ':' || user_id",
            nullable=("last_payment_at", "last_visit_at", "joined_at", "next_booking_at", "birthday"),
        ),
        lambda at: {
            "filter: { overdue: true }": _OVERDUE,
            "filter: { overdue: false }": f"NOT ({_OVERDUE})",
            "filter: { status: [ACTIVE, EXPIRED] }": "status IN ('active', 'expired')",
            'filter: { name: "A" }': "name_folded LIKE '%a%'",
            'filter: { tag: "vıp" }': _VIP,
            "filter: { owing: true }": "open_invoices > 0",
            "filter: { booked: false }": "next_booking_at IS NULL",
            "filter: { bornInMonth: 6 }": "birthday / 100 = 6",
            'filter: { joinedSince: "2026-01-01T00:00:00Z" }': "joined_at >= '2026-01-01T00:00:00Z'",
            f'filter: {{ notSeenSince: "{SINCE.isoformat()}" }}': (
                f"(last_visit_at IS NULL OR last_visit_at < '{SINCE.isoformat()}')"
            ),
            f'filter: {{ plan: "{global_id("Membership", at.plan)}" }}': f"plan_id = '{at.plan}'",
        },
    ),
    "Member.timeline": List(OWNER, Timeline("TimelineEntry")),
    "Facility.memberSubscriptions": List(
        OWNER,
        Documents(
            "MemberSubscription",
            "member_subscriptions",
            _facility,
            {"": "-startDate"},
            lambda at: {"userId": at.id(), "subscriptionId": at.uuid()},
        ),
    ),
    "User.memberSubscriptions": List(
        MEMBER,
        Documents(
            "MemberSubscription",
            "member_subscriptions",
            _person,
            {"": "-startDate"},
            lambda at: {"membershipId": at.id(), "subscriptionId": at.uuid()},
        ),
    ),
    "Facility.transactions": List(
        OWNER,
        _ledger("Transaction", _facility_row),
        lambda _: {"status: SUCCEEDED": "status = 'succeeded'", "status: FAILED": "status = 'failed'"},
    ),
    "Facility.subscriptions": List(
        OWNER, _ledger("Subscription", _facility_row), lambda _: {"status: ACTIVE": "status = 'active'"}
    ),
    "Facility.invoices": List(OWNER, _ledger("Invoice", _facility_row), lambda _: {"status: OPEN": "status = 'open'"}),
    "Facility.overdueInvoices": List(
        OWNER,
        _ledger(
            "Invoice",
            _facility_row,
            order="due_date",
            where="status = 'open' AND due_date < (now() AT TIME ZONE 'Europe/Istanbul')::date",
        ),
    ),
    "Facility.expiringSubscriptions": List(
        OWNER,
        _ledger(
            "Subscription",
            _facility_row,
            order="current_period_end",
            where=f"status = 'active' AND NOT auto_renew AND current_period_end <= {_TODAY} + 30",
        ),
        lambda _: {"days: 3": f"current_period_end <= {_TODAY} + 3"},
    ),
    "Facility.lapsedSubscriptions": List(
        OWNER,
        _ledger(
            "Subscription",
            _facility_row,
            order="-current_period_end",
            where=f"status IN ('cancelled', 'expired') AND current_period_end >= {_TODAY} - 730 AND {_HOLDS_NOTHING}",
        ),
        lambda _: {},
        given="days: 730",
    ),
    "User.transactions": List(MEMBER, _ledger("Transaction", _person_row)),
    "User.subscriptions": List(MEMBER, _ledger("Subscription", _person_row)),
    "User.invoices": List(MEMBER, _ledger("Invoice", _person_row, where="status <> 'draft'")),
    "User.programSales": List(
        COACH,
        Rows(
            "ProgramPurchase",
            "finance.purchases",
            "purchase_id",
            lambda at: {"author_id": str(at.viewer)},
            {"": "-created_at"},
            lambda at: {"purchase_id": at.uuid(), "provider_reference": None},
        ),
    ),
    "Facility.auditLog": List(
        OWNER,
        Rows(
            "AuditEntry",
            "finance.audit_logs",
            "audit_id",
            _facility_row,
            {"": "-created_at"},
            lambda at: {"audit_id": at.number(), **_UNSEALED},
        ),
    ),
    "User.medicalReads": List(
        MEMBER,
        Rows(
            "MedicalRead",
            "finance.audit_logs",
            "audit_id",
            lambda at: {"entity_type": "medical_record", "entity_id": str(at.viewer)},
            {"": "-created_at"},
            lambda at: {"audit_id": at.number(), **_UNSEALED},
            like=lambda at: {
                "user_id": str(at.id()),
                "action": "read",
                "new_state": {"fields": ["medicalConditions"]},
                "created_at": INSTANT,
            },
        ),
    ),
    "Query.exercises": List(
        COACH,
        Documents(
            "Exercise",
            "exercises",
            lambda at: {"$or": [{"isPublic": True}, {"createdBy": at.viewer}]},
            {"": "nameFolded"},
            lambda at: {"createdBy": at.viewer, "metadata": {"tags": ["none"]}, "words": []},
        ),
        lambda at: {
            'filter: { text: "plank" }': {"words": {"$regex": "^plank"}},
            'filter: { bodyAreas: ["Core"] }': {"metadata.bodyAreas": "core"},
            'filter: { equipment: ["barbell"] }': {"metadata.equipment": "barbell"},
            "filter: { difficulty: BEGINNER }": {"metadata.difficultyLevel": "beginner"},
            'filter: { type: "core" }': {"metadata.type": "core"},
            'filter: { tags: ["none"] }': {"metadata.tags": "none"},
            "filter: { mine: true }": {"createdBy": at.viewer},
        },
    ),
    **{
        f"Query.{name}": List(
            COACH,
            Documents(
                type_,
                collection,
                lambda at: {"$or": [{"isPublic": True}, {"createdBy": at.viewer}]},
                {"": "nameFolded"},
                lambda at: {
                    "createdBy": at.viewer,
                    "metadata": {
                        "tags": ["none"],
                        "targetGoal": "none",
                        "difficulty": "expert",
                        "targetBodyAreas": ["x"],
                    },
                },
            ),
            lambda at, areas=areas: {
                'filter: { name: "A" }': {"nameFolded": {"$regex": "^a"}},
                'filter: { goal: "none" }': {"metadata.targetGoal": "none"},
                "filter: { difficulty: EXPERT }": {"metadata.difficulty": "expert"},
                'filter: { tags: ["none"] }': {"metadata.tags": "none"},
                "filter: { mine: true }": {"createdBy": at.viewer},
                "filter: { archived: false }": {},
                **areas,
            },
        )
        for name, type_, collection, areas in (
            ("workoutPrograms", "WorkoutProgram", "workout_programs", {}),
            (
                "workoutTemplates",
                "WorkoutTemplate",
                "workout_templates",
                {'filter: { bodyAreas: ["x"] }': {"metadata.targetBodyAreas": "x"}},
            ),
        )
    },
    "Query.foods": List(
        COACH,
        Documents(
            "Food",
            "foods",
            lambda at: {"$or": [{"isVerified": True}, {"createdBy": at.viewer}]},
            {"": "nameFolded"},
            lambda at: {"createdBy": at.viewer, "isVerified": False, "category": "none", "words": []},
        ),
        lambda at: {
            'filter: { text: "yulaf" }': {"words": {"$regex": "^yulaf"}},
            'filter: { category: "none" }': {"category": "none"},
            "filter: { verified: false }": {"isVerified": False},
            "filter: { mine: true }": {"createdBy": at.viewer},
        },
    ),
    "Query.nutritionPlans": List(
        COACH,
        Documents(
            "NutritionPlan",
            "nutrition_plans",
            lambda _: {"isTemplate": True, "isPublic": True},
            {"": "-updatedAt"},
            lambda at: {"createdBy": at.viewer},
        ),
        lambda at: {"mine: false": {}},
    ),
    "User.nutritionPlans": List(
        MEMBER,
        Documents("NutritionPlan", "nutrition_plans", lambda at: {"forUserId": at.viewer}, {"": "-updatedAt"}),
    ),
    "User.programEnrolments": List(
        MEMBER,
        Documents(
            "ProgramEnrolment",
            "program_enrolments",
            _person,
            {"": "-createdAt"},
            lambda at: {"programId": at.id()},
        ),
        lambda _: {"status: ACTIVE": {"status": "active"}},
    ),
    "User.workoutLogs": List(
        MEMBER,
        Documents("WorkoutLog", "workout_logs", _person, {"": "-startTime"}),
        lambda _: {
            f'since: "{MAY.isoformat()}"': {"startTime": {"$gte": MAY}},
            f'until: "{UNTIL.isoformat()}"': {"startTime": {"$lt": UNTIL}},
        },
    ),
    "User.measurements": List(MEMBER, Documents("Measurement", "measurements", _person, {"": "-date"})),
    "User.clients": List(
        COACH,
        Documents(
            "CoachClient",
            "coach_clients",
            lambda at: {"coachId": at.viewer},
            {"": "_id"},
            lambda at: {"clientId": at.id()},
        ),
        lambda _: {
            "status: ACTIVE": {"relationship.status": "active"},
            "status: ENDED": {"relationship.status": "ended"},
        },
    ),
    "User.coaches": List(
        MEMBER,
        Documents(
            "CoachClient",
            "coach_clients",
            lambda at: {"clientId": at.viewer},
            {"": "_id"},
            lambda at: {"coachId": at.id()},
        ),
        lambda _: {"status: ACTIVE": {"relationship.status": "active"}},
    ),
    "User.ptSessions": List(
        COACH,
        Documents(
            "PtSession",
            "pt_sessions",
            lambda at: {"$or": [{"coachId": at.viewer}, {"clientId": at.viewer}]},
            {"": "-startTime"},
        ),
        lambda _: {
            "status: COMPLETED": {"status": "completed"},
            f'since: "{SINCE.isoformat()}"': {"startTime": {"$gte": SINCE}},
            f'since: "{SINCE.isoformat()}" until: "{NEXT_WEEK.isoformat()}"': {
                "startTime": {"$gte": SINCE, "$lt": NEXT_WEEK}
            },
        },
    ),
    "User.sessions": List(
        MEMBER,
        Documents(
            "Session",
            "sessions",
            lambda at: {"userId": at.viewer, "revokedAt": {"$exists": False}, "expiresAt": {"$gt": datetime.now(UTC)}},
            {"": "-createdAt"},
        ),
    ),
}
"""Every list of the schema by its type and field."""


def connections() -> list[str]:
    """Every field of the schema that is a list with pages."""
    return sorted(
        f"{type_.name}.{name}"
        for type_ in schema.type_map.values()
        if isinstance(type_, GraphQLObjectType)
        for name, found in type_.fields.items()
        if is_connection(get_named_type(found.type))
    )


def field_of(name: str) -> GraphQLField:
    """The field of a list's name."""
    type_, _, field_name = name.partition(".")
    return object_type(type_).fields[field_name]


def node_type(name: str) -> str:
    """The type of a list's rows."""
    return target(field_of(name)).name


@dataclass(frozen=True, slots=True)
class Order:
    """One way to order a list: as an argument, and by which column."""

    text: str
    column: str
    direction: str = ""


AS_IS = Order("", "")
"""The order a list has by itself."""


def orders_of(name: str) -> list[Order]:
    """Every order the schema offers for a list, the one it has by itself first."""
    found, argument = [AS_IS], field_of(name).args.get("orderBy")
    if argument is None:
        return found
    type_ = get_named_type(argument.type)
    if isinstance(type_, GraphQLEnumType):
        return found + [Order(f"orderBy: {value}", value) for value in type_.values]
    assert isinstance(type_, GraphQLInputObjectType), f"{name} has an orderBy of a new kind: teach it to orders_of"
    by, directions = (get_named_type(type_.fields[part].type) for part in ("field", "direction"))
    return found + [
        Order(f"orderBy: {{ field: {value} direction: {way} }}", value, way)
        for value in by.values  # type: ignore[union-attr]
        if value not in LISTS[name].apart
        for way in directions.values  # type: ignore[union-attr]
    ]


def unasked(name: str, texts: Iterable[str]) -> set[str]:
    """Arguments of a list, and parts of those that are inputs, that stand in none of the texts."""
    said = set(re.findall(r"\w+(?=:)", " ".join(texts)))
    wanted = set()
    for argument, definition in field_of(name).args.items():
        if argument in (*PAGING, "orderBy"):
            continue
        type_ = get_named_type(definition.type)
        wanted |= {argument, *(type_.fields if isinstance(type_, GraphQLInputObjectType) else ())}
    return wanted - said - LISTS[name].apart


def query(name: str, at: At, arguments: str, inner: str) -> str:
    """An operation that asks for a page of a list, with variables for the page."""
    type_, _, field_name = name.partition(".")
    asked = " ".join([arguments, LISTS[name].given, "first: $first after: $after last: $last before: $before"])
    field = f"{field_name}({asked}) {{ {inner} }}"
    if type_ == "User":
        field = f"viewer {{ {field} }}"
    elif type_ != "Query":
        parent = global_id(type_, at.parents[type_][0])
        field = f'node(id: "{parent}") {{ ... on {type_} {{ {field} }} }}'
    return f"query ($first: Int $after: String $last: Int $before: String) {{ {field} }}"


async def page(client: Client, text: str, **variables: Any) -> Row:
    """The connection in the answer, however deep it lies."""
    found: Any = await client.data(text, variables)
    while not found.keys() & {"totalCount", "pageInfo", "edges", "nodes"}:
        [found] = found.values()
    connection: Row = found
    return connection


async def forwards(client: Client, text: str, size: int) -> list[str]:
    """All ids of a list, page by page from its start, checking what each page says of itself."""
    ids: list[str] = []
    after = None
    while True:
        found = await page(client, text, first=size, after=after)
        assert found["pageInfo"]["hasPreviousPage"] == (after is not None)
        assert len(found["edges"]) == size or not found["pageInfo"]["hasNextPage"]
        ids += _ids(found)
        if not found["pageInfo"]["hasNextPage"]:
            return ids
        after = found["pageInfo"]["endCursor"]


async def backwards(client: Client, text: str, size: int) -> list[str]:
    """All ids of a list, page by page from its end."""
    ids: list[str] = []
    before = None
    while True:
        found = await page(client, text, last=size, before=before)
        assert found["pageInfo"]["hasNextPage"] == (before is not None)
        assert len(found["edges"]) == size or not found["pageInfo"]["hasPreviousPage"]
        ids = _ids(found) + ids
        if not found["pageInfo"]["hasPreviousPage"]:
            return ids
        before = found["pageInfo"]["startCursor"]


def _ids(found: Row) -> list[str]:
    given = [edge["cursor"] for edge in found["edges"]]
    assert [found["pageInfo"]["startCursor"], found["pageInfo"]["endCursor"]] == (
        [given[0], given[-1]] if given else [None, None]
    )
    assert len(set(given)) == len(given)
    return [edge["node"]["id"] for edge in found["edges"]]

"""Hot queries against their index: the planner takes it, reads no more than it must and never sorts in memory."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from bson import Decimal128, ObjectId, Timestamp

from nexfit.domains.coaching import directory
from nexfit.domains.identity.coach_listing import LISTED
from nexfit.domains.text import fold
from nexfit.domains.training.library import LIVE
from nexfit.operations.mongo_files import default_folder, read_folder
from nexfit.operations.mongo_schema import ALL_DOCUMENTS
from nexfit.operations.mongo_validators import collection_name
from nexfit.stores.mongo_ddl import Database

from .samples import DAY, START, sample

MODELS = {collection_name(model): model for model in ALL_DOCUMENTS}
DOCUMENTS = 600
GROUPS = 20
"""Documents per collection, spread over this many facilities, classes, coaches and so on."""

IDS = [ObjectId(f"{number:024x}") for number in range(1, DOCUMENTS + 1)]
ONE, SOME = IDS[3], IDS[2:7]
PLACE = {"type": "Point", "coordinates": [29.0, 41.0]}
NAMES = ["Ayşe Yıldız", "İlker Şahin", "Işıl Öztürk", "Çağla Güneş", "Mert Demir"]
WORD = fold(NAMES[1])
AFTER = {"$gt": START + dt.timedelta(hours=100)}


@dataclass(frozen=True)
class Hot:
    """A query, the index it must use, and how many documents it may read per one it returns."""

    collection: str
    index: str
    query: Mapping[str, Any]
    sort: Sequence[tuple[str, int]] = ()
    limit: int = 20
    reads: int = 1

    def __str__(self) -> str:
        return f"{self.collection}-{self.index}-{'-'.join(self.query)}"


BY_NAME = [("nameFolded", 1), ("_id", 1)]
BY_WORDS = [("nameWords", 1), *BY_NAME]
FOLDED_RANGE = {"$gte": WORD, "$lt": f"{WORD}\uffff"}

FINDS = [
    Hot("users", "email_unique", {"emailNormalized": "person7@example.org"}),
    *(
        Hot("users", f"{owner}_tax_id_unique", {f"roleSpecificData.{owner}.taxIdIndex": (7).to_bytes(32)})
        for owner in ("gym_owner", "studio_owner")
    ),
    Hot("users", "phone", {"phoneNumber": {"$in": [f"+9053200{number:05d}" for number in (7, 8)]}}),
    Hot("users", "name", {"nameFolded": FOLDED_RANGE}, BY_NAME),
    Hot("users", "name", {"nameFolded": {"$gt": WORD}}, BY_NAME),
    Hot("users", "role_name", {"role": "coach"}, BY_NAME),
    Hot("users", "role_name", {"role": "coach", "nameFolded": FOLDED_RANGE}, BY_NAME),
    Hot("users", "coach_name", LISTED, BY_NAME),
    Hot("users", "coach_words", {**LISTED, "coachListing.words": "word 3"}, BY_NAME),
    Hot("users", "coach_specializations", {**LISTED, "coachListing.specializations": "skill 3"}, BY_NAME),
    Hot("users", "coach_facilities", {**LISTED, "coachListing.facilityIds": ONE}, BY_NAME),
    Hot("users", "coach_rating", LISTED, [("coachListing.rating", -1), ("_id", -1)]),
    Hot(
        "users",
        "coach_price",
        {**LISTED, directory.CURRENCY: "TRY", directory.PRICE: {"$gte": Decimal128("1")}},
        [(directory.PRICE, 1), ("_id", 1)],
    ),
    # The search widens in rings and reads what lies in them.
    Hot(
        "users",
        "coach_places",
        {**LISTED, "coachListing.places.point": {"$near": {"$geometry": PLACE, "$maxDistance": 9000}}},
        reads=3,
    ),
    Hot("users", "_id_", {"_id": {"$in": SOME}}),
    Hot("credentials", "_id_", {"_id": ONE}),
    Hot("registrations", "token_unique", {"tokenHash": (7).to_bytes(32, "big")}),
    Hot("registrations", "email_newest", {"emailNormalized": "person7@example.org"}, [("createdAt", -1)]),
    Hot("one_time_codes", "code_unique", {"codeHash": (7).to_bytes(32, "big")}),
    Hot("one_time_codes", "user_kind", {"userId": ONE, "kind": "password_reset"}),
    Hot("sessions", "user_newest", {"userId": ONE}, [("createdAt", -1), ("_id", -1)]),
    Hot("sessions", "revoked", {"revokedAt": AFTER}),
    Hot("devices", "user", {"userId": {"$in": SOME}}),
    Hot("devices", "fcm_token_unique", {"fcmToken": "7"}),
    Hot("consents", "grantee_user_unique", {"granteeId": ONE, "userId": {"$in": IDS}}),
    Hot("consents", "user", {"userId": ONE}),
    Hot("reviews", "author_subject_unique", {"authorId": ONE, "subjectType": "coach", "subjectId": ONE}),
    Hot("reviews", "subject_newest", {"subjectType": "coach", "subjectId": ONE}, [("createdAt", -1), ("_id", -1)]),
    Hot("reviews", "reported", {"reportedAt": {"$exists": True}}, [("reportedAt", 1), ("_id", 1)]),
    Hot("coach_hours", "opened_until", {"openedUntil": {"$lt": START + dt.timedelta(hours=20)}}),
    Hot("facilities", "owner_name", {"ownerId": ONE}, BY_NAME),
    Hot("facilities", "staff_user", {"staff.userId": ONE}),
    Hot("facilities", "staff_user", {"staff.userId": ONE}, BY_NAME),
    Hot("facilities", "name", {"nameFolded": FOLDED_RANGE}, BY_NAME),
    Hot("facilities", "name", {}, BY_NAME),
    Hot("facilities", "created", {}, [("createdAt", -1), ("_id", -1)]),
    Hot("facilities", "city_name", {"address.cityFolded": "city 3"}, BY_NAME),
    # The search widens in rings and reads what lies in them.
    Hot(
        "facilities",
        "location",
        {"address.coordinates": {"$near": {"$geometry": PLACE, "$maxDistance": 9000}}},
        reads=3,
    ),
    Hot("facilities", "source_unique", {"source": "osm", "sourceId": "7"}),
    Hot("exercises", "public_name", {"isPublic": True}, BY_NAME),
    Hot("exercises", "public_name", {"isPublic": True, "nameFolded": FOLDED_RANGE}, BY_NAME),
    Hot("exercises", "creator_name", {"createdBy": ONE}, BY_NAME),
    Hot("exercises", "area_name", {"metadata.bodyAreas": "area 1", "isPublic": True}, BY_NAME),
    Hot("exercises", "words", {"words": "word 3"}, BY_WORDS),
    # A word with several endings: a later page sorts what its words have, which the first one need not.
    Hot("exercises", "words", {"words": {"$in": ["word 3", "word 4"]}}, BY_WORDS, limit=0),
    Hot("exercises", "source_unique", {"source": "osm", "sourceId": "7"}),
    Hot("workout_templates", "public_name", {"isPublic": True, **LIVE}, BY_NAME),
    Hot("workout_templates", "creator_name", {"createdBy": ONE, **LIVE}, BY_NAME),
    Hot("workout_programs", "public_name", {"isPublic": True, **LIVE}, BY_NAME),
    Hot("workout_programs", "creator_name", {"createdBy": ONE, **LIVE}, BY_NAME),
    Hot("workout_template_versions", "template_version_unique", {"templateId": ONE, "version": 4}),
    Hot("program_enrolments", "user_newest", {"userId": ONE}, [("createdAt", -1), ("_id", -1)]),
    Hot("program_enrolments", "live_unique", {"userId": ONE, "programId": ONE, "status": "active"}),
    Hot("workout_logs", "user_newest", {"userId": ONE}, [("startTime", -1), ("_id", -1)]),
    Hot("workout_logs", "user_newest", {"userId": {"$in": SOME}, "startTime": AFTER}),
    Hot("workout_logs", "start_time", {"startTime": {"$lt": START + dt.timedelta(hours=20)}}, [("startTime", 1)]),
    Hot("workout_logs", "template_newest", {"workoutTemplateId": ONE}, [("startTime", -1)]),
    Hot("workout_logs", "source_unique", {"userId": ONE, "source": "osm", "sourceId": "3"}),
    Hot("measurements", "user_newest", {"userId": ONE}, [("date", -1), ("_id", -1)]),
    Hot("measurements", "user_newest", {"userId": {"$in": SOME}, "date": AFTER}),
    Hot("body_goals", "user_metric_unique", {"userId": {"$in": SOME}}, [("userId", 1), ("metric", 1)]),
    Hot("nutrition_plans", "creator_newest", {"createdBy": ONE}, [("updatedAt", -1), ("_id", -1)]),
    Hot("nutrition_plans", "user_newest", {"forUserId": ONE}, [("updatedAt", -1), ("_id", -1)]),
    Hot("foods", "verified_name", {"isVerified": True}, BY_NAME),
    Hot("foods", "category_name", {"category": "kind 3"}, BY_NAME),
    Hot("foods", "creator_name", {"createdBy": ONE}, BY_NAME),
    Hot("foods", "words", {"words": "word 3"}, BY_WORDS),
    Hot("foods", "submitted", {"verification": "submitted"}, [("updatedAt", 1), ("_id", 1)]),
    Hot("food_diary", "user_day", {"userId": {"$in": SOME}, "day": {"$gte": DAY}}),
    Hot("foods", "source_unique", {"source": "osm", "sourceId": "7"}),
    Hot("memberships", "facility_name", {"facilityId": ONE}, [("name", 1), ("_id", 1)]),
    Hot("memberships", "facility_name", {"facilityId": {"$in": SOME}}, [("name", 1), ("_id", 1)], limit=0),
    Hot("member_subscriptions", "subscription_unique", {"subscriptionId": "00000000-0000-0000-0000-000000000007"}),
    Hot(
        "member_subscriptions",
        "live_unique",
        {"userId": IDS[7], "facilityId": IDS[7], "membershipId": IDS[7], "status": "active"},
    ),
    Hot(
        "member_subscriptions",
        "facility_status_end",
        {"facilityId": ONE, "status": "active", "endDate": {"$gt": DAY}},
        [("endDate", 1), ("_id", 1)],
    ),
    Hot("member_subscriptions", "user_newest", {"userId": ONE}, [("startDate", -1), ("_id", -1)]),
    Hot(
        "member_subscriptions",
        "status_changed",
        {"status": {"$in": ["suspended", "expired"]}, "updatedAt": AFTER},
        [("updatedAt", -1)],
    ),
    Hot("member_subscriptions", "facility_newest", {"facilityId": ONE}, [("startDate", -1), ("_id", -1)]),
    Hot("visits", "member_newest", {"facilityId": ONE, "userId": ONE, "at": AFTER}, [("at", -1)]),
    Hot("visits", "user_newest", {"userId": ONE}, [("at", -1), ("_id", -1)]),
    Hot("visits", "facility_newest", {"facilityId": ONE, "at": AFTER}, [("at", -1), ("_id", -1)]),
    Hot("classes", "facility_name", {"facilityId": ONE}, [("name", 1), ("_id", 1)]),
    Hot("classes", "facility_start", {"facilityId": ONE}, [("schedule.startTime", 1), ("_id", 1)]),
    Hot("classes", "instructor", {"instructor.userId": ONE}),
    Hot("classes", "dates_due", {"datesDueAt": {"$lte": START + dt.timedelta(hours=20)}}),
    Hot("class_occurrences", "start", {"startsAt": AFTER}, [("startsAt", 1), ("_id", 1)]),
    Hot(
        "class_occurrences",
        "facility_start",
        {"facilityId": {"$in": SOME}, "startsAt": AFTER},
        [("startsAt", 1), ("_id", 1)],
        limit=0,
    ),
    Hot("class_occurrences", "instructor", {"instructor.userId": ONE}),
    Hot("class_occurrences", "instructor", {"instructor.userId": ONE, "startsAt": AFTER}),
    Hot("class_occurrences", "class_original_unique", {"classId": ONE, "originalStart": START + dt.timedelta(hours=3)}),
    Hot("class_occurrences", "class_start", {"classId": ONE, "startsAt": AFTER}, [("startsAt", 1), ("_id", 1)]),
    Hot("class_occurrences", "facility_start", {"facilityId": ONE, "startsAt": AFTER}, [("startsAt", 1), ("_id", 1)]),
    Hot("calendar_feeds", "token_unique", {"tokenHash": (7).to_bytes(32, "big")}),
    Hot("calendar_feeds", "calendar_unique", {"userId": ONE, "kind": "member", "facilityId": ONE}),
    Hot("class_bookings", "live_unique", {"occurrenceId": ONE, "userId": ONE, "status": "booked"}),
    Hot(
        "class_bookings",
        "occurrence_status",
        {"occurrenceId": ONE, "status": "waitlisted"},
        [("waitlistPosition", 1), ("_id", 1)],
    ),
    Hot("class_bookings", "user_newest", {"userId": ONE}, [("date", -1), ("_id", -1)]),
    Hot("class_bookings", "user_newest", {"userId": ONE, "date": AFTER}),
    Hot("class_bookings", "facility_date", {"facilityId": ONE, "date": AFTER}),
    Hot(
        "class_bookings",
        "unmarked",
        {"status": {"$in": ["booked", "waitlisted"]}, "date": {"$gte": START, "$lt": START + dt.timedelta(hours=50)}},
        [("date", 1)],
    ),
    Hot("coach_clients", "coach_status", {"coachId": ONE, "relationship.status": "active"}, [("_id", 1)]),
    Hot("coach_clients", "client_status", {"clientId": ONE, "relationship.status": "active"}, [("_id", 1)]),
    Hot("coach_clients", "live_unique", {"coachId": ONE, "clientId": ONE, "relationship.status": "active"}),
    Hot("pt_sessions", "coach_start", {"coachId": ONE, "startTime": AFTER}, [("startTime", 1), ("_id", 1)]),
    Hot("pt_sessions", "client_start", {"clientId": ONE, "startTime": AFTER}, [("startTime", 1), ("_id", 1)]),
    Hot("decisions", "age", {"at": {"$lt": START + dt.timedelta(hours=10)}}),
    Hot("store_marker", "_id_", {"_id": "7"}),
    Hot("outbox", "order", {}, [("position", 1)]),
    Hot("audit_entries", "order", {}, [("position", 1)]),
    Hot("vocabulary", "grams", {"kind": "exercises", "owner": {"$in": [ONE]}, "grams": {"$in": ["a word"]}}),
]

TEXTS = [Hot(collection, "words", {"$text": {"$search": "ilker"}}) for collection in ("facilities",)]


BY_AGGREGATION = {("member_subscriptions", "membership_status")}


def test_every_index_has_a_query_here() -> None:
    written = {
        (file.collection, index.name)
        for file in read_folder(default_folder())
        for index in file.indexes
        if "expireAfterSeconds" not in index.options
    }
    assert written == {(hot.collection, hot.index) for hot in [*FINDS, *TEXTS] if hot.index != "_id_"} | BY_AGGREGATION


def numbered(collection: str, number: int) -> dict[str, Any]:
    """The sample with what the queries above look for spread over the collection."""
    made = sample(MODELS[collection])
    group = IDS[number % GROUPS]
    moment = START + dt.timedelta(hours=number)
    spread: dict[str, Any] = {
        "email": f"person{number}@example.org",
        "emailNormalized": f"person{number}@example.org",
        "nameFolded": fold(NAMES[number % 5]) + f" {number}",
        "role": ["coach" if number % 10 == 1 else "client"],
        "isPublic": number % 10 == 1,
        "tokenHash": number.to_bytes(32, "big"),
        "codeHash": number.to_bytes(32, "big"),
        "fcmToken": str(number),
        "sourceId": str(number),
        "source": "osm",
        "subscriptionId": f"00000000-0000-0000-0000-{number:012d}",
        "subjectType": "coach" if number % 2 else "facility",
        "startTime": moment,
        "endTime": moment + dt.timedelta(hours=1),
        "startsAt": moment,
        "endsAt": moment + dt.timedelta(hours=1),
        "originalStart": moment,
        "at": moment,
        "createdAt": moment,
        "updatedAt": moment,
        "date": moment,
        "revokedAt": moment,
        "datesDueAt": moment,
        "startDate": DAY + dt.timedelta(days=number),
        "endDate": DAY + dt.timedelta(days=number + 30),
        "waitlistPosition": number + 1,
    }
    made |= {name: value for name, value in spread.items() if name in made}
    made |= {name: group for name, value in made.items() if isinstance(value, ObjectId)}
    if "status" in made:
        made["status"] = {
            "member_subscriptions": "active" if number % 3 else "expired",
            "class_bookings": ("booked", "waitlisted", "cancelled", "attended", "cancelled")[number % 5],
        }.get(collection, made["status"])
    # A pair of groups and people must not repeat there.
    once = collection in {"consents", "coach_clients", "calendar_feeds"}
    for name in ("userId", "clientId"):
        if name in made:
            made[name] = IDS[number // 3 if once else number % 200]
    for name in ("membershipId", "subjectId"):
        if name in made:
            made[name] = IDS[number // 3]
    if "occurrenceId" in made:
        made["occurrenceId"] = IDS[number // 30]
    match collection:
        case "users":
            made["phoneNumber"] = f"+9053200{number:05d}"
            for owner in ("gym_owner", "studio_owner"):
                made["roleSpecificData"][owner]["taxIdIndex"] = number.to_bytes(32)
            if number % 3 == 0:
                made["coachListing"] |= {
                    "words": [f"word {number % GROUPS}"],
                    "specializations": [f"skill {number % GROUPS}"],
                    "facilityIds": [group],
                    "places": [{"point": {"type": "Point", "coordinates": [29 + number / 100, 41.0]}}],
                    "rating": number % 50 / 10,
                }
                made["roleSpecificData"]["coach"] |= {"currency": "TRY", "hourlyRate": Decimal128(str(number))}
            else:
                del made["coachListing"]
        case "coach_hours":
            made["openedUntil"] = moment
        case "body_goals":
            made["userId"] = IDS[number]
        case "workout_templates" | "workout_programs":
            del made["archivedAt"]
        case "workout_template_versions":
            made["version"] = number + 1
        case "program_enrolments":
            made["programId"] = IDS[number] if number != 3 else ONE
        case "food_diary":
            made["day"] = DAY + dt.timedelta(days=number)
        case "foods":
            made |= {"category": f"kind {number % GROUPS}", "words": [f"word {number % GROUPS}"]}
            made["verification"] = "submitted" if number % 7 == 0 else "draft"
        case "exercises":
            made["metadata"]["bodyAreas"] = [f"area {number % GROUPS}"]
            made["words"] = [f"word {number % GROUPS}"]
        case "facilities":
            made["address"]["cityFolded"] = f"city {number % GROUPS}"
            made["address"]["coordinates"]["coordinates"] = [29 + number / 100, 41.0]
            made["staff"][0]["userId"] = group
        case "classes":
            made["schedule"] |= {"startTime": moment, "endTime": moment + dt.timedelta(hours=1)}
            made["instructor"]["userId"] = group
        case "class_occurrences":
            made["instructor"]["userId"] = group
        case "outbox":
            made["position"] = Timestamp(number + 1, 1)
        case "visits":
            made["source"] = "front_desk"
        case "coach_clients":
            made["relationship"]["status"] = "active" if number % 3 == 0 else "ended"
    made["_id"] = str(number) if isinstance(made["_id"], str) else IDS[number]
    # What must be found together is found together once.
    if number == 3:
        made |= {name: ONE for name in ("userId", "clientId", "subjectId", "occurrenceId") if name in made}
    if number == 3 and collection == "class_bookings":
        made["status"] = "booked"
    if number == 7 and collection == "member_subscriptions":
        made |= {"userId": IDS[7], "facilityId": IDS[7], "membershipId": IDS[7], "status": "active"}
    return made


@pytest.fixture(scope="module")
async def filled(database: Database) -> Database:
    for collection in MODELS:
        await database[collection].insert_many([numbered(collection, number) for number in range(DOCUMENTS)])
    return database


def stages(plan: Any) -> Iterator[dict[str, Any]]:
    """Every stage of a winning plan, whichever engine ran it; rejected plans are left out."""
    if isinstance(plan, Mapping):
        if "stage" in plan or "indexesUsed" in plan:
            yield dict(plan)
        for key, inner in plan.items():
            if key not in {"rejectedPlans", "slotBasedPlan", "serverParameters", "executionStats", "allPlansExecution"}:
                yield from stages(inner)
    elif isinstance(plan, list):
        for inner in plan:
            yield from stages(inner)


async def explain(database: Database, command: Mapping[str, Any]) -> dict[str, Any]:
    return await database.command({"explain": command, "verbosity": "executionStats"})


@pytest.mark.parametrize("hot", [*FINDS, *TEXTS], ids=str)
async def test_find_uses_its_index(filled: Database, hot: Hot) -> None:
    command: dict[str, Any] = {"find": hot.collection, "filter": hot.query, "limit": hot.limit}
    if hot.sort:
        command["sort"] = dict(hot.sort)
    told = await explain(filled, command)
    used = list(stages(told["queryPlanner"]["winningPlan"]))
    kinds = {stage["stage"] for stage in used}
    assert not kinds & {"COLLSCAN", "SORT"}, kinds
    named = {stage["indexName"] for stage in used if "indexName" in stage} | ({"_id_"} if "IDHACK" in kinds else set())
    assert named == {hot.index}
    ran = told["executionStats"]
    assert ran["nReturned"] > 0, "a query that finds nothing proves nothing"
    assert ran["totalDocsExamined"] <= ran["nReturned"] * hot.reads


def keyset(sort: Sequence[tuple[str, int]], values: Sequence[Any]) -> dict[str, Any]:
    """What lies behind a place in the order, as the pages ask for it."""
    branches = []
    for depth, (column, direction) in enumerate(sort):
        equal = {name: values[index] for index, (name, _) in enumerate(sort[:depth])}
        branches.append({**equal, column: {"$gt" if direction > 0 else "$lt": values[depth]}})
    return {"$or": branches}


PAGED = [hot for hot in FINDS if hot.limit and hot.sort and hot.sort[-1][0] == "_id"]


@pytest.mark.parametrize("hot", PAGED, ids=str)
async def test_the_next_page_uses_the_same_index(filled: Database, hot: Hot) -> None:
    cursor = filled[hot.collection].find(hot.query, sort=list(hot.sort))
    rows = await cursor.to_list()
    place = rows[len(rows) // 2 - 1] if len(rows) > 1 else rows[0]

    def value(path: str) -> Any:
        found: Any = place
        for part in path.split("."):
            found = found[part]
        return found

    values = [value(column) for column, _ in hot.sort]
    query = {"$and": [dict(hot.query), keyset(hot.sort, values)]}
    told = await explain(filled, {"find": hot.collection, "filter": query, "sort": dict(hot.sort), "limit": 2})
    used = list(stages(told["queryPlanner"]["winningPlan"]))
    kinds = {stage["stage"] for stage in used}
    assert not kinds & {"COLLSCAN", "SORT"}, kinds
    # Within ties of the first column the planner may prefer an index on the others: what it reads is what counts.
    assert hot.index in {stage["indexName"] for stage in used if "indexName" in stage}
    assert told["executionStats"]["nReturned"] == min(2, len(rows) - rows.index(place) - 1)
    assert told["executionStats"]["totalDocsExamined"] <= 4


async def test_facilities_of_owner_or_staff_merge_two_indexes(filled: Database) -> None:
    told = await explain(
        filled,
        {
            "find": "facilities",
            "filter": {"$or": [{"ownerId": ONE}, {"staff.userId": ONE}]},
            "sort": dict(BY_NAME),
            "limit": 20,
        },
    )
    used = list(stages(told["queryPlanner"]["winningPlan"]))
    assert not {stage["stage"] for stage in used} & {"COLLSCAN", "SORT"}
    assert {stage["indexName"] for stage in used if "indexName" in stage} == {"owner_name", "staff_user"}


async def test_a_later_page_of_sessions_given_or_taken_merges_two_indexes_from_its_place_on(filled: Database) -> None:
    order = [("startTime", -1), ("_id", -1)]
    mine = {"$or": [{"coachId": ONE}, {"clientId": ONE}]}
    rows = await filled.pt_sessions.find(mine, sort=order).to_list()
    place = rows[len(rows) // 2]
    bound = {**mine, "startTime": {"$lte": place["startTime"]}}
    query = {"$and": [bound, keyset(order, [place["startTime"], place["_id"]])]}
    told = await explain(filled, {"find": "pt_sessions", "filter": query, "sort": dict(order), "limit": 2})
    used = list(stages(told["queryPlanner"]["winningPlan"]))
    assert not {stage["stage"] for stage in used} & {"COLLSCAN", "SORT"}
    assert {stage["indexName"] for stage in used if "indexName" in stage} == {"coach_start", "client_start"}
    assert (told["executionStats"]["nReturned"], told["executionStats"]["totalDocsExamined"] <= 4) == (2, True)


async def aggregate_stages(database: Database, collection: str, pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
    told = await explain(database, {"aggregate": collection, "pipeline": pipeline, "cursor": {}})
    used = list(stages(told))
    assert not {stage.get("stage") for stage in used} & {"COLLSCAN", "SORT"}
    return used


async def test_last_visit_of_every_member_of_a_page(filled: Database) -> None:
    pipeline: list[dict[str, Any]] = [
        {"$match": {"facilityId": ONE, "userId": {"$in": IDS}}},
        {"$sort": {"facilityId": 1, "userId": 1, "at": -1}},
        {"$group": {"_id": "$userId", "last": {"$first": "$at"}}},
    ]
    used = await aggregate_stages(filled, "visits", pipeline)
    assert {stage["indexName"] for stage in used if "indexName" in stage} == {"member_newest"}
    assert "DISTINCT_SCAN" in {stage.get("stage") for stage in used}, "one key per member, however many visits"


async def test_active_subscribers_of_every_plan(filled: Database) -> None:
    pipeline: list[dict[str, Any]] = [
        {"$match": {"membershipId": {"$in": SOME}, "status": "active"}},
        {"$group": {"_id": "$membershipId", "active": {"$sum": 1}}},
    ]
    used = await aggregate_stages(filled, "member_subscriptions", pipeline)
    assert {stage["indexName"] for stage in used if "indexName" in stage} == {"membership_status"}
    assert "FETCH" not in {stage.get("stage") for stage in used}, "counting reads the index alone"


@pytest.mark.parametrize(
    ("collection", "parent", "filter", "sort", "index"),
    [
        ("classes", "facilityId", {"isActive": True}, {"name": 1, "_id": 1}, "facility_name"),
        ("classes", "facilityId", {}, {"schedule.startTime": 1, "_id": 1}, "facility_start"),
        ("class_occurrences", "classId", {"startsAt": AFTER}, {"startsAt": 1, "_id": 1}, "class_start"),
        ("memberships", "facilityId", {}, {"name": 1, "_id": 1}, "facility_name"),
        ("member_subscriptions", "facilityId", {}, {"startDate": -1, "_id": -1}, "facility_newest"),
        ("member_subscriptions", "userId", {}, {"startDate": -1, "_id": -1}, "user_newest"),
    ],
)
async def test_first_children_of_many_parents_seek_once_per_parent(
    filled: Database, collection: str, parent: str, filter: dict[str, Any], sort: dict[str, int], index: str
) -> None:
    limit = 3
    lookup = {
        "from": collection,
        "localField": "_id",
        "foreignField": parent,
        "pipeline": [*([{"$match": filter}] if filter else []), {"$sort": sort}, {"$limit": limit}],
        "as": "rows",
    }
    told = await explain(
        filled,
        {
            "aggregate": 1,
            "pipeline": [{"$documents": [{"_id": one} for one in SOME]}, {"$lookup": lookup}],
            "cursor": {},
        },
    )
    ran = next(stage for stage in stages(told) if "indexesUsed" in stage)
    assert list(ran["indexesUsed"]) == [index]
    assert ran["collectionScans"] == 0
    assert ran["totalDocsExamined"] == limit * len(SOME)

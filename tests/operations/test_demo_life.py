"""The demo's people, classes, visits and training: every rule of the gym is kept, every reference exists."""

from collections import Counter, defaultdict
from datetime import timedelta
from itertools import combinations, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import bson
import pytest
from argon2 import PasswordHasher
from beanie import init_beanie
from beanie.odm.utils.dump import get_dict
from bson import ObjectId
from bson.codec_options import CodecOptions

from nexfit.domains.classes.documents import FitnessClass
from nexfit.domains.facilities.hours import is_open
from nexfit.operations import mongo_schema
from nexfit.operations.demo import demo_logins
from nexfit.operations.mongo_schema import ALL_DOCUMENTS
from nexfit.operations.mongo_validators import collection_name
from nexfit.stores.connections import Stores
from nexfit.stores.documents import StoredDocument

from .conftest import TODAY

Documents = dict[str, list[dict[str, Any]]]

ZONE = ZoneInfo("Europe/Istanbul")
SEATED = ("booked", "attended", "no_show")
USES_QUOTA = (*SEATED, "late_cancelled")

REFERENCES = (
    *(("facilities", "ownerId", "users"), ("facilities", "staff.userId", "users"), ("credentials", "_id", "users")),
    *(("memberships", "facilityId", "facilities"), ("member_subscriptions", "userId", "users")),
    *(("member_subscriptions", "facilityId", "facilities"), ("member_subscriptions", "membershipId", "memberships")),
    *(("visits", "facilityId", "facilities"), ("visits", "userId", "users"), ("classes", "facilityId", "facilities")),
    *(("classes", "instructor.userId", "users"), ("class_occurrences", "classId", "classes")),
    *(("class_occurrences", "facilityId", "facilities"), ("class_occurrences", "instructor.userId", "users")),
    *(("class_bookings", "classId", "classes"), ("class_bookings", "occurrenceId", "class_occurrences")),
    *(("class_bookings", "facilityId", "facilities"), ("class_bookings", "userId", "users")),
    *(("coach_clients", "coachId", "users"), ("coach_clients", "clientId", "users")),
    *(("consents", "userId", "users"), ("consents", "granteeId", "users"), ("reviews", "authorId", "users")),
    *(("pt_sessions", "coachId", "users"), ("pt_sessions", "clientId", "users")),
    *(("pt_sessions", "facilityId", "facilities"), ("pt_sessions", "workout.templateId", "workout_templates")),
    *(("pt_sessions", "cancelledBy", "users"), ("exercises", "alternateExercises", "exercises")),
    *(("workout_templates", "createdBy", "users"), ("workout_templates", "exercises.exerciseId", "exercises")),
    *(("workout_programs", "createdBy", "users"), ("nutrition_plans", "createdBy", "users")),
    *(("workout_programs", "schedule.workoutTemplateId", "workout_templates"), ("measurements", "userId", "users")),
    *(("nutrition_plans", "forUserId", "users"), ("nutrition_plans", "meals.foods.foodId", "foods")),
    *(("workout_logs", "userId", "users"), ("workout_logs", "workoutTemplateId", "workout_templates")),
    *(
        ("workout_logs", "exercises.exerciseId", "exercises"),
        ("users", "roleSpecificData.client.assignedCoachId", "users"),
    ),
    ("users", "roleSpecificData.gym_member.homeFacilityId", "facilities"),
    ("users", "roleSpecificData.studio_client.homeFacilityId", "facilities"),
)

POSTGRES_REFERENCES = (
    *(("finance.subscriptions", "user_id", "users"), ("finance.subscriptions", "plan_id", "memberships")),
    *(("finance.facility_accounts", "facility_id", "facilities"), ("finance.transactions", "user_id", "users")),
    *(("finance.invoices", "user_id", "users"), ("finance.refunds", "requested_by", "users")),
    *(("finance.audit_logs", "user_id", "users"), ("finance.package_credit_ledger", "package_id", "coach_clients")),
    *(
        ("finance.package_credit_ledger", "session_id", "pt_sessions"),
        ("platform.member_facts", "plan_id", "memberships"),
    ),
)


@pytest.fixture(scope="module")
async def documents(seeded: Stores) -> Documents:
    """Everything the demo put into MongoDB."""
    names = await seeded.mongo.database.list_collection_names()
    return {name: await seeded.mongo.database[name].find().to_list() for name in names}


def _values(value: Any, path: str) -> list[Any]:
    name, _, rest = path.partition(".")
    if isinstance(value, list):
        return [found for item in value for found in _values(item, path)]
    if name not in value:
        return []
    inner = value[name]
    if rest:
        return _values(inner, rest)
    return inner if isinstance(inner, list) else [inner]


@pytest.mark.parametrize(("collection", "path", "target"), REFERENCES)
def test_every_reference_exists(documents: Documents, collection: str, path: str, target: str) -> None:
    existing = {document["_id"] for document in documents[target]}
    used = [value for document in documents[collection] for value in _values(document, path)]
    assert used
    assert set(used) <= existing


@pytest.mark.parametrize(("table", "column", "target"), POSTGRES_REFERENCES)
async def test_every_reference_out_of_postgres_exists(
    seeded: Stores, documents: Documents, table: str, column: str, target: str
) -> None:
    existing = {str(document["_id"]) for document in documents[target]}
    rows = await seeded.postgres.fetch(f"SELECT DISTINCT {column} AS id FROM {table} WHERE {column} IS NOT NULL")
    assert rows
    assert {row["id"] for row in rows} <= existing


def test_it_is_the_size_it_says(documents: Documents) -> None:
    members = [user for user in documents["users"] if {"gym_member", "studio_client"} & {*user["role"]}]
    assert len(members) == 300
    assert (len(documents["exercises"]), len(documents["foods"])) == (60, 80)
    assert Counter(facility["type"] for facility in documents["facilities"]) == {"gym": 4, "studio": 1}
    assert {facility["address"]["city"] for facility in documents["facilities"]} == {"İstanbul", "Ankara", "İzmir"}
    assert len({facility["ownerId"] for facility in documents["facilities"]}) == 2
    assert any(
        hours["closeTime"] < hours["openTime"]
        for facility in documents["facilities"]
        for hours in facility["operatingHours"]
        if not hours["isClosed"]
    ), "some doors close after midnight"
    letters = set("".join(user["firstName"] + user["lastName"] for user in members))
    assert set("çğıöşüÇİÖŞÜ") <= letters


async def test_validators_refuse_nothing_of_it(seeded: Stores) -> None:
    refused = await mongo_schema.refused_documents(seeded.mongo.database)
    assert refused == {}


async def test_documents_are_what_the_models_would_have_written(seeded: Stores, documents: Documents) -> None:
    await init_beanie(seeded.mongo.database, document_models=ALL_DOCUMENTS, skip_indexes=True)
    checked = 0
    for model in ALL_DOCUMENTS:
        for document in documents.get(collection_name(model), [])[::37]:
            again = _stored_by(model, document)
            assert again == document | {key: again[key] for key in again.keys() - document.keys()}
            extra = [again[key] for key in again.keys() - document.keys()]
            assert all(value in ([], {}, 0, False) or isinstance(value, dict) for value in extra), document
            checked += 1
    assert checked > 400


def _stored_by(model: type[StoredDocument], document: dict[str, Any]) -> dict[str, Any]:
    """The document as its model would write it, and the driver read it back."""
    written = get_dict(model.model_validate(document), to_db=True, keep_nulls=False)
    return bson.decode(bson.encode(written), CodecOptions(tz_aware=True))


async def test_everybody_named_can_sign_in(documents: Documents) -> None:
    by_email = {user["emailNormalized"]: user for user in documents["users"]}
    hashes = {credential["_id"]: credential["passwordHash"] for credential in documents["credentials"]}
    logins = demo_logins()
    assert len({login.email for login in logins}) == 5
    for login in logins:
        assert PasswordHasher().verify(hashes[by_email[login.email]["_id"]], login.password)
    owner = by_email["owner@demo.nexfit.app"]["_id"]
    assert sum(facility["ownerId"] == owner for facility in documents["facilities"]) == 4
    desk = by_email["desk@demo.nexfit.app"]["_id"]
    posts = [entry for facility in documents["facilities"] for entry in facility["staff"] if entry["userId"] == desk]
    assert {"members_read", "finance_read", "classes_write"} <= {*posts[0]["permissions"]}


async def test_the_client_login_has_an_overdue_invoice(seeded: Stores, documents: Documents) -> None:
    client = next(user for user in documents["users"] if user["email"] == "client@demo.nexfit.app")
    facts = await seeded.postgres.fetch("SELECT * FROM platform.member_facts WHERE user_id = $1", str(client["_id"]))
    assert [(row["status"], row["open_invoices"]) for row in facts] == [("past_due", 1)]
    assert facts[0]["oldest_open_due"] < TODAY
    assert any(booking["userId"] == client["_id"] for booking in documents["class_bookings"])
    assert any(log["userId"] == client["_id"] for log in documents["workout_logs"])


def test_seat_counters_are_the_bookings(documents: Documents) -> None:
    counted: defaultdict[ObjectId, Counter[str]] = defaultdict(Counter)
    for booking in documents["class_bookings"]:
        counted[booking["occurrenceId"]]["taken"] += booking["status"] in SEATED
        counted[booking["occurrenceId"]]["waiting"] += booking["status"] == "waitlisted"
    for occurrence in documents["class_occurrences"]:
        found = counted[occurrence["_id"]]
        assert (occurrence["seatsTaken"], occurrence["waitlisted"]) == (found["taken"], found["waiting"])
        assert occurrence["waitlisted"] == 0 or occurrence["seatsTaken"] == occurrence["capacity"]
        if occurrence["status"] == "cancelled":
            assert occurrence["seatsTaken"] == 0
    assert any(occurrence["waitlisted"] for occurrence in documents["class_occurrences"])
    assert any(occurrence["status"] == "cancelled" for occurrence in documents["class_occurrences"])


def test_dates_follow_the_recurrence_on_the_wall_clock(documents: Documents) -> None:
    classes = {one["_id"]: FitnessClass.model_validate(one) for one in documents["classes"]}
    days = defaultdict(list)
    for occurrence in documents["class_occurrences"]:
        plan = classes[occurrence["classId"]]
        local, first = occurrence["startsAt"].astimezone(ZONE), plan.schedule.start_time.astimezone(ZONE)
        assert (local.hour, local.minute) == (first.hour, first.minute)
        assert occurrence["endsAt"] - occurrence["startsAt"] == timedelta(minutes=plan.duration)
        assert occurrence["capacity"] == plan.location.capacity
        days[occurrence["classId"]].append(local.date())
    for class_id, plan in classes.items():
        rule = plan.schedule.recurrence
        first = plan.schedule.start_time.astimezone(ZONE).date()
        window = [TODAY + timedelta(days=offset) for offset in range(-56, 29)]
        if rule.frequency == "monthly":
            expected = [day for day in window if day.day == first.day]
        else:
            expected = [
                day
                for day in window
                if day.isoweekday() % 7 in rule.weekdays
                and ((day - first).days + first.weekday()) // 7 % rule.interval == 0
            ]
        assert sorted(days[class_id]) == [day for day in expected if day not in rule.exceptions], plan.name
    assert {plan.schedule.recurrence.frequency.value for plan in classes.values()} == {"weekly", "monthly"}
    assert min(min(found) for found in days.values()) == TODAY - timedelta(days=56)
    assert max(max(found) for found in days.values()) >= TODAY + timedelta(days=26)


def test_bookings_keep_the_rules(documents: Documents) -> None:
    occurrences = {one["_id"]: one for one in documents["class_occurrences"]}
    plans = {one["_id"]: one for one in documents["memberships"]}
    contracts = defaultdict(list)
    for contract in documents["member_subscriptions"]:
        contracts[contract["userId"], contract["facilityId"]].append(contract)
    weekly: Counter[tuple[Any, ...]] = Counter()
    limits: dict[tuple[Any, ...], int] = {}
    live = defaultdict(list)
    once = set()
    for booking in documents["class_bookings"]:
        occurrence = occurrences[booking["occurrenceId"]]
        assert booking["date"] == occurrence["startsAt"]
        assert (booking["classId"], booking["facilityId"]) == (occurrence["classId"], occurrence["facilityId"])
        day = booking["date"].astimezone(ZONE).date()
        valid = [
            contract
            for contract in contracts[booking["userId"], booking["facilityId"]]
            if contract["startDate"].date() <= day <= contract["endDate"].date()
            and not contract["status"].startswith("incomplete")
        ]
        assert len(valid) == 1
        limitations = plans[valid[0]["membershipId"]]["limitations"]
        assert limitations["classesIncluded"]
        assert booking["bookedAt"] <= booking.get("cancelledAt", booking["date"]) <= booking["date"]
        assert valid[0]["createdAt"] <= booking["bookedAt"]
        week = (booking["userId"], booking["facilityId"], day.isocalendar()[:2])
        if booking["status"] in USES_QUOTA:
            weekly[week] += 1
            limits[week] = max(limits.get(week, 0), limitations.get("maxClassBookingsPerWeek", 99))
        if booking["status"] in (*SEATED, "waitlisted"):
            assert (booking["userId"], booking["occurrenceId"]) not in once
            once.add((booking["userId"], booking["occurrenceId"]))
            live[booking["userId"], day, booking["facilityId"]].append((occurrence["startsAt"], occurrence["endsAt"]))
        past = occurrence["endsAt"].astimezone(ZONE).date() < TODAY
        assert (booking["status"] in ("attended", "no_show", "late_cancelled", "expired")) <= past
        assert (booking["status"] in ("booked", "waitlisted")) <= (not past)
        assert ("checkedInAt" in booking) == (booking["status"] == "attended")
        assert ("waitlistPosition" in booking) == (booking["status"] in ("waitlisted", "expired"))
    assert all(count <= limits[week] for week, count in weekly.items())
    for held in live.values():
        assert all(a[1] <= b[0] or b[1] <= a[0] for a, b in combinations(held, 2))
    assert {"booked", "waitlisted", "attended", "no_show", "cancelled", "late_cancelled", "expired"} <= {
        booking["status"] for booking in documents["class_bookings"]
    }


def test_waitlists_count_from_one(documents: Documents) -> None:
    positions = defaultdict(list)
    for booking in documents["class_bookings"]:
        if "waitlistPosition" in booking:
            positions[booking["occurrenceId"]].append(booking["waitlistPosition"])
    assert positions
    assert all(sorted(found) == list(range(1, len(found) + 1)) for found in positions.values())


def test_visits_happen_while_the_doors_are_open_and_within_the_plan(documents: Documents) -> None:
    facilities = {one["_id"]: one for one in documents["facilities"]}
    plans = {one["_id"]: one for one in documents["memberships"]}
    contracts = defaultdict(list)
    for contract in documents["member_subscriptions"]:
        contracts[contract["userId"], contract["facilityId"]].append(contract)
    weekly: Counter[tuple[Any, ...]] = Counter()
    for visit in documents["visits"]:
        facility = facilities[visit["facilityId"]]
        if visit["source"] != "class_check_in":
            assert is_open(facility, visit["at"]), visit
        weekly[visit["userId"], visit["facilityId"], visit["at"].astimezone(ZONE).date().isocalendar()[:2]] += 1
    limited = 0
    for (user, facility, _), count in weekly.items():
        limits = [
            plans[contract["membershipId"]]["limitations"].get("maxVisitsPerWeek")
            for contract in contracts[user, facility]
            if not contract["status"].startswith("incomplete")
        ]
        if len(limits) == 1 and limits[0] is not None:
            limited += 1
            assert count <= limits[0]
    assert limited > 100


def test_nobody_is_in_two_sessions_at_once(documents: Documents) -> None:
    for side in ("coachId", "clientId"):
        held = defaultdict(list)
        for session in documents["pt_sessions"]:
            if session["status"] != "cancelled":
                held[session[side]].append((session["startTime"], session["endTime"]))
        for sessions in held.values():
            sessions.sort()
            assert all(a[1] <= b[0] for a, b in pairwise(sessions))
    assert {"scheduled", "completed", "cancelled", "no_show"} == {one["status"] for one in documents["pt_sessions"]}


def test_nothing_settled_lies_in_the_future(documents: Documents) -> None:
    newest = max(
        [visit["at"] for visit in documents["visits"]]
        + [log["endTime"] for log in documents["workout_logs"]]
        + [measurement["date"] for measurement in documents["measurements"]]
        + [user["createdAt"] for user in documents["users"]]
    ).astimezone(ZONE)
    assert newest.date() <= TODAY
    assert newest.hour < 6 or newest.date() < TODAY


def test_ratings_are_the_means_of_the_reviews(documents: Documents) -> None:
    stars = defaultdict(list)
    for review in documents["reviews"]:
        stars[review["subjectId"]].append(review["rating"])
    rated = 0
    for user in documents["users"]:
        coach = user["roleSpecificData"].get("coach")
        if coach is not None:
            given = stars[user["_id"]]
            assert (coach["ratings"], coach["reviewCount"]) == (sum(given) / len(given), len(given))
            rated += 1
    for template in documents["workout_templates"] + documents["workout_programs"]:
        given = stars[template["_id"]]
        assert template["reviews"] == {"averageRating": round(sum(given) / len(given), 2), "count": len(given)}
    assert rated == 8


def test_exercises_and_foods_are_plausible(documents: Documents) -> None:
    for exercise in documents["exercises"]:
        [english] = exercise["translations"]
        assert len(exercise["instructions"]) == len(english["instructions"]) == 3
        assert (exercise["language"], english["language"]) == ("tr", "en")
        assert exercise["words"]
    for food in documents["foods"]:
        facts = food["nutrients"]
        assert facts["protein"] + facts["carbs"] + facts["fat"] <= 101, food["name"]
        energy = 4 * facts["protein"] + 4 * (facts["carbs"] - facts["fiber"]) + 9 * facts["fat"] + 2 * facts["fiber"]
        assert abs(energy - facts["calories"]) <= 12 + 0.15 * facts["calories"], food["name"]
        assert facts["sugar"] <= facts["carbs"] + 0.5

"""Packages and sessions through the API: a coach's day with a client, what the client sees, and bad input."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from bson import ObjectId

from nexfit.settings import Settings
from nexfit.stores.connections import Stores

from .conftest import Client, global_id
from .test_coaching import Pair, pair

__all__ = ("pair",)

PACKAGE = (
    "package { id name total used reserved remaining refunded price { amount currency } } userErrors { code path }"
)
SESSION = """session { id status startsAt endsAt duration location { type details } cancelledBy { firstName }
  feedback { coach { rating } client { rating notes } } coach { firstName } client { firstName } facility { name }
} userErrors { code path }"""
MINE = """{ viewer { ptSessions(first: 5) { totalCount nodes { id status } }
  coaches(first: 5) { nodes { packages { name total used reserved remaining } } } } }"""


async def change(who: Client, name: str, below: str, /, **given: Any) -> Any:
    """The payload of a mutation."""
    type_ = f"{name[0].upper()}{name[1:]}Input"
    text = f"mutation ($i: {type_}!) {{ {name}(input: $i) {{ {below} }} }}"
    return (await who.data(text, {"i": given}))[name]


def slot(hours: float, **more: Any) -> dict[str, Any]:
    """An hour that starts so many hours from now."""
    starts = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=hours)
    return {"startsAt": starts.isoformat(), **more}


async def coached(pair: Pair) -> str:
    """The client accepts the coach; the relation."""
    asked = await pair.change(pair.coach, "inviteClient", client=global_id("User", pair.person))
    relation: str = asked["relation"]["id"]
    await pair.change(pair.client, "acceptCoach", relation=relation)
    return relation


async def sold(pair: Pair, relation: str, /, **more: Any) -> Any:
    """The payload of a package's sale."""
    today = datetime.now(UTC).date()
    given = {
        "relation": relation,
        "name": "10 seans",
        "sessions": 10,
        "price": "1500.00",
        "currency": "TRY",
        "startsOn": str(today),
        "endsOn": str(today + timedelta(days=60)),
        "idempotencyKey": str(uuid4()),
    }
    return await change(pair.coach, "sellPackage", PACKAGE, **(given | more))


async def test_a_package_is_sold_used_and_taken_back(pair: Pair, small_stores: Stores) -> None:
    coach, client = pair.coach, pair.client
    relation = await coached(pair)
    payload = await sold(pair, relation)
    assert payload["userErrors"] == []
    package = payload["package"]
    assert (package["total"], package["remaining"], package["price"]["amount"]) == (10, 10, "1500.00")
    key = str(uuid4())
    asked = {"relation": relation, "slot": slot(48, details="Zoom"), "idempotencyKey": key}
    made = await change(coach, "schedulePtSession", SESSION, **asked)
    session = made["session"]
    assert (made["userErrors"], session["status"], session["duration"]) == ([], "SCHEDULED", 60)
    assert session["location"] == {"type": "ONLINE", "details": "Zoom"}
    assert (await change(coach, "schedulePtSession", SESSION, **asked))["session"]["id"] == session["id"]
    clash = await change(
        coach, "schedulePtSession", SESSION, relation=relation, slot=slot(48.5), idempotencyKey=str(uuid4())
    )
    assert [error["code"] for error in clash["userErrors"]] == ["BOOKING_CLASH"]
    moved = await change(
        coach, "reschedulePtSession", SESSION, session=session["id"], slot=slot(72), idempotencyKey=str(uuid4())
    )
    seen = (await client.data(MINE))["viewer"]
    assert seen["coaches"]["nodes"][0]["packages"] == [
        {"name": "10 seans", "total": 10, "used": 0, "reserved": 1, "remaining": 9}
    ]
    assert [node["status"] for node in seen["ptSessions"]["nodes"]] == ["SCHEDULED", "CANCELLED"]
    id_ = moved["session"]["id"]
    early = await change(coach, "completePtSession", SESSION, session=id_)
    assert [error["code"] for error in early["userErrors"]] == ["INVALID_TRANSITION"]
    cancelled = await change(client, "cancelPtSession", SESSION, session=id_, reason="Hasta")
    assert cancelled["session"]["status"] == "CANCELLED"
    assert cancelled["session"]["cancelledBy"] == {"firstName": "Deniz"}
    taken = await change(
        coach, "refundPackage", PACKAGE, package=package["id"], sessions=4, idempotencyKey=str(uuid4())
    )
    assert (taken["package"]["remaining"], taken["package"]["refunded"]) == (6, 4)
    refused = await change(
        coach, "refundPackage", PACKAGE, package=package["id"], sessions=7, idempotencyKey=str(uuid4())
    )
    assert [error["code"] for error in refused["userErrors"]] == ["NO_CREDITS"]


async def test_a_session_that_was_held_is_rated_by_both(pair: Pair, small_stores: Stores) -> None:
    relation = await coached(pair)
    await sold(pair, relation)
    given = {"relation": relation, "slot": slot(30), "idempotencyKey": str(uuid4())}
    session = (await change(pair.coach, "schedulePtSession", SESSION, **given))["session"]["id"]
    for who in (pair.coach, pair.client):
        early = await change(who, "ratePtSession", SESSION, session=session, rating=5)
        assert [error["code"] for error in early["userErrors"]] == ["INVALID_TRANSITION"]
    began = datetime.now(UTC) - timedelta(minutes=5)
    moved = {"$set": {"startTime": began, "endTime": began + timedelta(hours=1)}}
    query = {"clientId": pair.person}
    await small_stores.mongo.database.pt_sessions.update_one(query, moved)
    theirs = await change(pair.client, "completePtSession", SESSION, session=session)
    assert [error["code"] for error in theirs["userErrors"]] == ["NOT_FOUND"]
    for _ in range(2):
        held = await change(pair.coach, "completePtSession", SESSION, session=session)
        assert held["session"]["status"] == "COMPLETED"
    await change(pair.coach, "ratePtSession", SESSION, session=session, rating=5)
    rated = await change(pair.client, "ratePtSession", SESSION, session=session, rating=4, notes="İyi")
    assert rated["session"]["feedback"] == {"coach": {"rating": 5}, "client": {"rating": 4, "notes": "İyi"}}
    late = await change(pair.client, "cancelPtSession", SESSION, session=session)
    assert [error["code"] for error in late["userErrors"]] == ["INVALID_TRANSITION"]
    [package] = (await pair.client.data(MINE))["viewer"]["coaches"]["nodes"][0]["packages"]
    assert (package["used"], package["reserved"], package["remaining"]) == (1, 0, 9)


async def test_bad_input_has_its_place(pair: Pair, small_settings: Settings) -> None:
    relation = await coached(pair)
    today = datetime.now(UTC).date()
    for more, code, path in (
        ({"relation": "x"}, "NOT_FOUND", ["relation"]),
        ({"sessions": 0}, "BAD_USER_INPUT", ["sessions"]),
        ({"sessions": 1001}, "BAD_USER_INPUT", ["sessions"]),
        ({"name": " "}, "BAD_USER_INPUT", ["name"]),
        ({"price": "1.001"}, "BAD_USER_INPUT", ["price"]),
        ({"price": "-1"}, "BAD_USER_INPUT", ["price"]),
        ({"currency": "XYZ"}, "BAD_USER_INPUT", ["currency"]),
        ({"endsOn": str(today - timedelta(days=1))}, "BAD_USER_INPUT", ["endsOn"]),
        ({"idempotencyKey": ""}, "BAD_USER_INPUT", ["idempotencyKey"]),
    ):
        payload = await sold(pair, relation, **more)
        assert payload["package"] is None
        assert [(error["code"], error["path"]) for error in payload["userErrors"]] == [(code, path)], more
    await sold(pair, relation)
    for given, code, path in (
        (slot(48, minutes=14), "BAD_USER_INPUT", ["minutes"]),
        (slot(-1), "BAD_USER_INPUT", ["startsAt"]),
        (slot(24 * 367), "BAD_USER_INPUT", ["startsAt"]),
        (slot(48, place="FACILITY"), "BAD_USER_INPUT", ["facility"]),
        (slot(48, place="FACILITY", facility=global_id("Facility", ObjectId())), "NOT_FOUND", ["facility"]),
        (slot(48, details="a" * 301), "BAD_USER_INPUT", ["details"]),
        (slot(24 * 61 + 24), "NO_CREDITS", []),
    ):
        payload = await change(
            pair.coach, "schedulePtSession", SESSION, relation=relation, slot=given, idempotencyKey=str(uuid4())
        )
        assert [(error["code"], error["path"]) for error in payload["userErrors"]] == [(code, path)], given


async def test_a_client_sees_what_is_free_and_takes_it(pair: Pair, small_stores: Stores) -> None:
    relation = await coached(pair)
    await sold(pair, relation)
    days = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
    openings = [{"day": day, "openTime": "10:00", "closeTime": "13:00"} for day in days]
    below = "hours { timezone hours { day openTime closeTime } } userErrors { code path }"
    query = """query ($since: DateTime!, $until: DateTime!) { viewer { coaches(first: 1) { nodes {
      coachHours { timezone } freeTimes(since: $since, until: $until, minutes: 120) { startsAt endsAt } } } } }"""
    try:
        told = await change(pair.coach, "setCoachHours", below, timezone="Europe/Istanbul", hours=openings)
        assert told["userErrors"] == []
        assert [one["day"] for one in told["hours"]["hours"]] == list(days)
        day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
        within = {"since": day.isoformat(), "until": (day + timedelta(days=1)).isoformat()}
        [node] = (await pair.client.data(query, within))["viewer"]["coaches"]["nodes"]
        assert node["coachHours"] == {"timezone": "Europe/Istanbul"}
        free = [{"startsAt": f"{day:%Y-%m-%d}T07:00:00Z", "endsAt": f"{day:%Y-%m-%d}T10:00:00Z"}]
        assert node["freeTimes"] == free
        given = {"relation": relation, "idempotencyKey": str(uuid4())}
        early = await change(
            pair.client, "schedulePtSession", SESSION, **given, slot={"startsAt": f"{day:%Y-%m-%d}T06:30:00Z"}
        )
        assert [(error["code"], error["path"]) for error in early["userErrors"]] == [("BOOKING_CLOSED", ["startsAt"])]
        given["idempotencyKey"] = str(uuid4())
        made = await change(
            pair.client, "schedulePtSession", SESSION, **given, slot={"startsAt": f"{day:%Y-%m-%d}T08:30:00Z"}
        )
        assert (made["userErrors"], made["session"]["status"]) == ([], "SCHEDULED")
        [node] = (await pair.client.data(query, within))["viewer"]["coaches"]["nodes"]
        assert node["freeTimes"] == []
        for wrong in ({"until": within["since"]}, {"until": (day + timedelta(days=63)).isoformat()}):
            answer = await pair.client.run(query, {**within, **wrong})
            assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        for wrong_hours in ({"timezone": "Mars/Base"}, {"hours": [*openings, openings[0]]}):
            refused = await change(
                pair.coach, "setCoachHours", below, **{"timezone": "UTC", "hours": openings} | wrong_hours
            )
            assert refused["hours"] is None
            assert [error["code"] for error in refused["userErrors"]] == ["BAD_USER_INPUT"]
    finally:
        await small_stores.mongo.database.coach_hours.delete_many({})

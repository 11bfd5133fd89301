"""Timetables over several facilities, and calendars that programs follow by a secret address."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId
from icalendar import Calendar

from nexfit.stores.commands import command_log
from tests.api.conftest import local

from .conftest import Person, Town, asks, codes
from .test_classes import CLASS, FIRST, ONE_DATE, PLAN
from .test_editing import UPDATE, staff_of

FEED = "mutation ($i: CalendarFeedInput!) { createCalendarFeed(input: $i) { address userErrors { code path } } }"
REVOKE = "mutation ($i: CalendarFeedInput!) { revokeCalendarFeed(input: $i) { revoked userErrors { code path } } }"
CALL_OFF = "mutation ($i: CancelClassDateInput!) { cancelClassDate(input: $i) { userErrors { code } } }"
NEAR = """query ($near: NearInput, $facilities: [ID!], $instructor: ID) { schedule(first: 100
  until: "2099-01-01T00:00:00Z" filter: { near: $near, facilities: $facilities, instructor: $instructor }) {
  totalCount nodes { startsAt class { name } } } }"""


async def planned(town: Town, owner: Person, facility: str, **more: Any) -> Any:
    """A class with its dates."""
    given = {**CLASS, "recurrence": None, "facility": facility, "idempotencyKey": uuid4().hex, **more}
    payload = await asks(owner.here, PLAN, **{name: value for name, value in given.items() if value is not None})
    assert payload["userErrors"] == []
    return payload["class"]


async def address_of(person: Person, kind: str, **more: Any) -> str:
    payload = await asks(person.here, FEED, kind=kind, **more)
    assert payload["userErrors"] == []
    address: str = payload["address"]
    return address


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The events of a calendar file as another program reads it."""
    calendar = Calendar.from_ical(body)
    return [
        {
            "uid": str(event["uid"]),
            "summary": str(event["summary"]),
            "status": str(event["status"]),
            "starts": event.decoded("dtstart"),
            "ends": event.decoded("dtend"),
            "location": str(event.get("location", "")),
            "sequence": int(event["sequence"]),
        }
        for event in calendar.walk("VEVENT")
    ]


async def test_a_facilitys_calendar_follows_its_timetable(town: Town) -> None:
    owner, reader = await town.person("gym_owner"), await town.person()
    id_ = await town.facility(owner, name="Çınar; Spor, Kulübü", address={"street": "Moda Cd. 1", "city": "İstanbul"})
    made = await planned(
        town, owner, id_, name="Yoga;\\ İleri, seviye", room="Salon 1", recurrence={"frequency": "WEEKLY"}
    )
    address = await address_of(reader, "FACILITY", facility=id_)
    with command_log() as log:
        answer = await town.there.get(address)
    assert answer.status_code == 200
    assert log.count("mongo") <= 5
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert max(len(line) for line in answer.content.split(b"\r\n")) <= 75
    events = events_of(answer.content)
    dates = {one["id"]: one["startsAt"] for one in made["occurrences"]}
    assert [event["starts"].isoformat().replace("+00:00", "Z") for event in events] == list(dates.values())
    assert {event["uid"] for event in events} == {f"{local(id_)}@nexfit" for id_ in dates}
    assert {event["summary"] for event in events} == {"Yoga;\\ İleri, seviye"}
    assert {event["location"] for event in events} == {"Salon 1, Çınar; Spor, Kulübü, Moda Cd. 1, İstanbul"}
    assert all(event["starts"].tzinfo is not None for event in events)
    # Six in the evening in Istanbul, whatever the reader's zone.
    assert {event["starts"].astimezone(UTC).hour for event in events} == {15}

    tag = answer.headers["etag"]
    for given in (tag, f'"x", W/{tag}'):
        again = await town.here.get(address, headers={"if-none-match": given})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    first, second, *_ = dates
    assert codes(await asks(owner.here, CALL_OFF, occurrence=first)) == []
    assert codes(await asks(owner.here, ONE_DATE, occurrence=second, startTime="19:15")) == []
    changed = await town.here.get(address, headers={"if-none-match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
    called_off, moved, *others = events_of(changed.content)
    assert (called_off["status"], called_off["sequence"]) == ("CANCELLED", 1)
    assert (moved["status"], moved["sequence"], moved["starts"].minute) == ("CONFIRMED", 1, 15)
    assert {(one["status"], one["sequence"]) for one in others} == {("CONFIRMED", 0)}


async def test_members_and_coaches_follow_what_is_theirs(town: Town) -> None:
    owner, member = await town.person("gym_owner"), await town.person()
    id_ = await town.facility(owner)
    coach = await staff_of(town, id_)
    taught = await planned(town, owner, id_, name="Taught", instructor=coach.gid)
    other = await planned(town, owner, id_, name="Other", startTime="12:00")
    waited = await planned(town, owner, id_, name="Waited", startTime="09:00")
    left = await planned(town, owner, id_, name="Left", startTime="07:00")
    now = datetime.now(UTC)
    for class_, status in ((other, "booked"), (waited, "waitlisted"), (left, "cancelled")):
        date = await town.stored("class_occurrences", local(class_["occurrences"][0]["id"]))
        booking = {
            "classId": date["classId"], "occurrenceId": date["_id"], "facilityId": date["facilityId"],
            "userId": member.id, "date": date["startsAt"], "status": status, "bookedAt": now,
            **({"waitlistPosition": 1} if status == "waitlisted" else {}),
        }  # fmt: skip
        await town.database["class_bookings"].insert_one(booking)
        if status == "booked":  # called off once, and booked again
            again = {**booking, "_id": ObjectId(), "status": "cancelled_by_facility"}
            await town.database["class_bookings"].insert_one(again)
    coaching, training = await address_of(coach, "COACH"), await address_of(member, "MEMBER")
    assert [event["summary"] for event in events_of((await town.here.get(coaching)).content)] == ["Taught"]
    shown = {event["summary"]: event["status"] for event in events_of((await town.here.get(training)).content)}
    assert shown == {"Other": "CONFIRMED", "Waited": "TENTATIVE"}
    assert taught["occurrences"]
    with command_log() as log:
        await town.here.get(training)
    assert log.count("mongo") == 7


async def test_coach_and_client_follow_their_sessions(town: Town) -> None:
    owner, client = await town.person("gym_owner"), await town.person(first="Ece", last="Işık")
    id_ = await town.facility(owner, name="Çınar Spor", address={"street": "Moda Cd. 1", "city": "İstanbul"})
    coach = await staff_of(town, id_)
    # Six in the evening in Berlin on each day of the coming year's first half: clocks change in between.
    berlin, first = ZoneInfo("Europe/Berlin"), (datetime.now(UTC) + timedelta(days=5)).date()
    starts = [datetime.combine(first + timedelta(days=30 * n), time(18), berlin).astimezone(UTC) for n in range(6)]
    where = [{"type": "online"}, {"type": "outdoor", "details": "Moda sahili"}, {"type": "facility"}]
    sessions = [
        {
            "coachId": coach.id, "clientId": client.id, "startTime": start, "endTime": start + timedelta(hours=1),
            "duration": 60, "status": "cancelled" if n == 1 else "scheduled", "location": where[n % 3],
            "createdAt": start - timedelta(days=1), "updatedAt": start,
            **({"facilityId": ObjectId(local(id_))} if n % 3 == 2 else {}),
        }
        for n, start in enumerate(starts)
    ]  # fmt: skip
    await town.database["pt_sessions"].insert_many(sessions)
    for person, kind, other in ((coach, "COACH", "Ece Işık"), (client, "MEMBER", "")):
        address = await address_of(person, kind)
        with command_log() as log:
            answer = await town.there.get(address)
        assert log.count("mongo") <= 6
        events = events_of(answer.content)
        assert [(event["starts"], event["ends"]) for event in events] == [
            (one["startTime"].replace(microsecond=0), one["endTime"].replace(microsecond=0)) for one in sessions
        ]
        assert {event["starts"].astimezone(berlin).hour for event in events} == {18}
        assert [event["status"] for event in events] == [
            "CANCELLED" if n == 1 else "CONFIRMED" for n in range(len(starts))
        ]
        assert [event["sequence"] for event in events] == [0, 1, 0, 0, 0, 0]
        assert [event["location"] for event in events][:3] == [
            "online", "Moda sahili", "Çınar Spor, Moda Cd. 1, İstanbul",
        ]  # fmt: skip
        if other:
            assert {event["summary"] for event in events} == {other}
    # What is somebody else's is in neither of a stranger's calendars.
    stranger = await town.person("coach")
    for kind in ("COACH", "MEMBER"):
        assert events_of((await town.here.get(await address_of(stranger, kind))).content) == []


async def test_a_secret_opens_one_calendar_until_it_is_taken_back(town: Town) -> None:
    person = await town.person()
    first = await address_of(person, "MEMBER")
    assert (await town.here.get(first)).status_code == 200
    second = await address_of(person, "MEMBER")
    assert first != second
    coaching = await address_of(person, "COACH")
    assert (await town.there.get(first)).status_code == 404
    assert (await town.there.get(second)).status_code == 200
    stored = await town.database["calendar_feeds"].find({"userId": person.id}).to_list()
    assert all(second.removeprefix("/calendars/").removesuffix(".ics") not in str(one) for one in stored)
    assert (await asks(person.here, REVOKE, kind="MEMBER"))["revoked"] is True
    assert (await asks(person.here, REVOKE, kind="MEMBER"))["revoked"] is False
    answer = await town.there.get(second)
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")
    assert (await town.there.get(coaching)).status_code == 200
    await town.database["users"].update_one({"_id": person.id}, {"$set": {"isActive": False}})
    assert (await town.there.get(coaching)).status_code == 404
    for wrong in ("x", "a" * 3000, "%00", "..%2f..", "é"):
        assert (await town.here.get(f"/calendars/{wrong}.ics")).status_code == 404
    assert (await town.here.post(second)).status_code == 405


async def test_calendars_that_are_none_are_refused(town: Town) -> None:
    person = await town.person()
    before = await town.everything()
    assert codes(await asks(person.here, FEED, kind="FACILITY")) == [("BAD_USER_INPUT", ["facility"])]
    owner = await town.person("gym_owner")
    id_ = await town.facility(owner)
    for kind in ("MEMBER", "COACH"):
        assert codes(await asks(person.here, FEED, kind=kind, facility=id_)) == [("BAD_USER_INPUT", ["facility"])]
    unknown = owner.gid
    assert codes(await asks(person.here, FEED, kind="FACILITY", facility=unknown)) == [("NOT_FOUND", ["facility"])]
    assert await town.database["calendar_feeds"].count_documents({"userId": person.id}) == 0
    assert before != await town.everything()  # the facility alone


@pytest.mark.parametrize(
    ("here", "there", "kilometres", "found"),
    [
        ((40.98, 29.03), (41.04, 29.01), 10, True),
        ((40.98, 29.03), (38.45, 27.12), 10, False),
        ((-17.0, 179.95), (-17.0, -179.95), 15, True),  # across the date line
        ((-17.0, 179.95), (-17.0, -179.8), 15, False),
        ((89.95, 10.0), (89.95, -170.0), 15, True),  # across the pole
        ((90.0, 0.0), (89.95, 123.0), 10, True),
        ((-89.99, 0.0), (89.99, 0.0), 500, False),
    ],
)
async def test_a_timetable_around_a_point(
    town: Town, here: tuple[float, float], there: tuple[float, float], kilometres: float, found: bool
) -> None:
    owner = await town.person("gym_owner")
    id_ = await town.facility(owner, address={"latitude": there[0], "longitude": there[1]})
    name = f"Class {uuid4().hex}"
    await planned(town, owner, id_, name=name)
    near = {"latitude": here[0], "longitude": here[1], "kilometres": kilometres}
    with command_log() as log:
        nodes = (await town.guest.data(NEAR, {"near": near}))["schedule"]["nodes"]
    assert (name in [node["class"]["name"] for node in nodes]) is found
    assert log.count("mongo") <= 4  # where, when, how many, and the classes' names


async def test_a_timetable_of_some_facilities_or_of_a_coach(town: Town) -> None:
    owner = await town.person("gym_owner")
    facilities = [await town.facility(owner) for _ in range(3)]
    coach = await staff_of(town, facilities[2])
    made = [await planned(town, owner, facilities[n], startTime=f"1{n}:00", name=f"{n}") for n in range(2)]
    made.append(await planned(town, owner, facilities[2], instructor=coach.gid, name="2"))

    async def names(**given: Any) -> list[str]:
        nodes = (await town.guest.data(NEAR, given))["schedule"]["nodes"]
        return [node["class"]["name"] for node in nodes]

    assert await names(facilities=facilities) == ["0", "1", "2"]
    assert await names(facilities=facilities[:1]) == ["0"]
    assert await names(facilities=[]) == []
    assert await names(instructor=coach.gid) == ["2"]
    assert await names(facilities=facilities[:2], instructor=coach.gid) == []
    await asks(owner.here, UPDATE, facility=facilities[0], address={"latitude": 1.0, "longitude": 1.0})
    near = {"latitude": 1.0, "longitude": 1.0, "kilometres": 1}
    assert await names(facilities=facilities[:2], near=near) == ["0"]
    assert datetime.now(UTC).date() + timedelta(days=1) < FIRST


@pytest.mark.parametrize(
    "wrong", [{"latitude": 90.1}, {"longitude": -180.1}, {"kilometres": 0}, {"kilometres": 501}], ids=str
)
async def test_a_circle_that_is_none_is_refused(town: Town, wrong: dict[str, float]) -> None:
    near = {"latitude": 0, "longitude": 0, "kilometres": 1, **wrong}
    answer = await town.guest.run(NEAR, {"near": near})
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]

"""Planning classes through the API: what a manager does, and what everybody sees of it at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Town, asks, codes
from .test_editing import staff_of

SHOWN = """class { id name duration description bookingPolicy { cancelMinutesBefore noShowUsesQuota }
  instructor { lastName } location { room capacity }
  schedule { startTime recurrence { frequency weekdays exceptions } } occurrences(first: 50) {
    id startsAt capacity room instructor { lastName } } }"""
PLAN = f"mutation ($i: CreateClassInput!) {{ createClass(input: $i) {{ {SHOWN} userErrors {{ code message path }} }} }}"
TEXT = f"mutation ($i: UpdateClassInput!) {{ updateClass(input: $i) {{ {SHOWN} userErrors {{ code message path }} }} }}"
ONE_DATE = """mutation ($i: ChangeClassDateInput!) { changeClassDate(input: $i) {
  occurrence { id startsAt endsAt capacity room instructor { lastName } } userErrors { code message path } } }"""
FOLLOWING = f"""mutation ($i: ChangeFollowingDatesInput!) {{ changeFollowingDates(input: $i) {{
  {SHOWN} keptDates {{ id startsAt }} userErrors {{ code message path }} }} }}"""
END = f"""mutation ($i: EndClassInput!) {{ endClass(input: $i) {{
  {SHOWN.replace("occurrences(first: 50)", "isActive occurrences(first: 50)")} keptDates {{ id }} cancelledBookings
  userErrors {{ code message path }} }} }}"""
SUBSTITUTE = """mutation ($i: SubstituteInstructorInput!) { substituteInstructor(input: $i) {
  dates userErrors { code message path } } }"""
LEAVES = """mutation ($i: RemoveStaffInput!) { removeStaff(input: $i) {
  facility { datesToSubstitute(first: 2) { id instructor { lastName } } } userErrors { code message path } } }"""
TIMETABLE = """query ($id: ID!) { facility(id: $id) {
  schedule(first: 20) { nodes { startsAt capacity instructor { lastName } } } } }"""
FIRST = datetime.now(UTC).date() + timedelta(days=2)
CLASS: dict[str, Any] = {
    "name": "Yoga",
    "firstDate": FIRST.isoformat(),
    "startTime": "18:00",
    "duration": 50,
    "capacity": 10,
    "recurrence": {"frequency": "WEEKLY"},
}


async def test_a_manager_plans_substitutes_and_moves_a_class(town: Town) -> None:
    owner = await town.person("gym_owner")
    coach = await town.person("coach", last="Ay")
    id_ = await town.facility(owner, rooms=[{"name": "Salon 1", "capacity": 12}])
    manager = await staff_of(town, id_, "classes_write")
    await town.database["facilities"].update_one(
        {"ownerId": owner.id},
        {"$push": {"staff": {"userId": coach.id, "role": "coach", "joinedAt": datetime.now(UTC)}}},
    )
    assert (await town.guest.data(TIMETABLE, {"id": id_}))["facility"]["schedule"]["nodes"] == []
    payload = await asks(
        manager.here, PLAN, **CLASS, facility=id_, idempotencyKey=uuid4().hex, room="salon 1", description="Nefes"
    )
    assert payload["userErrors"] == []
    made = payload["class"]
    assert made["location"] == {"room": "Salon 1", "capacity": 10}
    assert made["schedule"]["recurrence"] == {"frequency": "WEEKLY", "weekdays": None, "exceptions": []}
    assert len(made["occurrences"]) == 9  # sixty days of weeks, begun the day after tomorrow
    seen = (await owner.there.data(TIMETABLE, {"id": id_}))["facility"]["schedule"]["nodes"]
    assert [one["startsAt"] for one in seen] == [made["occurrences"][0]["startsAt"]]

    first, second = made["occurrences"][0]["id"], made["occurrences"][1]["id"]
    changed = await asks(manager.here, ONE_DATE, occurrence=first, instructor=coach.gid, capacity=8)
    assert changed["userErrors"] == []
    assert changed["occurrence"]["instructor"] == {"lastName": "Ay"}
    seen = (await owner.there.data(TIMETABLE, {"id": id_}))["facility"]["schedule"]["nodes"]
    assert [(one["capacity"], one["instructor"]) for one in seen] == [(8, {"lastName": "Ay"})]

    moved = await asks(manager.there, FOLLOWING, occurrence=second, startTime="19:15")
    assert moved["userErrors"] == []
    assert moved["keptDates"] == []
    minutes = [one["startsAt"][14:16] for one in moved["class"]["occurrences"]]
    assert minutes == ["00"] + ["15"] * 8
    text = await asks(manager.here, TEXT, **{"class": made["id"], "name": "Yin", "description": None})
    assert (text["class"]["name"], text["class"]["description"]) == ("Yin", None)
    rules = {"cancelMinutesBefore": 10, "noShowUsesQuota": False}
    text = await asks(manager.here, TEXT, **{"class": made["id"], "bookingPolicy": rules})
    assert (text["userErrors"], text["class"]["bookingPolicy"]) == ([], rules)
    wrong = await asks(manager.here, TEXT, **{"class": made["id"], "bookingPolicy": {"opensDaysBefore": 366}})
    assert codes(wrong) == [("BAD_USER_INPUT", ["bookingPolicy", "opensDaysBefore"])]


async def test_who_leaves_is_substituted_and_a_class_ends(town: Town) -> None:
    owner, coach = await town.person("gym_owner"), await town.person("coach", last="Ay")
    id_ = await town.facility(owner)
    manager = await staff_of(town, id_, "classes_write", "staff_write")
    entry = {"userId": coach.id, "role": "coach", "joinedAt": datetime.now(UTC)}
    await town.database["facilities"].update_one({"ownerId": owner.id}, {"$push": {"staff": entry}})
    made = await asks(manager.here, PLAN, **CLASS, facility=id_, idempotencyKey=uuid4().hex, instructor=coach.gid)
    ids = [one["id"] for one in made["class"]["occurrences"]]
    left = await asks(manager.here, LEAVES, facility=id_, user=coach.gid)
    assert left["facility"]["datesToSubstitute"] == [{"id": one, "instructor": {"lastName": "Ay"}} for one in ids[:2]]
    query = "query ($id: ID!) { facility(id: $id) { datesToSubstitute { id } } }"
    seen = await coach.here.run(query, {"id": id_})
    assert (seen["data"]["facility"], seen["errors"][0]["extensions"]["code"]) == (
        {"datesToSubstitute": None}, "FORBIDDEN",
    )  # fmt: skip
    assert len((await manager.there.data(query, {"id": id_}))["facility"]["datesToSubstitute"]) == len(ids)
    for change in ({"substitute": coach.gid}, {"instructor": "x"}):
        given = {"facility": id_, "instructor": coach.gid, "substitute": owner.gid, **change}
        assert len(codes(await asks(manager.here, SUBSTITUTE, **given))) == 1
    swapped = await asks(manager.here, SUBSTITUTE, facility=id_, instructor=coach.gid, substitute=owner.gid)
    assert swapped == {"dates": len(ids), "userErrors": []}
    assert (await manager.there.data(query, {"id": id_}))["facility"]["datesToSubstitute"] == []
    ended = await asks(manager.here, END, **{"class": made["class"]["id"], "bookedDates": "CALL_OFF"})
    assert (ended["class"]["isActive"], ended["class"]["occurrences"]) == (False, [])
    assert (ended["keptDates"], ended["cancelledBookings"], ended["userErrors"]) == ([], 0, [])


WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a time that is none": ({"startTime": "25:00"}, ["startTime"]),
    "a class of no time": ({"duration": 0}, ["duration"]),
    "a class of more than a day": ({"duration": 1441}, ["duration"]),
    "no seats": ({"capacity": 0}, ["capacity"]),
    "a day long ago": ({"firstDate": "0001-01-01"}, ["firstDate"]),
    "a day that never comes": ({"firstDate": "9999-12-31"}, ["firstDate"]),
    "yesterday": ({"firstDate": (FIRST - timedelta(days=3)).isoformat()}, ["firstDate"]),
    "weekdays of days": ({"recurrence": {"frequency": "DAILY", "weekdays": [1]}}, ["recurrence"]),
    "a weekday that is none": (
        {"recurrence": {"frequency": "WEEKLY", "weekdays": [7]}},
        ["recurrence", "weekdays", "0"],
    ),
    "two ends": (
        {"recurrence": {"frequency": "DAILY", "maxOccurrences": 2, "endsOnDate": "2090-01-01"}},
        ["recurrence"],
    ),
    "an end before the beginning": ({"recurrence": {"frequency": "DAILY", "endsOnDate": "2020-01-01"}}, ["recurrence"]),
    "a class in its own way": ({"duration": 1440, "recurrence": {"frequency": "DAILY"}}, []),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_bad_input_is_named_and_plans_nothing(town: Town, wrong: str) -> None:
    owner = await town.person("gym_owner")
    id_ = await town.facility(owner)
    change, path = WRONG[wrong]
    before = await town.everything()
    payload = await asks(owner.here, PLAN, **{**CLASS, "idempotencyKey": uuid4().hex, "facility": id_, **change})
    if not path:  # a day long, every day: they meet and do not overlap
        assert codes(payload) == []
        return
    assert codes(payload) == [("BAD_USER_INPUT", path)]
    assert await town.everything() == before

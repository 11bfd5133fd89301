"""Planning classes on real stores: dates made once, rooms and instructors in one place at a time, nothing rewritten."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from nexfit.domains.classes import booking, cancellation, changing, ending, planning, substituting
from nexfit.domains.classes.ending import BookedDates
from nexfit.domains.classes.errors import (
    BookingClash,
    BookingClosed,
    CapacityTaken,
    ClassFull,
    ClassOver,
    DateBegun,
    DateBooked,
    DateCalledOff,
    InstructorTaken,
    InstructorTrains,
    NoDates,
    NoSuchRoom,
    NotStaff,
    OffWeekdays,
    PastDate,
    RoomTaken,
    RoomTooSmall,
)
from nexfit.domains.classes.inputs import ClassText, DateChange, FollowingChange, NewClass
from nexfit.domains.errors import Forbidden, IdempotencyConflict, NotFound, Refusal
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.validation import checked

from .conftest import DAY, NOW, Gym

MONDAY = date(2026, 6, 22)
WEEKLY: dict[str, Any] = {"frequency": "weekly", "weekdays": [1]}
NEW: dict[str, Any] = {
    "name": "Yoga",
    "first_date": MONDAY,
    "start_time": "18:00",
    "duration": 60,
    "capacity": 10,
    "waitlist_limit": 2,
    "recurrence": WEEKLY,
}


@pytest.fixture
async def room(gym: Gym) -> str:
    """A room of the test's own: nothing else is held there."""
    return f"Salon {ObjectId()}"


async def plan(gym: Gym, *, process: int = 0, now: datetime = NOW, key: str | None = None, **more: Any) -> ObjectId:
    new = checked(NewClass, **{**NEW, **more})
    return await planning.create(gym.desks[process], gym.owner, gym.facility, new, key=key or str(ObjectId()), now=now)


async def coach(gym: Gym, facility: ObjectId | None = None) -> ObjectId:
    """Somebody who works at the gym, or at another facility."""
    user = ObjectId()
    await gym.database.users.insert_one(
        {
            "_id": user, "email": f"{user}@example.org", "emailNormalized": f"{user}@example.org", "firstName": "Işıl",
            "lastName": "Ay", "nameFolded": "isil ay", "role": ["coach"], "isActive": True, "createdAt": NOW,
            "updatedAt": NOW,
        }
    )  # fmt: skip
    entry = {"userId": user, "role": "coach", "permissions": [], "joinedAt": NOW}
    await gym.database.facilities.update_one({"_id": facility or gym.facility}, {"$push": {"staff": entry}})
    return user


async def dates(gym: Gym, class_: ObjectId) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        await gym.database.class_occurrences.find({"classId": class_}).sort("startsAt").to_list()
    )
    return found


def change_of(model: type[DateChange] = DateChange, /, **given: Any) -> Any:
    return checked(model, **given)


async def unchanged(gym: Gym, action: Any, refused: type[Refusal]) -> None:
    """The action is refused, and no class and no date is another."""

    async def everything() -> list[Any]:
        return [
            await gym.database[name].find({}).sort("_id").to_list()
            for name in ("classes", "class_occurrences", "class_bookings", "outbox", "audit_entries")
        ]

    before = await everything()
    with pytest.raises(refused):
        await action
    assert await everything() == before


# --- making dates


async def test_dates_are_made_to_the_horizon_and_told(gym: Gym, room: str) -> None:
    class_ = await plan(gym, room=room)
    made = await dates(gym, class_)
    # Sixty days from 15 June: until 14 August.
    assert [one["startsAt"].date() for one in made] == [MONDAY + timedelta(weeks=week) for week in range(8)]
    assert all(one["startsAt"].hour == 15 and one["originalStart"] == one["startsAt"] for one in made)
    assert {(one["capacity"], one["waitlistLimit"], one["room"], one["status"]) for one in made} == {
        (10, 2, room, "scheduled")
    }
    assert await gym.told(class_) == ["ClassPlanned"]
    [entry] = await gym.database.audit_entries.find({"entityId": str(class_)}).to_list()
    assert (entry["action"], entry["userId"]) == ("class.created", gym.owner.user_id)


async def test_a_repeated_request_plans_one_class(gym: Gym, room: str) -> None:
    made = await asyncio.gather(*(plan(gym, process=n % 2, room=room, key=f"k {room}") for n in range(10)))
    assert len(set(made)) == 1
    assert len(await dates(gym, made[0])) == 8
    await unchanged(gym, plan(gym, room=room, name="Other", key=f"k {room}"), IdempotencyConflict)


async def test_later_dates_are_made_once_by_any_number_of_workers(gym: Gym, room: str) -> None:
    endless = await plan(gym, room=room)
    ended = await plan(gym, room=f"{room} b", recurrence={**WEEKLY, "max_occurrences": 2})
    demo = ObjectId()  # as the demo and older releases wrote it
    stored = await gym.database.classes.find_one({"_id": endless})
    old = {name: value for name, value in stored.items() if name != "datesDueAt"}
    old["schedule"] = {name: value for name, value in old["schedule"].items() if name != "clock"}
    await gym.database.classes.insert_one({**old, "_id": demo})
    later = NOW + 30 * DAY
    for _ in range(2):
        await asyncio.gather(*(planning.make_due_dates(gym.desks[worker % 2], now=later) for worker in range(4)))
        starts = [one["startsAt"] for one in await dates(gym, endless)]
        assert starts == sorted(set(starts))
        assert starts[-1] == datetime(2026, 9, 7, 15, 0, tzinfo=UTC)  # the last Monday before 13 September
        assert len(starts) == 12
        assert len(await dates(gym, ended)) == 2
        assert [one["startsAt"] for one in await dates(gym, demo)] == [start for start in starts if start > later]
    assert await planning.make_due_dates(gym.desk, now=later) == 0


async def test_what_cannot_be_planned_is_refused_and_writes_nothing(gym: Gym, room: str) -> None:
    rooms = [{"name": "Küçük Salon", "capacity": 5}, {"name": room}]
    stranger = await coach(gym, ObjectId())
    await unchanged(gym, plan(gym, first_date=date(2026, 6, 15), start_time="12:00"), PastDate)  # it is just noon
    await unchanged(gym, plan(gym, first_date=date(2026, 6, 23)), OffWeekdays)
    never = {"frequency": "once", "exceptions": [MONDAY]}
    await unchanged(gym, plan(gym, recurrence=never), NoDates)
    await unchanged(gym, plan(gym, recurrence={**WEEKLY, "ends_on_date": date(2026, 6, 21)}), NoDates)
    await unchanged(gym, plan(gym, instructor=stranger), NotStaff)
    await unchanged(gym, plan(gym, instructor=ObjectId()), NotStaff)
    await gym.database.facilities.update_one({"_id": gym.facility}, {"$set": {"rooms": rooms}})
    try:
        await unchanged(gym, plan(gym, room="Elsewhere"), NoSuchRoom)
        await unchanged(gym, plan(gym, room="küçük salon", capacity=6), RoomTooSmall)
        class_ = await plan(gym, room="KUCUK SALON", capacity=5)
        assert (await dates(gym, class_))[0]["room"] == "Küçük Salon"
    finally:
        await gym.database.facilities.update_one({"_id": gym.facility}, {"$unset": {"rooms": ""}})
    other = planning.create(gym.desk, Actor(stranger), gym.facility, checked(NewClass, **NEW), key="x", now=NOW)
    await unchanged(gym, other, Forbidden)
    missing = planning.create(gym.desk, gym.owner, ObjectId(), checked(NewClass, **NEW), key="y", now=NOW)
    await unchanged(gym, missing, NotFound)


# --- clashes


async def test_of_two_that_plan_one_room_at_once_one_succeeds(gym: Gym) -> None:
    for _ in range(5):
        room = f"Salon {ObjectId()}"
        tries = [plan(gym, process=n % 2, room=room, start_time=f"18:{n * 5:02}", name=f"Class {n}") for n in range(6)]
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(one, ObjectId) for one in done) == 1
        assert sum(isinstance(one, RoomTaken) for one in done) == 5


async def test_of_two_facilities_that_plan_one_instructor_at_once_one_succeeds(gym: Gym) -> None:
    elsewhere = ObjectId()
    here = await gym.database.facilities.find_one({"_id": gym.facility})
    await gym.database.facilities.insert_one({**here, "_id": elsewhere, "staff": []})
    teacher = await coach(gym)
    entry = {"userId": teacher, "role": "coach", "permissions": [], "joinedAt": NOW}
    await gym.database.facilities.update_one({"_id": elsewhere}, {"$push": {"staff": entry}})
    new = checked(NewClass, **{**NEW, "instructor": teacher})
    tries = [
        planning.create(
            gym.desks[n % 2], gym.owner, (gym.facility, elsewhere)[n % 2], new, key=f"{n} {teacher}", now=NOW
        )
        for n in range(6)
    ]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, ObjectId) for one in done) == 1
    assert sum(isinstance(one, InstructorTaken) for one in done) == 5


async def test_spans_are_half_open(gym: Gym, room: str) -> None:
    await plan(gym, room=room)
    for clock, minutes in (("17:00", 60), ("19:00", 60)):
        await plan(gym, room=room.upper(), start_time=clock, duration=minutes)
    for clock, minutes in (("17:30", 31), ("18:59", 1), ("18:00", 60), ("12:00", 720), ("18:20", 10)):
        await unchanged(gym, plan(gym, room=room, start_time=clock, duration=minutes), RoomTaken)
    # Through the night into a morning.
    await plan(
        gym, room=room, start_time="23:30", duration=90, first_date=date(2026, 6, 24), recurrence={"frequency": "once"}
    )
    early = {"first_date": date(2026, 6, 25), "recurrence": {"frequency": "once"}, "room": room}
    await unchanged(gym, plan(gym, **early, start_time="00:30"), RoomTaken)
    await plan(gym, **early, start_time="01:00")


async def test_dates_that_are_not_made_yet_are_in_the_way_too(gym: Gym, room: str) -> None:
    await plan(gym, room=room, recurrence={**WEEKLY, "exceptions": [date(2026, 12, 7)]})
    far = {"room": room, "recurrence": {"frequency": "once"}}
    await unchanged(gym, plan(gym, **far, first_date=date(2026, 11, 30)), RoomTaken)
    await plan(gym, **far, first_date=date(2026, 12, 7))
    await plan(gym, **far, first_date=date(2026, 12, 1))
    daily = {"room": room, "first_date": date(2026, 7, 1), "start_time": "18:30", "recurrence": {"frequency": "daily"}}
    await unchanged(gym, plan(gym, **daily), RoomTaken)


async def test_a_date_that_was_called_off_or_moved_frees_its_room(gym: Gym, room: str) -> None:
    class_ = await plan(gym, room=room)
    first, second, *_ = await dates(gym, class_)
    once = {"room": room, "recurrence": {"frequency": "once"}}
    await cancellation.cancel_date(gym.desk, gym.owner, first["_id"], reason=None, now=NOW)
    await plan(gym, **once)
    await changing.change_date(gym.desk, gym.owner, second["_id"], change_of(start_time="20:00"), now=NOW)
    await plan(gym, **once, first_date=MONDAY + timedelta(weeks=1))
    await unchanged(gym, plan(gym, **once, first_date=MONDAY + timedelta(weeks=1), start_time="20:30"), RoomTaken)


# --- this date


async def test_one_date_changes_and_the_others_stay(gym: Gym, room: str) -> None:
    teacher = await coach(gym)
    class_ = await plan(gym, room=room)
    _, second, *_ = before = await dates(gym, class_)
    change = change_of(
        date=date(2026, 6, 30), start_time="07:15", duration=45, capacity=4, waitlist_limit=0, instructor=teacher
    )
    await changing.change_date(gym.desk, gym.owner, second["_id"], change, now=NOW)
    after = await dates(gym, class_)
    assert [one for one in after if one["_id"] != second["_id"]] == [one for one in before if one is not second]
    [one] = [one for one in after if one["_id"] == second["_id"]]
    assert one["originalStart"] == second["originalStart"]
    assert one["startsAt"] == datetime(2026, 6, 30, 4, 15, tzinfo=UTC)
    assert one["endsAt"] - one["startsAt"] == timedelta(minutes=45)
    assert (one["capacity"], one["waitlistLimit"], one["room"]) == (4, 0, room)
    assert one["instructor"] == {"userId": teacher, "name": "Işıl Ay"}
    # Making dates again does not bring the original back.
    await gym.database.classes.update_one({"_id": class_}, {"$set": {"datesDueAt": NOW}})
    await planning.make_due_dates(gym.desk, now=NOW)
    assert await dates(gym, class_) == after
    assert await gym.told(class_) == ["ClassPlanned", "ClassDateChanged"]
    same = change_of(start_time="07:15", room=room, instructor=teacher)
    await changing.change_date(gym.desk, gym.owner, second["_id"], same, now=NOW)
    assert await dates(gym, class_) == after


async def test_a_booked_date_keeps_its_time_and_may_change_hands(gym: Gym, room: str) -> None:
    teacher = await coach(gym)
    class_ = await plan(gym, room=room)
    [first, *_] = await dates(gym, class_)
    await booking.book(gym.desk, await gym.member(), first["_id"], member=None, key="a", now=NOW)
    for given in ({"start_time": "18:01"}, {"date": MONDAY + DAY}, {"duration": 61}):
        await unchanged(
            gym, changing.change_date(gym.desk, gym.owner, first["_id"], change_of(**given), now=NOW), DateBooked
        )
    await changing.change_date(gym.desk, gym.owner, first["_id"], change_of(instructor=teacher, room=None), now=NOW)
    [first, *_] = await dates(gym, class_)
    assert first["instructor"]["userId"] == teacher
    assert "room" not in first
    assert await gym.states(first["_id"]) == {"booked": 1}


async def test_seats_follow_the_people_who_have_and_want_them(gym: Gym, room: str) -> None:
    class_ = await plan(gym, room=room, capacity=2, waitlist_limit=3)
    [first, *_] = await dates(gym, class_)
    date_ = first["_id"]
    for _ in range(5):
        await booking.book(gym.desk, await gym.member(), date_, member=None, key=str(ObjectId()), now=NOW)
    with pytest.raises(ClassFull):
        await booking.book(gym.desk, await gym.member(), date_, member=None, key="full", now=NOW)
    await unchanged(
        gym, changing.change_date(gym.desk, gym.owner, date_, change_of(capacity=1), now=NOW), CapacityTaken
    )
    await changing.change_date(gym.desk, gym.owner, date_, change_of(capacity=4), now=NOW)
    assert await gym.states(date_) == {"booked": 4, "waitlisted": 1}
    positions = [one.get("waitlistPosition") for one in await gym.bookings(date_) if one["status"] == "booked"]
    assert positions == [None, None, 1, 2]  # first come, first served
    assert (await gym.told(date_))[-2:] == ["WaitlistPromoted", "WaitlistPromoted"]


async def test_fewer_seats_race_with_bookings(gym: Gym, room: str) -> None:
    for _ in range(4):
        class_ = await plan(gym, room=f"{room} {ObjectId()}", capacity=6, waitlist_limit=0)
        [first, *_] = await dates(gym, class_)
        members = [await gym.member() for _ in range(6)]
        tries: list[Any] = [
            booking.book(gym.desks[n % 2], member, first["_id"], member=None, key="r", now=NOW)
            for n, member in enumerate(members)
        ]
        fewer = change_of(capacity=3)
        tries.insert(3, changing.change_date(gym.desks[1], gym.owner, first["_id"], fewer, now=NOW))
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert all(one is None or isinstance(one, ObjectId | ClassFull | CapacityTaken) for one in done)
        states = await gym.states(first["_id"])  # which holds seats against the capacity
        stored = await gym.database.class_occurrences.find_one({"_id": first["_id"]})
        assert states["booked"] == (3 if stored["capacity"] == 3 else 6)


async def test_dates_that_begun_or_were_called_off_do_not_change(gym: Gym, room: str) -> None:
    class_ = await plan(gym, room=room)
    first, second, *_ = await dates(gym, class_)
    await cancellation.cancel_date(gym.desk, gym.owner, second["_id"], reason="x", now=NOW)
    for change, model in ((changing.change_date, DateChange), (changing.change_following, FollowingChange)):
        given = change_of(model, start_time="20:00")
        begun = change(gym.desk, gym.owner, first["_id"], given, now=first["startsAt"])
        await unchanged(gym, begun, DateBegun)
        await unchanged(gym, change(gym.desk, gym.owner, second["_id"], given, now=NOW), DateCalledOff)
        await unchanged(gym, change(gym.desk, gym.owner, ObjectId(), given, now=NOW), NotFound)
        await unchanged(gym, change(gym.desk, await gym.member(), first["_id"], given, now=NOW), Forbidden)
        back = change_of(model, date=date(2026, 6, 14))
        await unchanged(gym, change(gym.desk, gym.owner, first["_id"], back, now=NOW), PastDate)


# --- this date and those that follow


async def test_what_follows_changes_and_what_is_past_or_booked_stays(gym: Gym, room: str) -> None:
    class_ = await plan(gym, room=room)
    before = await dates(gym, class_)
    first, second, third, fourth, fifth, *_ = before
    now = first["endsAt"]
    member = await gym.member()
    await booking.book(gym.desk, member, third["_id"], member=None, key="a", now=third["startsAt"] - DAY)
    left = await booking.book(gym.desk, member, fourth["_id"], member=None, key="b", now=fourth["startsAt"] - DAY)
    await cancellation.cancel(gym.desk, member, left, now=fourth["startsAt"] - DAY)
    await cancellation.cancel_date(gym.desk, gym.owner, fifth["_id"], reason=None, now=now)
    kept_before = {one["_id"]: one for one in await dates(gym, class_)}

    change = change_of(FollowingChange, start_time="19:30", capacity=7)
    _, kept = await changing.change_following(gym.desk, gym.owner, second["_id"], change, now=now)
    assert kept == [third["_id"], fourth["_id"], fifth["_id"]]
    after = await dates(gym, class_)
    for one in after:
        if one["_id"] in (first["_id"], *kept):
            assert one == kept_before[one["_id"]]
        else:
            assert (one["startsAt"].hour, one["startsAt"].minute, one["capacity"]) == (16, 30, 7)
            assert one["originalStart"] == one["startsAt"]
    # One date a week as before, none beside those that stay.
    days = [one["startsAt"].date() for one in after]
    assert days == [MONDAY + timedelta(weeks=week) for week in range(len(days))]
    stored = await gym.database.classes.find_one({"_id": class_})
    assert stored["schedule"]["clock"] == "19:30"
    assert stored["location"]["capacity"] == 7
    assert (await gym.told(class_))[-1] == "ClassChanged"
    # And what comes later is made by the new rule.
    await planning.make_due_dates(gym.desk, now=now + 30 * DAY)
    later = (await dates(gym, class_))[len(after) :]
    assert later
    assert {(one["startsAt"].hour, one["capacity"]) for one in later} == {(16, 7)}


async def test_another_repetition_from_a_date_on(gym: Gym, room: str) -> None:
    class_ = await plan(gym, room=room)
    before = await dates(gym, class_)
    change = change_of(
        FollowingChange,
        date=date(2026, 7, 7),
        recurrence={"frequency": "weekly", "weekdays": [2, 4], "ends_on_date": date(2026, 7, 16)},
    )
    await changing.change_following(gym.desk, gym.owner, before[2]["_id"], change, now=NOW)
    days = [one["startsAt"].date() for one in await dates(gym, class_)]
    assert days == [MONDAY, date(2026, 6, 29), date(2026, 7, 7), date(2026, 7, 9), date(2026, 7, 14), date(2026, 7, 16)]


async def test_a_weekly_class_moves_to_another_day_and_keeps_its_count(gym: Gym, room: str) -> None:
    class_ = await plan(gym, room=room, recurrence={**WEEKLY, "max_occurrences": 5})
    before = await dates(gym, class_)
    change = change_of(FollowingChange, date=date(2026, 7, 8))
    await changing.change_following(gym.desk, gym.owner, before[2]["_id"], change, now=NOW)
    days = [one["startsAt"].date() for one in await dates(gym, class_)]
    assert days == [MONDAY, date(2026, 6, 29), date(2026, 7, 8), date(2026, 7, 15), date(2026, 7, 22)]
    off = change_of(FollowingChange, date=date(2026, 7, 9), recurrence={**WEEKLY})
    third = (await dates(gym, class_))[2]
    await unchanged(gym, changing.change_following(gym.desk, gym.owner, third["_id"], off, now=NOW), OffWeekdays)


async def test_what_stays_the_same_keeps_its_ids(gym: Gym, room: str) -> None:
    teacher = await coach(gym)
    class_ = await plan(gym, room=room)
    before = await dates(gym, class_)
    change = change_of(FollowingChange, instructor=teacher)
    await changing.change_following(gym.desk, gym.owner, before[1]["_id"], change, now=NOW)
    after = await dates(gym, class_)
    assert [one["_id"] for one in after] == [one["_id"] for one in before]
    assert ["instructor" in one for one in after] == [False] + [True] * 7


async def test_what_follows_must_be_free(gym: Gym, room: str) -> None:
    class_, other = await plan(gym, room=room), await plan(gym, room=room, start_time="20:00")
    [first, *_] = await dates(gym, class_)
    change = change_of(FollowingChange, start_time="19:30")
    await unchanged(gym, changing.change_following(gym.desk, gym.owner, first["_id"], change, now=NOW), RoomTaken)
    later = change_of(FollowingChange, start_time="18:30")  # overlaps nothing but itself
    await changing.change_following(gym.desk, gym.owner, first["_id"], later, now=NOW)
    assert len(await dates(gym, other)) == 8


async def test_bookings_race_with_a_change_of_what_follows(gym: Gym, room: str) -> None:
    """Who got a seat keeps it at the time that was booked; who did not is told so."""
    now = NOW + 7 * DAY - timedelta(hours=6)
    for _ in range(4):
        class_ = await plan(gym, room=f"{room} {ObjectId()}")
        before = await dates(gym, class_)
        first, second = before[0], before[1]
        members = [await gym.member() for _ in range(4)]
        tries: list[Any] = [
            booking.book(gym.desks[n % 2], member, (first, second)[n % 2]["_id"], member=None, key="c", now=now)
            for n, member in enumerate(members)
        ]
        change = change_of(FollowingChange, start_time="20:00")
        tries.insert(2, changing.change_following(gym.desks[1], gym.owner, first["_id"], change, now=now))
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert all(isinstance(one, ObjectId | tuple | NotFound | BookingClosed) for one in done), done
        for one in await dates(gym, class_):
            held = await gym.bookings(one["_id"])
            assert all(booked["date"] == one["startsAt"] for booked in held)
            if held:
                assert one["startsAt"].hour == 15
        seated = [one for one in done if isinstance(one, ObjectId)]
        found = await gym.database.class_bookings.find({"_id": {"$in": seated}}).to_list()
        there = {one["_id"] for one in await dates(gym, class_)}
        assert all(one["occurrenceId"] in there for one in found)
        assert len(found) == len(seated)


async def test_text_changes_without_touching_dates(gym: Gym, room: str) -> None:
    class_ = await plan(gym, room=room, description="Nefes", tags=["a"])
    before = await dates(gym, class_)
    text = checked(ClassText, name="Yin", description=None, difficulty="beginner")
    await planning.update_text(gym.desk, gym.owner, class_, text, now=NOW)
    stored = await gym.database.classes.find_one({"_id": class_})
    assert (stored["name"], stored["difficulty"], stored["tags"]) == ("Yin", "beginner", ["a"])
    assert "description" not in stored
    assert await dates(gym, class_) == before
    told = await gym.told(class_)
    await planning.update_text(gym.desk, gym.owner, class_, text, now=NOW)
    assert await gym.told(class_) == told


async def test_a_class_takes_its_facilitys_waitlist_unless_it_says_and_its_rules_reach_its_dates(
    gym: Gym, room: str
) -> None:
    said = {"bookingPolicy.waitlistLimit": 7}
    await gym.database.facilities.update_one({"_id": gym.facility}, {"$set": said})
    try:
        usual = await plan(gym, room=room, waitlist_limit=None, booking_policy={"cancel_minutes_before": 5})
        own = await plan(gym, room=f"{room} 2", waitlist_limit=0)
    finally:
        await gym.database.facilities.update_one({"_id": gym.facility}, {"$unset": dict.fromkeys(said, "")})
    assert {one["waitlistLimit"] for one in await dates(gym, usual)} == {7}
    assert {one["waitlistLimit"] for one in await dates(gym, own)} == {0}
    made = await dates(gym, usual)
    assert [one["bookingPolicy"] for one in made] == [{"cancelMinutesBefore": 5}] * len(made)
    later = made[1]["startsAt"]
    text = checked(ClassText, booking_policy={"late_cancel_uses_quota": False, "opens_days_before": 90})
    await planning.update_text(gym.desk, gym.owner, usual, text, now=later)
    rules = {"opensDaysBefore": 90, "lateCancelUsesQuota": False}
    held = [one["bookingPolicy"] for one in await dates(gym, usual)]
    assert held == [{"cancelMinutesBefore": 5}] * 2 + [rules] * (len(made) - 2)  # what has begun is not rewritten
    await planning.make_due_dates(gym.desk, now=later)
    assert (await dates(gym, usual))[-1]["startsAt"] > later + 80 * DAY  # made as early as booking opens
    await planning.update_text(gym.desk, gym.owner, usual, checked(ClassText, booking_policy=None), now=later)
    assert "bookingPolicy" not in (await dates(gym, usual))[-1]
    assert "bookingPolicy" not in await gym.database.classes.find_one({"_id": usual})


# --- ending and substituting


async def finish(gym: Gym, class_: ObjectId, booked: BookedDates, *, process: int = 0, **more: Any) -> ending.Ended:
    given = {"actor": gym.owner, "now": NOW, "reason": None} | more
    return await ending.end(gym.desks[process], given.pop("actor"), class_, booked=booked, **given)


async def test_an_ended_class_makes_no_dates_and_gives_back_what_was_booked(gym: Gym, room: str) -> None:
    class_ = await plan(gym, room=room, capacity=1)
    first, second, *_ = await dates(gym, class_)
    now = first["startsAt"] - DAY
    member, waiting, gone = await gym.member(weekly=1), await gym.member(), await gym.member()
    await booking.book(gym.desk, member, first["_id"], member=None, key="1", now=now)
    await booking.book(gym.desk, waiting, first["_id"], member=None, key="2", now=now)
    left = await booking.book(gym.desk, gone, second["_id"], member=None, key="3", now=now)
    await cancellation.cancel(gym.desk, gone, left, now=now)
    stranger = Actor(ObjectId())
    for actor, refused in ((stranger, Forbidden), (await gym.member(), Forbidden)):
        await unchanged(gym, finish(gym, class_, BookedDates.CALL_OFF, actor=actor, now=now), refused)
    await unchanged(gym, finish(gym, ObjectId(), BookedDates.KEEP, now=now), NotFound)
    done = await finish(gym, class_, BookedDates.CALL_OFF, reason="Tadilat", now=now)
    assert (done.kept, done.bookings) == ([], 2)
    assert {one["_id"]: one["status"] for one in await dates(gym, class_)} == {
        first["_id"]: "cancelled", second["_id"]: "cancelled",
    }  # fmt: skip
    assert await gym.states(first["_id"]) == {"cancelled_by_facility": 2}
    assert (await gym.told(first["_id"]))[-2:] == ["BookingCancelledByFacility"] * 2
    assert (await gym.told(class_))[-1] == "ClassEnded"
    await planning.make_due_dates(gym.desk, now=now + 30 * DAY)
    assert len(await dates(gym, class_)) == 2
    other = await gym.date(first["startsAt"] + DAY)
    await booking.book(gym.desk, member, other, member=None, key="4", now=now)  # the week's only booking was given back
    counted = await gym.database.outbox.count_documents({})
    assert (await finish(gym, class_, BookedDates.CALL_OFF, now=now)).bookings == 0
    assert await gym.database.outbox.count_documents({}) == counted


async def test_booked_dates_of_an_ended_class_take_place_if_the_owner_says_so(gym: Gym, room: str) -> None:
    class_ = await plan(gym, room=room)
    first = (await dates(gym, class_))[0]
    now = first["startsAt"] - DAY
    await booking.book(gym.desk, await gym.member(), first["_id"], member=None, key="1", now=now)
    assert (await finish(gym, class_, BookedDates.KEEP, now=now)).kept == [first["_id"]]
    assert [one["status"] for one in await dates(gym, class_)] == ["scheduled"]
    follow = changing.change_following(gym.desk, gym.owner, first["_id"], change_of(FollowingChange), now=now)
    await unchanged(gym, follow, ClassOver)
    done = await finish(gym, class_, BookedDates.CALL_OFF, now=now)  # on second thoughts
    assert (done.kept, done.bookings) == ([], 1)
    assert await gym.states(first["_id"]) == {"cancelled_by_facility": 1}


async def test_bookings_and_new_dates_race_with_the_end_of_a_class(gym: Gym, room: str) -> None:
    for _ in range(3):
        class_ = await plan(gym, room=f"{room} {ObjectId()}", capacity=2)
        first = (await dates(gym, class_))[0]
        now = first["startsAt"] - DAY
        await gym.database.classes.update_one({"_id": class_}, {"$set": {"datesDueAt": NOW}})
        tries: list[Any] = [
            booking.book(gym.desks[n % 2], await gym.member(), first["_id"], member=None, key="c", now=now)
            for n in range(6)
        ]
        tries.insert(3, finish(gym, class_, BookedDates.CALL_OFF, process=1, now=now))
        tries.append(planning.make_due_dates(gym.desk, now=now))
        done = await asyncio.gather(*tries, return_exceptions=True)
        expected = ObjectId | ending.Ended | int | BookingClosed | ClassFull | NotFound
        assert all(isinstance(one, expected) for one in done), done
        assert all(one["status"] == "cancelled" for one in await dates(gym, class_))
        assert set(await gym.states(first["_id"]) if await dates(gym, class_) else ()) <= {"cancelled_by_facility"}


async def test_the_dates_of_who_left_show_up_and_are_given_to_somebody_else_at_once(gym: Gym, room: str) -> None:
    leaves, takes, stranger = await coach(gym), await coach(gym), ObjectId()
    class_ = await plan(gym, room=room, instructor=leaves)
    made = await dates(gym, class_)

    async def shown() -> list[ObjectId]:
        place = await gym.database.facilities.find_one({"_id": gym.facility})
        [found] = await substituting.without_staff(gym.desk.mongo, [place], NOW, 50, ("_id", "classId"))
        return [one["_id"] for one in found if one["classId"] == class_]

    async def give(to: ObjectId | None, actor: Actor = gym.owner, facility: ObjectId | None = None) -> int:
        return await substituting.replace(gym.desk, actor, facility or gym.facility, leaves, to, now=NOW)

    assert await shown() == []
    await gym.database.facilities.update_one({"_id": gym.facility}, {"$pull": {"staff": {"userId": leaves}}})
    assert await shown() == [one["_id"] for one in made]
    busy = await plan(gym, room=f"{room} 2", instructor=takes, first_date=MONDAY + timedelta(weeks=20))
    for to, actor, facility, refused in (
        (takes, Actor(stranger), None, Forbidden),
        (takes, gym.owner, ObjectId(), NotFound),
        (stranger, gym.owner, None, NotStaff),
        (takes, gym.owner, None, InstructorTaken),  # in twenty weeks, on dates that are not made yet
    ):
        await unchanged(gym, give(to, actor, facility), refused)
    await finish(gym, busy, BookedDates.KEEP)
    assert await give(takes) == len(made)
    assert {one["instructor"]["userId"] for one in await dates(gym, class_)} == {takes}
    assert (await gym.database.classes.find_one({"_id": class_}))["instructor"]["userId"] == takes
    assert await shown() == []
    counted = await gym.database.outbox.count_documents({})
    assert await give(takes) == 0
    assert await gym.database.outbox.count_documents({}) == counted
    assert await substituting.replace(gym.desk, gym.owner, gym.facility, takes, None, now=NOW) == len(made)
    assert not any("instructor" in one for one in await dates(gym, class_))


async def test_a_training_session_is_in_the_way_of_teaching_and_of_a_seat(gym: Gym, room: str) -> None:
    teacher, member = await coach(gym), await gym.member()
    starts = datetime(2026, 6, 29, 15, 30, tzinfo=UTC)  # half an hour into the second date
    session = {
        "coachId": teacher, "clientId": member.user_id, "startTime": starts, "endTime": starts + timedelta(hours=1),
        "duration": 60, "status": "scheduled", "location": {"type": "online"}, "createdAt": NOW, "updatedAt": NOW,
    }  # fmt: skip
    made = (await gym.database.pt_sessions.insert_one(session)).inserted_id
    await unchanged(gym, plan(gym, room=room, instructor=teacher), InstructorTrains)
    class_ = await plan(gym, room=room)
    second = (await dates(gym, class_))[1]
    change = changing.change_date(gym.desk, gym.owner, second["_id"], change_of(instructor=teacher), now=NOW)
    await unchanged(gym, change, InstructorTrains)
    book = booking.book(gym.desk, member, second["_id"], member=None, key="a", now=NOW + 7 * DAY)
    await unchanged(gym, book, BookingClash)
    await gym.database.pt_sessions.update_one({"_id": made}, {"$set": {"status": "cancelled"}})
    await booking.book(gym.desk, member, second["_id"], member=None, key="b", now=NOW + 7 * DAY)
    await changing.change_date(gym.desk, gym.owner, second["_id"], change_of(instructor=teacher), now=NOW)

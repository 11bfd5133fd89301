"""Check-in, corrections by staff and closing what is over (workflow 1.7 and 1.1)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from bson import ObjectId

from nexfit.domains.classes import attendance, booking, cancellation
from nexfit.domains.classes.documents import BookingStatus
from nexfit.domains.classes.errors import CheckInClosed, InvalidTransition
from nexfit.domains.errors import NotFound
from nexfit.domains.identity.access import Actor

from .conftest import DAY, NOW, Gym

START = NOW + DAY
MINUTE = timedelta(minutes=1)


async def booked(gym: Gym, **date: int) -> tuple[Actor, ObjectId, ObjectId]:
    """A member with a seat on a date that starts at START and lasts an hour: member, booking, date."""
    member = await gym.member()
    made = await gym.date(START, **date)
    return member, await booking.book(gym.desk, member, made, member=None, key=str(ObjectId()), now=NOW), made


@pytest.mark.parametrize(
    ("after_start", "is_open"), [(-31, False), (-30, True), (0, True), (60, True), (61, False)], ids=str
)
async def test_the_door_opens_30_minutes_before_and_closes_at_the_end(
    gym: Gym, after_start: int, is_open: bool
) -> None:
    member, made, date = await booked(gym)
    now = START + after_start * MINUTE
    if is_open:
        assert await attendance.check_in(gym.desk, member, made, now=now) is BookingStatus.ATTENDED
    else:
        with pytest.raises(CheckInClosed):
            await attendance.check_in(gym.desk, member, made, now=now)
    assert await gym.states(date) == ({"attended": 1} if is_open else {"booked": 1})


async def test_fifty_scans_are_one_entry(gym: Gym) -> None:
    member, made, date = await booked(gym)
    actors = [member, gym.owner]
    scans = [
        attendance.check_in(gym.desks[number % 2], actors[number // 2 % 2], made, now=START) for number in range(50)
    ]
    assert set(await asyncio.gather(*scans)) == {BookingStatus.ATTENDED}
    assert await gym.database.visits.count_documents({"userId": member.user_id}) == 1
    assert await gym.told(date) == ["ClassBooked", "ClassAttended"]


async def test_who_waits_or_left_cannot_come_in(gym: Gym) -> None:
    _, _, date = await booked(gym, capacity=1)
    waiting = await gym.member()
    made = await booking.book(gym.desk, waiting, date, member=None, key=str(ObjectId()), now=NOW)
    with pytest.raises(InvalidTransition):
        await attendance.check_in(gym.desk, waiting, made, now=START)
    await cancellation.cancel(gym.desk, waiting, made, now=NOW)
    with pytest.raises(InvalidTransition):
        await attendance.check_in(gym.desk, waiting, made, now=START)
    with pytest.raises(NotFound):
        await attendance.check_in(gym.desk, await gym.member(), made, now=START)
    assert await gym.states(date) == {"booked": 1, "cancelled": 1}


async def test_staff_correct_attendance_for_a_day(gym: Gym) -> None:
    member, made, date = await booked(gym)
    end = START + 60 * MINUTE
    for attended, now in ((False, end), (True, end + DAY)):
        await attendance.mark(gym.desk, gym.owner, made, attended=attended, now=now)
        assert await gym.states(date) == {"attended" if attended else "no_show": 1}
    with pytest.raises(CheckInClosed):
        await attendance.mark(gym.desk, gym.owner, made, attended=False, now=end + DAY + MINUTE)
    with pytest.raises(NotFound):
        await attendance.mark(gym.desk, member, made, attended=False, now=end)
    assert await gym.told(date) == ["ClassBooked", "ClassMissed", "ClassAttended"]


async def test_a_date_is_closed_after_its_grace_and_waiting_ends_at_the_start(gym: Gym) -> None:
    _, _, date = await booked(gym, capacity=1)
    await booking.book(gym.desk, await gym.member(), date, member=None, key=str(ObjectId()), now=NOW)
    await attendance.close_dates(gym.desk, now=START + MINUTE)
    assert await gym.states(date) == {"booked": 1, "expired": 1}
    await attendance.close_dates(gym.desk, now=START + 89 * MINUTE)
    assert await gym.states(date) == {"booked": 1, "expired": 1}
    await attendance.close_dates(gym.desk, now=START + 90 * MINUTE)
    assert await gym.states(date) == {"no_show": 1, "expired": 1}

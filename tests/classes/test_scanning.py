"""The rotating code at the door: one person's, for a minute, one entry however often it is scanned."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from bson import ObjectId

from nexfit.domains.classes import booking, scanning
from nexfit.domains.classes.documents import BookingStatus
from nexfit.domains.errors import Forbidden, InvalidCode, Unauthenticated
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.memberships.check_in_codes import STEP, CheckInCodes
from nexfit.domains.memberships.visits import MembershipRequired, WeeklyLimitReached

from .conftest import DAY, NOW, Gym

CODES = CheckInCodes("a secret of the tests that is long enough")
START = NOW + DAY


async def scan(gym: Gym, code: str, now: datetime, actor: Actor | None = None) -> scanning.Scanned:
    return await scanning.scan(gym.desk, CODES, actor or gym.owner, facility=gym.facility, code=code, now=now)


@pytest.mark.parametrize(
    ("seconds", "holds"), [(-61, False), (-30, True), (0, True), (29, True), (59, True), (60, False)]
)
def test_a_code_holds_for_its_half_minute_and_the_ones_beside_it(seconds: int, holds: bool) -> None:
    user, now = ObjectId(), datetime(2026, 6, 15, 9, 0, tzinfo=UTC)
    code, until = CODES.make(user, now)
    assert until == now + timedelta(seconds=STEP)
    assert code.isalnum()
    assert code.upper() == code
    at = now + timedelta(seconds=seconds)
    if holds:
        assert CODES.read(f" {code}\n", at).user == user
    else:
        with pytest.raises(InvalidCode):
            CODES.read(code, at)
    assert CODES.make(user, until)[0] != code


def test_no_code_is_right_but_the_one_that_was_made() -> None:
    now = datetime(2026, 6, 15, 9, 0, tzinfo=UTC)
    code, _ = CODES.make(ObjectId(), now)
    other, _ = CheckInCodes("another secret of the tests, long enough").make(ObjectId(), now)
    wrong = [other, "", "NX", "NX1", "ç" * 40, code[:-1], code + "A", code[2:] + "AA", "A" * 5000]
    wrong += [
        code[:place] + ("B" if code[place] != "B" else "C") + code[place + 1 :] for place in range(2, len(code) - 1)
    ]
    for text in wrong:
        with pytest.raises(InvalidCode):
            CODES.read(text, now)


async def test_fifty_scans_of_a_code_are_one_visit(gym: Gym) -> None:
    member = await gym.member()
    code, _ = CODES.make(member.user_id, NOW)
    found = await asyncio.gather(*(scan(gym, code, NOW + timedelta(seconds=n % 30)) for n in range(50)))
    assert len({one.visit for one in found}) == 1
    assert await gym.database.visits.count_documents({"userId": member.user_id}) == 1
    later = NOW + timedelta(minutes=5)
    again = await scan(gym, CODES.make(member.user_id, later)[0], later)
    assert again.visit != found[0].visit


async def test_a_scan_checks_in_to_the_class_that_is_about_to_begin(gym: Gym) -> None:
    member = await gym.member()
    date = await gym.date(START)
    made = await booking.book(gym.desk, member, date, member=None, key=str(ObjectId()), now=NOW)
    for minutes in (-20, -19, 5):
        now = START + timedelta(minutes=minutes)
        scanned = await scan(gym, CODES.make(member.user_id, now)[0], now)
        assert (scanned.booking, scanned.visit) == (made, None)
    assert await gym.states(date) == {str(BookingStatus.ATTENDED): 1}
    assert await gym.database.visits.count_documents({"userId": member.user_id}) == 1
    early = START - timedelta(minutes=31)
    scanned = await scan(gym, CODES.make(member.user_id, early)[0], early)
    assert scanned.booking is None


async def test_what_is_refused_lets_nobody_in(gym: Gym) -> None:
    member, stranger = await gym.member(), ObjectId()
    code, _ = CODES.make(member.user_id, NOW)
    for refused, text, actor in (
        (Unauthenticated, code, GUEST),
        (Forbidden, code, Actor(ObjectId())),
        (Forbidden, code, member),
        (InvalidCode, "NXAAAA", gym.owner),
        (MembershipRequired, CODES.make(stranger, NOW)[0], gym.owner),
    ):
        with pytest.raises(refused):
            await scan(gym, text, NOW, actor)
    with pytest.raises(Forbidden):
        await scanning.scan(gym.desk, CODES, gym.owner, facility=ObjectId(), code=code, now=NOW)
    assert await gym.database.visits.count_documents({"userId": {"$in": [member.user_id, stranger]}}) == 0


async def test_the_weeks_limit_holds_at_the_door(gym: Gym) -> None:
    member = await gym.member()
    held = await gym.database.member_subscriptions.find_one({"userId": member.user_id})
    await gym.database.memberships.update_one(
        {"_id": held["membershipId"]}, {"$set": {"limitations.maxVisitsPerWeek": 2}}
    )
    try:
        for minutes in (0, 5):
            now = NOW + timedelta(minutes=minutes)
            scanned = await scan(gym, CODES.make(member.user_id, now)[0], now)
        assert scanned.left == 0
        assert (await scan(gym, CODES.make(member.user_id, now)[0], now)).visit == scanned.visit
        now += timedelta(minutes=5)
        with pytest.raises(WeeklyLimitReached):
            await scan(gym, CODES.make(member.user_id, now)[0], now)
    finally:
        await gym.database.memberships.update_one(
            {"_id": held["membershipId"]}, {"$unset": {"limitations.maxVisitsPerWeek": ""}}
        )
    assert await gym.database.visits.count_documents({"userId": member.user_id}) == 2

"""Personal training sessions (workflow 4.2 to 4.5): no overlap, one credit each, in both stores or in neither."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from bson import Decimal128, ObjectId

from bench import reader
from nexfit.domains.classes import booking, planning
from nexfit.domains.classes.errors import BookingClash, InstructorTrains
from nexfit.domains.classes.inputs import NewClass
from nexfit.domains.classes.places import ClassDesk
from nexfit.domains.coaching import availability, inviting, packages, scheduling
from nexfit.domains.coaching.documents import SessionPlace
from nexfit.domains.coaching.errors import (
    ClassClash,
    InvalidTransition,
    NoCredits,
    NoRelation,
    NoSession,
    OutsideHours,
    SessionBegun,
    SessionClash,
    SessionNotBegun,
    SessionState,
)
from nexfit.domains.errors import BadInput, NotFound, Unauthenticated
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.hybrid.recovery import sweep
from nexfit.hybrid.turns import Turns
from tests.writes.conftest import at_point

from .conftest import NOW, Practice

HOUR = timedelta(hours=1)


async def _status(practice: Practice, session: ObjectId) -> str:
    return str((await practice.database.pt_sessions.find_one({"_id": session}))["status"])


async def _complete(practice: Practice, session: ObjectId, *, at: float, came: bool = True, **more: Any) -> None:
    actor = more.get("actor", practice.coach)
    await scheduling.complete(practice.desk, actor, session, came=came, now=NOW + at * HOUR)


async def _cancel(practice: Practice, session: ObjectId, who: Actor, *, at: float = 0) -> None:
    await scheduling.cancel(practice.desk, who, session, reason="Hasta", now=NOW + at * HOUR)


async def _move(practice: Practice, session: ObjectId, hours: float, *, at: float = 0, key: str = "") -> ObjectId:
    slot = scheduling.Slot(starts_at=NOW + hours * HOUR, minutes=60, place=SessionPlace.OUTDOOR)
    return await scheduling.reschedule(
        practice.desk, practice.coach, session, slot, key=key or str(uuid4()), now=NOW + at * HOUR
    )


async def _broken(practice: Practice, coach: Actor) -> list[str]:
    """What another reader of both databases finds wrong with a coach's sessions and credits."""
    async with practice.stores.postgres.connection() as connection:
        return await reader.of_coach(practice.database, connection, coach.require())


async def test_fifty_requests_for_the_last_credit_are_one_session(practice: Practice) -> None:
    _, relation = await practice.client()
    package = await practice.sell(relation, 1)
    results = await asyncio.gather(
        *(
            scheduling.schedule(
                practice.desks[number % 2],
                practice.coach,
                relation,
                scheduling.Slot(starts_at=NOW + (30 + 2 * number) * HOUR, minutes=60, place=SessionPlace.ONLINE),
                key=str(number),
                now=NOW,
            )
            for number in range(50)
        ),
        return_exceptions=True,
    )
    assert Counter(type(result) for result in results) == {ObjectId: 1, NoCredits: 49}, results
    assert await practice.credits(package) == (1, 0, 0, 0)
    assert await _broken(practice, practice.coach) == []


async def test_of_overlapping_sessions_one_is_made_and_touching_ones_all_are(practice: Practice) -> None:
    pairs = [await practice.client() for _ in range(4)]
    for _, relation in pairs:
        await practice.sell(relation, 20)
    tried = [practice.schedule(pairs[number % 4][1], 48 + number / 4) for number in range(8)]
    results = await asyncio.gather(*tried, return_exceptions=True)
    assert {type(result) for result in results} == {ObjectId, SessionClash}
    made = await practice.database.pt_sessions.find({"coachId": practice.coach.user_id}).sort("startTime").to_list()
    assert len(made) == sum(isinstance(result, ObjectId) for result in results)
    for one, following in itertools.pairwise(made):
        assert one["endTime"] <= following["startTime"]
    for hours in (100, 101, 102):  # half-open: one may begin when another ends
        await practice.schedule(pairs[0][1], hours)
    for hours, minutes in ((100.5, 60), (99.5, 240), (101, 15), (101.75, 15)):
        with pytest.raises(SessionClash):
            await practice.schedule(pairs[1][1], hours, minutes=minutes)
    assert await _broken(practice, practice.coach) == []


async def test_a_client_of_two_coaches_is_not_in_two_places(practice: Practice) -> None:
    client, relation = await practice.client()
    other = await practice.person("studio_coach")
    second = await practice.invite(client, by=other)
    await inviting.accept(practice.units, client, second, (), now=NOW)
    await practice.sell(relation)
    await practice.sell(second, actor=other)
    results = await asyncio.gather(
        practice.schedule(relation, 30), practice.schedule(second, 30.5, actor=other), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["ObjectId", "SessionClash"]
    assert await _broken(practice, practice.coach) == await _broken(practice, other) == []


async def test_the_package_that_ends_first_is_used_first_and_none_after_its_end(practice: Practice) -> None:
    _, relation = await practice.client()
    late, soon = await practice.sell(relation, 2, days=60), await practice.sell(relation, 2, days=10)
    for number in range(2):
        await practice.schedule(relation, 24 + 2 * number)
    assert (await practice.credits(soon), await practice.credits(late)) == ((2, 0, 0, 0), (0, 0, 2, 0))
    last = await practice.sell(relation, 1, days=10)
    await practice.schedule(relation, 24 * 20)
    assert (await practice.credits(last), await practice.credits(late)) == ((0, 0, 1, 0), (1, 0, 1, 0))
    await practice.schedule(relation, 24 * 10 + 14)  # 23:00 of the last day, in UTC
    assert await practice.credits(last) == (1, 0, 0, 0)
    await practice.schedule(relation, 24 * 60 + 14)
    await practice.sell(relation, 5, days=60)
    with pytest.raises(NoCredits):
        await practice.schedule(relation, 24 * 60 + 15)
    await practice.agrees(relation)


async def test_the_days_of_a_package_are_those_of_the_facility(practice: Practice) -> None:
    _, relation = await practice.client()
    facility = ObjectId()
    await practice.database.facilities.insert_one(
        {
            "_id": facility,
            "name": "Test",
            "nameFolded": "test",
            "type": "gym",
            "timezone": "Europe/Istanbul",
            "address": {},
            "ownerId": ObjectId(),
            "staff": [{"userId": practice.coach.user_id, "role": "coach", "permissions": [], "joinedAt": NOW}],
            "createdAt": NOW,
            "updatedAt": NOW,
        }
    )
    await practice.sell(relation, 5, days=1)
    at = {"place": SessionPlace.FACILITY, "facility": facility}
    await practice.schedule(relation, 24 + 11, **at)  # 20:00 UTC is 23:00 there
    with pytest.raises(NoCredits):
        await practice.schedule(relation, 24 + 12, **at)
    await practice.schedule(relation, 24 + 12)
    with pytest.raises(NotFound):
        await practice.schedule(relation, 24, place=SessionPlace.FACILITY, facility=ObjectId())
    other = await practice.person()
    staff = {"userId": other.user_id, "role": "manager", "permissions": ["classes_write"], "joinedAt": NOW}
    await practice.database.facilities.update_one({"_id": facility}, {"$push": {"staff": staff}})
    session = await practice.database.pt_sessions.find_one({"facilityId": facility})
    await _complete(practice, session["_id"], at=36, actor=other)
    assert await _status(practice, session["_id"]) == "completed"


@pytest.mark.parametrize("came", [True, False])
async def test_a_session_is_settled_once_and_not_before_it_begins(practice: Practice, came: bool) -> None:
    client, relation = await practice.client()
    package = await practice.sell(relation, 2)
    session = await practice.schedule(relation, 30)
    with pytest.raises(SessionNotBegun):
        await _complete(practice, session, at=29.99, came=came)
    for stranger in (client, await practice.person("coach")):
        with pytest.raises(NoSession):
            await _complete(practice, session, at=31, came=came, actor=stranger)
    await asyncio.gather(*(_complete(practice, session, at=30, came=came) for _ in range(10)))
    assert await _status(practice, session) == ("completed" if came else "no_show")
    assert await practice.credits(package) == (0, 1, 1, 0)
    before = await practice.written()
    for attempt in (
        lambda: _complete(practice, session, at=31, came=not came),
        lambda: _cancel(practice, session, practice.coach),
        lambda: _move(practice, session, 60),
    ):
        with pytest.raises(SessionState):
            await attempt()
        assert await practice.written() == before


async def test_who_cancels_when_decides_about_the_credit(practice: Practice) -> None:
    client, relation = await practice.client()
    for by_coach, at, expected in (
        (True, 29.9, (0, 0, 1, 0)),
        (False, 6, (0, 0, 1, 0)),  # 24 hours before
        (False, 6.01, (0, 1, 0, 0)),
    ):
        package = await practice.sell(relation, 1)
        session = await practice.schedule(relation, 30)
        who = practice.coach if by_coach else client
        await asyncio.gather(*(_cancel(practice, session, who, at=at) for _ in range(5)))
        assert await _status(practice, session) == "cancelled"
        assert await practice.credits(package) == expected
        stored = await practice.database.pt_sessions.find_one({"_id": session})
        assert (stored["cancelledBy"], stored["cancellationReason"]) == (who.user_id, "Hasta")
        with pytest.raises(SessionState):
            await _complete(practice, session, at=31)
        if expected[2]:
            await practice.schedule(relation, 80 + at)  # uses what came back, so that the next case has its own
    session = await practice.database.pt_sessions.find_one({"status": "scheduled", "clientId": client.user_id})
    with pytest.raises(SessionBegun):
        await _cancel(practice, session["_id"], client, at=1000)
    with pytest.raises(NoSession):
        await _cancel(practice, session["_id"], await practice.person())


async def test_moving_a_session_makes_a_new_one_with_the_credit_of_the_old(practice: Practice) -> None:
    _, relation = await practice.client()
    package = await practice.sell(relation, 1)
    session = await practice.schedule(relation, 30)
    moved = await asyncio.gather(*(_move(practice, session, 30.5, key="tap") for _ in range(5)))
    assert len(set(moved)) == 1
    assert (await _status(practice, session), await _status(practice, moved[0])) == ("cancelled", "scheduled")
    assert await practice.credits(package) == (1, 0, 0, 0)
    results = await asyncio.gather(
        *(_move(practice, moved[0], 50 + 2 * number) for number in range(8)), return_exceptions=True
    )
    assert Counter(type(result) for result in results) == {ObjectId: 1, SessionState: 7}
    assert await practice.credits(package) == (1, 0, 0, 0)
    with pytest.raises(SessionBegun):
        await _move(practice, next(one for one in results if isinstance(one, ObjectId)), 200, at=199)
    await practice.agrees(relation)


async def test_the_end_of_a_relation_releases_what_has_not_begun(practice: Practice) -> None:
    client, relation = await practice.client()
    package = await practice.sell(relation, 10)
    sessions = [await practice.schedule(relation, hours) for hours in (2, 30, 60)]
    tried = [practice.schedule(relation, 100 + 2 * number) for number in range(4)]
    ended, *results = await asyncio.gather(
        inviting.end(practice.units, client, relation, now=NOW + 2.5 * HOUR), *tried, return_exceptions=True
    )
    assert ended is None
    assert {type(result) for result in results} <= {ObjectId, InvalidTransition}
    assert [await _status(practice, session) for session in sessions] == ["scheduled", "cancelled", "cancelled"]
    for result in results:
        assert not isinstance(result, ObjectId) or await _status(practice, result) == "cancelled"
    assert await practice.credits(package) == (1, 0, 9, 0)  # the one that had begun is still to be settled
    await practice.agrees(relation)
    await _complete(practice, sessions[0], at=3)
    assert await practice.credits(package) == (0, 1, 9, 0)


async def test_what_is_refused_writes_nothing_in_either_store(practice: Practice) -> None:
    client, relation = await practice.client()
    waiting = await practice.invite(await practice.person())
    await practice.sell(relation, 3)
    session = await practice.schedule(relation, 30)
    units, other = practice.units, await practice.person("coach")
    before = await practice.written()
    for refused, attempt in (
        (Unauthenticated, lambda: practice.schedule(relation, 40, actor=GUEST)),
        (OutsideHours, lambda: practice.schedule(relation, 40, actor=client)),
        (NoRelation, lambda: practice.schedule(relation, 40, actor=other)),
        (InvalidTransition, lambda: practice.schedule(waiting, 40)),
        (BadInput, lambda: practice.schedule(relation, 0)),
        (BadInput, lambda: practice.schedule(relation, 24 * 367)),
        (BadInput, lambda: practice.schedule(relation, 40, minutes=14)),
        (BadInput, lambda: practice.schedule(relation, 40, minutes=241)),
        (BadInput, lambda: practice.schedule(relation, 40, place=SessionPlace.FACILITY)),
        (SessionClash, lambda: practice.schedule(relation, 30.5)),
        (NoSession, lambda: _move(practice, ObjectId(), 40)),
        (SessionState, lambda: scheduling.rate(units, client, session, 5, None, now=NOW)),
        (NoSession, lambda: scheduling.rate(units, other, session, 5, None, now=NOW)),
    ):
        with pytest.raises(refused):
            await attempt()
        assert await practice.written() == before, refused


async def test_both_sides_say_how_it_was_each_for_itself(practice: Practice) -> None:
    client, relation = await practice.client()
    await practice.sell(relation, 1)
    session = await practice.schedule(relation, 30)
    await _complete(practice, session, at=30)
    units = practice.units
    await scheduling.rate(units, client, session, 4, "İyi", now=NOW + 32 * HOUR)
    await scheduling.rate(units, practice.coach, session, 5, None, now=NOW + 32 * HOUR)
    await scheduling.rate(units, client, session, 3, None, now=NOW + 33 * HOUR)
    stored = await practice.database.pt_sessions.find_one({"_id": session})
    assert stored["feedback"] == {"client": {"rating": 3}, "coach": {"rating": 5}}


class Died(BaseException):
    """Stands for the death of the process: nothing after it is run."""


@pytest.mark.parametrize(("point", "there"), [("prepared", False), ("decided", True)])
async def test_a_process_that_dies_leaves_both_or_neither(practice: Practice, point: str, there: bool) -> None:
    """Whoever comes by ends it by the decision: session and credit agree after each step of each change."""
    client, relation = await practice.client()
    package = await practice.sell(relation, 6)
    kept = await practice.schedule(relation, 30)
    moved, cancelled, held = [await practice.schedule(relation, hours) for hours in (40, 50, 2)]
    changes: tuple[tuple[Callable[[], Awaitable[object]], tuple[int, int, int, int]], ...] = (
        (lambda: practice.schedule(relation, 70), (5, 0, 1, 0)),
        (lambda: _move(practice, moved, 80), (5, 0, 1, 0)),
        (lambda: _cancel(practice, cancelled, client), (4, 0, 2, 0)),
        (lambda: _complete(practice, held, at=2), (3, 1, 2, 0)),
        (lambda: practice.sell(relation, 3), (3, 1, 2, 0)),
        (lambda: inviting.end(practice.units, client, relation, now=NOW + 3 * HOUR), (0, 1, 5, 0)),
    )

    def die() -> None:
        raise Died

    for change, after in changes:
        with at_point(point, die), pytest.raises(Died):
            await change()
        await sweep(practice.stores, 0)
        await practice.agrees(relation)
        assert await practice.credits(package) == (after if there else (4, 0, 2, 0))
    is_sold = len((await packages.of_relations(practice.stores.postgres, [relation]))[relation]) == 2
    has_ended = (await practice.relation(relation))["relationship"]["status"] == "ended"
    assert is_sold is has_ended is there
    assert await _status(practice, kept) == ("cancelled" if there else "scheduled")


async def gym_of(practice: Practice, client: Actor) -> tuple[ObjectId, ClassDesk]:
    """A gym of the coach's own, of which the client is a member; its calendar is UTC's."""
    facility, plan = ObjectId(), ObjectId()
    known = {"createdAt": NOW, "updatedAt": NOW}
    named = {"name": "Salon", "nameFolded": "salon", "type": "gym", "timezone": "UTC"}
    owned = {"ownerId": practice.coach.user_id, "address": {}, "contact": {}, "media": {}}
    await practice.database.facilities.insert_one({"_id": facility, **named, **owned, **known})
    limits = {"classesIncluded": True, "personalTrainingIncluded": False, "ptSessionsIncluded": 0}
    sold = {"duration": {"value": 1, "unit": "month"}, "price": Decimal128("1"), "currency": "TRY", "features": []}
    await practice.database.memberships.insert_one(
        {"_id": plan, "facilityId": facility, "name": "Plan", **sold, "limitations": limits, "isActive": True, **known}
    )
    days = {"startDate": datetime(2026, 6, 1, tzinfo=UTC), "endDate": datetime(2026, 7, 31, tzinfo=UTC)}
    held = {"userId": client.user_id, "facilityId": facility, "membershipId": plan, "subscriptionId": str(uuid4())}
    await practice.database.member_subscriptions.insert_one(
        {**held, **days, "status": "active", "autoRenew": False, "paymentHistory": [], **known}
    )
    return facility, ClassDesk(practice.units, practice.stores.mongo, Turns())


async def planned(practice: Practice, desk: ClassDesk, facility: ObjectId, clock: str, *, taught: bool) -> ObjectId:
    """The date of a class of an hour on 16 June, by the coach or by nobody."""
    new = NewClass(
        name="Yoga",
        first_date=date(2026, 6, 16),
        start_time=clock,
        duration=60,
        capacity=5,
        **({"instructor": practice.coach.user_id} if taught else {}),
    )
    class_ = await planning.create(desk, practice.coach, facility, new, key=str(uuid4()), now=NOW)
    return ObjectId((await practice.database.class_occurrences.find_one({"classId": class_}))["_id"])


async def test_classes_are_in_the_way_of_sessions_and_of_free_times(practice: Practice) -> None:
    client, relation = await practice.client()
    package = await practice.sell(relation, 10)
    facility, desk = await gym_of(practice, client)
    await planned(practice, desk, facility, "10:00", taught=True)  # 25 to 26 hours after NOW
    seat = await planned(practice, desk, facility, "13:00", taught=False)
    await booking.book(desk, client, seat, member=None, key="seat", now=NOW)
    for hours in (24.5, 25, 25.5, 27.5, 28, 28.75):
        before = await practice.written()
        with pytest.raises(ClassClash):
            await practice.schedule(relation, hours)
        assert await practice.written() == before
    await practice.schedule(relation, 24)  # touching is not overlapping
    await practice.schedule(relation, 26)
    assert await practice.credits(package) == (2, 0, 8, 0)
    opening = {"day": "tuesday", "open_time": "08:00", "close_time": "15:00"}
    weekly = availability.WeeklyHours(timezone="UTC", hours=[opening])
    await availability.set_hours(practice.units, practice.coach, weekly, now=NOW)
    pair = [(practice.coach.require(), client.require())]
    [free] = await availability.free_of_pairs(practice.stores.mongo, pair, NOW, NOW + 48 * HOUR, 60)
    day = datetime(2026, 6, 16, tzinfo=UTC)
    assert free == [
        (day + 8 * HOUR, day + 9 * HOUR),
        (day + 12 * HOUR, day + 13 * HOUR),
        (day + 14 * HOUR, day + 15 * HOUR),
    ]


async def test_of_a_session_and_a_class_at_one_time_one_is_made_whoever_is_faster(practice: Practice) -> None:
    for turn in range(4):
        client, relation = await practice.client()
        await practice.sell(relation, 10)
        facility, desk = await gym_of(practice, client)
        seat = await planned(practice, desk, facility, f"{10 + turn}:00", taught=False)
        both = [
            practice.schedule(relation, 25 + turn),
            booking.book(desk, client, seat, member=None, key="seat", now=NOW),
        ]
        done = await asyncio.gather(*both, return_exceptions=True)
        assert sum(isinstance(one, ObjectId) for one in done) == 1, done
        assert sum(isinstance(one, ClassClash | BookingClash) for one in done) == 1, done
        taught = [
            practice.schedule(relation, 35 + turn, actor=practice.coach),
            planned(practice, desk, facility, f"{20 + turn}:00", taught=True),
        ]
        done = await asyncio.gather(*taught, return_exceptions=True)
        assert sum(isinstance(one, ObjectId) for one in done) == 1, done
        assert sum(isinstance(one, ClassClash | InstructorTrains) for one in done) == 1, done
        await practice.agrees(relation)

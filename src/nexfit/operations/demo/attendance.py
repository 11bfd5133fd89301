"""Who comes: class bookings with their waitlists, and visits, within what each member's plan and contract allow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from random import Random

from nexfit.operations.demo.businesses import Branch, Row
from nexfit.operations.demo.calendar import Calendar, minutes
from nexfit.operations.demo.chance import Chance, weighted
from nexfit.operations.demo.content.places import Hours
from nexfit.operations.demo.contracts import Contract
from nexfit.operations.demo.timetables import WAITLIST_LIMIT, WEEKS_BACK, Session, Timetable

Week = tuple[int, int]

_DAY = timedelta(days=1)
_WEEK = timedelta(weeks=1)

OUTCOMES = (("attended", 82.0), ("no_show", 7.0), ("late_cancelled", 4.0), ("cancelled", 7.0))
SEATED = frozenset({"booked", "attended", "no_show"})
COUNTED = frozenset({*SEATED, "late_cancelled"})
"""Bookings that use up the weekly quota."""

TRIES_PER_SEAT = 4


class Attendance:
    """Makes one branch's bookings, then the visits around them; call `bookings` first."""

    def __init__(self, chance: Chance, calendar: Calendar, branch: Branch, contracts: Sequence[Contract]) -> None:
        self._chance = chance
        self._calendar = calendar
        self._branch = branch
        first = calendar.today - timedelta(weeks=WEEKS_BACK)
        self._contracts = [
            contract
            for contract in contracts
            if contract.period_end > first and not contract.status.startswith("incomplete")
        ]
        self._hours = [_minutes_open(hours) for hours in branch.content.hours]
        self._booked_weeks: defaultdict[tuple[int, Week], int] = defaultdict(int)
        self._busy: defaultdict[tuple[int, date], list[Session]] = defaultdict(list)
        self._class_visits: defaultdict[int, dict[date, list[datetime]]] = defaultdict(dict)
        self._visited_weeks: defaultdict[tuple[int, Week], int] = defaultdict(int)

    def bookings(self, timetable: Timetable) -> Iterator[Row]:
        """`class_bookings` documents; fills the sessions' seat counters."""
        random = self._chance.stream(f"bookings:{self._branch.content.key}")
        if not self._contracts:
            return
        for session in timetable.sessions:
            yield from self._bookings_of(session, random)

    def _bookings_of(self, session: Session, random: Random) -> Iterator[Row]:
        capacity = session.slot.capacity
        past = session.ends_at <= self._calendar.now
        wanted = self._demand(session, random)
        seen: set[int] = set()
        waitlist = 0
        for _ in range(wanted * TRIES_PER_SEAT):
            if len(seen) >= wanted:
                break
            contract = random.choice(self._contracts)
            user = contract.person.number
            if user in seen or not self._may_book(contract, session):
                continue
            seen.add(user)
            full = session.taken >= capacity
            if session.cancelled:
                status = "cancelled_by_facility"
            elif full:
                if waitlist >= WAITLIST_LIMIT:
                    break
                waitlist += 1
                status = "expired" if past else "waitlisted"
            else:
                status = self._outcome(past, random)
            yield self._booking(contract, session, status, waitlist if full else 0, random)

    def _demand(self, session: Session, random: Random) -> int:
        """How many people try: evenings are fuller than noon, next week fuller than the week after."""
        hour = minutes(session.slot.start) // 60
        popularity = 0.95 if hour >= 17 else 0.75 if hour < 11 else 0.55
        ahead = max((session.day - self._calendar.today).days, 0)
        share = random.gauss(popularity, 0.22) * (1.0 if ahead == 0 else max(0.75 ** (ahead / 3), 0.06))
        return max(round(session.slot.capacity * share), 0)

    def _may_book(self, contract: Contract, session: Session) -> bool:
        plan = contract.plan.content
        if not plan.classes or not contract.admits(session.day) or session.starts_at <= contract.created_at:
            return False
        user = contract.person.number
        if (
            plan.bookings_per_week is not None
            and self._booked_weeks[user, _week(session.day)] >= plan.bookings_per_week
        ):
            return False
        if plan.visits_per_week is not None and self._booked_weeks[user, _week(session.day)] >= plan.visits_per_week:
            return False
        return all(
            other.ends_at <= session.starts_at or session.ends_at <= other.starts_at
            for other in self._busy[user, session.day]
        )

    def _outcome(self, past: bool, random: Random) -> str:
        if past:
            return weighted(random, OUTCOMES)
        return "cancelled" if random.random() < 0.05 else "booked"

    def _booking(self, contract: Contract, session: Session, status: str, waiting: int, random: Random) -> Row:
        user = contract.person.number
        called_off = session.called_off_at(self._calendar.now)
        latest = called_off or min(session.starts_at - timedelta(hours=3), self._calendar.now)
        earliest = max(contract.created_at, session.starts_at - timedelta(days=28))
        latest = max(latest, earliest)
        booked_at = max(latest - timedelta(minutes=random.randrange(30, 7200)), earliest)
        row: Row = {
            "_id": self._chance.object_id("booking"),
            "classId": session.class_id,
            "occurrenceId": session.id,
            "facilityId": self._branch.id,
            "userId": contract.person.id,
            "date": session.starts_at,
            "status": status,
            "bookedAt": booked_at,
        }
        if waiting:
            row["waitlistPosition"] = session.joined = waiting
            session.waiting += status == "waitlisted"
        if status in SEATED:
            session.taken += 1
        if status in COUNTED:
            self._booked_weeks[user, _week(session.day)] += 1
        if status in SEATED or status == "waitlisted":
            self._busy[user, session.day].append(session)
        if status == "cancelled":
            row["cancelledAt"] = booked_at + (latest - booked_at) / 2
        elif status == "late_cancelled":
            row["cancelledAt"] = max(session.starts_at - timedelta(minutes=50), booked_at)
        elif called_off is not None:
            row["cancelledAt"] = max(called_off, booked_at)
        if status == "attended":
            came = session.starts_at - timedelta(minutes=random.randrange(3, 15))
            row["checkedInAt"] = came
            self._class_visits[user].setdefault(session.day, []).append(came)
        return row

    def visits(self) -> Iterator[Row]:
        """`visits` documents of the materialised weeks up to now: class check-ins and training on one's own."""
        random = self._chance.stream(f"visits:{self._branch.content.key}")
        mondays = list(self._mondays())
        for contract in self._contracts:
            last = min(contract.no_entry_from or contract.period_end, self._calendar.today + _DAY)
            for monday in mondays:
                if monday + _WEEK > contract.start and monday < last:
                    yield from self._week_of(contract, monday, last, random)

    def _week_of(self, contract: Contract, monday: date, last: date, random: Random) -> Iterator[Row]:
        user = contract.person.number
        checked_in = self._class_visits.get(user, {})
        taken = [day for day in checked_in if monday <= day < monday + _WEEK]
        for day in taken:
            for at in checked_in.pop(day):
                yield self._visit(contract, day, at, "class_check_in")
        wanted = round(random.gauss(contract.person.visits, 0.8))
        limit = contract.plan.content.visits_per_week
        if limit is not None:
            wanted = min(wanted, limit - self._visited_weeks[user, _week(monday)])
        first = max(monday, contract.start + _DAY)
        span = range((min(monday + _WEEK, last) - first).days)
        free = [day for day in (first + timedelta(days=offset) for offset in span) if day not in taken]
        for day in random.sample(free, min(max(wanted, 0), len(free))):
            moment = self._moment(day, contract.person.hour, random)
            if moment is not None and moment < self._calendar.now:
                source = "self_service" if random.random() < 0.7 else "front_desk"
                yield self._visit(contract, day, moment, source)

    def _visit(self, contract: Contract, day: date, at: datetime, source: str) -> Row:
        self._visited_weeks[contract.person.number, _week(day)] += 1
        return {
            "_id": self._chance.object_id("visit"),
            "facilityId": self._branch.id,
            "userId": contract.person.id,
            "at": at,
            "source": source,
        }

    def _mondays(self) -> Iterator[date]:
        monday = self._calendar.today - timedelta(weeks=WEEKS_BACK)
        monday -= timedelta(days=monday.weekday())
        while monday <= self._calendar.today:
            yield monday
            monday += _WEEK

    def _moment(self, day: date, hour: int, random: Random) -> datetime | None:
        """A time around the member's hour while the doors are open, past midnight too; None on a closed day."""
        hours = self._hours[day.weekday()]
        if hours is None:
            return None
        opens, closes = hours
        spread = random.gauss(0, 75) + (240 if random.random() < 0.04 else 0)
        minute = min(max(int(hour * 60 + spread), opens + 5), closes - 45)
        return self._calendar.at(day, minute, random.randrange(60))


def _minutes_open(hours: Hours | None) -> tuple[int, int] | None:
    """Opening and closing minute of a day; the closing one is past 1440 if it is on the next day."""
    if hours is None:
        return None
    opens, closes = minutes(hours[0]), minutes(hours[1])
    return opens, closes if closes > opens else closes + 1440


def _week(day: date) -> Week:
    """The local Monday-to-Sunday week of a day."""
    year, week, _ = day.isocalendar()
    return year, week

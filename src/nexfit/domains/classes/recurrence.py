"""When a class takes place: its repetition on the wall clock of its zone, as instants. Pure rules.

A start at 18:00 stays at 18:00 when clocks change. On a day on which that time does not come it is as much later as the
clock is put forward; where it comes twice, it is the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import takewhile
from typing import Any, Literal

from dateutil.rrule import DAILY, MONTHLY, WEEKLY, rrule, weekday

from nexfit.domains.classes.documents import Frequency
from nexfit.domains.facilities.hours import instant_of, zone

_UNITS: Mapping[Frequency, Literal[1, 2, 3]] = {
    Frequency.DAILY: DAILY,
    Frequency.WEEKLY: WEEKLY,
    Frequency.MONTHLY: MONTHLY,
}
_A_DAY = timedelta(days=1)


def starts_between(schedule: Mapping[str, Any], since: datetime, until: datetime) -> list[datetime]:
    """The starts of a class's stored `schedule` in `[since, until)`, in their order."""
    found = []
    for start in _starts(schedule, since):
        if start >= until:
            break
        found.append(start)
    return found


def first_start(schedule: Mapping[str, Any], since: datetime) -> datetime | None:
    """The first start at `since` or later; None when there is none."""
    return next(_starts(schedule, since), None)


def dates_until(schedule: Mapping[str, Any], before: date) -> int:
    """How many times the repetition comes round before a local day, skipped days among them."""
    return sum(1 for _ in takewhile(lambda day: day < before, _days(schedule)))


def local_day(schedule: Mapping[str, Any], instant: datetime) -> date:
    """The day of an instant on the class's wall clock."""
    return instant.astimezone(zone(schedule["timezone"])).date()


def clock_of(schedule: Mapping[str, Any]) -> str:
    """HH:MM at which the class starts: what is stored, else what the clock shows at the first start."""
    stored: str | None = schedule.get("clock")
    return stored or schedule["startTime"].astimezone(zone(schedule["timezone"])).strftime("%H:%M")


def _starts(schedule: Mapping[str, Any], since: datetime) -> Iterator[datetime]:
    clock, timezone = clock_of(schedule), schedule["timezone"]
    skipped = {day.date() for day in schedule.get("recurrence", {}).get("exceptions") or ()}
    for day in _days(schedule, local_day(schedule, since) - _A_DAY):
        if day not in skipped and (start := instant_of(timezone, day, clock)) >= since:
            yield start


def _days(schedule: Mapping[str, Any], since: date | None = None) -> Iterator[date]:
    """The local days of the repetition from a day on, skipped ones among them; without end where it has none."""
    first = local_day(schedule, schedule["startTime"])
    recurrence = schedule.get("recurrence") or {"frequency": Frequency.ONCE}
    frequency = Frequency(recurrence["frequency"])
    if frequency is Frequency.ONCE:
        if since is None or first >= since:
            yield first
        return
    last = recurrence.get("endsOnDate")
    rule = rrule(
        _UNITS[frequency],
        dtstart=datetime.combine(first, time()),
        interval=recurrence.get("interval", 1),
        # Stored weekdays count from Sunday, the rule's from Monday.
        byweekday=[weekday((day - 1) % 7) for day in recurrence.get("weekdays") or ()] or None,
        until=datetime.combine(last.astimezone(UTC).date(), time()) if last else None,
        count=recurrence.get("maxOccurrences"),
    )
    # Datetimes end before the repetition does: whoever asks for years beyond gets none.
    start = datetime.combine(since, time()) if since else None
    for at in rule.xafter(start - timedelta(seconds=1)) if start else rule:
        yield at.date()

"""The demo's clock: local days of one zone turned into instants, and the moment the demo is told at."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

HISTORY_DAYS = 395
"""How long the businesses have been open."""

NOW_HOUR = 6
"""The demo is told at this local hour of `today`: the night's billing is done, today's doors open."""


@dataclass(slots=True)
class Calendar:
    """`today` in a zone, the instant `now` in it, and the day the businesses opened."""

    timezone: str
    today: date
    zone: ZoneInfo = field(init=False)
    now: datetime = field(init=False)
    opening: date = field(init=False)

    def __post_init__(self) -> None:
        self.zone = ZoneInfo(self.timezone)
        self.now = self.at(self.today, NOW_HOUR * 60)
        self.opening = self.today - timedelta(days=HISTORY_DAYS)

    def at(self, day: date, minute: int, second: int = 0) -> datetime:
        """The instant of a wall-clock minute of a local day; minutes past 1439 are on the next day.

        A time the clock skips moves forward, one it shows twice is the first.
        """
        later, minute = divmod(minute, 1440)
        wall = time(minute // 60, minute % 60, second)
        return datetime.combine(day + timedelta(days=later), wall, self.zone).astimezone(UTC)

    def day_of(self, instant: datetime) -> date:
        """The local day of an instant."""
        return instant.astimezone(self.zone).date()


def local_today(timezone: str) -> date:
    """The day the demo calls today at this moment: it changes at six in the morning."""
    return (datetime.now(ZoneInfo(timezone)) - timedelta(hours=NOW_HOUR)).date()


def add_months(day: date, months: int) -> date:
    """The same day of a later month, or that month's last: 31 January plus one is 28 or 29 February."""
    return day + relativedelta(months=months)


def stored_date(day: date) -> datetime:
    """A calendar date as MongoDB stores it: midnight UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def minutes(clock: str) -> int:
    """Minutes since midnight of an HH:MM."""
    hours, _, rest = clock.partition(":")
    return int(hours) * 60 + int(rest)

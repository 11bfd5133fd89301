"""Keeps `finance.analytics_daily` what the fold says, day by day as things happen, or all of it anew.

Both ways run the same pure fold over the same reads, so what was kept while it happened equals what a rebuild makes.
A mark names days that may be out of date; computing a day too often, or twice, changes nothing. Days without a mark are
right, and are read in place of the movements (`revenue` in domains/finance/queries.sql): so a facility's days are
computed in turns, each of which reads what is committed when it begins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision
from bson import ObjectId

from nexfit.domains.analytics.figures import Fold
from nexfit.domains.analytics.reading import happened, opening, sql
from nexfit.hybrid.feed_positions import transaction
from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres import Postgres, Row

MARKS = 1000
"""Marks looked after at a time."""

CHUNK = 31
"""Days that are computed at a time: what is held in memory is bounded by them, not by a facility's age."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Place:
    """A facility that has figures: its calendar, its currency, and the days it has rows of."""

    id: ObjectId
    zone: ZoneInfo
    created: datetime
    currency: str
    first: date | None
    last: date | None


async def refresh(mongo: Mongo, postgres: Postgres, *, now: datetime) -> int:
    """Compute what is marked, and the days that have come since; how many rows changed. Raises StoreError."""
    marks = await postgres.fetch(sql.marks, MARKS)
    asked: defaultdict[str, set[date]] = defaultdict(set)
    places = {str(place.id): place for place in await _places(mongo, postgres, None)}
    today_of = {key: now.astimezone(place.zone).date() for key, place in places.items()}
    for mark in marks:
        key = mark["facility_id"]
        if key in places:
            asked[key] |= set(_days(mark["first_day"] - _DAY, min(mark["last_day"] + _DAY, today_of[key])))
    for key, place in places.items():
        if place.last is None or place.last < today_of[key]:
            asked[key] |= set(_days(place.last + _DAY if place.last else today_of[key], today_of[key]))
    changed = 0
    for key, marked in asked.items():
        place, days = places[key], marked
        if place.first is None or min(days, default=place.first) < place.first:
            opened = await opening(mongo, postgres, place.id, place.zone, place.created)
            days = {day for day in days if day >= opened} | set(_days(opened, place.first or today_of[key]))
        changed += await _compute(mongo, postgres, place, days)
    async with transaction(postgres) as work:
        await work.execute(sql.unmark, [mark["mark_id"] for mark in marks])
    return changed


async def rebuild(
    mongo: Mongo,
    postgres: Postgres,
    *,
    now: datetime,
    facilities: Sequence[ObjectId] | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> int:
    """Compute every day of these facilities (all of them by default); how many rows changed. Raises StoreError."""
    changed = 0
    places = await _places(mongo, postgres, facilities)
    for done, place in enumerate(places):
        on_progress(done, len(places))
        first, last = (
            await opening(mongo, postgres, place.id, place.zone, place.created),
            now.astimezone(place.zone).date(),
        )
        changed += await _compute(mongo, postgres, place, set(_days(first, last)))
        changed += len(await postgres.fetch(sql.drop_outside, str(place.id), first, last))
    on_progress(len(places), len(places))
    return changed


async def _places(mongo: Mongo, postgres: Postgres, facilities: Sequence[ObjectId] | None) -> list[_Place]:
    """Facilities with an account, in the order of their ids; without one there is no currency to count in."""
    accounts = await postgres.fetch(sql.accounts, None if facilities is None else [str(id_) for id_ in facilities])
    ids = [ObjectId(account["facility_id"]) for account in accounts]
    found = await mongo.find("facilities", {"_id": {"$in": ids}}, ("timezone", "createdAt"))
    known: Mapping[ObjectId, Any] = {document["_id"]: document for document in found}
    return [_place(account, known[id_]) for account, id_ in zip(accounts, ids, strict=True) if id_ in known]


def _place(account: Row, document: Mapping[str, Any]) -> _Place:
    zone = ZoneInfo(document["timezone"])
    return _Place(document["_id"], zone, document["createdAt"], account["currency"], account["first"], account["last"])


async def _compute(mongo: Mongo, postgres: Postgres, place: _Place, days: Iterable[date]) -> int:
    changed = 0
    for first, last in _ranges(sorted(days)):
        figures = Fold(place.zone, first, last)
        async with transaction(postgres) as work:
            await work.execute(sql.take_turn, str(place.id))
            async for event in happened(mongo, work, place.id, place.zone, first, last):
                figures.take(event)
            rows = figures.days(place.currency, get_currency_precision(place.currency))
            changed += len(await work.fetch(sql.keep, str(place.id), rows))
    return changed


def _ranges(days: Sequence[date]) -> Iterable[tuple[date, date]]:
    """Days in a row, at most CHUNK of them at a time."""
    start = 0
    for place, day in enumerate(days):
        is_last = place + 1 == len(days)
        if is_last or days[place + 1] != day + _DAY or place - start + 1 == CHUNK:
            yield days[start], day
            start = place + 1


def _days(first: date, last: date) -> Iterable[date]:
    for number in range((last - first).days + 1):
        yield first + number * _DAY

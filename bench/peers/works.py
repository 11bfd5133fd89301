"""What is asked of the servers, and by whom."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import orjson

from bench.peers import memory
from bench.stores.works import OWNER_OVERVIEW, Subject, Work

TIMETABLE = """
query Timetable($facility: ID!) {
  facility(id: $facility) {
    classes(first: 50) { nodes { name instructor { firstName lastName }
      occurrences(first: 10) { startsAt capacity seatsTaken } } }
  }
}
"""

NOBODY = Subject(token="", facility=memory.ID, facility_name="", invoice="", tags=())


AT_HAND = {"maxStaleness": 60}
"""What a client sends who bears what NexFit has in its own memory; the others take no notice."""


def _body(query: str, extensions: dict[str, int] | None = None, **variables: object) -> bytes:
    body: dict[str, object] = {"query": query, "variables": variables}
    return orjson.dumps({**body, "extensions": extensions} if extensions else body)


def in_memory() -> Work:
    """The query over plain data."""
    return Work("in memory", "", _body(memory.QUERY, facility=memory.ID))


def on_stores(subject: Subject, today: date, *, kind: str, extensions: dict[str, int] | None = None) -> Sequence[Work]:
    """The overview of the last twelve months, the present one included, and the timetable. `kind` goes into names."""
    first = date(today.year - 1, today.month + 1, 1) if today.month < 12 else date(today.year, 1, 1)
    window = {"from": first.isoformat(), "to": today.isoformat()}
    facility = {"facility": subject.facility}
    return [
        Work(f"OwnerOverview, {kind}", "/overview", _body(OWNER_OVERVIEW, extensions, **facility, **window)),
        Work(f"timetable, {kind}", "/timetable", _body(TIMETABLE, extensions, **facility)),
    ]

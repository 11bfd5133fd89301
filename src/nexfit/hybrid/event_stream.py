"""The stream of events in Redis: one for the whole platform, written by the relay, read by one reader per process.

    stream   `nexfit:events`
    entry    id `<entry>-0`; fields `facility` (its id, or empty) and `event` (an Envelope as JSON)

An entry's number comes from PostgreSQL before the event is written here: microseconds since 1970 or, when that is
taken, the next number. So numbers rise, also after Redis was emptied, and a stream that lost its end gets the same
entries under the same numbers again. Reading on after the last number seen misses nothing and repeats nothing, as long
as that number is not older than `RETAINED`.
"""

from __future__ import annotations

import builtins
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import orjson

from nexfit.hybrid.events import Event

E = TypeVar("E", bound=Event)

STREAM = "nexfit:events"
FACILITY = b"facility"
EVENT = b"event"

RETAINED = 15 * 60.0
"""Seconds an entry stays in the stream at least."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A fact on its way: what every consumer gets, whatever its type. `at` is when it was written."""

    event_id: UUID
    type: str
    aggregate: str
    aggregate_id: str
    facility_id: str | None
    at: dt.datetime
    payload: Mapping[str, Any]

    def read(self, event: builtins.type[E]) -> E:
        """The fact as its class; raises pydantic's ValidationError when it is not one."""
        return event.model_validate(
            {**self.payload, "eventId": self.event_id, "facilityId": self.facility_id}, by_alias=True
        )

    def encode(self) -> bytes:
        """As it stands in the stream."""
        return orjson.dumps(
            {
                "id": str(self.event_id),
                "type": self.type,
                "aggregate": self.aggregate,
                "aggregateId": self.aggregate_id,
                "facilityId": self.facility_id,
                "at": self.at,
                "payload": self.payload,
            }
        )

    @classmethod
    def decode(cls, text: bytes) -> Envelope:
        """What `encode` made."""
        read = orjson.loads(text)
        return cls(
            event_id=UUID(read["id"]),
            type=read["type"],
            aggregate=read["aggregate"],
            aggregate_id=read["aggregateId"],
            facility_id=read["facilityId"],
            at=dt.datetime.fromisoformat(read["at"]),
            payload=read["payload"],
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """An event and its place in the stream."""

    number: int
    envelope: Envelope

    def fields(self) -> tuple[bytes, bytes, bytes, bytes]:
        """Names and values as XADD takes them."""
        return FACILITY, (self.envelope.facility_id or "").encode(), EVENT, self.envelope.encode()


def entry_id(number: int) -> str:
    """The id Redis knows an entry by."""
    return f"{number}-0"


def number_of(id_: bytes | str) -> int:
    """The number in an id of the stream."""
    text = id_.decode() if isinstance(id_, bytes) else id_
    return int(text.partition("-")[0])


def read_entry(id_: bytes, fields: Sequence[bytes]) -> Entry:
    """An entry as XRANGE and XREAD answer it: its id, and names and values in turn."""
    held = dict(zip(fields[::2], fields[1::2], strict=True))
    return Entry(number_of(id_), Envelope.decode(held[EVENT]))

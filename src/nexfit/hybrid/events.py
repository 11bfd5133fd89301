"""Facts that a unit of work tells the rest of the platform, and their form on the way.

A fact belongs to an aggregate, and the aggregate to one store: its home. The events of an aggregate are written in its
home in the transaction of the change, so their order there is the order of the changes, whichever unit made them.
"""

from __future__ import annotations

import builtins
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from nexfit.hybrid.ids import uuid7

E = TypeVar("E", bound="Event")

Home = Literal["mongo", "postgres"]


class Event(BaseModel):
    """A fact. Subclasses name the store of their aggregate (`home`), the kind of the aggregate, and its id.

    Their fields are the payload. `tags` are the cache tags that are out of date once the fact is committed.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    home: ClassVar[Home]
    aggregate: ClassVar[str]

    event_id: UUID = Field(default_factory=uuid7, exclude=True)
    facility_id: str | None = Field(default=None, exclude=True)

    @property
    def aggregate_id(self) -> str:
        """Which of the aggregates it is about."""
        raise NotImplementedError

    def tags(self) -> Sequence[str]:
        """Cache tags to raise after the commit."""
        return ()

    def payload(self) -> bytes:
        """The fields of the fact as a JSON object."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


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
                "id": self.event_id,
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

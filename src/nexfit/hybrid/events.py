"""Facts that a unit of work tells the rest of the platform.

A fact belongs to an aggregate, and the aggregate to one store: its home. The events of an aggregate are written in its
home in the transaction of the change, so their order there is the order of the changes, whichever unit made them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from nexfit.hybrid.ids import uuid7
from nexfit.hybrid.storable import storable

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
        return orjson.dumps(storable(self.model_dump(mode="json", by_alias=True, exclude_none=True)))

"""What a subscription's field says of itself: who may follow it, where, and how an event of the stream looks in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from bson import ObjectId

from nexfit.engine.fields import Record
from nexfit.hybrid.event_stream import Entry


class FeedState(StrEnum):
    """What a notice tells of the stream itself."""

    STARTED = "STARTED"
    RESUMED = "RESUMED"
    RESTARTED = "RESTARTED"
    MISSED = "MISSED"


@dataclass(frozen=True, slots=True)
class Place:
    """What a subscriber wants to follow: a facility, from the entry after a number or from now on."""

    facility: ObjectId
    after: int | None


class Feed(Protocol):
    """A field of the schema's subscription type is declared with one of these (`nexfit.api.fields.live`)."""

    permission: str
    """What the follower must be allowed at the facility, as long as it follows."""

    def place(self, args: Any) -> Place:
        """Where the arguments point; raises Refusal."""
        ...

    def show(self, entry: Entry) -> Record | None:
        """The field's value for an entry; None for one that does not show in it."""
        ...

    def notice(self, number: int, state: FeedState) -> Record:
        """The field's value that tells of the stream; continuing after `number` misses nothing more."""
        ...

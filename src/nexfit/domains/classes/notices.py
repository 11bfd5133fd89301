"""What became of a person's bookings without them: PostgreSQL's `platform.notices`, written from bookings' events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from bson import ObjectId

from nexfit.domains.classes.events import (
    BookingCancelledByFacility,
    BookingFact,
    WaitlistExpired,
    WaitlistPromoted,
)
from nexfit.hybrid.event_stream import Envelope
from nexfit.stores.postgres import Postgres, Row
from nexfit.stores.postgres_transactions import PostgresTransaction

MOST = 50
"""Notices shown, the latest ones."""


class NoticeKind(StrEnum):
    """What a notice tells."""

    SEAT_GIVEN = "seat_given"
    WAITED_IN_VAIN = "waited_in_vain"
    CALLED_OFF = "called_off"


KINDS: Mapping[str, NoticeKind] = {
    WaitlistPromoted.__name__: NoticeKind.SEAT_GIVEN,
    WaitlistExpired.__name__: NoticeKind.WAITED_IN_VAIN,
    BookingCancelledByFacility.__name__: NoticeKind.CALLED_OFF,
}
"""The events that are worth a notice: those that nobody asked for."""

# The event's id is the notice's: also without the consumer's care there is one for each event.
_WRITE = """
INSERT INTO platform.notices (notice_id, user_id, facility_id, occurrence_id, kind, at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (notice_id) DO NOTHING
"""


async def write(tx: PostgresTransaction, envelope: Envelope) -> None:
    """The notice of an event of one of the KINDS. Raises StoreError, pydantic's ValidationError."""
    fact = envelope.read(BookingFact)
    kind = str(KINDS[envelope.type])
    await tx.execute(_WRITE, envelope.event_id, fact.user_id, fact.facility_id, fact.occurrence_id, kind, envelope.at)


async def of_person(postgres: Postgres, person: ObjectId, columns: Iterable[str]) -> list[Row]:
    """A person's latest notices, latest first, in one statement."""
    selected = ", ".join(sorted({*columns, "notice_id"}))
    return await postgres.fetch(
        f"SELECT {selected} FROM platform.notices WHERE user_id = $1"  # noqa: S608 - our own names
        f" ORDER BY at DESC, notice_id DESC LIMIT {MOST}",
        str(person),
    )

"""What became of people's bookings and memberships without them: PostgreSQL's `platform.notices`, made from events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from uuid import UUID

from bson import ObjectId

from nexfit.domains.classes.events import (
    BookingCancelledByFacility,
    BookingFact,
    WaitlistExpired,
    WaitlistPromoted,
)
from nexfit.domains.memberships.events import MembershipFact, MembershipStateChanged, RenewalDeclined
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
    PAYMENT_DUE = "payment_due"
    PAYMENT_DECLINED = "payment_declined"
    MEMBERSHIP_SUSPENDED = "membership_suspended"
    MEMBERSHIP_ACTIVE_AGAIN = "membership_active_again"


KINDS: Mapping[str, NoticeKind] = {
    WaitlistPromoted.__name__: NoticeKind.SEAT_GIVEN,
    WaitlistExpired.__name__: NoticeKind.WAITED_IN_VAIN,
    BookingCancelledByFacility.__name__: NoticeKind.CALLED_OFF,
}
"""The events that are worth a notice: those that nobody asked for."""

MEMBERSHIP_EVENTS = (MembershipStateChanged.__name__, RenewalDeclined.__name__)

_BEHIND = ("past_due", "suspended")
_WRITE_MEMBERSHIP = """
INSERT INTO platform.notices (notice_id, user_id, facility_id, subscription_id, kind, at)
  VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (notice_id) DO NOTHING
"""

# The event's id is the notice's: also without the consumer's care there is one for each event.
_WRITE = """
INSERT INTO platform.notices (notice_id, user_id, facility_id, occurrence_id, kind, at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (notice_id) DO NOTHING
"""


async def write(tx: PostgresTransaction, envelope: Envelope) -> None:
    """The notice of one of the KINDS or MEMBERSHIP_EVENTS. Raises StoreError, pydantic's ValidationError."""
    if envelope.type in MEMBERSHIP_EVENTS:
        await _write_membership(tx, envelope)
        return
    fact = envelope.read(BookingFact)
    kind = str(KINDS[envelope.type])
    await tx.execute(_WRITE, envelope.event_id, fact.user_id, fact.facility_id, fact.occurrence_id, kind, envelope.at)


async def _write_membership(tx: PostgresTransaction, envelope: Envelope) -> None:
    fact: MembershipFact
    if envelope.type == RenewalDeclined.__name__:
        fact, kind = envelope.read(RenewalDeclined), NoticeKind.PAYMENT_DECLINED
    else:
        fact = changed = envelope.read(MembershipStateChanged)
        found = kind_of(changed.before, changed.after)
        if found is None:
            return
        kind = found
    whose = (fact.user_id, fact.facility_id, UUID(fact.subscription_id))
    await tx.execute(_WRITE_MEMBERSHIP, envelope.event_id, *whose, str(kind), envelope.at)


def kind_of(before: str, after: str) -> NoticeKind | None:
    """What a membership's way from state to state is worth telling as; None for what its holder did or expected."""
    match after:
        case "past_due":
            return NoticeKind.PAYMENT_DUE
        case "suspended":
            return NoticeKind.MEMBERSHIP_SUSPENDED
        case "active" if before in _BEHIND:
            return NoticeKind.MEMBERSHIP_ACTIVE_AGAIN
    return None


async def of_person(postgres: Postgres, person: ObjectId, columns: Iterable[str]) -> list[Row]:
    """A person's latest notices, latest first, in one statement."""
    selected = ", ".join(sorted({*columns, "notice_id"}))
    return await postgres.fetch(
        f"SELECT {selected} FROM platform.notices WHERE user_id = $1"  # noqa: S608 - our own names
        f" ORDER BY at DESC, notice_id DESC LIMIT {MOST}",
        str(person),
    )

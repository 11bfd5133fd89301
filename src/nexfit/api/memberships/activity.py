"""`facilityActivity`: what happens at a facility, as it happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from bson import ObjectId

from nexfit.api.access import PERMITTED
from nexfit.api.classes.bookings import dates_of_bookings
from nexfit.api.fields import Args, batch, column, live
from nexfit.api.identity.types import User, user_field
from nexfit.api.live.feeds import FeedState, Place
from nexfit.api.memberships.loaders import plans_of_rows
from nexfit.api.memberships.types import Membership
from nexfit.api.memberships.visits import Visit
from nexfit.api.relay import local_id
from nexfit.domains.classes import events as bookings
from nexfit.domains.classes.documents import BookingStatus
from nexfit.domains.errors import BadInput
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.domains.memberships.events import MembershipRenewed, MembershipSold, VisitRecorded
from nexfit.engine.fields import TYPENAME, Record
from nexfit.hybrid.event_stream import Entry, Envelope

if TYPE_CHECKING:
    from nexfit.api.classes.types import ClassOccurrence

ActivityState = strawberry.enum(
    FeedState,
    name="ActivityState",
    description="What a notice tells of the stream itself.",
)


@strawberry.interface(description="Something that happened at a facility, or a notice about the stream itself.")
class FacilityActivity:
    """Told apart by `__typename`."""

    cursor: str = column(description="Follow again with `after` this to miss nothing; good for at least ten minutes.")


@strawberry.type(description="Somebody came in.")
class VisitActivity(FacilityActivity):
    """An event of the stream."""

    at: datetime = column(description="When.")
    visit: Visit | None = column(description="The visit.")


@strawberry.type(description="A place on a date of a class was taken, given up, used or missed.")
class BookingActivity(FacilityActivity):
    """An event of the stream."""

    at: datetime = column(description="When.")
    status: BookingStatus = column(description="What became of the booking.")
    promoted: bool = column(description="Whether a freed seat was given to a member who waited.")
    waitlist_position: int | None = column(description="The place on the waitlist, for a member who joined it.")
    user: User | None = user_field("userId", description="Whose place it is.")
    occurrence: Annotated[ClassOccurrence, strawberry.lazy("nexfit.api.classes.types")] | None = batch(
        dates_of_bookings, needs=("occurrenceId",), description="The date, as it is now."
    )


@strawberry.type(description="A membership was sold or renewed at the desk.")
class MembershipActivity(FacilityActivity):
    """An event of the stream."""

    at: datetime = column(description="When.")
    renewed: bool = column(description="Whether it is one more term of a membership the member held.")
    starts_on: date = column(description="First day of the term, in the facility's calendar.")
    ends_on: date = column(description="Last day of the term, included.")
    user: User | None = user_field("userId", description="Who holds it.")
    plan: Membership | None = batch(plans_of_rows, needs=("plan_id",), description="The plan.")


@strawberry.type(description="Tells of the stream: the first message, and after a gap.")
class ActivityNotice(FacilityActivity):
    """No event."""

    state: ActivityState = column(description="What is the case.")  # type: ignore[valid-type]


ACTIVITY_TYPES = (VisitActivity, BookingActivity, MembershipActivity, ActivityNotice)
"""The possible types of FacilityActivity, which no field names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FacilityActivityArgs(Args):
    """Which facility, and from where on."""

    facility: Annotated[strawberry.ID, strawberry.argument(description="Its global id.")]
    after: Annotated[
        str | None, strawberry.argument(description="The last cursor that was seen; without one from now on.")
    ] = None


class _FacilityActivity:
    permission = StaffPermission.MEMBERS_READ

    def place(self, args: FacilityActivityArgs) -> Place:
        facility = local_id(args.facility, "Facility")
        if facility is None or not ObjectId.is_valid(facility):
            raise BadInput("This is not the id of a facility.", path=("facility",))
        return Place(ObjectId(facility), _number(args.after) if args.after is not None else None)

    def show(self, entry: Entry) -> Record | None:
        make = _SHOWN.get(entry.envelope.type)
        if make is None:
            return None
        common = {PERMITTED: self.permission, "cursor": str(entry.number), "at": entry.envelope.at}
        return {**common, **make(entry.envelope)}

    def notice(self, number: int, state: FeedState) -> Record:
        return {TYPENAME: "ActivityNotice", "cursor": str(number), "state": state}


def _visit(envelope: Envelope) -> Record:
    event = envelope.read(VisitRecorded)
    visit = {
        PERMITTED: _FacilityActivity.permission,
        "_id": event.visit_id,
        "at": event.at,
        "source": event.source,
        "userId": ObjectId(event.user_id),
    }
    return {TYPENAME: "VisitActivity", "at": event.at, "visit": visit}


def _booking(envelope: Envelope) -> Record:
    event = envelope.read(bookings.BookingFact)
    return {
        TYPENAME: "BookingActivity",
        "status": bookings.STATUSES[envelope.type],
        "promoted": envelope.type == bookings.WaitlistPromoted.__name__,
        "waitlistPosition": envelope.payload.get("position"),
        "userId": ObjectId(event.user_id),
        "occurrenceId": ObjectId(event.occurrence_id),
    }


def _membership(envelope: Envelope) -> Record:
    event = envelope.read(MembershipSold)
    return {
        TYPENAME: "MembershipActivity",
        "renewed": envelope.type == MembershipRenewed.__name__,
        "startsOn": event.starts_on,
        "endsOn": event.ends_on,
        "userId": ObjectId(event.user_id),
        "plan_id": event.plan_id,
    }


_SHOWN: Mapping[str, Callable[[Envelope], Record]] = {
    VisitRecorded.__name__: _visit,
    **dict.fromkeys(bookings.STATUSES, _booking),
    **dict.fromkeys((MembershipSold.__name__, MembershipRenewed.__name__), _membership),
}


def _number(cursor: str) -> int:
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > 18:
        raise BadInput("This is not a cursor of this subscription.", path=("after",))
    return int(cursor)


@strawberry.type
class ActivitySubscriptions:
    """Root fields of this area."""

    facility_activity: FacilityActivity = live(
        _FacilityActivity(),
        args=FacilityActivityArgs,
        description=(
            "What happens at a facility, as it happens, for those who may read its members and as long as they may."
            " The first message is a notice."
        ),
    )

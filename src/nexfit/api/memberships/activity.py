"""`facilityActivity`: what happens at a facility, as it happens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import strawberry
from bson import ObjectId

from nexfit.api.access import PERMITTED
from nexfit.api.fields import Args, column, live
from nexfit.api.live.feeds import FeedState, Place
from nexfit.api.memberships.visits import Visit
from nexfit.api.relay import local_id
from nexfit.domains.errors import BadInput
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.domains.memberships.events import VisitRecorded
from nexfit.engine.fields import TYPENAME, Record
from nexfit.hybrid.event_stream import Entry

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


@strawberry.type(description="Tells of the stream: the first message, and after a gap.")
class ActivityNotice(FacilityActivity):
    """No event."""

    state: ActivityState = column(description="What is the case.")  # type: ignore[valid-type]


ACTIVITY_TYPES = (VisitActivity, ActivityNotice)
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
        if entry.envelope.type != VisitRecorded.__name__:
            return None
        event = entry.envelope.read(VisitRecorded)
        return {
            TYPENAME: "VisitActivity",
            PERMITTED: self.permission,
            "cursor": str(entry.number),
            "at": event.at,
            "visit": {
                PERMITTED: self.permission,
                "_id": event.visit_id,
                "at": event.at,
                "source": event.source,
                "userId": ObjectId(event.user_id),
            },
        }

    def notice(self, number: int, state: FeedState) -> Record:
        return {TYPENAME: "ActivityNotice", "cursor": str(number), "state": state}


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

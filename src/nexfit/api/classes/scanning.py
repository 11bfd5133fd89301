"""The code a member shows at the door, and scanning it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import strawberry

from nexfit.api.access import PERMITTED
from nexfit.api.classes.bookings import ClassBooking
from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity.types import User, user_field
from nexfit.api.memberships.visits import Visit
from nexfit.api.relay import object_id
from nexfit.domains.classes import bookings, scanning
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.domains.memberships import visits
from nexfit.domains.memberships.check_in_codes import STEP, CheckInCodes
from nexfit.engine.fields import Record


@strawberry.type(description="What a member shows at the door, as a QR code.")
class CheckInCode:
    """Signed, and another one every half minute."""

    code: str = column(description="The text of the QR code.")
    expires_at: datetime = column(description=f"When the next one is due; codes change every {STEP} seconds.")


async def _code(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    user = context.actor.user_id
    if user is None:
        return [None] * len(parents)
    code, until = CheckInCodes.of(context.services.settings).make(user, context.now)
    return [{"code": code, "expiresAt": until}] * len(parents)


@strawberry.type
class CheckInQueries:
    """Root fields of this area."""

    check_in_code: CheckInCode | None = batch(
        _code, description="The viewer's code of this moment, to be let in by; null for a guest."
    )


@strawberry.input(description="Which code was scanned where.")
class ScanCheckInCodeInput:
    """Input of `scanCheckInCode`."""

    facility: strawberry.ID = strawberry.field(description="Whose door.")
    code: str = strawberry.field(description="The text of the QR code.")


@strawberry.type(description="Who came in, and what was recorded.")
class ScanCheckInCodePayload:
    """Payload of `scanCheckInCode`."""

    user: User | None = user_field("userId", description="Who came in.")
    booking: ClassBooking | None = column(description="The class that was checked in to, if one was about to begin.")
    visit: Visit | None = column(description="Else the visit.")
    visits_left: int | None = column(description="How often the member may come again this week; null for no limit.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanCheckInCodeArgs(Args):
    """Arguments of `scanCheckInCode`."""

    input: Annotated[ScanCheckInCodeInput, strawberry.argument(description="Which code, where.")]


async def _scan(args: ScanCheckInCodeArgs, context: Context) -> Mapping[str, Any]:
    mongo = context.stores.mongo
    scanned = await scanning.scan(
        context.services.classes,
        CheckInCodes.of(context.services.settings),
        context.actor,
        facility=object_id(args.input.facility, "Facility", "facility"),
        code=args.input.code,
        now=context.now,
    )
    booking = visit = None
    if scanned.booking is not None and (below := args.selection.at("booking")):
        booking = (await bookings.by_ids(mongo, [scanned.booking], below.columns)).get(scanned.booking)
    if scanned.visit is not None and args.selection.at("visit"):
        visit = (await visits.by_ids(mongo, [scanned.visit])).get(scanned.visit)
    return {
        "userId": scanned.user,
        "booking": booking,
        "visit": visit and {**visit, PERMITTED: StaffPermission.CHECK_IN},
        "visitsLeft": scanned.left,
    }


@strawberry.type
class CheckInMutations:
    """Root fields of this area."""

    scan_check_in_code: ScanCheckInCodePayload = batch(
        answering(_scan, {"userId": None}),
        args=ScanCheckInCodeArgs,
        description="Let in who shows a code, for staff with check_in: to the class that is about to begin, if one is "
        "booked, else as a visit. Scanning it again changes nothing.",
    )

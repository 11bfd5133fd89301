"""Personal training sessions: what is scheduled, moved, held, missed, cancelled, and what both sides say of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.classes.loaders import facilities_of_parents
from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity.types import User, user_field
from nexfit.api.relay import IDEMPOTENCY_KEY, Node, id_reader, object_id, short_text
from nexfit.domains.coaching import scheduling, sessions
from nexfit.domains.coaching.documents import SessionPlace, SessionStatus
from nexfit.domains.coaching.scheduling import CANCEL_FREE, LONGEST, SHORTEST, Slot
from nexfit.domains.errors import BadInput

if TYPE_CHECKING:
    from nexfit.api.facilities.types import Facility

MOST_DETAILS, MOST_REASON, MOST_NOTES = 300, 300, 2_000

strawberry.enum(SessionPlace, name="PtSessionPlace", description="Where a session takes place.")


@strawberry.type(description="Where a session takes place.")
class PtSessionLocation:
    """Embedded in a session."""

    type: SessionPlace = column(description="What kind of place.")
    details: str | None = column(description="Which.")


@strawberry.type(description="What one side says of a session.")
class PtOpinion:
    """Embedded in a session."""

    rating: int | None = column(description="1 to 5.")
    notes: str | None = column(description="In words.")


@strawberry.type(description="What both sides say of a session.")
class PtFeedback:
    """Embedded in a session."""

    coach: PtOpinion | None = column(description="The coach.")
    client: PtOpinion | None = column(description="The client.")


@strawberry.type(description="A personal training session; coach and client alone can find it.")
class PtSession(Node):
    """From MongoDB's `pt_sessions`."""

    id: strawberry.ID = column("_id", read=id_reader("PtSession"), description="The global id.")
    starts_at: datetime = column("startTime", description="Its start.")
    ends_at: datetime = column("endTime", description="Its end; the next one may start then.")
    duration: int = column(description="Minutes.")
    status: SessionStatus = column(description="What became of it so far.")
    location: PtSessionLocation = column(description="Where.")
    feedback: PtFeedback | None = column(description="What both say of it; null before anybody did.")
    cancelled_at: datetime | None = column(description="When it was cancelled.")
    cancellation_reason: str | None = column(description="Why it was cancelled.")
    created_at: datetime = column(description="When it was scheduled.")
    coach: User | None = user_field("coachId", description="Who trains.")
    client: User | None = user_field("clientId", description="Who is trained.")
    cancelled_by: User | None = user_field("cancelledBy", description="Who cancelled it.")
    facility: Annotated[Facility, strawberry.lazy("nexfit.api.facilities.types")] | None = batch(
        facilities_of_parents, needs=("facilityId",), description="The facility, if it is at one."
    )


@strawberry.type(description="The session as it is now, or why nothing was changed.")
class PtSessionPayload:
    """Payload of the mutations of a session."""

    session: PtSession | None = column(description="The session; null when nothing was done.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.input(description="When and where.")
class PtSlotInput:
    """A part of `schedulePtSession` and `reschedulePtSession`."""

    starts_at: datetime = strawberry.field(description="Its start, within the next year.")
    minutes: int = strawberry.field(default=60, description=f"{SHORTEST} to {LONGEST}.")
    place: SessionPlace = strawberry.field(default=SessionPlace.ONLINE, description="What kind of place.")
    details: str | None = strawberry.field(default=None, description=f"Which; at most {MOST_DETAILS} characters.")
    facility: strawberry.ID | None = strawberry.field(
        default=None, description="The facility, where the coach works; with the place FACILITY and no other."
    )


@strawberry.input(description="With whom and when.")
class SchedulePtSessionInput:
    """Input of `schedulePtSession`."""

    relation: strawberry.ID = strawberry.field(description="The active `CoachClient`.")
    slot: PtSlotInput = strawberry.field(description="When and where.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@strawberry.input(description="Which session is moved to when.")
class ReschedulePtSessionInput:
    """Input of `reschedulePtSession`."""

    session: strawberry.ID = strawberry.field(description="A `PtSession` that has not begun.")
    slot: PtSlotInput = strawberry.field(description="When and where instead.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@strawberry.input(description="Which session, and whether the client came.")
class CompletePtSessionInput:
    """Input of `completePtSession`."""

    session: strawberry.ID = strawberry.field(description="A `PtSession` that has begun.")
    came: bool = strawberry.field(default=True, description="False for a no-show.")


@strawberry.input(description="Which session does not take place.")
class CancelPtSessionInput:
    """Input of `cancelPtSession`."""

    session: strawberry.ID = strawberry.field(description="A `PtSession` that has not begun.")
    reason: str | None = strawberry.field(default=None, description=f"At most {MOST_REASON} characters.")


@strawberry.input(description="How a session was.")
class RatePtSessionInput:
    """Input of `ratePtSession`."""

    session: strawberry.ID = strawberry.field(description="A completed `PtSession`.")
    rating: int = strawberry.field(description="1 to 5.")
    notes: str | None = strawberry.field(default=None, description=f"At most {MOST_NOTES} characters.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleArgs(Args):
    """Arguments of `schedulePtSession`."""

    input: Annotated[SchedulePtSessionInput, strawberry.argument(description="With whom and when.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RescheduleArgs(Args):
    """Arguments of `reschedulePtSession`."""

    input: Annotated[ReschedulePtSessionInput, strawberry.argument(description="Which, to when.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteArgs(Args):
    """Arguments of `completePtSession`."""

    input: Annotated[CompletePtSessionInput, strawberry.argument(description="Which, and who came.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelArgs(Args):
    """Arguments of `cancelPtSession`."""

    input: Annotated[CancelPtSessionInput, strawberry.argument(description="Which, and why.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateArgs(Args):
    """Arguments of `ratePtSession`."""

    input: Annotated[RatePtSessionInput, strawberry.argument(description="How it was.")]


def _changing(change: Callable[[Any, Context], Awaitable[ObjectId]]) -> Any:
    """A change of a session, and what became of it: read after the commit, as far as it was asked for."""

    async def run(args: Any, context: Context) -> Mapping[str, Any]:
        id_ = await change(args.input, context)
        asked = args.selection.at("session")
        found = await sessions.by_ids(context.stores.mongo, [id_], asked.columns) if asked else {}
        return {"session": found.get(id_)}

    return answering(run)


def _slot(given: PtSlotInput) -> Slot:
    return Slot(
        starts_at=given.starts_at.replace(microsecond=given.starts_at.microsecond // 1000 * 1000),
        minutes=given.minutes,
        place=given.place,
        details=short_text(given.details, MOST_DETAILS, "details"),
        facility=None if given.facility is None else object_id(given.facility, "Facility", "facility"),
    )


def _id(given: str) -> ObjectId:
    return object_id(given, "PtSession", "session")


async def _schedule(asked: SchedulePtSessionInput, context: Context) -> ObjectId:
    relation = object_id(asked.relation, "CoachClient", "relation")
    desk, key = context.services.coaching, asked.idempotency_key
    return await scheduling.schedule(desk, context.actor, relation, _slot(asked.slot), key=key, now=context.now)


async def _reschedule(asked: ReschedulePtSessionInput, context: Context) -> ObjectId:
    desk, key = context.services.coaching, asked.idempotency_key
    return await scheduling.reschedule(
        desk, context.actor, _id(asked.session), _slot(asked.slot), key=key, now=context.now
    )


async def _complete(asked: CompletePtSessionInput, context: Context) -> ObjectId:
    id_ = _id(asked.session)
    await scheduling.complete(context.services.coaching, context.actor, id_, came=asked.came, now=context.now)
    return id_


async def _cancel(asked: CancelPtSessionInput, context: Context) -> ObjectId:
    id_, reason = _id(asked.session), short_text(asked.reason, MOST_REASON, "reason")
    await scheduling.cancel(context.services.coaching, context.actor, id_, reason=reason, now=context.now)
    return id_


async def _rate(asked: RatePtSessionInput, context: Context) -> ObjectId:
    id_, notes = _id(asked.session), short_text(asked.notes, MOST_NOTES, "notes")
    if not 1 <= asked.rating <= 5:
        raise BadInput("{name} must be between {least} and {most}.", path=("rating",), name="rating", least=1, most=5)
    await scheduling.rate(context.services.units, context.actor, id_, asked.rating, notes, now=context.now)
    return id_


@strawberry.type
class PtSessionMutations:
    """Root fields of this area."""

    schedule_pt_session: PtSessionPayload = batch(
        _changing(_schedule),
        args=ScheduleArgs,
        description="Schedule a session, as a coach at any time, as a client within the coach's hours. It reserves a "
        "credit of the package that ends first.",
    )
    reschedule_pt_session: PtSessionPayload = batch(
        _changing(_reschedule),
        args=RescheduleArgs,
        description="As a coach, move a session: the answer is the new one, and the old one is cancelled.",
    )
    complete_pt_session: PtSessionPayload = batch(
        _changing(_complete),
        args=CompleteArgs,
        description="As the coach, or staff of its facility with classes_write, say from the start on whether the "
        "client came. The credit is used either way. Repeating it changes nothing.",
    )
    cancel_pt_session: PtSessionPayload = batch(
        _changing(_cancel),
        args=CancelArgs,
        description="As coach or client, cancel a session before its start. The credit comes back, unless the client "
        f"is later than {int(CANCEL_FREE.total_seconds() // 3600)} hours before it. Repeating it changes nothing.",
    )
    rate_pt_session: PtSessionPayload = batch(
        _changing(_rate),
        args=RateArgs,
        description="As coach or client, say how a completed session was; said again it replaces what was said.",
    )

"""What clients say of coaches, and what coaches answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column, derived
from nexfit.api.relay import (
    Node,
    PageArgs,
    connection,
    id_reader,
    node_selection,
    object_id,
    page_request,
    short_text,
)
from nexfit.domains.coaching import directory, reviews
from nexfit.domains.coaching.reviews import CoachReviewDraft, ReplyDraft
from nexfit.domains.errors import BadInput
from nexfit.domains.identity import people
from nexfit.domains.identity.profiles import MAX_BIO
from nexfit.domains.identity.validation import checked
from nexfit.engine.fields import Record

if TYPE_CHECKING:
    from nexfit.api.coaching.coaches import Coach

MOST_REASON = 300


@strawberry.type(description="What a coach answers to a review.")
class CoachReply:
    """Embedded in a review."""

    text: str = column(description="In the coach's words.")
    updated_at: datetime = column(description="When it was written, or changed last.")


async def _names_of_authors(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """What is shown of each review's author, in one command."""
    ids = [parent["authorId"] for parent in parents]
    found = await people.by_ids(context.stores.mongo, ids, ("firstName", "lastName"))
    return [f"{one['firstName']} {one['lastName'][:1]}." if (one := found.get(id_)) else None for id_ in ids]


def _is_mine(record: Record, _args: object, context: Context) -> bool:
    return context.actor.is_user(record["authorId"])


@strawberry.type(description="What a client says of a coach after training with them.")
class CoachReview(Node):
    """From MongoDB's `reviews`."""

    id: strawberry.ID = column("_id", read=id_reader("CoachReview"), description="The global id.")
    rating: int = column(description="1 to 5.")
    text: str | None = column(description="In their words.")
    author_name: str | None = batch(
        _names_of_authors,
        needs=("authorId",),
        description="Who: the given name and the family name's first letter. Clients of a coach are nobody's business.",
    )
    is_mine: bool | None = derived(_is_mine, needs=("authorId",), description="Whether the viewer wrote it.")
    reply: CoachReply | None = column(description="What the coach answers.")
    created_at: datetime = column(description="When.")
    updated_at: datetime = column(description="When it was changed last.")


async def reviews_of_coaches(parents: Sequence[Record], args: PageArgs, context: Context) -> Sequence[Any]:
    """A connection of each coach's reviews."""
    pages = await reviews.pages_of(
        context.stores.mongo,
        [parent["_id"] for parent in parents],
        page_request(args, reviews.ORDER),
        node_selection(args.selection).columns,
    )
    return [connection(page, reviews.ORDER, args.selection) for page in pages]


@strawberry.input(description="A review of a coach.")
class SaveCoachReviewInput:
    """Input of `saveCoachReview`."""

    coach: strawberry.ID = strawberry.field(description="A `Coach` who completed a session with you.")
    rating: int = strawberry.field(description="1 to 5.")
    text: str | None = strawberry.field(default=None, description=f"In your words; at most {MAX_BIO} characters.")


@strawberry.input(description="Which review.")
class DeleteCoachReviewInput:
    """Input of `deleteCoachReview`."""

    review: strawberry.ID = strawberry.field(description="A `CoachReview` of yours.")


@strawberry.input(description="What you answer to which review.")
class ReplyToCoachReviewInput:
    """Input of `replyToCoachReview`."""

    review: strawberry.ID = strawberry.field(description="A `CoachReview` of you.")
    text: str | None = strawberry.field(
        default=None, description=f"At most {MAX_BIO} characters; null takes the answer back."
    )


@strawberry.input(description="Which review an operator should look at.")
class ReportCoachReviewInput:
    """Input of `reportCoachReview`."""

    review: strawberry.ID = strawberry.field(description="A `CoachReview`.")
    reason: str = strawberry.field(description=f"What is wrong with it; 1 to {MOST_REASON} characters.")


@strawberry.type(description="The review as it is now, or why nothing was changed.")
class CoachReviewPayload:
    """Payload of the mutations of coaches' reviews."""

    review: CoachReview | None = column(description="The review; null when nothing was done, and once it is deleted.")
    coach: Annotated[Coach, strawberry.lazy("nexfit.api.coaching.coaches")] | None = column(
        description="Whom it is about, with the mean and the number that follow; null when nothing was done."
    )
    user_errors: list[UserError] = column(description="Why not, if not.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveCoachReviewArgs(Args):
    """Arguments of `saveCoachReview`."""

    input: Annotated[SaveCoachReviewInput, strawberry.argument(description="The review.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteCoachReviewArgs(Args):
    """Arguments of `deleteCoachReview`."""

    input: Annotated[DeleteCoachReviewInput, strawberry.argument(description="Which review.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyToCoachReviewArgs(Args):
    """Arguments of `replyToCoachReview`."""

    input: Annotated[ReplyToCoachReviewInput, strawberry.argument(description="The answer.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCoachReviewArgs(Args):
    """Arguments of `reportCoachReview`."""

    input: Annotated[ReportCoachReviewInput, strawberry.argument(description="Which review, and why.")]


def _review_id(given: str) -> ObjectId:
    return object_id(given, "CoachReview", "review")


async def _shown(args: Args, context: Context, review: ObjectId, coach: ObjectId | None = None) -> Mapping[str, Any]:
    """The review and its coach after the commit, as far as they were asked for."""
    mongo, answer = context.stores.mongo, dict[str, Any]()
    asked = args.selection
    if asked.at("review") or (asked.at("coach") and coach is None):
        found = (await reviews.by_ids(mongo, [review], {*asked.at("review").columns, "subjectId"})).get(review)
        answer["review"] = found
        if found is not None:
            coach = found["subjectId"]
    if asked.at("coach") and coach is not None:
        answer["coach"] = (await directory.by_ids(mongo, [coach], asked.at("coach").columns)).get(coach)
    return answer


async def _save(args: SaveCoachReviewArgs, context: Context) -> Mapping[str, Any]:
    coach = object_id(args.input.coach, "Coach", "coach")
    draft = checked(CoachReviewDraft, rating=args.input.rating, text=args.input.text)
    review = await reviews.save(context.services.units, context.actor, coach, draft, now=context.now)
    return await _shown(args, context, review, coach)


async def _delete(args: DeleteCoachReviewArgs, context: Context) -> Mapping[str, Any]:
    review = _review_id(args.input.review)
    coach = await reviews.delete(context.services.units, context.actor, review)
    return await _shown(args, context, review, coach)


async def _reply(args: ReplyToCoachReviewArgs, context: Context) -> Mapping[str, Any]:
    review, text = _review_id(args.input.review), args.input.text
    draft = None if text is None else checked(ReplyDraft, text=text)
    await reviews.reply(context.services.units, context.actor, review, draft, now=context.now)
    return await _shown(args, context, review)


async def _report(args: ReportCoachReviewArgs, context: Context) -> Mapping[str, Any]:
    review, reason = _review_id(args.input.review), short_text(args.input.reason, MOST_REASON, "reason")
    if reason is None:
        raise BadInput("Say what is wrong with it.", path=("reason",))
    await reviews.report(context.services.units, context.actor, review, reason, now=context.now)
    return await _shown(args, context, review)


@strawberry.type
class CoachReviewMutations:
    """Root fields of this area."""

    save_coach_review: CoachReviewPayload = batch(
        answering(_save),
        args=SaveCoachReviewArgs,
        description="Review a coach who completed a session with you, in place of your earlier review.",
    )
    delete_coach_review: CoachReviewPayload = batch(
        answering(_delete), args=DeleteCoachReviewArgs, description="Take your review of a coach back."
    )
    reply_to_coach_review: CoachReviewPayload = batch(
        answering(_reply),
        args=ReplyToCoachReviewArgs,
        description="As the coach it is about, answer a review in place of an earlier answer, or take the answer back.",
    )
    report_coach_review: CoachReviewPayload = batch(
        answering(_report),
        args=ReportCoachReviewArgs,
        description="Ask an operator to look at a review. Reporting it again changes nothing.",
    )

"""Reviews of coaches: one for each client and coach, after a completed session; the coach may answer each.

Mean and number follow in the commit that changes a review (`nexfit.domains.identity.coach_listing`): whoever reviews
the same coach at the same time writes the same document, and one of the two runs again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from bson import ObjectId

from nexfit.domains.coaching.documents import SessionStatus
from nexfit.domains.coaching.errors import NoCoach, NoReview, NotTrained
from nexfit.domains.coaching.sessions import COLLECTION as SESSIONS
from nexfit.domains.identity import coach_listing
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.people import COACHES
from nexfit.domains.identity.profiles import BioText
from nexfit.domains.identity.review_documents import ReviewSubject
from nexfit.domains.identity.validation import Input
from nexfit.hybrid import documents_paging
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.paging import Key, Page, PageRequest, instant, object_id
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.documents import Rating
from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "reviews"
ORDER = "coach_reviews:CREATED:DESC"
MOST_REPORTS = 100
"""Kept of one review; it is looked at long before."""

_KEYS = (Key("createdAt", instant, descending=True), Key("_id", object_id, descending=True))
_OF_COACHES = {"subjectType": str(ReviewSubject.COACH)}


class CoachReviewDraft(Input):
    """A rating, and what is said with it."""

    rating: Rating
    text: BioText | None = None


class ReplyDraft(Input):
    """What a coach answers."""

    text: BioText


class CoachReviewChanged(Event):
    """A review of a coach was written, changed, answered or deleted."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "review"

    review_id: str
    coach_id: str
    change: str

    @property
    def aggregate_id(self) -> str:
        """The review."""
        return self.review_id

    def tags(self) -> Sequence[str]:
        """What is kept of the coach."""
        return (f"user:{self.coach_id}",)


async def save(
    units: UnitsOfWork, actor: Actor, coach: ObjectId, draft: CoachReviewDraft, *, now: datetime
) -> ObjectId:
    """Keep the viewer's review of a coach in place of an earlier one; its id. A reply of the coach stays.

    Raises Unauthenticated, NotFound, and NotTrained before a session of the two was completed.
    """
    viewer = actor.require()

    async def body(work: MongoWork) -> ObjectId:
        if await work.mongo.find_one("users", {"_id": coach, "role": {"$in": COACHES}, "isActive": True}, ()) is None:
            raise NoCoach
        done = {"coachId": coach, "clientId": viewer, "status": str(SessionStatus.COMPLETED)}
        if await work.mongo.find_one(SESSIONS, done, ()) is None:
            raise NotTrained
        own = {"authorId": viewer, **_OF_COACHES, "subjectId": coach}
        kept = await work.mongo.find_one(COLLECTION, own, ("rating", "text"))
        said = {"rating": draft.rating} | ({"text": draft.text} if draft.text is not None else {})
        if kept is None:
            id_ = ObjectId()
            try:
                await work.mongo.insert(COLLECTION, {"_id": id_, **own, **said, "createdAt": now, "updatedAt": now})
            except ConstraintViolated as violated:
                raise WriteConflict("mongo", "the review is there meanwhile") from violated
        else:
            id_ = ObjectId(kept["_id"])
            if {name: kept[name] for name in ("rating", "text") if name in kept} == said:
                return id_
            gone = {"$unset": {"text": ""}} if draft.text is None else {}
            await work.mongo.update(COLLECTION, {"_id": id_}, {"$set": {**said, "updatedAt": now}, **gone})
        await coach_listing.refresh(work.mongo, coach)
        _tell(work, id_, coach, "saved", viewer, {"rating": draft.rating})
        return id_

    return await units.mongo("save_coach_review").run(body)


async def delete(units: UnitsOfWork, actor: Actor, review: ObjectId) -> ObjectId:
    """Take one's own review back; whose it was about. Raises Unauthenticated, NotFound."""
    viewer = actor.require()
    return await _delete(units, {"_id": review, "authorId": viewer, **_OF_COACHES}, viewer)


async def remove(units: UnitsOfWork, review: ObjectId) -> ObjectId:
    """An operator takes a review away; whose it was about. Raises NotFound."""
    return await _delete(units, {"_id": review, **_OF_COACHES}, None)


async def reply(units: UnitsOfWork, actor: Actor, review: ObjectId, draft: ReplyDraft | None, *, now: datetime) -> None:
    """The coach answers a review, in place of an earlier answer, or takes the answer back.

    Raises Unauthenticated, NotFound.
    """
    coach = actor.require()

    async def body(work: MongoWork) -> None:
        kept = await work.mongo.find_one(COLLECTION, {"_id": review, **_OF_COACHES, "subjectId": coach}, ("reply",))
        if kept is None:
            raise NoReview
        if (kept.get("reply") or {}).get("text") == (None if draft is None else draft.text):
            return
        change: Document = {"$unset": {"reply": ""}}
        if draft is not None:
            change = {"$set": {"reply": {"text": draft.text, "updatedAt": now}}}
        await work.mongo.update(COLLECTION, {"_id": review}, change)
        _tell(work, review, coach, "answered", coach, {})

    await units.mongo("reply_to_review").run(body)


async def report(units: UnitsOfWork, actor: Actor, review: ObjectId, reason: str, *, now: datetime) -> None:
    """Ask an operator to look at a review; reporting it again changes nothing. Raises Unauthenticated, NotFound."""
    viewer = actor.require()

    async def body(work: MongoWork) -> None:
        kept = await work.mongo.find_one(COLLECTION, {"_id": review, **_OF_COACHES}, ("reports", "reportedAt"))
        if kept is None:
            raise NoReview
        reports = kept.get("reports") or []
        if any(one["userId"] == viewer for one in reports) or len(reports) >= MOST_REPORTS:
            return
        entry = {"userId": viewer, "reason": reason, "at": now}
        change = {"$push": {"reports": entry}, "$set": {"reportedAt": kept.get("reportedAt", now)}}
        await work.mongo.update(COLLECTION, {"_id": review}, change)
        work.audit(Audit("review.reported", "review", str(review), user_id=str(viewer), after={"reason": reason}))

    await units.mongo("report_review").run(body)


async def dismiss(units: UnitsOfWork, review: ObjectId) -> None:
    """An operator has looked at a review and leaves it; who reports it again is heard again. Raises NotFound."""

    async def body(work: MongoWork) -> None:
        gone = {"$unset": {"reports": "", "reportedAt": ""}}
        if not await work.mongo.update(COLLECTION, {"_id": review, **_OF_COACHES}, gone):
            raise NoReview
        work.audit(Audit("review.kept", "review", str(review)))

    await units.mongo("dismiss_review").run(body)


async def reported(mongo: Mongo, limit: int) -> list[Document]:
    """Reviews that somebody reported, the longest waiting first."""
    columns = ("rating", "text", "subjectId", "authorId", "reports", "reportedAt")
    query = {"reportedAt": {"$exists": True}}
    return await mongo.find(COLLECTION, query, columns, sort=[("reportedAt", 1), ("_id", 1)], limit=limit)


async def pages_of(
    mongo: Mongo, coaches: Sequence[ObjectId], request: PageRequest, columns: Iterable[str]
) -> list[Page]:
    """A page of each coach's reviews, the newest first, in one command."""
    return await documents_paging.pages_by_parent(
        mongo, COLLECTION, "subjectId", coaches, _OF_COACHES, _KEYS, request, columns
    )


async def by_ids(mongo: Mongo, ids: Collection[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Reviews of coaches by id, in one command; unknown ids are absent."""
    rows = await mongo.find(COLLECTION, {"_id": {"$in": list(set(ids))}, **_OF_COACHES}, columns)
    return {row["_id"]: row for row in rows}


async def _delete(units: UnitsOfWork, query: Document, by: ObjectId | None) -> ObjectId:
    async def body(work: MongoWork) -> ObjectId:
        kept = await work.mongo.find_one(COLLECTION, query, ("subjectId",))
        if kept is None:
            raise NoReview
        await work.mongo.delete(COLLECTION, {"_id": kept["_id"]})
        coach = ObjectId(kept["subjectId"])
        await coach_listing.refresh(work.mongo, coach)
        _tell(work, kept["_id"], coach, "deleted", by, {})
        return coach

    return await units.mongo("delete_review").run(body)


def _tell(
    work: MongoWork, review: ObjectId, coach: ObjectId, change: str, by: ObjectId | None, more: dict[str, Any]
) -> None:
    work.emit(CoachReviewChanged(review_id=str(review), coach_id=str(coach), change=change))
    work.audit(
        Audit(
            f"review.{change}",
            "review",
            str(review),
            user_id=str(by) if by else None,
            after={"subjectType": str(ReviewSubject.COACH), "subjectId": str(coach), **more},
        )
    )

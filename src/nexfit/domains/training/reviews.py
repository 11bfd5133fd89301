"""Reviews of templates and programs: one for each person and subject, and the averages that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar

from bson import ObjectId

from nexfit.domains.errors import Forbidden, NotFound
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.profiles import BioText
from nexfit.domains.identity.review_documents import ReviewSubject
from nexfit.domains.identity.validation import Input
from nexfit.domains.training.library import PROGRAMS, TEMPLATES, findable
from nexfit.hybrid import documents_paging
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.documents import Rating
from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "reviews"
SUBJECTS = {TEMPLATES: ReviewSubject.WORKOUT_TEMPLATE, PROGRAMS: ReviewSubject.WORKOUT_PROGRAM}


class ReviewDraft(Input):
    """A rating, and what is said with it."""

    rating: Rating
    text: BioText | None = None


class ReviewSaved(Event):
    """Somebody reviewed something, or changed their review."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "review"

    review_id: str
    subject_type: str
    subject_id: str

    @property
    def aggregate_id(self) -> str:
        """The review."""
        return self.review_id


async def save(
    units: UnitsOfWork, actor: Actor, collection: str, subject: ObjectId, draft: ReviewDraft, *, now: datetime
) -> ObjectId:
    """Keep the viewer's review in place of an earlier one, with the subject's average in the same commit.

    Raises Unauthenticated, NotFound, and Forbidden for one's own work.
    """
    viewer = actor.require()
    kind = str(SUBJECTS[collection])

    async def body(work: MongoWork) -> ObjectId:
        found = await work.mongo.find_one(collection, {"_id": subject, **findable(viewer)}, ("createdBy",))
        if found is None:
            raise NotFound("There is no such {name}.", path=("subject",), name="subject")
        if found.get("createdBy") == viewer:
            raise Forbidden("Nobody reviews their own work.", path=("subject",))
        own = {"authorId": viewer, "subjectType": kind, "subjectId": subject}
        kept = await work.mongo.find_one(COLLECTION, own, ("rating", "text"))
        said = {"rating": draft.rating} | ({"text": draft.text} if draft.text is not None else {})
        if kept is not None and {name: kept[name] for name in ("rating", "text") if name in kept} == said:
            return ObjectId(kept["_id"])
        id_ = ObjectId(kept["_id"]) if kept is not None else ObjectId()
        if kept is None:
            try:
                await work.mongo.insert(COLLECTION, {"_id": id_, **own, **said, "createdAt": now, "updatedAt": now})
            except ConstraintViolated as violated:
                raise WriteConflict("mongo", "the review is there meanwhile") from violated
        else:
            gone = {"$unset": {"text": ""}} if draft.text is None else {}
            await work.mongo.update(COLLECTION, {"_id": id_}, {"$set": {**said, "updatedAt": now}, **gone})
        # Whoever reviews the same at the same time writes the same document here, and one of the two runs again. The
        # mean is not rounded: MongoDB takes a change to the same value for none, which would conflict with nobody.
        ratings = await work.mongo.find(COLLECTION, {"subjectType": kind, "subjectId": subject}, ("rating",))
        mean = sum(row["rating"] for row in ratings) / len(ratings)
        summary = {"averageRating": mean, "count": len(ratings)}
        await work.mongo.update(collection, {"_id": subject}, {"$set": {"reviews": summary}})
        work.emit(ReviewSaved(review_id=str(id_), subject_type=kind, subject_id=str(subject)))
        told = {"subjectType": kind, "subjectId": str(subject), "rating": draft.rating}
        work.audit(Audit("review.saved", "review", str(id_), user_id=str(viewer), after=told))
        return id_

    return await units.mongo("save_review").run(body)


async def newest(
    mongo: Mongo, collection: str, subjects: Sequence[ObjectId], most: int, columns: Iterable[str]
) -> list[list[Document]]:
    """The newest reviews of each subject, in one command."""
    conditions: dict[str, Any] = {"subjectType": str(SUBJECTS[collection])}
    sort = [("createdAt", -1), ("_id", -1)]
    return await documents_paging.first_by_parent(
        mongo, COLLECTION, "subjectId", subjects, conditions, sort=sort, limit=most, columns=columns
    )


async def by_id(mongo: Mongo, review: ObjectId, columns: Iterable[str]) -> Document | None:
    """A review."""
    found = await mongo.find(COLLECTION, {"_id": review}, columns, limit=1)
    return found[0] if found else None

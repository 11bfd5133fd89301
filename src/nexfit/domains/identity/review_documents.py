"""Reviews, in MongoDB: below every domain whose subjects are reviewed (coaches, facilities, templates, programs)."""

from enum import StrEnum

from pydantic import Field

from nexfit.stores.documents import Embedded, Id, Instant, Line, Rating, StoredDocument, Text


class ReviewSubject(StrEnum):
    """What a review is about."""

    COACH = "coach"
    FACILITY = "facility"
    WORKOUT_TEMPLATE = "workout_template"
    WORKOUT_PROGRAM = "workout_program"


class ReviewReply(Embedded):
    """What the reviewed coach answers."""

    text: Text
    updated_at: Instant


class ReviewReport(Embedded):
    """That somebody wants an operator to look at a review."""

    user_id: Id
    reason: Line
    at: Instant


class Review(StoredDocument):
    """One person's rating of one subject, 1 to 5; averages elsewhere are derived from these."""

    author_id: Id
    subject_type: ReviewSubject
    subject_id: Id
    rating: Rating
    text: Text | None = None
    reply: ReviewReply | None = None
    reports: list[ReviewReport] = Field(default_factory=list, max_length=100)
    reported_at: Instant | None = None
    created_at: Instant
    updated_at: Instant

    class Settings(StoredDocument.Settings):
        name = "reviews"

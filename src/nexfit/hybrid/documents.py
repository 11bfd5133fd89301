"""What the meeting of the stores leaves in MongoDB: decisions of the two-phase commit, positions of change feeds."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from nexfit.stores.documents import Instant, StoredDocument


class Verdict(StrEnum):
    """Outcome of a two-phase commit."""

    COMMIT = "commit"
    ABORT = "abort"


class Decision(StoredDocument):
    """The one and only decision on the transaction with this id; the first to insert it decides.

    Kept until Postgres holds no prepared transaction of that id, and aborts longer than a late coordinator can live,
    which is why no TTL index removes it.
    """

    id: Annotated[str, Field(min_length=1, max_length=64)]  # type: ignore[assignment]  # not an ObjectId
    decision: Verdict
    at: Instant

    class Settings(StoredDocument.Settings):
        name = "decisions"


class FeedPosition(StoredDocument):
    """How far the change feed of this name has been followed: its last resume token, as the server gave it."""

    id: Annotated[str, Field(min_length=1, max_length=200)]  # type: ignore[assignment]  # not an ObjectId
    token: dict[str, Any]
    at: Instant

    class Settings(StoredDocument.Settings):
        name = "feed_positions"

"""What the meeting of the stores leaves in MongoDB: decisions of the two-phase commit, events and audit entries on
their way to everybody else."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

from bson import Timestamp
from pydantic import Field, InstanceOf, WithJsonSchema

from nexfit.stores.documents import Id, Instant, Line, StoredDocument

ServerTimestamp = Annotated[InstanceOf[Timestamp], WithJsonSchema({"bsonType": "timestamp"})]
"""Inserted as zero, stored as the logical time of the replica set: it rises, and never comes twice."""

_AS_THEY_ARE: dict[type, Callable[[Any], Any]] = {Timestamp: lambda value: value}

Key = Annotated[str, Field(min_length=1, max_length=64)]
"""An id that is not an ObjectId: a UUID as text, a transaction's id, a name."""

Json = Annotated[bytes, Field(min_length=2, max_length=1_000_000)]
"""An object as JSON: nothing in MongoDB looks into it, and its keys may be anything."""


class Verdict(StrEnum):
    """Outcome of a two-phase commit."""

    COMMIT = "commit"
    ABORT = "abort"


class Decision(StoredDocument):
    """The one and only decision on the transaction with this id; the first to insert it decides.

    Kept until Postgres holds no prepared transaction of that id, and aborts longer than a late coordinator can live,
    which is why no TTL index removes it.
    """

    id: Key  # type: ignore[assignment]  # not an ObjectId
    decision: Verdict
    at: Instant

    class Settings(StoredDocument.Settings):
        name = "decisions"


class StoreMarker(StoredDocument):
    """The one document that tells whether MongoDB and PostgreSQL belong to the same moment.

    Both hold the epoch and a tick that MongoDB counts up first. Decisions older than `pruned_before` may be gone.
    """

    id: Key  # type: ignore[assignment]
    epoch: Key
    tick: Annotated[int, Field(ge=0)]
    ticked_at: Instant
    pruned_before: Instant | None = None

    class Settings(StoredDocument.Settings):
        name = "store_marker"


class OutboxEvent(StoredDocument):
    """An event committed with a change of MongoDB documents, until the relay has taken it over to PostgreSQL's outbox
    in the order of `position`.

    `xid` names the commit over both stores it belongs to, whose PostgreSQL half has to be there before it goes out.
    """

    id: Key  # type: ignore[assignment]
    position: ServerTimestamp
    aggregate_type: Annotated[str, Field(min_length=1, max_length=100)]
    aggregate_id: Annotated[str, Field(min_length=1, max_length=100)]
    event_type: Annotated[str, Field(min_length=1, max_length=100)]
    facility_id: Id | None = None
    payload: Json
    tags: list[Line] = Field(default_factory=list, max_length=100)
    xid: Key | None = None
    created_at: Instant

    class Settings(StoredDocument.Settings):
        name = "outbox"
        bson_encoders = _AS_THEY_ARE


class AuditEntry(StoredDocument):
    """An audit entry of a change that only MongoDB took part in, until it is copied to PostgreSQL's audit_logs."""

    id: Key  # type: ignore[assignment]
    position: ServerTimestamp
    entity_type: Annotated[str, Field(min_length=1, max_length=50)]
    entity_id: Annotated[str, Field(min_length=1, max_length=36)]
    action: Annotated[str, Field(min_length=1, max_length=50)]
    facility_id: Id | None = None
    user_id: Id | None = None
    previous_state: Json | None = None
    new_state: Json | None = None
    ip_address: Annotated[str, Field(min_length=2, max_length=45)] | None = None
    user_agent: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    created_at: Instant

    class Settings(StoredDocument.Settings):
        name = "audit_entries"
        bson_encoders = _AS_THEY_ARE


class IdempotencyKey(StoredDocument):
    """The first outcome of a request that only MongoDB took part in; written in the transaction of its change."""

    id: Annotated[str, Field(min_length=1, max_length=400)]  # type: ignore[assignment]  # user, operation and key
    digest: Annotated[bytes, Field(min_length=32, max_length=32)]
    outcome: Annotated[bytes, Field(min_length=1, max_length=1_000_000)] | None = None
    expires_at: Instant

    class Settings(StoredDocument.Settings):
        name = "idempotency_keys"

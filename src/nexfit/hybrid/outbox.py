"""Writing events and audit entries in the transaction of the change they tell of, in either store.

They are written last, when the change holds what it locks: so of two changes of one aggregate the later one writes
later, and the positions the store gives rise in the order of the commits.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
from bson import ObjectId, Timestamp

from nexfit.hybrid.audit import Audit, clean_state
from nexfit.hybrid.events import Event
from nexfit.hybrid.ids import uuid7
from nexfit.stores.mongo import Document
from nexfit.stores.mongo_transactions import MongoTransaction
from nexfit.stores.postgres import Postgres
from nexfit.stores.postgres_transactions import PostgresTransaction

MARK = "unit.committed"
"""Type of a row that only proves that its transaction was committed; never published."""

TAGS_ONLY = "tags.raised"
"""Type of a row that only carries cache tags; raised by the relay, never published."""

_WRITE = """
WITH audited AS (
  INSERT INTO finance.audit_logs
      (facility_id, entity_type, entity_id, user_id, action, previous_state, new_state, ip_address, user_agent)
    SELECT facility_id, entity_type, entity_id, user_id, action, previous_state, new_state, ip_address, user_agent
      FROM ROWS FROM (jsonb_to_recordset($1) AS (facility_id text, entity_type text, entity_id text, user_id text,
        action text, previous_state jsonb, new_state jsonb, ip_address inet, user_agent text)) WITH ORDINALITY
        AS a (facility_id, entity_type, entity_id, user_id, action, previous_state, new_state, ip_address, user_agent,
          n)
      ORDER BY n)
INSERT INTO finance.outbox
    (event_id, aggregate_type, aggregate_id, event_type, facility_id, payload, tags, published_at)
  SELECT event_id, aggregate_type, aggregate_id, event_type, facility_id, payload, tags,
      CASE WHEN event_type = $3 THEN clock_timestamp() END
    FROM ROWS FROM (jsonb_to_recordset($2) AS (event_id uuid, aggregate_type text, aggregate_id text, event_type text,
      facility_id text, payload jsonb, tags text[])) WITH ORDINALITY
      AS e (event_id, aggregate_type, aggregate_id, event_type, facility_id, payload, tags, n)
    -- A unit that has changed nothing has nothing to prove.
    WHERE event_type <> $3 OR jsonb_array_length($1) > 0 OR pg_current_xact_id_if_assigned() IS NOT NULL
    ORDER BY n
  RETURNING event_id, pg_backend_pid() AS backend
"""


@dataclass(slots=True)
class Told:
    """What a unit of work has to tell, collected until its end."""

    unit: str
    events: list[Event] = field(default_factory=list)
    audits: list[Audit] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)

    def all_tags(self) -> list[str]:
        """The tags named, and those of the events, each once."""
        return list(dict.fromkeys([*self.tags, *(tag for event in self.events for tag in event.tags())]))


@dataclass(frozen=True, slots=True)
class Proof:
    """A row that is there exactly when its transaction was committed, and the server's process that ran it."""

    event_id: UUID
    backend: int


async def write_postgres(tx: PostgresTransaction, told: Told, *, prove: bool) -> Proof | None:
    """Write what is told, in one statement; with `prove` at least one row. None when there is no row to prove with.

    Raises StoreError.
    """
    rows = [
        {
            "event_id": event.event_id,
            "aggregate_type": event.aggregate,
            "aggregate_id": event.aggregate_id,
            "event_type": type(event).__name__,
            "facility_id": event.facility_id,
            "payload": orjson.Fragment(event.payload()),
            "tags": list(event.tags()),
        }
        for event in told.events
    ]
    if told.tags:
        rows.append(_bare(TAGS_ONLY, told))
    elif prove and not rows:
        rows.append(_bare(MARK, told))
    if not rows and not told.audits:
        return None
    found = await tx.fetch_one(_WRITE, [_audit_row(audit) for audit in told.audits], rows, MARK)
    return Proof(found["event_id"], found["backend"]) if found is not None else None


async def was_committed(postgres: Postgres, proof: Proof) -> bool | None:
    """Whether the transaction of the proof was committed; None while its server process may still be at it.

    Raises StoreError.
    """
    # Two statements in this order: a process that is gone has committed before the second one looks, or never will.
    (process,) = await postgres.fetch(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND datname = current_database()) AS lives",
        proof.backend,
    )
    (row,) = await postgres.fetch(
        "SELECT EXISTS (SELECT FROM finance.outbox WHERE event_id = $1) AS kept", proof.event_id
    )
    return True if row["kept"] else None if process["lives"] else False


async def write_mongo(tx: MongoTransaction, told: Told, xid: str | None = None) -> None:
    """Write what is told as documents; `xid` is the commit over both stores this is part of. Raises StoreError."""
    shared: Document = {"position": _BY_SERVER, "createdAt": dt.datetime.now(dt.UTC)}
    events = [
        shared
        | _present(
            _id=str(event.event_id),
            aggregateType=event.aggregate,
            aggregateId=event.aggregate_id,
            eventType=type(event).__name__,
            facilityId=_object_id(event.facility_id),
            payload=event.payload(),
            tags=list(event.tags()),
            xid=xid,
        )
        for event in told.events
    ]
    if told.tags:
        bare = {"aggregateType": "unit", "aggregateId": told.unit, "eventType": TAGS_ONLY, "payload": b"{}"}
        events.append(shared | bare | _present(_id=str(uuid7()), tags=told.tags, xid=xid))
    await tx.insert("outbox", *events)
    await tx.insert("audit_entries", *(shared | _audit_document(audit) for audit in told.audits))


_BY_SERVER = Timestamp(0, 0)


def _bare(type_name: str, told: Told) -> dict[str, Any]:
    return {
        "event_id": uuid7(),
        "aggregate_type": "unit",
        "aggregate_id": told.unit,
        "event_type": type_name,
        "payload": {},
        "tags": told.tags,
    }


def _audit_row(audit: Audit) -> dict[str, Any]:
    before, after = clean_state(audit.before), clean_state(audit.after)
    return {
        "facility_id": audit.facility_id,
        "entity_type": audit.entity_type,
        "entity_id": audit.entity_id,
        "user_id": audit.user_id,
        "action": audit.action,
        "previous_state": None if before is None else orjson.Fragment(before),
        "new_state": None if after is None else orjson.Fragment(after),
        "ip_address": audit.ip_address,
        "user_agent": audit.user_agent,
    }


def _audit_document(audit: Audit) -> Document:
    return _present(
        _id=str(audit.entry_id),
        entityType=audit.entity_type,
        entityId=audit.entity_id,
        action=audit.action,
        facilityId=_object_id(audit.facility_id),
        userId=_object_id(audit.user_id),
        previousState=clean_state(audit.before),
        newState=clean_state(audit.after),
        ipAddress=audit.ip_address,
        userAgent=audit.user_agent,
    )


def _object_id(text: str | None) -> ObjectId | None:
    return None if text is None else ObjectId(text)


def _present(**fields: Any) -> Document:
    return {name: value for name, value in fields.items() if value is not None}

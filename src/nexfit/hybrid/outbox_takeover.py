"""Takes events and audit entries over from MongoDB to PostgreSQL, each once and in order.

From there everything goes the same way. An event of a commit over both stores waits until PostgreSQL has followed, and
the later events of its aggregate wait behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from nexfit.hybrid import two_phase
from nexfit.stores.connections import Stores
from nexfit.stores.mongo import Document
from nexfit.stores.postgres_transactions import PostgresTransaction, prepared_transactions

MOST = 500
"""Documents taken over at a time."""

_EVENTS = """
INSERT INTO finance.outbox (event_id, aggregate_type, aggregate_id, event_type, facility_id, payload, tags, created_at)
  SELECT event_id, aggregate_type, aggregate_id, event_type, facility_id, payload, tags, created_at
    FROM ROWS FROM (jsonb_to_recordset($1) AS (event_id uuid, aggregate_type text, aggregate_id text, event_type text,
      facility_id text, payload jsonb, tags text[], created_at timestamptz)) WITH ORDINALITY
      AS e (event_id, aggregate_type, aggregate_id, event_type, facility_id, payload, tags, created_at, n)
    ORDER BY n
  ON CONFLICT (event_id) DO NOTHING
"""
_AUDITS = """
WITH given AS (
  SELECT *
    FROM ROWS FROM (jsonb_to_recordset($1) AS (entry_id uuid, facility_id text, entity_type text, entity_id text,
      user_id text, action text, previous_state jsonb, new_state jsonb, ip_address inet, user_agent text,
      created_at timestamptz)) WITH ORDINALITY
      AS a (entry_id, facility_id, entity_type, entity_id, user_id, action, previous_state, new_state, ip_address,
        user_agent, created_at, n)),
copied AS (
  INSERT INTO platform.copied_audits (entry_id) SELECT entry_id FROM given ON CONFLICT DO NOTHING RETURNING entry_id)
INSERT INTO finance.audit_logs (facility_id, entity_type, entity_id, user_id, action, previous_state, new_state,
    ip_address, user_agent, created_at)
  SELECT facility_id, entity_type, entity_id, user_id, action, previous_state, new_state, ip_address, user_agent,
      created_at
    FROM given JOIN copied USING (entry_id) ORDER BY n
"""

_EVENT_COLUMNS = (*("aggregateType", "aggregateId", "eventType", "facilityId", "payload", "tags", "xid", "createdAt"),)
_AUDIT_COLUMNS = (
    *("entityType", "entityId", "action", "facilityId", "userId", "previousState", "newState"),
    *("ipAddress", "userAgent", "createdAt"),
)


async def read_events(stores: Stores) -> list[Document]:
    """The oldest events that may go on, in order. Raises StoreError."""
    found = await stores.mongo.find("outbox", {}, _EVENT_COLUMNS, sort=[("position", 1)], limit=MOST)
    if not any("xid" in event for event in found):
        return found
    # Asked after reading: what MongoDB shows by then was prepared before, and is gone once PostgreSQL has followed.
    prepared = {one.gid for one in await prepared_transactions(stores.postgres, two_phase.PREFIX)}
    held: set[tuple[str, str]] = set()
    free: list[Document] = []
    for event in found:
        aggregate = (event["aggregateType"], event["aggregateId"])
        if aggregate in held or two_phase.gid_of(event.get("xid", "")) in prepared:
            held.add(aggregate)
        else:
            free.append(event)
    return free


async def read_audits(stores: Stores) -> list[Document]:
    """The oldest audit entries, in order. Raises StoreError."""
    return await stores.mongo.find("audit_entries", {}, _AUDIT_COLUMNS, sort=[("position", 1)], limit=MOST)


async def write(tx: PostgresTransaction, events: Sequence[Document], audits: Sequence[Document]) -> None:
    """Keep what is not kept yet. Raises StoreError."""
    if events:
        await tx.execute(_EVENTS, [_event_row(event) for event in events])
    if audits:
        await tx.execute(_AUDITS, [_audit_row(audit) for audit in audits])


async def forget(stores: Stores, events: Sequence[Document], audits: Sequence[Document]) -> None:
    """Delete what PostgreSQL holds from MongoDB. Raises StoreError."""
    for collection, documents in (("outbox", events), ("audit_entries", audits)):
        if documents:
            await stores.mongo.delete(collection, {"_id": {"$in": [one["_id"] for one in documents]}})


def _event_row(event: Document) -> dict[str, Any]:
    return {
        "event_id": event["_id"],
        "aggregate_type": event["aggregateType"],
        "aggregate_id": event["aggregateId"],
        "event_type": event["eventType"],
        "facility_id": _text(event.get("facilityId")),
        "payload": orjson.Fragment(event["payload"]),
        "tags": event.get("tags", []),
        "created_at": event["createdAt"],
    }


def _audit_row(audit: Document) -> dict[str, Any]:
    before, after = audit.get("previousState"), audit.get("newState")
    return {
        "entry_id": audit["_id"],
        "facility_id": _text(audit.get("facilityId")),
        "entity_type": audit["entityType"],
        "entity_id": audit["entityId"],
        "user_id": _text(audit.get("userId")),
        "action": audit["action"],
        "previous_state": None if before is None else orjson.Fragment(before),
        "new_state": None if after is None else orjson.Fragment(after),
        "ip_address": audit.get("ipAddress"),
        "user_agent": audit.get("userAgent"),
        "created_at": audit["createdAt"],
    }


def _text(id_: object) -> str | None:
    return None if id_ is None else str(id_)

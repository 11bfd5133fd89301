"""Documents with every field of their model, and rows of every table, for tests of what becomes of each."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bson import Decimal128, Int64, ObjectId, Timestamp

from nexfit.operations.mongo_schema import ALL_DOCUMENTS
from nexfit.operations.mongo_validators import collection_name, encrypted_fields, validator
from nexfit.stores.field_encryption import KeyRing, Place

MODELS = {collection_name(model): model for model in ALL_DOCUMENTS}
DAY = datetime(2026, 5, 4, tzinfo=UTC)
"""A day that is a calendar date as well, for fields that must be one."""


def whole(keys: KeyRing, collection: str, word: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A document in which every field has a value: `word` wherever text may be anything, `given` values by their path.

    A path whose value is None is left out.
    """
    schema = validator(MODELS[collection])["$jsonSchema"]
    id_ = given.get("_id", ObjectId())
    owner = given.get("userId", id_)
    hidden = {
        path: keys.of_person(owner).encrypt(Place(collection, id_, path), [word] if path.endswith("ions") else word)
        for path in encrypted_fields(MODELS[collection])
    }
    document: dict[str, Any] = _value(schema, "", word, {**hidden, "_id": id_, **given})
    document.pop("revisionId", None)
    return document


def _value(schema: Mapping[str, Any], path: str, word: str, given: Mapping[str, Any]) -> Any:
    kind = schema.get("bsonType")
    if "enum" in schema:
        return schema["enum"][0]
    if isinstance(kind, list):
        value = max(schema.get("minimum", 1), min(1, schema.get("maximum", 1)))
        return float(value) if "double" in kind else value
    match kind:
        case "object":
            made = {}
            for name, inner in schema.get("properties", {}).items():
                at = f"{path}.{name}" if path else name
                value = given[at] if at in given else _value(inner, at, word, given)
                if value is not None:
                    made[name] = value
            return made
        case "array":
            items = schema.get("items")
            if isinstance(items, list):
                return [_value(item, path, word, given) for item in items]
            return [_value(items or {}, path, word, given)]
        case "string":
            return _text(schema, word)
        case "binData":
            return secrets.token_bytes(32)
        case _:
            made_of: dict[str, Any] = {
                "objectId": ObjectId(),
                "date": DAY,
                "bool": True,
                "decimal": Decimal128("1"),
                "timestamp": Timestamp(1, 1),
                "long": Int64(1),
            }
            return made_of[str(kind)]


TEXTS = {
    r"^\+[1-9][0-9]{6,14}\z": "+905550001122",
    "^[A-Z]{3}$": "TRY",
    "^([01][0-9]|2[0-3]):[0-5][0-9]$": "09:00",
    "^[A-Za-z0-9_+/-]+$": "Europe/Istanbul",
    r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$": "00000000-0000-7000-8000-000000000001",
    "^[0-9a-f-]{36}$": "00000000-0000-7000-8000-000000000001",
}
"""Of fields that take no word."""


def _text(schema: Mapping[str, Any], word: str) -> str:
    pattern = schema.get("pattern")
    return word[: schema.get("maxLength", len(word))] if pattern is None else TEXTS.get(pattern, "31X0")


ROWS = """
UPDATE finance.transactions SET description = '{word}', metadata = '{{"gift": "{word}"}}' WHERE user_id = '{person}';
UPDATE finance.subscriptions SET customer = 'cus_1', method = 'pm_1', metadata = '{{"a": "{word}"}}'
  WHERE user_id = '{person}';
INSERT INTO finance.purchases (business_id, facility_id, user_id, plan_id, plan_name, duration_value, duration_unit,
    amount, currency, tax_rate, renews, auto_renew, status, provider, customer, method, failure, expires_at)
  VALUES ('{facility}', '{facility}', '{person}', '{plan}', 'Plan', 1, 'month', 1, 'TRY', 0, false, false, 'failed',
    'local', 'cus_1', 'pm_1', '{word}', now() + interval '1 hour');
INSERT INTO finance.purchases (business_id, facility_id, user_id, program_id, author_id, plan_name, amount, currency,
    tax_rate, renews, auto_renew, status, provider, expires_at)
  VALUES ('{facility}', '{facility}', '{owner}', '{one}', '{person}', 'Program', 1, 'TRY', 0, false, false, 'failed',
    'local', now() + interval '1 hour');
INSERT INTO finance.freezes (subscription_id, facility_id, user_id, starts_on, ends_on, is_over, created_at)
  SELECT subscription_id, facility_id, user_id, '2026-01-01', '2026-01-05', true, now()
  FROM finance.subscriptions WHERE user_id = '{person}';
INSERT INTO finance.plan_changes (subscription_id, business_id, facility_id, user_id, plan_id, plan_name,
    duration_value, duration_unit, price, currency, tax_rate, credit, period_start, status, failure, created_at)
  SELECT subscription_id, business_id, facility_id, user_id, plan_id, 'Gold', 1, 'month', 10, currency, 0.2, 0,
    start_date, 'failed', 'stolen_card', now()
  FROM finance.subscriptions WHERE user_id = '{person}';
INSERT INTO finance.billing_attempts (subscription_id, invoice_id, number, status, decline, created_at)
  SELECT subscription_id, invoice_id, 1, 'failed', 'soft', now() FROM finance.invoices WHERE user_id = '{person}';
INSERT INTO finance.coaching_packages (package_id, relation_id, coach_id, client_id, name, price, currency, sold_by)
  VALUES ('{one}', '{one}', '{owner}', '{person}', 'Ten', 10, 'TRY', '{owner}'),
    ('{other}', '{other}', '{person}', '{owner}', 'Ten', 10, 'TRY', '{person}');
INSERT INTO finance.package_credit_ledger (package_id, coach_id, client_id, entry_type, credits)
  VALUES ('{one}', '{owner}', '{person}', 'grant', 10);
INSERT INTO finance.till_counts (business_id, facility_id, day, kind, counted, currency, counted_by)
  VALUES ('{facility}', '{facility}', '2026-01-01', 'opening', 5, 'TRY', '{person}');
INSERT INTO finance.idempotency_keys (actor_id, operation, idempotency_key, request_hash, outcome)
  VALUES ('{person}', 'something', 'k', sha256('a'), '"{word}"');
INSERT INTO platform.member_notes (facility_id, user_id, author_id, text)
  VALUES ('{facility}', '{person}', '{owner}', '{word}'), ('{facility}', '{owner}', '{person}', 'late again');
INSERT INTO platform.member_tags (facility_id, user_id, tag_folded, tag, tagged_by)
  VALUES ('{facility}', '{person}', '{word}', '{word}', '{owner}');
INSERT INTO platform.notices (notice_id, user_id, facility_id, occurrence_id, kind, at)
  VALUES (uuidv7(), '{person}', '{facility}', '{one}', 'called_off', now());
INSERT INTO platform.entity_attributes (entity_type, entity_id, attribute_name, attribute_value)
  VALUES ('user', '{person}', 'nickname', '"{word}"');
INSERT INTO shop.guest_sessions (guest_id, device_info, expires_at, claimed_by, claimed_at)
  VALUES ('{one}', '{word}', now() + interval '1 day', '{person}', now());
INSERT INTO finance.audit_logs (entity_type, entity_id, user_id, action, new_state, ip_address, user_agent)
  VALUES ('user', '{person}', '{person}', 'profile.updated', '{{"said": "{word}"}}', '10.1.2.3', '{word}'),
    ('invoice', 'another one', '{owner}', 'invoice.paid', '{{"gift": "{word}"}}', '10.9.9.9', 'a desk');
"""
"""Rows of a person who has bought a membership at a facility, with `word` wherever text may be anything."""

"""A person's fields that MongoDB keeps encrypted: health data and tax ids, and where each has its place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bson import ObjectId

from nexfit.stores.field_encryption import Envelope, KeyRing, Place

CLIENT = "roleSpecificData.client"
MEDICAL_CONDITIONS = f"{CLIENT}.medicalConditions"
TAX_ID = "roleSpecificData.{role}.taxId"


def encrypt_client_field(keys: KeyRing, user_id: ObjectId, field: str, value: Any) -> Envelope:
    """What a client's `height`, `weight`, `dietaryRestrictions` or `medicalConditions` holds, under the person's key.

    Raises KeyNotSet, KeyDestroyed.
    """
    return keys.of_person(user_id).encrypt(Place("users", user_id, f"{CLIENT}.{field}"), value)


def client_field(keys: KeyRing, user_id: ObjectId, field: str, kept: Mapping[str, Any]) -> Any:
    """The value in such an envelope. Raises FieldEncryptionError."""
    return keys.of_person(user_id).decrypt(Place("users", user_id, f"{CLIENT}.{field}"), kept)


def encrypt_medical_conditions(keys: KeyRing, user_id: ObjectId, conditions: Sequence[str]) -> Envelope:
    """What `medicalConditions` of a client holds. Raises KeyNotSet."""
    return encrypt_client_field(keys, user_id, "medicalConditions", list(conditions))


def medical_conditions(keys: KeyRing, user_id: ObjectId, kept: Mapping[str, Any]) -> list[str]:
    """The conditions in a client's envelope. Raises FieldEncryptionError."""
    found: list[str] = client_field(keys, user_id, "medicalConditions", kept)
    return found


def encrypt_tax_id(keys: KeyRing, user_id: ObjectId, role: str, tax_id: str) -> dict[str, Any]:
    """`taxId` and `taxIdIndex` of an owner's part (`gym_owner` or `studio_owner`). Raises KeyNotSet."""
    kept = keys.encrypt(Place("users", user_id, TAX_ID.format(role=role)), tax_id)
    return {"taxId": kept, "taxIdIndex": tax_id_index(keys, tax_id)}


def tax_id(keys: KeyRing, user_id: ObjectId, role: str, kept: Mapping[str, Any]) -> str:
    """The tax id in an owner's envelope. Raises FieldEncryptionError."""
    found: str = keys.decrypt(Place("users", user_id, TAX_ID.format(role=role)), kept)
    return found


def tax_id_index(keys: KeyRing, tax_id: str) -> bytes:
    """What equal tax ids have in common, however they are spaced or dotted. Raises KeyNotSet."""
    return keys.blind_index("taxId", re.sub(r"[\s./-]", "", tax_id).upper())

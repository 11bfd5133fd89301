"""Audit entries: who did what to what. Written with the change, in PostgreSQL where it takes part, else in MongoDB."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from nexfit.hybrid.ids import uuid7
from nexfit.hybrid.storable import storable

REMOVED = "[removed]"

LONGEST_USER_AGENT = 1000
"""Characters; what a client says beyond them is cut."""

_SECRETS = ("password", "secret", "token", "hash", "ciphertext", "nonce", "credential", "apikey")


@dataclass(frozen=True, slots=True)
class Audit:
    """One entry. States are JSON-like objects of the entity before and after; secrets are taken out when stored.

    Raises ValueError for an address that is none.
    """

    action: str
    entity_type: str
    entity_id: str
    facility_id: str | None = None
    user_id: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    entry_id: UUID = field(default_factory=uuid7)

    def __post_init__(self) -> None:
        if self.ip_address is not None:
            # Without the zone of an IPv6 address, which PostgreSQL's inet does not know.
            object.__setattr__(self, "ip_address", str(ipaddress.ip_address(self.ip_address.partition("%")[0])))
        if self.user_agent is not None:
            object.__setattr__(self, "user_agent", storable(self.user_agent)[:LONGEST_USER_AGENT] or None)


def clean_state(state: Mapping[str, Any] | None) -> bytes | None:
    """The state as JSON without what must not be kept: values under names that speak of passwords, tokens, hashes."""
    return None if state is None else orjson.dumps(storable(_clean(state)), default=str)


def _clean(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): REMOVED if _is_secret(str(key)) else _clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(inner) for inner in value]
    return None if isinstance(value, bytes) else value


def _is_secret(name: str) -> bool:
    folded = name.replace("_", "").lower()
    return any(word in folded for word in _SECRETS)

"""Identifiers made in this process, and those of one store as the other spells them."""

import secrets
import time
from functools import lru_cache
from uuid import UUID

from bson import ObjectId


def uuid7() -> UUID:
    """A UUID version 7: 48 bits of Unix milliseconds, then 74 random ones, so that an index grows at one end."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return UUID(int=value)


@lru_cache(8192)
def object_id(text: str) -> ObjectId:
    """The id that PostgreSQL keeps as text. Rows name the same ones again and again, and to make one takes a while."""
    return ObjectId(text)

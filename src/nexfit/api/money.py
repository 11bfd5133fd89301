"""Money in the schema: an exact amount beside its currency."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

import strawberry
from bson import Decimal128

from nexfit.api.fields import column, derived


@strawberry.type(description="An amount of money.")
class Money:
    """Read from a record with `amount` and `currency`."""

    amount: Decimal = column(description="Exact, in units of the currency.")
    currency: str = column(description="ISO 4217.")


def money(amount: Any, currency: str) -> dict[str, Any]:
    """A `Money` record from a stored amount (Decimal128 or Decimal)."""
    return {"amount": _decimal(amount.bid) if isinstance(amount, Decimal128) else amount, "currency": currency}


@lru_cache(4096)
def _decimal(bid: bytes) -> Decimal:
    """The number that 16 bytes of BSON stand for: it takes ten microseconds, and prices are read again and again."""
    return Decimal128.from_bid(bid).to_decimal()


def money_field(amount: str, *, description: str, currency: str = "currency") -> Any:
    """A `Money` field over the columns that hold an amount and its currency; null while one of them is missing."""

    def compute(record: Any, _args: object, _context: object) -> dict[str, Any] | None:
        stored, code = record.get(amount), record.get(currency)
        return None if stored is None or code is None else money(stored, code)

    return derived(compute, needs=(amount, currency), description=description)

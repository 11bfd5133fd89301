"""What NexFit asks of a payment provider, in NexFit's words. `nexfit.payments` has the providers there are.

No card data passes through here: members type it into the provider's own page or form, and what NexFit gets are names
the provider gave to payments, customers and their ways to pay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from babel.numbers import get_currency_precision
from pydantic import SecretStr


class PaymentState(StrEnum):
    """What became of a payment at the provider."""

    OPEN = "open"
    """Nobody has paid yet, or a try was declined and another may follow."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Declined for good, or cancelled: no money will come of it."""


class Decline(StrEnum):
    """Why a charge without the member at hand failed."""

    SOFT = "soft"
    """For now: too little money, a limit, the bank is away. Another try may do."""
    HARD = "hard"
    """For good: a stolen or closed card, or a way to pay that is gone. Never tried again."""


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """A payment the member is to make at the provider. `key` is NexFit's name for it: two requests are one payment."""

    key: UUID
    amount: Decimal
    currency: str
    description: str
    user_id: str
    save: bool
    """Whether later periods are to be charged the same way."""


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """Money to be taken without the member, by a saved way to pay. Two requests of one `key` are one charge."""

    key: UUID
    amount: Decimal
    currency: str
    description: str
    customer: str
    method: str


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as the provider has it now."""

    reference: str
    state: PaymentState
    amount: Decimal
    currency: str
    key: UUID | None = None
    """What the request was called; None for a payment that is not NexFit's."""
    customer: str | None = None
    method: str | None = None
    decline: Decline | None = None
    failure: str | None = None
    """The provider's word for why a try was declined."""
    client_secret: SecretStr | None = None
    """Lets the member's own device pay; never stored, never logged."""
    checkout_url: str | None = None


class RefundState(StrEnum):
    """What became of a refund at the provider."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProviderRefund:
    """A refund as the provider has it now."""

    reference: str
    state: RefundState


@dataclass(frozen=True, slots=True)
class Notice:
    """What a webhook tells: something became of this payment. What became of it is asked, not believed."""

    event_id: str
    kind: str
    reference: str | None


class ProviderUnavailable(Exception):
    """No answer, or one that says nothing: what was asked may have happened. The same request may be sent again."""


class ProviderRefused(Exception):
    """The provider will not do it, now or later; `reason` is its word for why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BadSignature(Exception):
    """A webhook that this provider did not send, or sent too long ago."""


class PaymentProvider(Protocol):
    """Who moves money outside NexFit. Every method may raise ProviderUnavailable and ProviderRefused."""

    name: str

    async def begin(self, request: PaymentRequest) -> Payment:
        """Make a payment the member can pay, or give the one that was made under the key."""

    async def payment(self, reference: str) -> Payment:
        """A payment as it is now."""

    async def cancel(self, reference: str) -> Payment:
        """Make an open payment one that nobody can pay any more; the payment, which may have been paid before."""

    async def charge(self, request: ChargeRequest) -> Payment:
        """Take money by a saved way to pay: succeeded, or failed with the kind of decline."""

    async def refund(self, key: UUID, reference: str, amount: Decimal, currency: str) -> ProviderRefund:
        """Give back part of a payment, or give the refund that was made under the key."""

    def read(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Notice:
        """What a webhook tells. Raises BadSignature."""

    async def close(self) -> None:
        """Let go of connections."""


def to_minor(amount: Decimal, currency: str) -> int:
    """The amount in the currency's smallest coin, as providers count. Raises ValueError for a finer amount."""
    minor = amount.scaleb(get_currency_precision(currency))
    if minor != minor.to_integral_value():
        raise ValueError(f"{amount} is finer than {currency} has coins")
    return int(minor)


def from_minor(minor: int, currency: str) -> Decimal:
    """The amount in units of the currency."""
    return Decimal(minor).scaleb(-get_currency_precision(currency))

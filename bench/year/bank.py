"""The bank of the simulated year: answers by who asks when, sometimes without being heard, and adds up its money."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from bench.year.model import Answer
from nexfit.domains.finance.payments import (
    ChargeRequest,
    Decline,
    Notice,
    Payment,
    PaymentRequest,
    PaymentState,
    ProviderRefund,
    ProviderRefused,
    ProviderUnavailable,
    RefundState,
)

MOMENT: ContextVar[datetime] = ContextVar("moment")
"""The instant at which whatever runs now happens."""


class Bank:
    """A payment provider in this process, and so as fast as none; what others do over HTTP is tested elsewhere."""

    name = "bank"

    def __init__(self, answers: Callable[[str, datetime], tuple[Answer, bool]]) -> None:
        self._answers = answers
        self._payments: dict[UUID, Payment] = {}
        self._refunds: dict[UUID, Decimal] = {}

    @property
    def money(self) -> tuple[Decimal, Decimal]:
        """What was taken and given back."""
        taken = (one.amount for one in self._payments.values() if one.state is PaymentState.SUCCEEDED)
        return sum(taken, Decimal(0)), sum(self._refunds.values(), Decimal(0))

    async def begin(self, request: PaymentRequest) -> Payment:
        """Everybody pays at once."""
        return self._payments.setdefault(
            request.key,
            Payment(
                f"payment_{request.key}",
                PaymentState.SUCCEEDED,
                request.amount,
                request.currency,
                request.key,
                customer=request.user_id,
                method="card",
            ),
        )

    async def payment(self, reference: str) -> Payment:
        """A payment by its name, which has its key in it."""
        return self._payments[UUID(reference.removeprefix("payment_"))]

    async def cancel(self, reference: str) -> Payment:
        """Nothing is ever open here."""
        return await self.payment(reference)

    async def charge(self, request: ChargeRequest) -> Payment:
        """Paid or declined by who asks when; the same again under its key."""
        if request.key in self._payments:
            return self._payments[request.key]
        answer, silent = self._answers(request.customer, MOMENT.get())
        self._payments[request.key] = made = Payment(
            f"payment_{request.key}",
            PaymentState.SUCCEEDED if answer == "paid" else PaymentState.FAILED,
            request.amount,
            request.currency,
            request.key,
            decline=None if answer == "paid" else Decline(answer),
        )
        if silent:
            raise ProviderUnavailable("the answer was lost")
        return made

    async def refund(self, key: UUID, reference: str, amount: Decimal, currency: str) -> ProviderRefund:
        """Give back, once under a key."""
        if (await self.payment(reference)).currency != currency:
            raise ProviderRefused("other_currency")
        self._refunds.setdefault(key, amount)
        return ProviderRefund(f"refund_{key}", RefundState.SUCCEEDED)

    def read(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Notice:
        """It sends no webhooks."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is held."""

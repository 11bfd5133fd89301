"""Facts about money. Their aggregate is the payment they are about."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar

from nexfit.hybrid.events import Event, Home


class PaymentRefunded(Event):
    """Part of a payment, or all of it, was given back."""

    home: ClassVar[Home] = "postgres"
    aggregate: ClassVar[str] = "transaction"

    transaction_id: str
    refund_transaction_id: str
    user_id: str
    amount: Decimal
    currency: str

    @property
    def aggregate_id(self) -> str:
        """The payment."""
        return self.transaction_id

    def tags(self) -> Sequence[str]:
        """The facility's and the member's money."""
        return (f"facility:{self.facility_id}:money", f"user:{self.user_id}:money")


class InvoiceIssued(Event):
    """Somebody owes money from now on."""

    home: ClassVar[Home] = "postgres"
    aggregate: ClassVar[str] = "invoice"

    invoice_id: str
    number: str
    user_id: str
    amount: Decimal
    currency: str

    @property
    def aggregate_id(self) -> str:
        """The invoice."""
        return self.invoice_id

    def tags(self) -> Sequence[str]:
        """The facility's and the member's money, and what members owe."""
        money = (f"facility:{self.facility_id}:money", f"user:{self.user_id}:money")
        return (*money, f"facility:{self.facility_id}:members")


class InvoicePaid(InvoiceIssued):
    """Its money was taken at the desk."""


class InvoiceVoided(InvoiceIssued):
    """It was taken back before anybody paid."""

"""The payment providers NexFit can work with: Stripe, and a local one for development and tests."""

from __future__ import annotations

from nexfit.domains.finance.payments import PaymentProvider
from nexfit.settings import PaymentSettings


def open_provider(settings: PaymentSettings) -> PaymentProvider | None:
    """The provider of the settings, None where nothing is sold online."""
    if settings.provider == "local":
        from nexfit.payments.local import LocalPayments

        return LocalPayments(settings)
    if settings.provider == "stripe":
        from nexfit.payments.stripe_payments import StripePayments

        return StripePayments(settings)
    return None

"""Stripe through its own SDK: PaymentIntents that the member's device confirms with a client secret.

NexFit names every payment and refund in `metadata.nexfit_key`, and uses the name as Stripe's idempotency key, too.
Under that key Stripe repeats its first answer, for a day: so a charge or refund is looked for before it is asked for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import stripe
from pydantic import SecretStr

from nexfit.domains.finance.payments import (
    BadSignature,
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
    from_minor,
    to_minor,
)
from nexfit.payments.signatures import check_age
from nexfit.settings import PaymentSettings

HARD = frozenset(
    {
        "expired_card",
        "fraudulent",
        "invalid_account",
        "lost_card",
        "merchant_blacklist",
        "new_account_information_available",
        "pickup_card",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "security_violation",
        "stolen_card",
        "stop_payment_order",
    }
)
"""Declines after which the same card is not to be charged again, by Stripe's list of decline codes."""

KEY = "nexfit_key"

_STATES = {"succeeded": PaymentState.SUCCEEDED, "canceled": PaymentState.FAILED}
_REFUNDS = {"succeeded": RefundState.SUCCEEDED, "failed": RefundState.FAILED, "canceled": RefundState.FAILED}


class StripePayments:
    """Stripe."""

    name = "stripe"

    def __init__(self, settings: PaymentSettings) -> None:
        self._webhook_secret = settings.webhook_secret.get_secret_value()
        self._connection = stripe.HTTPXClient(timeout=settings.timeout)
        self._stripe = stripe.StripeClient(
            settings.secret.get_secret_value(),
            http_client=self._connection,
            max_network_retries=1,
            base_addresses={"api": settings.url} if settings.url else None,
        )

    async def begin(self, request: PaymentRequest) -> Payment:
        """Make a payment the member can pay, or give the one that was made under the key."""
        key = str(request.key)
        params: dict[str, Any] = {
            "amount": to_minor(request.amount, request.currency),
            "currency": request.currency.lower(),
            "description": request.description,
            "metadata": {KEY: key},
            "automatic_payment_methods": {"enabled": True},
        }
        async with _told():
            if request.save:
                customer = await self._stripe.v1.customers.create_async(
                    {"metadata": {"nexfit_user": request.user_id}}, {"idempotency_key": f"{key}-customer"}
                )
                params |= {"customer": customer.id, "setup_future_usage": "off_session"}
            made = await self._stripe.v1.payment_intents.create_async(params, {"idempotency_key": key})  # type: ignore[arg-type]
        return _payment(made)

    async def payment(self, reference: str) -> Payment:
        """A payment as it is now."""
        async with _told():
            return _payment(await self._stripe.v1.payment_intents.retrieve_async(reference))

    async def cancel(self, reference: str) -> Payment:
        """Make an open payment one that nobody can pay any more; one that was paid stays so."""
        try:
            async with _told():
                return _payment(await self._stripe.v1.payment_intents.cancel_async(reference))
        except ProviderRefused:
            return await self.payment(reference)

    async def charge(self, request: ChargeRequest) -> Payment:
        """Take money by a saved way to pay."""
        key = str(request.key)
        async with _told():
            known = await self._stripe.v1.payment_intents.list_async({"customer": request.customer, "limit": 100})
        for intent in known.data:
            if (intent.to_dict().get("metadata") or {}).get(KEY) == key:
                return await self._charged(_payment(intent))
        try:
            async with _told():
                made = await self._stripe.v1.payment_intents.create_async(
                    {
                        "amount": to_minor(request.amount, request.currency),
                        "currency": request.currency.lower(),
                        "description": request.description,
                        "customer": request.customer,
                        "payment_method": request.method,
                        "off_session": True,
                        "confirm": True,
                        "metadata": {KEY: key},
                    },
                    {"idempotency_key": key},
                )
        except _Declined as declined:
            return await self._charged(await self.payment(declined.reference), declined.code)
        return _payment(made)

    async def _charged(self, payment: Payment, code: str | None = None) -> Payment:
        """A charge as it is; one that was declined cannot be paid later, by any means: the next try is its own."""
        code = code or payment.failure
        if payment.state is PaymentState.OPEN and code is not None:
            payment = await self.cancel(payment.reference)
        if payment.state is not PaymentState.FAILED:
            return payment
        return replace(payment, decline=Decline.HARD if code in HARD else Decline.SOFT, failure=code)

    async def refund(self, key: UUID, reference: str, amount: Decimal, currency: str) -> ProviderRefund:
        """Give back part of a payment, or give the refund that was made under the key."""
        async with _told():
            known = await self._stripe.v1.refunds.list_async({"payment_intent": reference, "limit": 100})
            for made in known.data:
                if (made.to_dict().get("metadata") or {}).get(KEY) == str(key):
                    return _refund(made)
            return _refund(
                await self._stripe.v1.refunds.create_async(
                    {"payment_intent": reference, "amount": to_minor(amount, currency), "metadata": {KEY: str(key)}},
                    {"idempotency_key": str(key)},
                )
            )

    def read(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Notice:
        """What a webhook tells. Raises BadSignature."""
        header = headers.get("stripe-signature")
        try:
            stripe.WebhookSignature.verify_header(body, header, self._webhook_secret)
            # The SDK looks at the process's clock, and takes what was signed in the future.
            check_age(int(dict(part.partition("=")[::2] for part in str(header).split(","))["t"]), now)
            event = orjson.loads(body)
            about = event["data"]["object"]
            reference = about["id"] if about["object"] == "payment_intent" else about.get("payment_intent")
            return Notice(str(event["id"]), str(event["type"]), reference)
        except (stripe.SignatureVerificationError, UnicodeDecodeError) as error:
            raise BadSignature("the signature is not the body's") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadSignature("signed, and not an event") from error

    async def close(self) -> None:
        """Let go of connections."""
        await self._connection.close_async()  # type: ignore[no-untyped-call]


class _Declined(Exception):
    def __init__(self, reference: str, code: str) -> None:
        super().__init__(code)
        self.reference = reference
        self.code = code


@asynccontextmanager
async def _told() -> AsyncIterator[None]:
    """Failures of the SDK in NexFit's words."""
    try:
        yield
    except stripe.CardError as error:
        told: Any = error.json_body or {}
        intent = told.get("error", {}).get("payment_intent") or {}
        if "id" in intent:
            raise _Declined(intent["id"], str(error.error.decline_code or error.code) if error.error else "") from error
        raise ProviderRefused(error.code or "card_error") from error
    except stripe.InvalidRequestError as error:
        raise ProviderRefused(error.code or "invalid_request") from error
    except stripe.StripeError as error:  # the network, limits, Stripe itself, or a key an operator has to mend
        raise ProviderUnavailable(f"{type(error).__name__}: {error.code}") from error


def _payment(intent: stripe.PaymentIntent) -> Payment:
    made: dict[str, Any] = intent.to_dict()
    currency = made["currency"].upper()
    key = (made.get("metadata") or {}).get(KEY)
    failure = made.get("last_payment_error") or {}
    secret = made.get("client_secret")
    return Payment(
        reference=made["id"],
        state=_STATES.get(made["status"], PaymentState.OPEN),
        amount=from_minor(made["amount"], currency),
        currency=currency,
        key=UUID(key) if key else None,
        customer=made.get("customer"),
        method=made.get("payment_method"),
        failure=failure.get("decline_code") or failure.get("code"),
        client_secret=SecretStr(secret) if secret else None,
    )


def _refund(made: stripe.Refund) -> ProviderRefund:
    return ProviderRefund(made.id, _REFUNDS.get(made.status or "", RefundState.PENDING))

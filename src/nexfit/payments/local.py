"""The local provider's client: `nexfit.payments.local_server` over HTTP, with a key on whatever moves money."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import orjson
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
from nexfit.payments.signatures import verify
from nexfit.settings import PaymentSettings

SIGNATURE = "nexfit-signature"


class LocalPayments:
    """The local provider."""

    name = "local"

    def __init__(self, settings: PaymentSettings) -> None:
        self._webhook_secret = settings.webhook_secret.get_secret_value()
        self._http = httpx.AsyncClient(
            base_url=settings.url,
            timeout=settings.timeout,
            headers={"authorization": f"Bearer {settings.secret.get_secret_value()}"},
        )

    async def begin(self, request: PaymentRequest) -> Payment:
        """Make a payment the member can pay, or give the one that was made under the key."""
        return _payment(
            await self._send(
                "POST",
                "/v1/payments",
                key=request.key,
                body={
                    "amount": to_minor(request.amount, request.currency),
                    "currency": request.currency,
                    "description": request.description,
                    "customer": f"customer_{request.user_id}",
                    "save": request.save,
                    "key": str(request.key),
                },
            )
        )

    async def payment(self, reference: str) -> Payment:
        """A payment as it is now."""
        return _payment(await self._send("GET", f"/v1/payments/{reference}"))

    async def cancel(self, reference: str) -> Payment:
        """Make an open payment one that nobody can pay any more."""
        return _payment(await self._send("POST", f"/v1/payments/{reference}/cancel"))

    async def charge(self, request: ChargeRequest) -> Payment:
        """Take money by a saved way to pay."""
        return _payment(
            await self._send(
                "POST",
                "/v1/charges",
                key=request.key,
                body={
                    "amount": to_minor(request.amount, request.currency),
                    "currency": request.currency,
                    "description": request.description,
                    "customer": request.customer,
                    "method": request.method,
                    "key": str(request.key),
                },
            )
        )

    async def refund(self, key: UUID, reference: str, amount: Decimal, currency: str) -> ProviderRefund:
        """Give back part of a payment, or give the refund that was made under the key."""
        body = {"payment": reference, "amount": to_minor(amount, currency)}
        made = await self._send("POST", "/v1/refunds", key=key, body=body)
        return ProviderRefund(made["id"], RefundState(made["status"]))

    def read(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Notice:
        """What a webhook tells. Raises BadSignature."""
        verify(headers.get(SIGNATURE, ""), body, self._webhook_secret, now)
        try:
            event = orjson.loads(body)
            return Notice(str(event["id"]), str(event["type"]), event.get("payment"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadSignature("signed, and not an event") from error

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.aclose()

    async def _send(self, method: str, path: str, *, key: UUID | None = None, body: object = None) -> dict[str, Any]:
        headers = {"idempotency-key": str(key)} if key is not None else {}
        try:
            answer = await self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise ProviderUnavailable(repr(error)) from error
        if answer.status_code >= 500 or answer.status_code in (409, 429):
            raise ProviderUnavailable(f"{method} {path}: {answer.status_code}")
        if answer.status_code >= 400:
            raise ProviderRefused(_reason(answer))
        try:
            found: dict[str, Any] = answer.json()
        except ValueError as error:
            raise ProviderUnavailable(f"{method} {path}: no JSON") from error
        return found


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


def _payment(made: Mapping[str, Any]) -> Payment:
    secret = made.get("client_secret")
    return Payment(
        reference=made["id"],
        state=PaymentState(made["status"]),
        amount=from_minor(made["amount"], made["currency"]),
        currency=made["currency"],
        key=UUID(made["key"]),
        customer=made["customer"],
        method=made.get("method"),
        decline=Decline(made["decline"]) if made.get("decline") else None,
        failure=made.get("failure"),
        client_secret=SecretStr(secret) if secret else None,
        checkout_url=made.get("checkout_url"),
    )

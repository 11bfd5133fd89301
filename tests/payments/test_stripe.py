"""Stripe at the wire: what the SDK sends to a stand-in for Stripe's servers, and what its answers become."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import orjson
import pytest
import stripe
import uvicorn
from pydantic import SecretStr, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nexfit.domains.finance.payments import (
    BadSignature,
    ChargeRequest,
    Decline,
    PaymentRequest,
    PaymentState,
    ProviderRefused,
    ProviderUnavailable,
    RefundState,
    to_minor,
)
from nexfit.payments import open_provider
from nexfit.payments.local_server import Server
from nexfit.payments.stripe_payments import StripePayments
from nexfit.settings import PaymentSettings

KEY = UUID("0199aaaa-0000-7000-8000-000000000001")
NOW = datetime(2026, 6, 15, 9, 0, tzinfo=UTC)
SECRET = "whsec_of_the_tests"


@dataclass(slots=True)
class Sent:
    """One request as it came."""

    method: str
    path: str
    form: dict[str, str]
    key: str | None
    authorization: str | None


@dataclass(slots=True)
class Wire:
    """The stand-in: remembers what it was sent, and answers what the test lined up, else what Stripe would."""

    sent: list[Sent] = field(default_factory=list)
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        headers = request.headers
        path = request.url.path
        self.sent.append(Sent(request.method, path, form, headers.get("idempotency-key"), headers.get("authorization")))
        if self.answers:
            status, body = self.answers.pop(0)
            return JSONResponse(body, status)
        if path == "/v1/customers":
            return JSONResponse({"id": "cus_1", "object": "customer"})
        if path.startswith("/v1/refunds"):
            return JSONResponse({"object": "list", "data": [], "url": path} if request.method == "GET" else REFUND)
        return JSONResponse(INTENT)


INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 99990,
    "currency": "try",
    "status": "requires_payment_method",
    "client_secret": "pi_1_secret_x",
    "metadata": {"nexfit_key": str(KEY)},
    "customer": "cus_1",
    "payment_method": None,
    "last_payment_error": None,
}
NOTHING: dict[str, Any] = {"object": "list", "data": [], "url": "/v1/payment_intents"}
REFUND = {"id": "re_1", "object": "refund", "status": "succeeded", "metadata": {"nexfit_key": str(KEY)}}


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[tuple[Wire, StripePayments]]:
    wire = Wire()
    app = Starlette(routes=[Route("/{path:path}", wire.answer, methods=["GET", "POST"])])
    server = Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off", access_log=False))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has nothing to wait for
        await asyncio.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    provider = open_provider(
        PaymentSettings(
            provider="stripe", secret=SecretStr("sk_test_1"), webhook_secret=SecretStr(SECRET), url=url, timeout=5
        )
    )
    assert isinstance(provider, StripePayments)
    yield wire, provider
    await provider.close()
    server.should_exit = True
    await running


@pytest.fixture
def wire(served: tuple[Wire, StripePayments]) -> Wire:
    served[0].sent.clear()
    served[0].answers.clear()
    return served[0]


@pytest.fixture
def provider(served: tuple[Wire, StripePayments]) -> StripePayments:
    return served[1]


def asked(*, save: bool = False) -> PaymentRequest:
    return PaymentRequest(KEY, Decimal("999.90"), "TRY", "Aylık Üyelik", "6a" * 12, save)


CHARGE = ChargeRequest(KEY, Decimal("999.90"), "TRY", "Aylık Üyelik", "cus_1", "pm_1")


async def test_a_payment_is_an_intent_under_nexfits_own_key(wire: Wire, provider: StripePayments) -> None:
    made = await provider.begin(asked())
    [sent] = wire.sent
    assert (sent.method, sent.path, sent.key) == ("POST", "/v1/payment_intents", str(KEY))
    assert sent.authorization == "Bearer sk_test_1"
    assert sent.form == {
        "amount": "99990",
        "currency": "try",
        "description": "Aylık Üyelik",
        "metadata[nexfit_key]": str(KEY),
        "automatic_payment_methods[enabled]": "true",
    }
    assert (made.reference, made.state, made.key, made.amount) == ("pi_1", PaymentState.OPEN, KEY, Decimal("999.90"))
    assert made.client_secret is not None
    assert made.client_secret.get_secret_value() == "pi_1_secret_x"
    assert "pi_1_secret_x" not in repr(made)


async def test_a_way_to_pay_is_saved_with_a_customer(wire: Wire, provider: StripePayments) -> None:
    await provider.begin(asked(save=True))
    customer, intent = wire.sent
    assert (customer.path, customer.key) == ("/v1/customers", f"{KEY}-customer")
    assert (intent.form["customer"], intent.form["setup_future_usage"]) == ("cus_1", "off_session")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("processing", PaymentState.OPEN),
        ("requires_action", PaymentState.OPEN),
        ("succeeded", PaymentState.SUCCEEDED),
        ("canceled", PaymentState.FAILED),
    ],
)
async def test_states_of_an_intent(wire: Wire, provider: StripePayments, status: str, state: PaymentState) -> None:
    error = {"code": "card_declined", "decline_code": "insufficient_funds"}
    wire.answers.append((200, {**INTENT, "status": status, "payment_method": "pm_1", "last_payment_error": error}))
    found = await provider.payment("pi_1")
    assert (found.state, found.method, found.failure) == (state, "pm_1", "insufficient_funds")


@pytest.mark.parametrize(("code", "decline"), [("insufficient_funds", Decline.SOFT), ("stolen_card", Decline.HARD)])
async def test_a_declined_charge_is_cancelled_and_says_how_it_was_declined(
    wire: Wire, provider: StripePayments, code: str, decline: Decline
) -> None:
    error = {"type": "card_error", "code": "card_declined", "decline_code": code, "payment_intent": INTENT}
    wire.answers += [(200, NOTHING), (402, {"error": error}), (200, INTENT), (200, {**INTENT, "status": "canceled"})]
    made = await provider.charge(CHARGE)
    looked, charged, _, cancelled = wire.sent
    assert (looked.method, looked.path) == ("GET", "/v1/payment_intents")
    assert (charged.form["off_session"], charged.form["confirm"], charged.form["payment_method"]) == (
        "true", "true", "pm_1",
    )  # fmt: skip
    assert cancelled.path == "/v1/payment_intents/pi_1/cancel"
    assert (made.state, made.decline, made.failure) == (PaymentState.FAILED, decline, code)


@pytest.mark.parametrize("status", ["succeeded", "processing"])
async def test_a_charge_is_looked_for_before_it_is_made_again(
    wire: Wire, provider: StripePayments, status: str
) -> None:
    wire.answers.append((200, {**NOTHING, "data": [{**INTENT, "status": status}]}))
    made = await provider.charge(CHARGE)
    assert [one.method for one in wire.sent] == ["GET"]
    assert made.state is (PaymentState.SUCCEEDED if status == "succeeded" else PaymentState.OPEN)


async def test_cancelling_what_was_paid_meanwhile_finds_it_paid(wire: Wire, provider: StripePayments) -> None:
    error = {"type": "invalid_request_error", "code": "payment_intent_unexpected_state"}
    wire.answers += [(400, {"error": error}), (200, {**INTENT, "status": "succeeded"})]
    assert (await provider.cancel("pi_1")).state is PaymentState.SUCCEEDED


async def test_a_refund_is_looked_for_before_it_is_made(wire: Wire, provider: StripePayments) -> None:
    made = await provider.refund(KEY, "pi_1", Decimal("10"), "TRY")
    looked, sent = wire.sent
    assert (looked.method, sent.key, sent.form["amount"], sent.form["payment_intent"]) == (
        "GET", str(KEY), "1000", "pi_1",
    )  # fmt: skip
    assert (made.reference, made.state) == ("re_1", RefundState.SUCCEEDED)
    wire.sent.clear()
    wire.answers.append((200, {"object": "list", "data": [{**REFUND, "status": "pending"}], "url": "/v1/refunds"}))
    assert (await provider.refund(KEY, "pi_1", Decimal("10"), "TRY")).state is RefundState.PENDING
    assert [one.method for one in wire.sent] == ["GET"]


@pytest.mark.parametrize(
    ("status", "error", "raised"),
    [
        (400, {"type": "invalid_request_error", "code": "amount_too_small"}, ProviderRefused),
        (401, {"type": "invalid_request_error", "message": "Invalid API Key"}, ProviderUnavailable),
        (429, {"type": "invalid_request_error", "code": "rate_limit"}, ProviderUnavailable),
    ],
)
async def test_failures_in_nexfits_words(
    wire: Wire, provider: StripePayments, status: int, error: dict[str, str], raised: type[Exception]
) -> None:
    wire.answers += [(status, {"error": error})] * 2
    with pytest.raises(raised):
        await provider.begin(asked())


# --- webhooks


def signed(body: bytes, at: datetime = NOW, secret: str = SECRET) -> dict[str, str]:
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, int(at.timestamp()))
    return {"stripe-signature": header}


def event(**about: Any) -> bytes:
    return orjson.dumps({"id": "evt_1", "object": "event", "type": "payment_intent.x", "data": {"object": about}})


def test_a_signed_event_names_its_payment(provider: StripePayments) -> None:
    body = event(id="pi_1", object="payment_intent")
    notice = provider.read(signed(body), body, NOW)
    assert (notice.event_id, notice.kind, notice.reference) == ("evt_1", "payment_intent.x", "pi_1")
    body = event(id="ch_1", object="charge", payment_intent="pi_2")
    assert provider.read(signed(body), body, NOW).reference == "pi_2"
    body = event(id="cus_1", object="customer")
    assert provider.read(signed(body), body, NOW).reference is None


def test_what_stripe_did_not_send_now_is_refused(provider: StripePayments) -> None:
    body = event(id="pi_1", object="payment_intent")
    old, ahead = datetime(2026, 6, 15, 8, 54, tzinfo=UTC), datetime(2026, 6, 15, 9, 6, tzinfo=UTC)
    for headers, sent in (
        ({}, body),
        ({"stripe-signature": "nonsense"}, body),
        (signed(body, secret="whsec_other"), body),
        (signed(body), body + b" "),
        (signed(body, old), body),
        (signed(body, ahead), body),
        (signed(b"[]"), b"[]"),
        (signed(b"{}"), b"{}"),
    ):
        with pytest.raises(BadSignature):
            provider.read(headers, sent, NOW)
    with pytest.raises(BadSignature):
        provider.read(signed(b"{}"), b"\xff", NOW)


# --- amounts and settings


def test_amounts_are_counted_in_the_currencys_smallest_coin() -> None:
    assert to_minor(Decimal("999.90"), "TRY") == 99990
    assert to_minor(Decimal(1000), "JPY") == 1000
    assert to_minor(Decimal("1.500"), "KWD") == 1500
    with pytest.raises(ValueError, match="finer"):
        to_minor(Decimal("0.001"), "TRY")


def test_a_provider_without_its_secrets_is_no_provider() -> None:
    assert open_provider(PaymentSettings()) is None
    for wrong in ({"provider": "stripe"}, {"provider": "local", "secret": "a", "webhook_secret": "b"}):
        with pytest.raises(ValidationError):
            PaymentSettings.model_validate(wrong)

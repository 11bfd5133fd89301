"""The local payment provider: a small server that takes no real money, for development and tests.

It speaks HTTP as a provider does, keeps its payments in memory, shows a checkout page, signs its webhooks and sends
them until they are taken. `faults` makes it misbehave in the ways providers do.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any, Literal

import httpx
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from nexfit.payments.local import SIGNATURE
from nexfit.payments.signatures import sign

TRIES = 8
"""How often a webhook is sent that nobody takes."""

DECLINED = "method_declined_"
"""How saved ways to pay begin that are declined for now."""

Delivery = Literal["once", "twice", "never", "held"]


@dataclass(slots=True)
class Faults:
    """How the provider misbehaves from now on."""

    hang: int = 0
    """So many of the next calls do their work and give no answer within the client's patience."""
    refuse: int = 0
    """So many of the next calls answer 503 and do nothing."""
    decline: Literal["soft", "hard"] | None = None
    """How charges without the member end."""
    pay_at_once: bool = False
    """A payment is paid the moment it is made: its webhook comes before the answer."""
    delivery: Delivery = "once"
    """How webhooks are sent; held ones go out, the newest first, with `release`."""
    hang_seconds: float = 3.0


@dataclass(slots=True)
class LocalProvider:
    """The provider's state. `secret` is what its clients show, `deliver_to` where webhooks are sent."""

    secret: str
    webhook_secret: str
    deliver_to: str | None = None
    url: str = ""
    faults: Faults = field(default_factory=Faults)
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _answers: dict[str, tuple[bytes, dict[str, Any]]] = field(default_factory=dict)
    _turns: dict[str, asyncio.Lock] = field(default_factory=dict)
    _held: list[dict[str, Any]] = field(default_factory=list)
    _sending: set[asyncio.Task[None]] = field(default_factory=set)

    def app(self) -> Starlette:
        """The server."""
        return Starlette(
            routes=[
                Route("/v1/payments", self._call(self._make_payment), methods=["POST"]),
                Route("/v1/payments/{id}", self._call(self._get_payment)),
                Route("/v1/payments/{id}/cancel", self._call(self._cancel), methods=["POST"]),
                Route("/v1/charges", self._call(self._charge), methods=["POST"]),
                Route("/v1/refunds", self._call(self._refund), methods=["POST"]),
                Route("/checkout/{id}", self._checkout, methods=["GET", "POST"]),
            ]
        )

    # --- what a member does

    async def pay(self, id_: str, outcome: Literal["paid", "declined", "abandoned"] = "paid") -> None:
        """What the member does on the checkout page; nothing where the payment is not open."""
        payment = self.payments[id_]
        if payment["status"] != "open":
            return
        if outcome == "declined":
            payment["failure"] = "card_declined"
            await self._tell("payment.declined", payment)
            return
        payment["status"] = "succeeded" if outcome == "paid" else "failed"
        if outcome == "paid":
            payment["method"] = f"method_{secrets.token_hex(6)}"
        await self._tell(f"payment.{payment['status']}", payment)

    async def release(self) -> None:
        """Send the held webhooks, the newest first."""
        held, self._held = self._held[::-1], []
        for event in held:
            await self._deliver(event)

    async def settled(self) -> None:
        """Wait until every webhook under way was taken or given up."""
        while self._sending:
            await asyncio.gather(*self._sending)

    def money(self) -> dict[str, int]:
        """What was taken and given back by now, in smallest coins."""
        taken = sum(one["amount"] for one in self.payments.values() if one["status"] == "succeeded")
        return {"taken": taken, "returned": sum(one["amount"] for one in self.refunds.values())}

    # --- the API

    def _call(
        self, work: Callable[[Request, dict[str, Any]], Awaitable[dict[str, Any]]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            self.calls.append(f"{request.method} {request.url.path}")
            if self.faults.refuse:
                self.faults.refuse -= 1
                return JSONResponse({"error": "unavailable"}, 503)
            shown = request.headers.get("authorization", "")
            if not hmac.compare_digest(shown.encode(), f"Bearer {self.secret}".encode()):
                return JSONResponse({"error": "unauthorized"}, 401)
            raw = await request.body()
            hangs = self.faults.hang > 0
            self.faults.hang -= hangs
            try:
                found = await self._once(request, raw, work)
            except _Wrong as wrong:
                return JSONResponse({"error": wrong.reason}, wrong.status)
            if hangs:
                await asyncio.sleep(self.faults.hang_seconds)
            return JSONResponse(found)

        return answer

    async def _once(
        self, request: Request, raw: bytes, work: Callable[[Request, dict[str, Any]], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        key = request.headers.get("idempotency-key")
        if key is None:
            return await work(request, orjson.loads(raw) if raw else {})
        async with self._turns.setdefault(key, asyncio.Lock()):
            held = self._answers.get(key)
            if held is None:
                held = self._answers[key] = (raw, await work(request, orjson.loads(raw)))
        if held[0] != raw:
            raise _Wrong("idempotency_key_reused", 400)
        return held[1]

    async def _make_payment(self, _: Request, body: dict[str, Any]) -> dict[str, Any]:
        id_ = f"payment_{secrets.token_hex(8)}"
        self.payments[id_] = payment = {
            **body,
            "id": id_,
            "status": "open",
            "client_secret": secrets.token_hex(16),
            "checkout_url": f"{self.url}/checkout/{id_}",
        }
        if body["amount"] <= 0:
            raise _Wrong("amount_too_small", 400)
        if self.faults.pay_at_once:
            await self.pay(id_)
            await self.settled()
        return payment

    async def _get_payment(self, request: Request, _: dict[str, Any]) -> dict[str, Any]:
        return self._found(request)

    async def _cancel(self, request: Request, _: dict[str, Any]) -> dict[str, Any]:
        payment = self._found(request)
        if payment["status"] == "open":
            payment |= {"status": "failed", "failure": "cancelled"}
            await self._tell("payment.failed", payment)
        return payment

    async def _charge(self, _: Request, body: dict[str, Any]) -> dict[str, Any]:
        id_ = f"payment_{secrets.token_hex(8)}"
        self.payments[id_] = payment = {**body, "id": id_, "status": "succeeded"}
        decline = self.faults.decline or ("soft" if body["method"].startswith(DECLINED) else None)
        if decline is not None:
            failure = "insufficient_funds" if decline == "soft" else "stolen_card"
            payment |= {"status": "failed", "decline": decline, "failure": failure}
        await self._tell(f"payment.{payment['status']}", payment)
        return payment

    async def _refund(self, _: Request, body: dict[str, Any]) -> dict[str, Any]:
        payment = self.payments.get(body["payment"])
        if payment is None:
            raise _Wrong("no_such_payment", 404)
        before = sum(one["amount"] for one in self.refunds.values() if one["payment"] == payment["id"])
        if payment["status"] != "succeeded" or before + body["amount"] > payment["amount"]:
            raise _Wrong("not_refundable", 400)
        id_ = f"refund_{secrets.token_hex(8)}"
        self.refunds[id_] = {**body, "id": id_, "status": "succeeded"}
        return self.refunds[id_]

    def _found(self, request: Request) -> dict[str, Any]:
        payment = self.payments.get(request.path_params["id"])
        if payment is None:
            raise _Wrong("no_such_payment", 404)
        return payment

    async def _checkout(self, request: Request) -> Response:
        payment = self.payments.get(request.path_params["id"])
        if payment is None:
            return HTMLResponse("<p>There is no such payment.", 404)
        if request.method == "POST":
            outcome = (await request.body()).decode().partition("=")[2]
            if outcome in ("paid", "declined", "abandoned"):
                await self.pay(payment["id"], outcome)  # type: ignore[arg-type]
            return RedirectResponse(str(request.url), 303)
        return HTMLResponse(_page(payment))

    # --- webhooks

    async def _tell(self, kind: str, payment: dict[str, Any]) -> None:
        event = {"id": f"event_{secrets.token_hex(8)}", "type": kind, "payment": payment["id"]}
        match self.faults.delivery:
            case "never":
                return
            case "held":
                self._held.append(event)
            case copies:
                for _ in range(2 if copies == "twice" else 1):
                    await self._deliver(event)

    async def _deliver(self, event: dict[str, Any]) -> None:
        task = asyncio.create_task(self._send(event))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, event: dict[str, Any]) -> None:
        if self.deliver_to is None:
            return
        body = orjson.dumps(event)
        async with httpx.AsyncClient(timeout=5) as http:
            for tried in range(TRIES):
                headers = {SIGNATURE: sign(body, self.webhook_secret, self.clock())}
                with suppress(httpx.HTTPError):
                    answer = await http.post(self.deliver_to, content=body, headers=headers)
                    if answer.status_code < 500:
                        return
                await asyncio.sleep(0.1 * 2**tried)


class _Wrong(Exception):
    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


def _page(payment: dict[str, Any]) -> str:
    buttons = "".join(
        f'<button name="outcome" value="{value}">{label}</button> '
        for value, label in (("paid", "Pay"), ("declined", "Have the card declined"), ("abandoned", "Give up"))
    )
    form = f'<form method="post">{buttons}</form>' if payment["status"] == "open" else ""
    tried = f"<p>Declined: {escape(payment['failure'])}." if payment.get("failure") else ""
    return (
        f"<!doctype html><meta charset=utf-8><title>Local payments</title><h1>{escape(payment['description'])}</h1>"
        f"<p>{payment['amount']} {escape(payment['currency'])} (smallest coins): {payment['status']}.{tried}"
        f"<p>No money moves here.{form}"
    )


class Server(uvicorn.Server):
    """Leaves the process's signals to whoever else serves in it."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Capture none."""
        return nullcontext()


@asynccontextmanager
async def serving(provider: LocalProvider, port: int = 0) -> AsyncIterator[str]:
    """Serve the provider on 127.0.0.1 while the block runs; its URL."""
    config = uvicorn.Config(provider.app(), port=port, log_level="error", lifespan="off", access_log=False)
    server = Server(config)
    running = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110  # uvicorn has nothing to wait for
            await asyncio.sleep(0.01)
        provider.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield provider.url
    finally:
        server.should_exit = True
        await running


@contextmanager
def serving_beside(provider: LocalProvider) -> Iterator[str]:
    """The same in a thread of its own, for a process whose main thread serves something else."""
    started, ended = threading.Event(), threading.Event()

    async def run() -> None:
        async with serving(provider):
            started.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="local payments", daemon=True)
    thread.start()
    started.wait(30)
    try:
        yield provider.url
    finally:
        ended.set()
        thread.join(10)

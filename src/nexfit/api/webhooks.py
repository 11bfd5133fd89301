"""`POST /webhooks/payments`: what the payment provider tells, signed. It is answered 200 once it was acted upon."""

from __future__ import annotations

from datetime import datetime

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from nexfit.domains.clock import Clock, system_clock
from nexfit.domains.finance.payments import BadSignature, ProviderUnavailable
from nexfit.domains.memberships.purchase import OnlineSales, hear
from nexfit.stores.errors import StoreError

WEBHOOKS_PATH = "/webhooks/payments"
LARGEST = 512_000
"""Bytes of a webhook; providers' are a few thousand."""

log = structlog.get_logger(__name__)


def webhooks_route(clock: Clock = system_clock) -> Route:
    """The route; the application's state has what selling online works with."""

    async def receive(request: Request) -> Response:
        return await _receive(request, clock())

    return Route(WEBHOOKS_PATH, receive, methods=["POST"])


async def _receive(request: Request, now: datetime) -> Response:
    sales: OnlineSales = request.app.state.sales
    if sales.provider is None:
        return _answer("Nothing is sold online here.", 404)
    body = await _body(request)
    if body is None:
        return _answer("The body is too large.", 413)
    try:
        notice = sales.provider.read(request.headers, body, now)
    except BadSignature as error:
        log.warning("a webhook was refused", reason=str(error))
        return _answer("The signature is not valid.", 400)
    try:
        await hear(sales, notice.event_id, notice.kind, notice.reference, now=now)
    except (StoreError, ProviderUnavailable) as error:
        log.warning("a webhook is to be sent again", event_id=notice.event_id, error=str(error))
        return _answer("Not now.", 503)
    return _answer("", 200)


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST:
                return None
    except ClientDisconnect:
        return None
    return bytes(body)


def _answer(text: str, status: int) -> Response:
    return PlainTextResponse(text, status, {"cache-control": "no-store"})

"""Invoices and credit notes as files: `GET /documents/{kind}/{id}.pdf` and `.xml`, by signed addresses that end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nexfit.api.context import Context
from nexfit.api.fields import derived
from nexfit.api.files import refused, told
from nexfit.domains.clock import Clock, system_clock
from nexfit.domains.finance import papers
from nexfit.domains.finance.papers import PaperKind
from nexfit.settings import Settings
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreError
from nexfit.stores.signed_addresses import AddressRefused, SignedAddresses

DOCUMENTS_PATH = "/documents"

_MEDIA = {"pdf": "application/pdf", "xml": "application/xml"}


def address_field(kind: PaperKind, column: str, ending: str, *, description: str) -> Any:
    """A field with the signed address of a document; null for a draft invoice."""

    def compute(record: Any, _args: object, context: Context) -> str | None:
        if record.get("status") == "draft":
            return None
        key = f"{kind}/{record[column]}.{ending}"
        return SignedAddresses.of(context.services.settings, DOCUMENTS_PATH).address(key, context.now)

    needs = (column, "status") if kind is PaperKind.INVOICE else (column,)
    return derived(compute, needs=needs, description=description)


def documents_route(settings: Settings, stores: Callable[[Request], Stores], clock: Clock = system_clock) -> Route:
    """The route; a document is made when it is fetched, and the same each time."""
    addresses = SignedAddresses.of(settings, DOCUMENTS_PATH)

    async def serve(request: Request) -> Response:
        key, given = request.path_params["key"], request.query_params
        try:
            addresses.check(key, given.get("expires", ""), given.get("signature", ""), clock())
        except AddressRefused as error:
            return refused(error)
        kind, _, name = key.partition("/")
        id_, _, ending = name.partition(".")
        try:
            paper = await papers.load(stores(request), PaperKind(kind), UUID(id_))
        except StoreError:
            return told("A store does not answer. Try again in a moment.", 503)
        if paper is None:
            return told("There is no such document.", 404)
        body = await _made(paper, ending)
        headers = {
            "cache-control": "private, no-store",
            "x-content-type-options": "nosniff",
            "content-disposition": f'attachment; filename="{paper.number}.{ending}"',
        }
        return Response(body, media_type=_MEDIA[ending], headers=headers)

    return Route(DOCUMENTS_PATH + "/{key:path}", serve, methods=["GET"])


async def _made(paper: papers.Paper, ending: str) -> bytes:
    # Typesetting is loaded by the first document, not by every start.
    if ending == "pdf":
        from nexfit.domains.finance.pdf import pdf

        return await pdf(paper)
    from nexfit.domains.finance.ubl import ubl

    return ubl(paper)

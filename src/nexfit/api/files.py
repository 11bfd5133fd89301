"""`GET /files/{key}`: private files by signed addresses."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from nexfit.domains.clock import Clock, system_clock
from nexfit.settings import Settings
from nexfit.stores.signed_addresses import AddressExpired, AddressRefused
from nexfit.stores.signed_files import FILES_PATH, SignedFiles

_SHOWN = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
"""Kinds a browser may show; anything else is only offered for saving."""


def files_route(settings: Settings, clock: Clock = system_clock) -> Route:
    """The route over the files of the settings."""
    files = SignedFiles.of(settings)

    async def serve(request: Request) -> Response:
        given = request.query_params
        try:
            path = files.path(request.path_params["key"], given.get("expires", ""), given.get("signature", ""), clock())
        except AddressRefused as error:
            return refused(error)
        if path is None:
            return told("There is no such file.", 404)
        kind = _SHOWN.get(path.suffix.lower())
        return FileResponse(
            path,
            media_type=kind or "application/octet-stream",
            content_disposition_type="inline" if kind else "attachment",
            filename=path.name,
            headers={"cache-control": "private, no-store", "x-content-type-options": "nosniff"},
        )

    return Route(FILES_PATH + "/{key:path}", serve, methods=["GET"])


def refused(error: AddressRefused) -> Response:
    """The answer to an address that does not hold, or not any more."""
    if isinstance(error, AddressExpired):
        return told("This address has ended. Ask for a new one.", 410)
    return told("This address is not valid.", 403)


def told(text: str, status: int) -> Response:
    """A line for people, which nobody keeps."""
    return PlainTextResponse(text, status, {"cache-control": "no-store", "x-content-type-options": "nosniff"})

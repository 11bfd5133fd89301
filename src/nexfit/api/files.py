"""`GET /files/{key}`: private files by signed addresses."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from nexfit.settings import Settings
from nexfit.stores.signed_files import FILES_PATH, FileExpired, FileRefused, SignedFiles

_SHOWN = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
"""Kinds a browser may show; anything else is only offered for saving."""


def files_route(settings: Settings) -> Route:
    """The route over the files of the settings."""
    files = SignedFiles.of(settings)

    async def serve(request: Request) -> Response:
        given = request.query_params
        try:
            path = files.path(
                request.path_params["key"], given.get("expires", ""), given.get("signature", ""), datetime.now(UTC)
            )
        except FileExpired:
            return _refused("This address has ended. Ask for a new one.", 410)
        except FileRefused:
            return _refused("This address is not valid.", 403)
        if path is None:
            return _refused("There is no such file.", 404)
        kind = _SHOWN.get(path.suffix.lower())
        return FileResponse(
            path,
            media_type=kind or "application/octet-stream",
            content_disposition_type="inline" if kind else "attachment",
            filename=path.name,
            headers={"cache-control": "private, no-store", "x-content-type-options": "nosniff"},
        )

    return Route(FILES_PATH + "/{key:path}", serve, methods=["GET"])


def _refused(text: str, status: int) -> Response:
    return PlainTextResponse(text, status, {"cache-control": "no-store", "x-content-type-options": "nosniff"})

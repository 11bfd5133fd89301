"""`PUT /uploads/{key}`: a private picture or table, sent once to a signed address."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nexfit.api.files import refused, told
from nexfit.domains.clock import Clock, system_clock
from nexfit.settings import Settings
from nexfit.stores.signed_addresses import AddressRefused
from nexfit.stores.signed_files import MOST_UPLOADED, UPLOADS_PATH, SignedFiles

_BEGINS = {"jpg": (b"\xff\xd8\xff",), "png": (b"\x89PNG\r\n\x1a\n",), "webp": (b"RIFF",), "csv": (b"",)}
"""How files of a kind begin; a browser is shown nothing that is something else. Tables are never shown, but read."""


def uploads_route(settings: Settings, clock: Clock = system_clock) -> Route:
    """The route by which files come into the folder of the settings."""
    files = SignedFiles.of(settings)

    async def keep(request: Request) -> Response:
        given, key = request.query_params, request.path_params["key"]
        try:
            files.check_upload(key, given.get("expires", ""), given.get("signature", ""), clock())
        except AddressRefused as error:
            return refused(error)
        content = bytearray()
        async for part in request.stream():
            content += part
            if len(content) > MOST_UPLOADED:
                return told(f"A file has at most {MOST_UPLOADED} bytes.", 413)
        if not is_of_kind(key.rpartition(".")[2], bytes(content)):
            return told("This is no file of the kind that was announced.", 415)
        kept = await asyncio.to_thread(files.keep, key, bytes(content))
        return told("Kept.", 201) if kept else told("This address was used already.", 409)

    return Route(UPLOADS_PATH + "/{key:path}", keep, methods=["PUT"])


def is_of_kind(kind: str, content: bytes) -> bool:
    """Whether a file begins as those of its kind do."""
    if kind == "webp" and content[8:12] != b"WEBP":
        return False
    return content.startswith(_BEGINS.get(kind, ()))

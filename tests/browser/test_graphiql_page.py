"""The page and its files as HTTP sees them: policy, escaping, caching, and what is said without a build."""

from __future__ import annotations

import gzip
import json
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request

from nexfit.api import graphiql
from nexfit.api.graphiql import DemoLogin, GraphiQLConfig, graphiql_page, static_routes, wants_graphiql

INDEX = (Path(__file__).parents[2] / "web" / "index.html").read_text(encoding="utf-8")
SCRIPT = b"console.log('hello');" * 100


class Scripts(HTMLParser):
    """The <script> elements of a page as a browser sees them: attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[dict[str, str | None], str]] = []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script"
        if self._inside:
            self.found.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._inside:
            attributes, text = self.found[-1]
            self.found[-1] = (attributes, text + data)


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small build in a folder of its own: the real page's source, as the bundler leaves it, and one script."""
    assets = tmp_path / "assets"
    assets.mkdir()
    built = INDEX.replace('<script type="module" src="/src/main.tsx">', '<script type="module" src="./assets/a-1.js">')
    (tmp_path / "index.html").write_text(built, encoding="utf-8")
    (assets / "a-1.js").write_bytes(SCRIPT)
    (assets / "a-1.js.gz").write_bytes(gzip.compress(SCRIPT))
    (assets / "font-1.ttf").write_bytes(b"font")
    monkeypatch.setattr(graphiql, "BUILD", tmp_path)
    return tmp_path


@pytest.fixture
def client(build: Path) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=Starlette(routes=[*static_routes()]))
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers={"accept-encoding": "identity"})


def test_config_reaches_the_page_as_data_that_cannot_become_markup(build: Path) -> None:
    hostile = DemoLogin("owner</script><script>alert(1)</script>", "a@b.test", "<!-- & \u2028 ' \" \\")
    page = bytes(graphiql_page(GraphiQLConfig((hostile,), version="1.0")).body).decode()
    scripts = Scripts(page).found
    config = [text for attributes, text in scripts if attributes.get("id") == "nexfit-config"]
    assert [json.loads(text) for text in config] == [
        {"demoLogins": [{"label": hostile.label, "email": "a@b.test", "password": hostile.password}], "version": "1.0"}
    ]
    assert not set(config[0]) & set("<>&\u2028")
    assert len(scripts) == 2


def test_page_has_no_inline_code_and_loads_only_our_files(build: Path) -> None:
    page = bytes(graphiql_page(GraphiQLConfig(), root_path="/gym").body).decode()
    code = [attributes for attributes, _ in Scripts(page).found if attributes["type"] != "application/json"]
    assert [attributes["src"] for attributes in code] == ["/gym/graphiql/assets/a-1.js"]
    assert "://" not in page


def test_page_is_strict_and_never_stored(build: Path) -> None:
    headers = graphiql_page(GraphiQLConfig()).headers
    policy = dict(directive.split(" ", 1) for directive in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "worker-src", "connect-src", "font-src")} == {"'self'"}
    assert policy["frame-ancestors"] == "'none'"
    assert not any("*" in value or "http" in value or "unsafe-eval" in value for value in policy.values())
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["vary"] == "Accept"
    assert headers["content-type"] == "text/html; charset=utf-8"


def test_without_a_build_the_page_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphiql, "BUILD", tmp_path / "missing")
    response = graphiql_page(GraphiQLConfig((DemoLogin("owner", "a@b.test", "secret"),)))
    assert response.status_code == 200
    assert b"make web" in response.body
    assert b"secret" not in response.body


async def test_without_a_build_files_are_simply_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphiql, "BUILD", tmp_path / "missing")
    transport = httpx.ASGITransport(app=Starlette(routes=[*static_routes()]))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/graphiql/assets/a-1.js")).status_code == 404


async def test_files_are_kept_for_ever_with_the_right_type(client: httpx.AsyncClient) -> None:
    script = await client.get("/graphiql/assets/a-1.js")
    assert script.content == SCRIPT
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert script.headers["x-content-type-options"] == "nosniff"
    assert script.headers["content-security-policy"] == graphiql.CONTENT_SECURITY_POLICY
    font = await client.get("/graphiql/assets/font-1.ttf", headers={"accept-encoding": "gzip"})
    assert (font.content, font.headers["content-type"]) == (b"font", "font/ttf")

    again = await client.get("/graphiql/assets/a-1.js", headers={"if-none-match": script.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["cache-control"] == script.headers["cache-control"]


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("identity", False), ("gzip;q=0", False), ("gzip; q=0.0, br", False)],
)
async def test_compressed_copy_is_sent_to_those_who_take_it(
    client: httpx.AsyncClient, accepted: str, packed: bool
) -> None:
    response = await client.get("/graphiql/assets/a-1.js", headers={"accept-encoding": accepted})
    assert response.content == SCRIPT
    assert (response.headers.get("content-encoding") == "gzip") == packed
    assert (int(response.headers["content-length"]) < len(SCRIPT)) == packed
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "Accept-Encoding" in response.headers["vary"]


@pytest.mark.parametrize("path", ["missing-1.js", "../index.html", "%2e%2e/index.html", "..%2findex.html", "", "a%00b"])
async def test_nothing_outside_the_build_is_served(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(f"/graphiql/assets/{path}")
    assert response.status_code == 404
    assert "immutable" not in response.headers.get("cache-control", "")


@pytest.mark.parametrize(
    ("method", "accept", "query", "wanted"),
    [
        ("GET", "text/html,application/xhtml+xml,*/*;q=0.8", "", True),
        ("HEAD", "Text/HTML; charset=utf-8", "", True),
        ("GET", "text/html", "query=%7Bviewer%7Bid%7D%7D", False),
        ("GET", "application/json", "", False),
        ("GET", "xtext/html", "", False),
        ("GET", "*/*", "", False),
        ("GET", None, "", False),
        ("POST", "text/html", "", False),
    ],
)
def test_only_a_browser_opening_the_endpoint_gets_the_page(
    method: str, accept: str | None, query: str, wanted: bool
) -> None:
    headers = [(b"accept", accept.encode())] if accept else []
    scope = {"type": "http", "method": method, "headers": headers, "query_string": query.encode(), "path": "/graphql"}
    assert wants_graphiql(Request(scope)) is wanted

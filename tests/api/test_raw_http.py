"""Raw bytes to a running server: whatever comes, an answer with a status and a code, soon, and nothing of the inside.

uvicorn listens on a port here as `nexfit serve` starts it, with the limits a server has by default.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
import uvicorn

from nexfit.app import create_app
from nexfit.settings import PRODUCTION, LimitSettings, Settings

from .conftest import _LEAKS
from .test_limits import HOSTILE, around

SECONDS = 1.5
"""What no request may take, measured as this process's CPU time, so that a busy machine does not count."""


@dataclass(slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


@asynccontextmanager
async def listening(settings: Settings, **more: Any) -> AsyncIterator[int]:
    """The port of a server over the application, made with `more`."""
    config = uvicorn.Config(
        create_app(settings, **more),
        port=0,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[method-assign]
    running = asyncio.create_task(server.serve())
    while not server.started:
        assert not running.done()
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await running


@pytest.fixture(scope="module")
async def port(settings: Settings) -> AsyncIterator[int]:
    """A server with the limits of production, over data nobody changes."""
    limits = LimitSettings(points_per_second=0)
    http = settings.http.model_copy(update={"cors_origins": ("https://app.example",)})
    async with listening(settings.model_copy(update={"limits": limits, "http": http})) as port:
        yield port


async def exchange(port: int, sent: bytes) -> Reply | None:
    """Send bytes on a new connection, and read one reply; None where the server just closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(30):
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0))) if sent[:4] != b"HEAD" else b""
            return Reply(int(first.split()[1]), headers, body)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    finally:
        writer.close()


def request(
    body: bytes = b'{"query": "{ __typename }"}',
    *headers: str,
    method: str = "POST",
    target: str = "/graphql",
    content_type: str | None = "application/json",
) -> bytes:
    given = {"host": "nexfit.test", "content-length": str(len(body))} if body else {"host": "nexfit.test"}
    if content_type is not None:
        given["content-type"] = content_type
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def query(text: str, **more: Any) -> bytes:
    return request(json.dumps({"query": text, **more}).encode())


def get(parameters: str, *headers: str, preflight: bool = True) -> bytes:
    more = (*headers, "graphql-preflight: 1") if preflight else headers
    return request(b"", *more, method="GET", target=f"/graphql?{parameters}", content_type=None)


NESTED = b'{"query": "query ($a: [ID!]!) { nodes(ids: $a) { id } }", "variables": {"a": %s}}'
BIG = b"9" * 5_000

CASES: dict[str, tuple[bytes, int | tuple[int, ...]]] = {
    "a number as body": (request(b"5"), 400),
    "a string as body": (request(b'"x"'), 400),
    "null as body": (request(b"null"), 400),
    "no body": (request(b"", "content-length: 0"), 400),
    "an unfinished object": (request(b'{"query": "{ __typename }"'), 400),
    "two objects": (request(b'{"query": "{ __typename }"}{}'), 400),
    "a batch": (request(b'[{"query": "{ __typename }"},{"query": "{ __typename }"}]'), 400),
    "invalid UTF-8": (request(b'{"query": "\xff\xfe"}'), 400),
    "half a surrogate pair": (request(b'{"query": "\\ud800"}'), 400),
    "a NUL in the document": (query("{ __typename \0 }"), 200),
    "60,000 brackets": (request(NESTED % (b"[" * 60_000 + b"]" * 60_000)), 400),
    "900 brackets": (request(NESTED % (b"[" * 900 + b"]" * 900)), 200),
    "900 objects": (request(NESTED % (b'{"a":' * 900 + b"1" + b"}" * 900)), 200),
    "a 5000-digit integer": (request(NESTED % BIG), (200, 400)),
    "a 5000-digit integer in a list": (request(NESTED % (b"[" + BIG + b"]")), (200, 400)),
    "a 5000-digit literal": (query(f"{{ facilities(first: {BIG.decode()[:4000]}) {{ totalCount }} }}"), 200),
    "a huge exponent": (request(NESTED % b"1e999999"), (200, 400)),
    "not a number": (request(NESTED % b"NaN"), 400),
    "100,000 variables": (
        request(json.dumps({"query": "{ __typename }", "variables": {f"v{n}": n for n in range(50_000)}}).encode()),
        200,
    ),
    "50,000 ids": (request(NESTED % json.dumps(["x"] * 50_000).encode()), 200),
    "a gzip body": (request(gzip.compress(b'{"query": "{ __typename }"}'), "content-encoding: gzip"), 415),
    "a gzip body that says nothing": (request(gzip.compress(b'{"query": "{ __typename }"}')), 400),
    "UTF-16": (request('{"query": "{ __typename }"}'.encode("utf-16")), 400),
    "another charset": (request(content_type="application/json; charset=iso-8859-9"), 415),
    "no content-type": (request(content_type=None), 415),
    "a simple form": (request(b"query=%7B__typename%7D", content_type="application/x-www-form-urlencoded"), 415),
    "plain text": (request(content_type="text/plain"), 415),
    "multipart": (request(b"--x\r\n\r\n--x--", content_type="multipart/form-data; boundary=x"), 415),
    "a type that only looks like JSON": (request(content_type="xapplication/jsonp"), 415),
    "a body over the limit": (request(b" " * 1_000_001), 413),
    "a length over the limit, and no body": (request(b"", "content-length: 999999999999"), 413),
    "a chunked body over the limit": (
        request(b"", "transfer-encoding: chunked") + b"10000\r\n" + b" " * 65_536 + b"\r\n"
        + (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 16,
        413,
    ),
    "an answer nobody can read": (request(b'{"query": "{ __typename }"}', "accept: text/css"), 406),
    "an answer refused by weight": (request(b'{"query": "{ __typename }"}', "accept: application/json;q=0"), 406),
    "a weight that is no number": (request(b'{"query": "{ __typename }"}', "accept: */*;q=x"), 406),
    "another method": (request(method="PUT"), 405),
    "DELETE": (request(b"", method="DELETE"), 405),
    "TRACE": (request(b"", method="TRACE", content_type=None), 405),
    "a method of nobody's": (request(b"", method="BREW", content_type=None), (400, 405)),
    "OPTIONS without an origin": (request(b"", method="OPTIONS", content_type=None), 405),
    "another address": (request(target="/graphql/x"), 404),
    "the console of something else": (request(b"", method="GET", target="/.env", content_type=None), 404),
    "GET with a query": (get(f"query={quote('{ __typename }')}"), 200),
    "GET as a page would send it": (get(f"query={quote('{ __typename }')}", preflight=False), 400),
    "GET by an image": (get(f"query={quote('{ __typename }')}", "accept: image/png", preflight=False), 406),
    "GET with a mutation": (get(f"query={quote('mutation { logout { userErrors { code } } }')}"), 200),
    "GET without a query": (get(""), 400),
    "GET with broken variables": (get("query=%7B__typename%7D&variables=%7B"), 400),
    "GET with bytes that are no UTF-8": (get("query=%ff%fe"), 200),
    "GET with a large address": (get("query=" + "x" * 60_000), (200, 400, 414, 431)),
    "a subscription by POST": (query("subscription { __typename }"), 200),
    "two operations and no name": (query("query A { __typename } query B { __typename }"), 200),
    "a name of no operation": (query("query A { __typename }", operationName="B"), 200),
    "an unknown fragment": (query("{ ...nope }"), 200),
    "a fragment in itself": (query("{ ...a } fragment a on Query { ...a }"), 200),
    "150 nested selections": (query("{ a" * 150 + "}" * 150), 200),
    "3,000 nested selections": (query("{a" * 3_000), 200),
    "3,000 nested lists": (query("{ nodes(ids: " + "[" * 3_000 + ") { id } }"), 200),
    "circles": (query("{ __schema { types { " + around(6, "fields { type { ", "name", " } }") + " } } }"), 200),
    "a forged cursor": (query('{ facilities(after: "YXJyYXljb25uZWN0aW9uOi01") { totalCount } }'), 200),
    "a binary cursor": (query('{ facilities(after: "//79/A==") { totalCount } }'), 200),
    "an id of nothing": (query('{ node(id: "Tm9wZTp4") { id } }'), 200),
    "an id that is no base64": (query('{ node(id: "\\u0000%%%") { id } }'), 200),
    "an operator for MongoDB": (query('{ facilities(filter: { name: "$gt" }) { totalCount } }'), 200),
    "a quote for PostgreSQL": (query('{ node(id: "VHJhbnNhY3Rpb246JzsgRFJPUA") { id } }'), 200),
    "a hash of nothing": (
        request(b'{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "%s"}}}' % (b"a" * 64)), 200
    ),
    "extensions that are none": (request(b'{"query": "{ __typename }", "extensions": 5}'), 400),
    "a token of nobody": (request(b'{"query": "{ __typename }"}', "authorization: Bearer x.y.z"), 401),
    "a scheme of nobody": (request(b'{"query": "{ __typename }"}', "authorization: \xff\xfe"), 401),
    "languages without end": (request(b'{"query": "{ __typename }"}', "accept-language: " + "tr;q=0," * 999), 200),
    "types without end": (request(b'{"query": "{ __typename }"}', "accept: " + "a/b," * 4_000 + "*/*"), (406, 431)),
    "a request id with a line in it": (request(b'{"query": "{ __typename }"}', 'x-request-id: a"\tb'), 200),
    "addresses made up": (request(b'{"query": "{ __typename }"}', "x-forwarded-for: 127.0.0.1", "x-real-ip: ::1"), 200),
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n", 400),
    "a header without a name": (b"POST /graphql HTTP/1.1\r\n: x\r\n\r\n", 400),
    "two lengths": (request(b'{"query": "{ __typename }"}', "content-length: 5"), 400),
    "a length that is no number": (b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n", 400),
    **{f"too large: {name}": (query(document), 200) for name, (_, document) in HOSTILE.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
async def test_whatever_is_sent_is_answered_soon_with_a_status(port: int, name: str) -> None:
    sent, statuses = CASES[name]
    started = time.process_time()
    reply = await exchange(port, sent)
    assert time.process_time() - started < SECONDS
    assert reply is not None, "the connection was closed without an answer"
    assert reply.status < 500
    assert reply.status in (statuses if isinstance(statuses, tuple) else (statuses,)), reply
    assert not _LEAKS.search(reply.body.decode()), reply.body
    if reply.headers.get("content-type", "").startswith("text/plain"):
        assert reply.status in (400, 431)  # it was no HTTP: the server's own word
        return
    assert re.fullmatch(r"application/(graphql-response\+)?json(; charset=utf-8)?", reply.headers["content-type"]), (
        reply.headers
    )
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-security-policy"].startswith("default-src 'none'")
    answer = json.loads(reply.body)
    if reply.status != 200:
        assert "data" not in answer
    for error in answer.get("errors", ()):
        assert error["extensions"]["code"] != "INTERNAL"


async def test_the_server_is_well_after_all_of_it(port: int) -> None:
    reply = await exchange(port, query("{ facilities(first: 1) { nodes { name } } }"))
    assert reply is not None
    assert len(json.loads(reply.body)["data"]["facilities"]["nodes"]) == 1


async def test_head_has_no_body_and_a_slow_client_holds_nobody_up(port: int) -> None:
    head = request(
        b"", "graphql-preflight: 1", method="HEAD", target="/graphql?query=%7B__typename%7D", content_type=None
    )
    reply = await exchange(port, head)
    assert reply is not None
    assert reply.status == 200
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(b"x" * 100)[:-50])  # half of its body, and then nothing
    await writer.drain()
    other = await exchange(port, query("{ __typename }"))
    assert other is not None
    assert other.status == 200
    writer.close()
    del reader


async def test_two_requests_on_one_connection_get_two_answers(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(query("{ a: __typename }") + query("{ b: __typename }"))
    for name in ("a", "b"):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(re.search(r"content-length: (\d+)", head)[1])  # type: ignore[index]
        assert json.loads(await reader.readexactly(length)) == {"data": {name: "Query"}}
    writer.close()


async def test_a_request_has_an_id_that_the_answer_names(port: int) -> None:
    for given, kept in (("client-7.a_b", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("<x>", False)):
        reply = await exchange(port, request(b'{"query": "{ __typename }"}', f"x-request-id: {given}"))
        assert reply is not None
        assert (reply.headers["x-request-id"] == given) is kept
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", reply.headers["x-request-id"])
    ids = set()
    for sent in (query("{ __typename }"), request(b"5"), get("")):
        reply = await exchange(port, sent)
        assert reply is not None
        ids.add(reply.headers["x-request-id"])
    assert len(ids) == 3


async def test_only_pages_of_the_settings_origins_may_read_answers(port: int) -> None:
    def preflight(origin: str) -> bytes:
        asked = ("access-control-request-method: POST", "access-control-request-headers: authorization,content-type")
        return request(b"", f"origin: {origin}", *asked, method="OPTIONS", content_type=None)

    allowed = await exchange(port, preflight("https://app.example"))
    assert allowed is not None
    assert allowed.status == 200
    assert allowed.headers["access-control-allow-origin"] == "https://app.example"
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in allowed.headers
    for origin in ("https://evil.example", "null", "https://app.example.evil.example", "http://app.example"):
        refused = await exchange(port, preflight(origin))
        assert refused is not None
        assert refused.status == 400
        assert "access-control-allow-origin" not in refused.headers
        simple = await exchange(port, request(b'{"query": "{ __typename }"}', f"origin: {origin}"))
        assert simple is not None
        assert "access-control-allow-origin" not in simple.headers
    simple = await exchange(port, request(b'{"query": "{ __typename }"}', "origin: https://app.example"))
    assert simple is not None
    assert simple.headers["access-control-allow-origin"] == "https://app.example"


async def test_statuses_follow_the_media_type(port: int) -> None:
    for accept, body, status, type_ in (
        ("application/graphql-response+json", "{ nope }", 400, "application/graphql-response+json; charset=utf-8"),
        (
            "application/graphql-response+json",
            "{ __typename }",
            200,
            "application/graphql-response+json; charset=utf-8",
        ),
        ("application/json", "{ nope }", 200, "application/json; charset=utf-8"),
        ("*/*", "{ nope }", 200, "application/json; charset=utf-8"),
        ("application/*", "{ nope }", 200, "application/json; charset=utf-8"),
        (
            "application/json, application/graphql-response+json;q=0.5",
            "{ nope }",
            200,
            "application/json; charset=utf-8",
        ),
        ("application/graphql-response+json;q=0, application/json", "{ nope }", 200, "application/json; charset=utf-8"),
        ("APPLICATION/GRAPHQL-RESPONSE+JSON", "{ nope }", 400, "application/graphql-response+json; charset=utf-8"),
    ):
        sent = request(json.dumps({"query": body}).encode(), f"accept: {accept}")
        reply = await exchange(port, sent)
        assert reply is not None
        assert (reply.status, reply.headers["content-type"]) == (status, type_), accept


async def test_the_production_profile_shows_nothing_of_the_schema(settings: Settings) -> None:
    http = settings.http.model_copy(update=dict(PRODUCTION["http"]))
    async with listening(settings.model_copy(update={"http": http})) as port:
        for text in ("{ __schema { queryType { name } } }", '{ __type(name: "User") { name } }'):
            reply = await exchange(port, query(text))
            assert reply is not None
            answer = json.loads(reply.body)
            assert "data" not in answer
            assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        for text, variables in (
            ("{ facilitie { id } }", {}),
            ("{ facility(idd: 1) { name } }", {}),
            ("{ ... on Querry { __typename } }", {}),
            ("query ($t: FacilityTyp) { __typename }", {}),
            ("query ($t: FacilityType) { facilities(filter: {type: $t}) { totalCount } }", {"t": "GYMM"}),
            ("{ facilities(filter: {type: GYMM}) { totalCount } }", {}),
            ("{ facilities(filter: {typ: GYM}) { totalCount } }", {}),
            ("{ viewer @skipp(if: true) { id } }", {}),
        ):
            reply = await exchange(port, query(text, variables=variables))
            assert reply is not None
            assert b"Did you mean" not in reply.body, reply.body
            assert json.loads(reply.body)["errors"]
        page = await exchange(port, request(b"", "accept: text/html", method="GET", content_type=None))
        assert page is not None
        assert page.status == 406
        assert page.headers["strict-transport-security"] == "max-age=31536000"
        alive = await exchange(port, request(b"", method="GET", target="/healthz", content_type=None))
        assert alive is not None
        assert alive.headers["strict-transport-security"]
        assert "server" not in alive.headers

"""The endpoint as HTTP: what is no request is refused with a status and a code, whatever bytes come."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from bson import ObjectId
from joserfc import jwt
from joserfc.jwk import OctKey
from structlog.testing import capture_logs

from nexfit.domains.identity.session_watch import SessionWatch
from nexfit.domains.identity.tokens import InvalidToken, Tokens
from nexfit.settings import AuthSettings, Settings
from nexfit.stores.connections import Stores

from .conftest import Business, Client, assert_refused, global_id, local, login, running

JSON = {"content-type": "application/json"}
STRICT = {**JSON, "accept": "application/graphql-response+json"}
OK = b'{"query": "{ __typename }"}'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"5",
        b'"{ __typename }"',
        b"null",
        b"true",
        b"[]",
        b"{}",
        b"[" + OK + b"]",
        b"[" + OK + b"," + OK + b"]",
        b'{"query": null}',
        b'{"query": 5}',
        b'{"query": ""}',
        b'{"query": " \\n\\t"}',
        b'{"query": ["{ __typename }"]}',
        b'{"query": "{ __typename }", "variables": []}',
        b'{"query": "{ __typename }", "variables": "{}"}',
        b'{"query": "{ __typename }", "variables": 5}',
        b'{"query": "{ __typename }", "operationName": 5}',
        b'{"query": "{ __typename }", "operationName": ["a"]}',
        b'{"query": "\xff"}',
        b'{"query": "\\ud800"}',
        b"\xef\xbb\xbf{",
        OK + b"x",
        OK[:-1],
        b'{"query": "{ __typename }", "variables": {"a": ' + b"[" * 60_000 + b"]" * 60_000 + b"}}",
        b'{"query": "{ __typename }", "variables": {"a": NaN}}',
        gzip.compress(OK, mtime=0),
        OK.decode().encode("utf-16"),
    ],
    ids=lambda body: repr(body[:40]),
)
async def test_a_body_that_is_no_request_is_a_bad_request(guest: Client, body: bytes) -> None:
    for headers in (JSON, STRICT):
        response = await guest.http.post("/graphql", content=body, headers=headers)
        assert_refused(response, "BAD_USER_INPUT", status=400)
        assert "data" not in response.json()


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/jsonp",
        "application/json-patch+json",
        "xapplication/json",
    ],
)
async def test_only_json_is_accepted(guest: Client, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    response = await guest.http.post("/graphql", content=OK, headers=headers)
    assert_refused(response, "BAD_USER_INPUT", status=415)


async def test_a_large_body_is_refused_before_it_is_read_to_the_end(guest: Client, settings: Settings) -> None:
    limit = settings.http.max_body_bytes
    just_fits = OK + b" " * (limit - len(OK))
    assert (await guest.http.post("/graphql", content=just_fits, headers=JSON)).status_code == 200
    assert_refused(
        await guest.http.post("/graphql", content=just_fits + b" ", headers=JSON), "BAD_USER_INPUT", status=413
    )
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 100_000
            yield b" " * 100_000

    assert_refused(await guest.http.post("/graphql", content=endless(), headers=JSON), "BAD_USER_INPUT", status=413)
    assert sent <= limit + 200_000


async def test_answers_say_what_they_are_and_are_not_kept(guest: Client) -> None:
    for accept, media_type in (
        ("*/*", "application/json; charset=utf-8"),
        ("application/json", "application/json; charset=utf-8"),
        ("application/graphql-response+json, */*", "application/graphql-response+json; charset=utf-8"),
    ):
        for body in (OK, b"{", b'{"query": "{ nope }"}'):
            response = await guest.http.post("/graphql", content=body, headers={**JSON, "accept": accept})
            assert response.headers["content-type"] == media_type
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["x-content-type-options"] == "nosniff"


async def test_the_strict_media_type_turns_request_errors_into_statuses(guest: Client) -> None:
    async def status(query: str, **more: Any) -> int:
        response = await guest.http.post("/graphql", json={"query": query, **more}, headers=STRICT)
        return response.status_code

    assert await status("{ __typename }") == 200
    assert await status("{") == 400
    assert await status("{ nope }") == 400
    assert await status("query ($n: Int!) { facilities(first: $n) { totalCount } }") == 400
    assert await status("query A { viewer { id } } query B { viewer { id } }") == 400
    assert await status("{ facilities(first: 0) { totalCount } }") == 200  # executed: the field failed
    loose = await guest.http.post("/graphql", json={"query": "{ nope }"})
    assert loose.status_code == 200


async def test_the_operation_to_run_must_be_clear(guest: Client) -> None:
    two = "query A { viewer { id } } query B { facilities(first: 1) { nodes { id } } }"
    assert "facilities" in (await guest.run(two, operationName="B"))["data"]
    assert (await guest.run(two, operationName="A"))["data"] == {"viewer": None}
    for query, name in ((two, None), (two, ""), (two, "C"), ("query A { viewer { id } }", "B"), ("# nothing", None)):
        response = await guest.post(query, operationName=name)
        assert_refused(response, "BAD_USER_INPUT")
        assert "data" not in response.json()
    assert (await guest.run("{ viewer { id } }", operationName=""))["data"] == {"viewer": None}
    assert (await guest.run("{ viewer { id } }", operationName=None, extensions={"x": 1}))["data"] == {"viewer": None}


async def test_get_is_for_queries(guest: Client, settings: Settings) -> None:
    get = guest.http.get
    asked = await get("/graphql", params={"query": "query ($n: Int) { facilities(first: $n) { nodes { id } } }"})
    assert asked.status_code == 200
    assert len(asked.json()["data"]["facilities"]["nodes"]) >= 5
    variables = {"query": "query ($n: Int) { facilities(first: $n) { nodes { id } } }", "variables": '{"n": 2}'}
    assert len((await get("/graphql", params=variables)).json()["data"]["facilities"]["nodes"]) == 2
    login = 'mutation { login(input: { email: "owner@demo.nexfit.app", password: "nexfit-demo" }) { accessToken } }'
    for params in (
        {"query": login},
        {"query": f"{login} query A {{ viewer {{ id }} }}", "operationName": ""},
        {"query": f"mutation M {login.removeprefix('mutation')} query A {{ viewer {{ id }} }}", "operationName": "M"},
    ):
        response = await get("/graphql", params=params)
        assert_refused(response, "BAD_USER_INPUT")
        assert "accessToken" not in response.text
        assert "data" not in response.json()
    for wrong in ({"variables": "{"}, {"variables": "[]"}, {"variables": "5"}, {"query": ""}, {"query": " "}):
        response = await get("/graphql", params={"query": "{ __typename }", **wrong})
        assert_refused(response, "BAD_USER_INPUT", status=400)
    # Only a browser that asks for a page is given one.
    assert_refused(await get("/graphql", headers={"accept": "application/json"}), "BAD_USER_INPUT", status=400)
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        response = await guest.http.request(method, "/graphql", content=OK, headers=JSON)
        assert response.status_code == 405
        assert "POST" in response.headers["allow"]


# --- documents that are no queries, and queries that are too much


def exploding(levels: int) -> str:
    """Fragments that each spread the next one twice."""
    parts = [f"fragment f{n} on Query {{ ...f{n + 1} ...f{n + 1} }}" for n in range(levels)]
    return "\n".join(["{ ...f0 }", *parts, f"fragment f{levels} on Query {{ __typename }}"])


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{", None),
        ("}", None),
        ("query", None),
        ("{ viewer { id } ", None),
        ("\0", None),
        ("{ viewer { id } } \ufffe", None),
        ("{ viewer }", None),
        ("{ viewer { id { x } } }", None),
        ("{ nope }", None),
        ("{ viewer(id: 1) { id } }", None),
        ("{ ...nope }", None),
        ("{ ...a } fragment a on Query { ...a }", None),
        ("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }", None),
        ("{ ...a } fragment a on Nope { id }", None),
        ("{ facility { name } }", None),
        ("query ($id: ID!) { facility(id: $id) { name } }", None),
        ("query ($id: ID!) { facility(id: $id) { name } }", {"id": None}),
        ("query ($id: ID!) { facility(id: $id) { name } }", {"id": {"a": 1}}),
        ("query ($id: ID!) { facility(id: $id) { name } }", {"ID": "x"}),
        ("query ($id: Nope) { facility(id: $id) { name } }", {"id": "x"}),
        ("query ($id: Int!) { facility(id: $id) { name } }", {"id": 1}),
        ("{ facility(id: $id) { name } }", {"id": "x"}),
        ("{ facility(id: [1]) { name } }", None),
        ("{ facility(id: 1.5) { name } }", None),
        ("{ a: viewer { id } a: facilities { totalCount } }", None),
        ("{ viewer @nope { id } }", None),
        ("{ viewer @skip { id } }", None),
        ('{ viewer @skip(if: "x") { id } }', None),
        ("subscription { x }", None),
        ("mutation { nope }", None),
        ("type A { a: Int }", None),
        ("extend type Query { a: Int }", None),
        ("{" * 3_000, None),
        ("{ a " * 3_000 + "}" * 3_000, None),
        ("{ facilities(first: " + "[" * 3_000 + "]" * 3_000 + ") { totalCount } }", None),
        ("{ facilities(filter: " + "{ a: " * 1_500 + "}" * 1_500 + ") { totalCount } }", None),
        ("query ($a: " + "[" * 2_000 + "Int" + "]" * 2_000 + ") { viewer { id } }", None),
        ("{ viewer { " + "... { " * 1_500 + "id" + " }" * 1_502, None),
        ("{ " + "viewer { id } " * 2_000 + "}", None),
    ],
    ids=lambda value: repr(value)[:50],
)
async def test_a_document_that_cannot_run_is_refused_soon(
    guest: Client, query: str, variables: dict[str, Any] | None
) -> None:
    started = time.process_time()
    response = await guest.http.post("/graphql", json={"query": query, "variables": variables}, headers=STRICT)
    assert time.process_time() - started < 3
    assert_refused(response, "BAD_USER_INPUT", "COST_LIMIT", status=400)
    assert "data" not in response.json()


async def test_fragments_within_fragments_are_walked_once(guest: Client) -> None:
    started = time.process_time()
    answer = await guest.run(exploding(22))
    assert time.process_time() - started < 3
    assert answer == {"data": {"__typename": "Query"}} or answer["errors"][0]["extensions"]["code"] != "INTERNAL"


async def test_a_deep_operation_is_answered_or_refused(owner: Client, chain: Business) -> None:
    async def ask(levels: int) -> dict[str, Any]:
        below = "{ classes(first: 1) { nodes { facility " * levels + "{ id }" + " } } }" * levels
        return await owner.run(f"query ($id: ID!) {{ facility(id: $id) {below} }}", {"id": chain.facility})

    for levels in (5, 60, 200):
        answer = await ask(levels)
        for error in answer.get("errors", ()):
            assert error["extensions"]["code"] in ("BAD_USER_INPUT", "COST_LIMIT"), error
        if "errors" not in answer:
            found = answer["data"]["facility"]
            for _ in range(levels):
                found = found["classes"]["nodes"][0]["facility"]
            assert found == {"id": chain.facility}


# --- tokens


def signed(settings: Settings, *, header: dict[str, Any] | None = None, key: str | None = None, **claims: Any) -> str:
    """A token as `Tokens` makes it, but for what is given."""
    now = int(time.time())
    user, session = str(ObjectId()), str(ObjectId())
    made = {
        "iss": "nexfit",
        "sub": user,
        "sid": session,
        "use": "access",
        "iat": now,
        "exp": now + 600,
        "jti": "x",
        **claims,
    }
    secret = OctKey.import_key(key or settings.auth.secret.get_secret_value())
    header = header or {"alg": "HS256"}
    claims = {name: value for name, value in made.items() if value is not None}
    return jwt.encode(header, claims, secret, algorithms=[header["alg"]])


def _base64(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def bad_tokens(settings: Settings, good: str) -> dict[str, str]:
    head, claims, signature = good.split(".")
    none = _base64({"alg": "none"})
    return {
        "no token": "",
        "garbage": "garbage",
        "three garbage parts": "a.b.c",
        "not ascii": "jeton-ğüşiöç",
        "long": "A" * 5_000,
        "unsigned": f"{none}.{claims}.",
        "unsigned with the signature": f"{none}.{claims}.{signature}",
        "without its signature": f"{head}.{claims}.",
        "cut": good[:-2],
        "other claims": f"{head}.{claims[:-4]}AAAA.{signature}",
        "another key": signed(settings, key="another secret that is long enough for HS256"),
        "another algorithm": signed(settings, header={"alg": "HS512"}),
        "expired": signed(settings, exp=int(time.time()) - 1),
        "another issuer": signed(settings, iss="nextfit"),
        "no issuer": signed(settings, iss=None),
        "another use": signed(settings, use="refresh"),
        "no use": signed(settings, use=None),
        "no expiry": signed(settings, exp=None),
        "expiry as text": signed(settings, exp="2999"),
        "no subject": signed(settings, sub=None),
        "a name as subject": signed(settings, sub="owner"),
        "a number as subject": signed(settings, sub=5),
        "a header that must be understood": f"{_base64({'alg': 'HS256', 'crit': ['x'], 'x': 1})}.{claims}.{signature}",
    }


async def test_a_token_that_does_not_hold_is_refused_and_nobody_is_taken_for_a_guest(
    owner: Client, settings: Settings
) -> None:
    assert owner.token is not None
    for name, token in bad_tokens(settings, owner.token).items():
        for headers in ({}, {"accept": "application/graphql-response+json"}):
            response = await owner.http.post(
                "/graphql", content=OK, headers={**JSON, **headers, b"authorization": f"Bearer {token}".encode()}
            )
            assert_refused(response, "UNAUTHENTICATED", status=401)
            assert response.headers["www-authenticate"] == "Bearer", name
            assert "data" not in response.json()
    for header in ("", "Bearer", "Basic b3duZXI6eA==", owner.token, f"Token {owner.token}", "Bearer a b"):
        response = await owner.http.post("/graphql", content=OK, headers={**JSON, "authorization": header})
        assert_refused(response, "UNAUTHENTICATED", status=401)
    for header in (f"bearer {owner.token}", f"BEARER  {owner.token} "):
        response = await owner.http.post("/graphql", content=OK, headers={**JSON, "authorization": header})
        assert response.status_code == 200


async def test_a_token_of_somebody_unknown_is_nobody(settings: Settings, http: httpx.AsyncClient) -> None:
    stranger = Client(http, signed(settings))
    assert await stranger.data("{ viewer { id } }") == {"viewer": None}
    refused = await stranger.post("{ facilities(first: 1) { nodes { members { totalCount } } } }")
    assert_refused(refused, "FORBIDDEN")


async def test_a_token_works_until_the_second_it_expires(settings: Settings, stores: Stores) -> None:
    watch = SessionWatch(stores.mongo, stores.redis, settings.auth)
    await watch.look()
    tokens, now, user = Tokens(settings.auth, watch), datetime(2026, 6, 15, 12, tzinfo=UTC), ObjectId()
    issued = tokens.issue(user, ObjectId(), now)
    assert issued.expires_at == now + timedelta(minutes=settings.auth.access_token_minutes)
    assert tokens.verify(issued.value, now).user_id == user
    assert tokens.verify(issued.value, issued.expires_at - timedelta(microseconds=1)).user_id == user
    for late in (issued.expires_at, issued.expires_at + timedelta(days=1)):
        with pytest.raises(InvalidToken):
            tokens.verify(issued.value, late)
    with pytest.raises(InvalidToken):
        Tokens(AuthSettings(), watch).verify(issued.value, now)  # an unset secret is another one in every process
    assert tokens.verify(signed(settings, exp=10**18), now).user_id is not None
    for odd in (-(10**18), True, False, 1.5, 1e300, None):
        with pytest.raises(InvalidToken):
            tokens.verify(signed(settings, exp=odd), now)


# --- what nobody expected


async def test_what_nobody_expected_is_masked_and_logged_under_its_id(
    small_owner: Client, small_stores: Stores, small_settings: Settings
) -> None:
    collection = small_stores.mongo.database["classes"]
    facility = (await small_stores.mongo.database["facilities"].find_one({"name": {"$regex": "^Çınar"}}) or {})["_id"]
    odd = ObjectId()
    template = await collection.find_one({"facilityId": facility}) or {}
    query = "query ($id: ID!) { node(id: $id) { ... on Class { %s schedule { startTime } tags } } }"
    try:
        for wrong, field in (
            ({"difficulty": "sinister-word"}, "difficulty"),
            ({"duration": "sinister-word"}, "duration"),
            ({"name": None}, "name"),
            ({"schedule": {"startTime": "sinister-word"}}, "name"),
            ({"schedule": "sinister-word"}, "name"),
            ({"tags": "sinister-word"}, "name"),
            ({"isActive": ["sinister-word"]}, "isActive"),
        ):
            await collection.delete_one({"_id": odd})
            await collection.insert_one({**template, **wrong, "_id": odd}, bypass_document_validation=True)
            with capture_logs() as logs:
                response = await small_owner.post(query % field, {"id": global_id("Class", odd)})
            assert_refused(response, "INTERNAL")
            assert "sinister-word" not in response.text
            for error in response.json()["errors"]:
                assert error["path"][0] == "node"
                assert [entry.get("error_id") for entry in logs].count(error["extensions"]["errorId"]) == 1
    finally:
        await collection.delete_one({"_id": odd})


async def test_a_failure_that_many_fields_share_is_logged_once(
    settings: Settings, chain: Business, stores: Stores
) -> None:
    # Twenty plans whose subscribers are counted by one load that fails: PostgreSQL is asked under a held lock.
    query = "query ($id: ID!) { facility(id: $id) { memberships { activeSubscribers } } }"
    hasty = settings.postgres.model_copy(update={"lock_timeout": 0.5})
    async with running(settings.model_copy(update={"postgres": hasty})) as http:
        owner = await login(http, "owner@demo.nexfit.app")
        async with stores.postgres.connection() as connection, connection.transaction():
            await connection.execute("LOCK TABLE finance.subscriptions IN ACCESS EXCLUSIVE MODE")
            await stores.redis.send([("FLUSHDB",)])
            with capture_logs() as logs:
                response = await owner.post(query, {"id": chain.facility})
    assert_refused(response, "UNAVAILABLE")
    errors = response.json()["errors"]
    assert len(errors) > 1
    logs = [entry for entry in logs if entry["event"] != "request"]
    assert {error["extensions"]["errorId"] for error in errors} == {entry["error_id"] for entry in logs}
    assert len(logs) == 1
    assert response.json()["data"]["facility"]["memberships"] == [{"activeSubscribers": None}] * len(errors)
    assert local(chain.facility)  # the facility itself is there

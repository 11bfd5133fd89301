"""Sessions: tokens that rotate, thieves that end them, and ends that every process knows within a second."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from bson import ObjectId
from pydantic import SecretStr
from redis.asyncio import Redis

from nexfit.domains.errors import InvalidRefreshToken
from nexfit.domains.identity import session_watch
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.identity.refresh import Use, judge
from nexfit.domains.identity.refresh_tokens import RefreshToken, RefreshTokens
from nexfit.domains.identity.session_watch import SessionsUnknown, SessionWatch, following
from nexfit.domains.identity.tokens import Tokens
from nexfit.settings import AuthSettings, MongoSettings, RedisSettings, Settings
from nexfit.stores.connections import Stores
from nexfit.stores.mongo import Mongo
from nexfit.stores.redis import RedisStore

from .conftest import PASSWORD, Client, account, assert_refused, global_id, local, running

LOGIN = """mutation ($i: LoginInput!) { login(input: $i) {
    accessToken refreshToken refreshTokenExpiresAt userErrors { code } } }"""
REFRESH = """mutation ($i: RefreshTokenInput!) { refreshToken(input: $i) {
    accessToken expiresAt refreshToken refreshTokenExpiresAt userErrors { code message path } } }"""
SESSIONS = "{ viewer { sessions { totalCount nodes { id deviceName userAgent ipAddress lastUsedAt current } } } }"
ME = "{ viewer { id } }"


@pytest.fixture(scope="module")
async def other_http(small_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A second process over the same stores, whose grace for races is over at once."""
    auth = small_settings.auth.model_copy(update={"refresh_grace_seconds": 0.001})
    async with running(small_settings.model_copy(update={"auth": auth})) as client:
        yield client


class SignedIn:
    """Somebody who is signed in, with the newest tokens of the session."""

    def __init__(self, http: httpx.AsyncClient, payload: dict[str, Any]) -> None:
        self.client = Client(http, payload["accessToken"])
        self.refresh: str = payload["refreshToken"]

    def at(self, http: httpx.AsyncClient) -> Client:
        """The same person at another process."""
        return Client(http, self.client.token)

    async def session(self) -> dict[str, Any]:
        """The session of this request as the API shows it."""
        nodes: list[dict[str, Any]] = (await self.client.data(SESSIONS))["viewer"]["sessions"]["nodes"]
        [current] = [node for node in nodes if node["current"]]
        return current


async def signed_in(http: httpx.AsyncClient, email: str, device: str | None = None) -> SignedIn:
    data = await Client(http).data(LOGIN, {"i": {"email": email, "password": PASSWORD, "deviceName": device}})
    assert data["login"]["userErrors"] == []
    return SignedIn(http, data["login"])


async def refreshed(http: httpx.AsyncClient, token: str, key: str | None = None) -> dict[str, Any]:
    data = await Client(http).data(REFRESH, {"i": {"refreshToken": token, "retryKey": key}})
    payload: dict[str, Any] = data["refreshToken"]
    return payload


async def lets_in(client: Client) -> bool:
    response = await client.post(ME)
    if response.status_code == 401:
        assert_refused(response, "UNAUTHENTICATED", status=401)
        return False
    return response.json()["data"]["viewer"] is not None


async def seconds_until_refused(client: Client) -> float:
    """How long the client is still let in, at most 5 seconds."""
    started = time.perf_counter()
    while await lets_in(client):
        assert time.perf_counter() - started < 5
        await asyncio.sleep(0.02)
    return time.perf_counter() - started


def codes(payload: dict[str, Any]) -> list[str]:
    return [error["code"] for error in payload["userErrors"]]


async def test_a_refresh_gives_the_next_tokens(small_http: httpx.AsyncClient, small_stores: Stores) -> None:
    user, email = await account(small_stores)
    somebody = await signed_in(small_http, email)
    before = await small_stores.mongo.database["sessions"].find_one({"userId": user}) or {}
    payload = await refreshed(small_http, somebody.refresh)
    assert payload["userErrors"] == []
    assert payload["refreshToken"] != somebody.refresh
    assert await lets_in(Client(small_http, payload["accessToken"]))
    assert await lets_in(somebody.client)  # its time is not over
    after = await small_stores.mongo.database["sessions"].find_one({"userId": user}) or {}
    assert after["_id"] == before["_id"]
    assert (after["generation"], after["expiresAt"] > before["expiresAt"]) == (1, True)
    # What the store holds is no token and no hash of one.
    held = repr(after)
    assert somebody.refresh not in held
    assert payload["refreshToken"] not in held


async def test_of_parallel_refreshes_one_wins_and_the_session_goes_on(
    small_http: httpx.AsyncClient, small_stores: Stores
) -> None:
    user, email = await account(small_stores)
    somebody = await signed_in(small_http, email)
    payloads = await asyncio.gather(*(refreshed(small_http, somebody.refresh) for _ in range(20)))
    [won] = [payload for payload in payloads if not payload["userErrors"]]
    assert all(codes(payload) == ["INVALID_REFRESH_TOKEN"] for payload in payloads if payload is not won)
    assert all(payload["accessToken"] is None for payload in payloads if payload is not won)
    session = await small_stores.mongo.database["sessions"].find_one({"userId": user}) or {}
    assert (session["generation"], "revokedAt" in session) == (1, False)
    assert (await refreshed(small_http, won["refreshToken"]))["userErrors"] == []


async def test_a_client_that_lost_the_answer_asks_again_with_its_key(
    small_http: httpx.AsyncClient, small_stores: Stores
) -> None:
    _, email = await account(small_stores)
    somebody = await signed_in(small_http, email)
    payloads = await asyncio.gather(*(refreshed(small_http, somebody.refresh, "key 1") for _ in range(5)))
    assert [payload["userErrors"] for payload in payloads] == [[]] * 5
    assert len({payload["refreshToken"] for payload in payloads}) == 1
    assert codes(await refreshed(small_http, somebody.refresh, "key 2")) == ["INVALID_REFRESH_TOKEN"]
    assert codes(await refreshed(small_http, somebody.refresh)) == ["INVALID_REFRESH_TOKEN"]
    following_ = await refreshed(small_http, payloads[0]["refreshToken"])
    assert following_["userErrors"] == []
    # Two generations later nobody lost an answer: somebody kept a copy.
    assert codes(await refreshed(small_http, somebody.refresh, "key 1")) == ["INVALID_REFRESH_TOKEN"]
    assert codes(await refreshed(small_http, following_["refreshToken"])) == ["INVALID_REFRESH_TOKEN"]


async def test_a_stolen_token_ends_the_session_for_everybody(
    small_http: httpx.AsyncClient, other_http: httpx.AsyncClient, small_stores: Stores
) -> None:
    user, email = await account(small_stores)
    somebody, elsewhere = await signed_in(other_http, email), await signed_in(other_http, email)
    won = await refreshed(other_http, somebody.refresh)
    assert won["userErrors"] == []
    await asyncio.sleep(0.01)  # the grace
    assert codes(await refreshed(other_http, somebody.refresh)) == ["INVALID_REFRESH_TOKEN"]
    assert codes(await refreshed(other_http, won["refreshToken"])) == ["INVALID_REFRESH_TOKEN"]
    for token in (won["accessToken"], somebody.client.token):
        assert not await lets_in(Client(other_http, token))
        assert await seconds_until_refused(Client(small_http, token)) < 5
    assert await lets_in(elsewhere.client)  # another session of the same person
    session = (
        await small_stores.mongo.database["sessions"].find_one({"_id": ObjectId(await session_id(somebody))}) or {}
    )
    assert session["revokedBecause"] == "token_reused"
    entry = await small_stores.mongo.database["outbox"].find_one(
        {"aggregateId": str(user), "eventType": "SessionsEnded"}
    )
    assert entry is not None
    assert somebody.refresh.encode() not in entry["payload"]


async def session_id(somebody: SignedIn) -> str:
    return str(ObjectId(base64.urlsafe_b64decode(somebody.refresh + "==")[:12]))


async def test_a_token_nobody_issued_asks_no_store_and_ends_nothing(
    small_http: httpx.AsyncClient, small_stores: Stores
) -> None:
    _, email = await account(small_stores)
    somebody = await signed_in(small_http, email)
    raw = bytearray(base64.urlsafe_b64decode(somebody.refresh + "=="))
    forged = ["", "x", "é", "\0", "A" * 86, "A" * 20_000, somebody.client.token, somebody.refresh[:-1]]
    for place in range(0, len(raw), 7):
        changed = bytearray(raw)
        changed[place] ^= 1
        forged.append(base64.urlsafe_b64encode(changed).decode().rstrip("="))
    for token in forged:
        data, log = await Client(small_http).counted(REFRESH, {"i": {"refreshToken": token}})
        assert codes(data["refreshToken"]) == ["INVALID_REFRESH_TOKEN"], token
        assert log.count("mongo") == 0
    assert (await refreshed(small_http, somebody.refresh))["userErrors"] == []


async def test_an_ended_session_is_refused_by_every_process_within_a_second(
    small_http: httpx.AsyncClient, other_http: httpx.AsyncClient, small_stores: Stores
) -> None:
    _, email = await account(small_stores)
    nothing = 'mutation { logout(input: { refreshToken: "x" }) { loggedOut userErrors { code } } }'
    assert (await Client(small_http).data(nothing))["logout"] == {
        "loggedOut": False,
        "userErrors": [{"code": "INVALID_REFRESH_TOKEN"}],
    }
    taken = []
    for way in (
        "mutation { logout(input: {}) { loggedOut userErrors { code } } }",
        "mutation { logoutEverywhere(input: {}) { ended userErrors { code } } }",
        'mutation { revokeSession(input: { id: "%s" }) { revokedId userErrors { code } } }',
        'mutation { logout(input: { refreshToken: "%s" }) { loggedOut userErrors { code } } }',
    ):
        somebody = await signed_in(small_http, email)
        there = somebody.at(other_http)
        assert await lets_in(there)
        value = somebody.refresh if "refreshToken" in way else (await somebody.session())["id"]
        client = Client(small_http) if "refreshToken" in way else somebody.client
        data = await client.data(way.replace("%s", value))
        [payload] = data.values()
        assert payload["userErrors"] == []
        assert not await lets_in(somebody.client)  # at once where it was ended
        taken.append(await seconds_until_refused(there))
        assert codes(await refreshed(other_http, somebody.refresh)) == ["INVALID_REFRESH_TOKEN"]
    assert min(taken) < 1.0, taken  # the best of four: a busy machine may hold one up


async def test_losing_redis_or_a_process_brings_no_session_back(
    small_http: httpx.AsyncClient, small_settings: Settings, small_stores: Stores
) -> None:
    _, email = await account(small_stores)
    gone, here = await signed_in(small_http, email), await signed_in(small_http, email)
    await gone.client.data("mutation { logout(input: {}) { loggedOut } }")
    async with Redis.from_url(small_settings.redis.url.get_secret_value()) as redis:
        assert await redis.zscore("blacklist", await session_id(gone)) is not None
        assert 0 < await redis.ttl("blacklist") <= 1800 + 90
        assert await redis.hgetall(f"session:{await session_id(gone)}") == {}
        kept = await redis.hgetall(f"session:{await session_id(here)}")
        assert {b"userId", b"lastActivity", b"deviceInfo"} == set(kept)
        assert await redis.ttl(f"session:{await session_id(here)}") > 86_400
        await redis.flushdb()
    assert not await lets_in(gone.client)
    nowhere = small_settings.redis.model_copy(update={"url": SecretStr("redis://127.0.0.1:1/0")})
    for settings in (small_settings, small_settings.model_copy(update={"redis": nowhere})):
        async with running(settings) as restarted:
            assert not await lets_in(gone.at(restarted))
            assert codes(await refreshed(restarted, gone.refresh)) == ["INVALID_REFRESH_TOKEN"]
            assert await lets_in(here.at(restarted))
            [shown] = [
                node
                for node in (await here.at(restarted).data(SESSIONS))["viewer"]["sessions"]["nodes"]
                if node["current"]
            ]
            assert shown["lastUsedAt"]
            payload = await refreshed(restarted, here.refresh)
            assert payload["userErrors"] == []
            here = SignedIn(small_http, payload)
    assert codes(await refreshed(small_http, gone.refresh)) == ["INVALID_REFRESH_TOKEN"]


async def test_while_mongo_does_not_answer_the_copy_is_asked_and_without_either_nobody_is_let_in(
    small_http: httpx.AsyncClient,
    small_settings: Settings,
    small_stores: Stores,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, email = await account(small_stores)
    before, later = await signed_in(small_http, email), await signed_in(small_http, email)
    await before.client.data("mutation { logout(input: {}) { loggedOut } }")
    watch = SessionWatch(small_stores.mongo, small_stores.redis, small_settings.auth)
    ids = [ObjectId(await session_id(somebody)) for somebody in (before, later)]
    with pytest.raises(SessionsUnknown):  # nobody is let in on nothing
        watch.has_ended(ids[0])
    nowhere = Mongo(MongoSettings(url=SecretStr("mongodb://127.0.0.1:1/"), server_selection_timeout=0.1))
    deaf = SessionWatch(nowhere, small_stores.redis, small_settings.auth)
    await deaf.look()
    with pytest.raises(SessionsUnknown):  # the copy alone may have been emptied
        deaf.has_ended(ids[0])
    await watch.look()
    assert [watch.has_ended(id_) for id_ in ids] == [True, False]
    monkeypatch.setattr(watch, "_mongo", nowhere)
    await later.client.data("mutation { logout(input: {}) { loggedOut } }")
    await watch.look()
    assert [watch.has_ended(id_) for id_ in ids] == [True, True]
    monkeypatch.setattr(watch, "_redis", RedisStore(RedisSettings(url=SecretStr("redis://127.0.0.1:1/0"))))
    await watch.look()
    assert watch.has_ended(ids[0])
    monkeypatch.setattr(session_watch, "TOLERANCE", 0.0)
    with pytest.raises(SessionsUnknown):
        watch.has_ended(ids[0])
    tokens = Tokens(small_settings.auth, watch)
    assert tokens.still_holds(GUEST)
    with pytest.raises(SessionsUnknown):
        tokens.still_holds(Actor(ObjectId(), ids[0]))
    await nowhere.close()


async def test_a_process_that_knows_nothing_answers_503(small_settings: Settings) -> None:
    nowhere = small_settings.mongo.model_copy(update={"url": SecretStr("mongodb://127.0.0.1:1/")})
    async with running(small_settings.model_copy(update={"mongo": nowhere})) as http:
        watch = SessionWatch(Mongo(nowhere), RedisStore(small_settings.redis), small_settings.auth)
        issued = Tokens(small_settings.auth, watch).issue(ObjectId(), ObjectId(), datetime.now(UTC))
        assert_refused(await Client(http, issued.value).post(ME), "UNAVAILABLE", status=503)
        assert (await Client(http).post("{ __typename }")).status_code == 200  # guests need no session


async def test_a_watch_goes_on_after_a_failure(
    small_settings: Settings, small_stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = SessionWatch(small_stores.mongo, small_stores.redis, small_settings.auth)
    monkeypatch.setattr(session_watch, "EVERY", 0.01)
    async with following(watch):
        look, went_on = watch.look, asyncio.Event()
        failures = iter([ValueError("a bug")])

        async def failing() -> None:
            for failure in failures:
                raise failure
            await look()
            went_on.set()

        monkeypatch.setattr(watch, "look", failing)
        await asyncio.wait_for(went_on.wait(), 10)
    assert not watch.has_ended(ObjectId())


async def test_the_viewer_sees_and_ends_own_sessions_only(small_http: httpx.AsyncClient, small_stores: Stores) -> None:
    (_, email), (_, other_email) = await account(small_stores), await account(small_stores)
    phone, desk = await signed_in(small_http, email, "Deniz's phone"), await signed_in(small_http, email, " ")
    stranger = await signed_in(small_http, other_email)
    found = (await phone.client.data(SESSIONS))["viewer"]["sessions"]
    assert found["totalCount"] == 2
    assert [(node["deviceName"], node["current"]) for node in found["nodes"]] == [
        (None, False),
        ("Deniz's phone", True),
    ]
    assert all(node["userAgent"].startswith("python-httpx") and node["ipAddress"] for node in found["nodes"])
    theirs = (await stranger.session())["id"]
    node = "query ($id: ID!) { node(id: $id) { id ... on Session { deviceName } } }"
    revoke = "mutation ($i: RevokeSessionInput!) { revokeSession(input: $i) { revokedId userErrors { code path } } }"
    assert (await phone.client.data(node, {"id": theirs}))["node"] is None
    assert (await stranger.client.data(node, {"id": theirs}))["node"]["id"] == theirs
    assert (await Client(small_http).data(node, {"id": theirs}))["node"] is None
    for id_ in (theirs, global_id("Session", ObjectId()), global_id("User", local(theirs)), "x", ""):
        answer = (await phone.client.data(revoke, {"i": {"id": id_}}))["revokeSession"]
        assert answer == {"revokedId": None, "userErrors": [{"code": "NOT_FOUND", "path": ["id"]}]}
    assert await lets_in(stranger.client)
    assert_refused(await Client(small_http).post(revoke, {"i": {"id": theirs}}), "UNAUTHENTICATED")
    mine = (await desk.session())["id"]
    assert (await phone.client.data(revoke, {"i": {"id": mine}}))["revokeSession"]["revokedId"] == mine
    assert not await lets_in(desk.client)
    assert (await phone.client.data(node, {"id": mine}))["node"] is None
    again = [await signed_in(small_http, email) for _ in range(3)]
    everywhere = "mutation { logoutEverywhere(input: { keepThis: true }) { ended } }"
    assert (await phone.client.data(everywhere))["logoutEverywhere"]["ended"] == 3
    assert [await lets_in(one.client) for one in again] == [False] * 3
    assert await lets_in(phone.client)
    assert (await phone.client.data(SESSIONS))["viewer"]["sessions"]["totalCount"] == 1


async def test_a_session_shows_when_it_was_last_used(
    small_settings: Settings, small_http: httpx.AsyncClient, small_stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, email = await account(small_stores)
    somebody = await signed_in(small_http, email)
    before = datetime.fromisoformat((await somebody.session())["lastUsedAt"])
    monkeypatch.setattr(session_watch, "FLUSH_EVERY", 0.0)
    deadline = time.monotonic() + 10
    while datetime.fromisoformat((await somebody.session())["lastUsedAt"]) <= before:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    data, log = await somebody.client.counted("{ viewer { sessions { nodes { lastUsedAt } } } }")
    assert data["viewer"]["sessions"]["nodes"]
    assert (log.count("mongo"), log.count("redis")) == (2, 1)


async def test_whoever_was_deactivated_by_hand_is_not_refreshed(
    small_http: httpx.AsyncClient, small_stores: Stores
) -> None:
    user, email = await account(small_stores)
    somebody = await signed_in(small_http, email)
    await small_stores.mongo.database["users"].update_one({"_id": user}, {"$set": {"isActive": False}})
    assert codes(await refreshed(small_http, somebody.refresh)) == ["INVALID_REFRESH_TOKEN"]
    assert not await lets_in(somebody.client)


NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
GRACE = timedelta(seconds=10)


def test_what_the_use_of_a_token_means() -> None:
    id_, salt = ObjectId(), bytes(16)
    session = {
        "generation": 3,
        "salt": salt,
        "retryKey": b"k" * 32,
        "rotatedAt": NOW - timedelta(seconds=5),
        "expiresAt": NOW + timedelta(days=1),
    }

    def use(generation: int, key: bytes | None = None, salt: bytes = salt, **changes: Any) -> Use:
        return judge({**session, **changes}, RefreshToken(id_, generation, salt), key, NOW, GRACE)

    assert use(3) is Use.ROTATE
    assert use(3, salt=b"x" * 16) is Use.THEFT
    assert use(2, b"k" * 32) is Use.REPEAT
    assert use(2, b"l" * 32) is use(2) is Use.RACE
    assert use(2, b"k" * 32, retryKey=None) is Use.RACE
    assert use(2, b"k" * 32, rotatedAt=NOW - timedelta(seconds=10.001)) is Use.THEFT
    assert use(1) is use(0, b"k" * 32) is use(4) is Use.THEFT
    assert use(3, revokedAt=NOW) is use(3, expiresAt=NOW) is use(0, revokedAt=NOW) is Use.ENDED
    assert judge(None, RefreshToken(id_, 0, salt), None, NOW, GRACE) is Use.ENDED


def test_a_refresh_token_reads_back_under_its_own_secret_only() -> None:
    mine, other = RefreshTokens(AuthSettings()), RefreshTokens(AuthSettings())
    token = RefreshToken(ObjectId(), 2**32 - 1, bytes(range(16)))
    assert mine.read(mine.write(token)) == token
    with pytest.raises(InvalidRefreshToken):
        other.read(mine.write(token))

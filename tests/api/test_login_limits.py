"""Signing in is tried a limited number of times, by account and by address, however the tries are sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from nexfit.domains.errors import TooOften
from nexfit.domains.identity.attempts import WITHIN, Attempts
from nexfit.hybrid.buckets import Bucket, take
from nexfit.settings import AuthSettings, Settings
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreUnavailable

from .conftest import Client, assert_refused, forget_views, running

OWNER = "owner@demo.nexfit.app"
TRIES = 4


@pytest.fixture
async def limited(small_settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """An application that allows few tries, with none used up."""
    auth = small_settings.auth.model_copy(update={"tries_per_account": TRIES, "tries_per_address": 3 * TRIES})
    await forget_views(small_settings)
    async with running(small_settings.model_copy(update={"auth": auth})) as client:
        yield client
    await forget_views(small_settings)


def sign_in(alias: str, email: str, password: str) -> str:
    arguments = f'input: {{ email: "{email}", password: "{password}" }}'
    return f"{alias}: login({arguments}) {{ accessToken userErrors {{ code message path }} }}"


def told(payload: Any) -> str:
    return "ok" if payload["accessToken"] else payload["userErrors"][0]["code"]


async def test_aliases_are_no_way_around_the_limit_of_an_account(limited: httpx.AsyncClient) -> None:
    wrong = " ".join(sign_in(f"t{n}", OWNER, f"wrong{n}") for n in range(TRIES + 3))
    payloads = (await Client(limited).data(f"mutation {{ {wrong} }}")).values()
    codes = [told(payload) for payload in payloads]
    assert codes == ["INVALID_CREDENTIALS"] * TRIES + ["RATE_LIMITED"] * 3
    last = list(payloads)[-1]["userErrors"][0]
    seconds = int(last["message"].removeprefix("Too many requests. Try again in ").removesuffix(" s."))
    assert WITHIN / TRIES - 30 < seconds <= WITHIN / TRIES + 1
    # The right password waits as well, written in any way; another account does not.
    for email in (OWNER, OWNER.upper(), f" {OWNER}"):
        right = await Client(limited).data(f"mutation {{ {sign_in('t', email, 'nexfit-demo')} }}")
        assert told(right["t"]) == "RATE_LIMITED"
    other = await Client(limited).data(f"mutation {{ {sign_in('t', 'desk@demo.nexfit.app', 'nexfit-demo')} }}")
    assert told(other["t"]) == "ok"


async def test_parallel_tries_are_counted_one_by_one(limited: httpx.AsyncClient) -> None:
    query = f"mutation {{ {sign_in('t', OWNER, 'wrong')} }}"
    answers = await asyncio.gather(*(Client(limited).data(query) for _ in range(2 * TRIES)))
    codes = [told(answer["t"]) for answer in answers]
    assert codes.count("INVALID_CREDENTIALS") == TRIES
    assert codes.count("RATE_LIMITED") == TRIES


async def test_an_address_may_not_try_one_account_after_another(limited: httpx.AsyncClient) -> None:
    async def attempt(n: int, address: str) -> str:
        query = f"mutation {{ {sign_in('t', f'nobody{n}@example.org', 'wrong')} }}"
        answer = await Client(limited).http.post(
            "/graphql", json={"query": query}, headers={"x-forwarded-for": address, "x-real-ip": address}
        )
        return told(answer.json()["data"]["t"])

    # Whatever a caller says of its address, it is the one it comes from.
    codes = [await attempt(n, f"198.51.100.{n}") for n in range(3 * TRIES + 2)]
    assert codes == ["INVALID_CREDENTIALS"] * (3 * TRIES) + ["RATE_LIMITED"] * 2


async def test_a_right_password_takes_back_the_wrong_ones(limited: httpx.AsyncClient) -> None:
    client = Client(limited)
    for _ in range(3):
        for n in range(TRIES - 1):
            assert told((await client.data(f"mutation {{ {sign_in('t', OWNER, f'w{n}')} }}"))["t"]) != "RATE_LIMITED"
        assert told((await client.data(f"mutation {{ {sign_in('t', OWNER, 'nexfit-demo')} }}"))["t"]) == "ok"


async def test_the_message_comes_in_the_language_asked_for(limited: httpx.AsyncClient) -> None:
    body = {"query": f"mutation {{ {sign_in('t', OWNER, 'wrong')} }}"}
    for asked, said, message in (
        ("tr-TR", "tr", "E-posta adresi veya parola yanlış."),
        ("pl", "pl", "Adres e-mail lub hasło są nieprawidłowe."),
        ("de", "en", "The e-mail address or the password is wrong."),
    ):
        answer = await limited.post("/graphql", json=body, headers={"accept-language": asked})
        assert answer.json()["data"]["t"]["userErrors"][0]["message"] == message
        assert answer.headers["content-language"] == said
    refused = await limited.post("/graphql", json={"query": 5}, headers={"accept-language": "tr"})
    assert refused.json()["errors"][0]["message"] == "`query` bir GraphQL belgesi olmalıdır."
    invalid = await limited.post("/graphql", json={"query": "{ nope }"}, headers={"accept-language": "tr"})
    assert invalid.headers["content-language"] == "en"
    plain = await limited.post("/graphql", json={"query": "{ __typename }"}, headers={"accept-language": "tr"})
    assert "content-language" not in plain.headers


async def test_nobody_signs_in_while_tries_cannot_be_counted(small_settings: Settings) -> None:
    redis = small_settings.redis.model_copy(update={"url": SecretStr("redis://127.0.0.1:9/0"), "retry_after": 0.01})
    async with running(small_settings.model_copy(update={"redis": redis})) as client:
        for password in ("nexfit-demo", "wrong"):
            answer = await Client(client).post(f"mutation {{ {sign_in('t', OWNER, password)} }}")
            assert_refused(answer, "UNAVAILABLE")
            assert "accessToken" not in answer.text


async def test_tries_come_back_one_by_one(small_stores: Stores) -> None:
    attempts = Attempts(small_stores.redis, AuthSettings(tries_per_account=900, tries_per_address=10_000))
    account, started = str(uuid4()), time.monotonic()
    results = await asyncio.gather(
        *(attempts.check("t", account=account, address="a") for _ in range(905)), return_exceptions=True
    )
    refused = [result for result in results if result is not None]
    back = int(time.monotonic() - started) + 1  # one a second
    assert 5 - back <= len(refused) <= 5
    assert all(isinstance(result, TooOften) and result.seconds == 1 for result in refused)
    await asyncio.sleep(1.1)  # one a second comes back
    await attempts.check("t", account=account, address="a")
    await attempts.check("other", account=account, address="a")


async def test_buckets_give_from_all_or_from_none(small_stores: Stores) -> None:
    redis, name = small_stores.redis, str(uuid4())
    full, poor = Bucket(f"{name}:a", 10, 1, 4, 6), Bucket(f"{name}:b", 2, 0.5, 2, 2)
    first = await take(redis, [full, poor])
    assert first.wait == 0
    assert [round(part) for pair in first.buckets for part in pair] == [6, 4, 2, 0]
    second = await take(redis, [full, poor])
    assert second.buckets == ()
    assert 3 < second.wait <= 4  # two tokens at half a second each
    [(taken, left)] = (await take(redis, [full])).buckets
    assert 4 <= taken < 4.5  # what was refused took nothing: the rest was still there
    assert left < 0.5
    given = await take(redis, [Bucket(f"{name}:b", 2, 0.5, -5, -5)])
    assert given.buckets[0][1] == 2  # never more than its size
    assert await small_stores.redis.send([("EXISTS", f"nexfit:{{buckets}}:{name}:b")]) == [0]
    with pytest.raises(StoreUnavailable):
        await take(redis, [Bucket(f"{name}:a", "x", 1)])  # type: ignore[arg-type]

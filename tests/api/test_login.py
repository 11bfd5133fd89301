"""Signing in: the same words and about the same time for whoever is not let in, and old hashes replaced."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import bcrypt
import pytest
from argon2 import PasswordHasher
from bson import ObjectId

from nexfit.domains.identity.passwords import MAX_PASSWORD_BYTES, Passwords, needs_rehash
from nexfit.settings import Settings
from nexfit.stores.connections import Stores

from .conftest import Client, account, assert_refused, login, running

LOGIN = """mutation ($i: LoginInput!) { login(input: $i) { accessToken expiresAt viewer { id email firstName }
             userErrors { code message path } } }"""
OWNER = "owner@demo.nexfit.app"


async def attempt(client: Client, email: str, password: str) -> dict[str, Any]:
    data = await Client(client.http).data(LOGIN, {"i": {"email": email, "password": password}})
    payload: dict[str, Any] = data["login"]
    return payload


async def test_the_right_password_gives_a_token_for_the_viewer(guest: Client) -> None:
    for email in (OWNER, OWNER.upper(), OWNER.replace("i", "İ"), f"  {OWNER}\n"):
        payload = await attempt(guest, email, "nexfit-demo")
        assert payload["userErrors"] == []
        assert payload["viewer"]["email"] == OWNER  # private, and shown to who has just signed in
        viewer = await Client(guest.http, payload["accessToken"]).data("{ viewer { id } }")
        assert viewer["viewer"]["id"] == payload["viewer"]["id"]
    query = "mutation ($i: LoginInput!) { login(input: $i) { accessToken } }"
    _, log = await guest.counted(query, {"i": {"email": OWNER, "password": "nexfit-demo"}})
    assert (log.count("mongo"), log.count("postgres"), log.count("redis")) == (8, 0, 4)


async def test_whoever_is_not_let_in_is_told_the_same(guest: Client) -> None:
    refused = {
        "accessToken": None,
        "expiresAt": None,
        "viewer": None,
        "userErrors": [
            {
                "code": "INVALID_CREDENTIALS",
                "message": "The e-mail address or the password is wrong.",
                "path": ["email"],
            }
        ],
    }
    for email in ("nobody@example.org", "", "\0", "$ne", "x" * 10_000, "owner@demo.nexfit.app.example"):
        assert await attempt(guest, email, "nexfit-demo") == refused
    for password in ("wrong", "", "nexfit-demo ", "NEXFIT-DEMO", "\0", "💪" * 400, "x" * 19_000):
        assert await attempt(guest, OWNER, password) == refused
    for wrong in ({}, {"email": OWNER}, {"email": {"$gt": ""}, "password": "x"}, {"email": OWNER, "password": ["x"]}):
        assert_refused(await guest.post(LOGIN, {"i": wrong}), "BAD_USER_INPUT")


async def test_an_unknown_address_takes_as_long_as_a_wrong_password(
    small_settings: Settings, small_stores: Stores, true_cost: None
) -> None:
    """Measured in CPU time, so that a busy machine does not matter."""
    _, known = await account(small_stores)
    spent: dict[str, list[float]] = {known: [], "nobody@example.org": []}
    async with running(small_settings) as http:
        for _ in range(9):
            for email, taken in spent.items():
                started = time.process_time()
                await attempt(Client(http), email, "wrong")
                taken.append(time.process_time() - started)
    least = [min(taken) for taken in spent.values()]
    assert max(least) / min(least) < 2.0


@pytest.fixture
async def somebody(small_stores: Stores) -> AsyncIterator[ObjectId]:
    """A user of the small demo whose credentials and state a test may change."""
    database = small_stores.mongo.database
    user = await database["users"].find_one({"email": "desk@demo.nexfit.app"}) or {}
    credentials = await database["credentials"].find_one({"_id": user["_id"]}) or {}
    yield user["_id"]
    await database["credentials"].replace_one({"_id": user["_id"]}, credentials)
    await database["users"].update_one({"_id": user["_id"]}, {"$set": {"isActive": True}})


async def test_an_old_hash_is_replaced_at_the_first_right_login(
    small_owner: Client, small_stores: Stores, somebody: ObjectId
) -> None:
    credentials = small_stores.mongo.database["credentials"]
    password = "şifre-" + "x" * 80  # longer than bcrypt reads
    cut = password.encode()[:72]
    weak = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(password)
    for old in (bcrypt.hashpw(cut, bcrypt.gensalt(4)).decode(), weak):
        await credentials.update_one({"_id": somebody}, {"$set": {"passwordHash": old}})
        assert (await attempt(small_owner, "desk@demo.nexfit.app", "wrong"))["accessToken"] is None
        assert (await credentials.find_one({"_id": somebody}) or {})["passwordHash"] == old
        # What only a query by GET would have asked for changes nothing either.
        literal = f'login(input: {{ email: "desk@demo.nexfit.app", password: "{password}" }}) {{ accessToken }}'
        await small_owner.http.get("/graphql", params={"query": f"mutation {{ {literal} }}"})
        assert (await credentials.find_one({"_id": somebody}) or {})["passwordHash"] == old
        assert (await attempt(small_owner, "desk@demo.nexfit.app", password))["accessToken"]
        new = (await credentials.find_one({"_id": somebody}) or {})["passwordHash"]
        assert new.startswith("$argon2id$")
        assert not needs_rehash(new)
        assert (await attempt(small_owner, "desk@demo.nexfit.app", password))["accessToken"]
        assert (await credentials.find_one({"_id": somebody}) or {})["passwordHash"] == new
        assert (await attempt(small_owner, "desk@demo.nexfit.app", password[:-1]))["accessToken"] is None


async def test_an_inactive_account_is_refused_like_an_unknown_one(
    small_owner: Client, small_stores: Stores, somebody: ObjectId
) -> None:
    await login(small_owner.http, "desk@demo.nexfit.app")
    await small_stores.mongo.database["users"].update_one({"_id": somebody}, {"$set": {"isActive": False}})
    inactive = await attempt(small_owner, "desk@demo.nexfit.app", "nexfit-demo")
    assert inactive == await attempt(small_owner, "nobody@example.org", "nexfit-demo")
    assert inactive["accessToken"] is None


async def test_passwords_of_every_kind_verify_themselves_only() -> None:
    passwords = Passwords(2)
    try:
        kept = ("a", " ", "ğüşiöç", "💪" * 100, "x" * 72, "x" * 73, "x" * MAX_PASSWORD_BYTES, "a\0b")
        for password in kept:
            stored = await passwords.hash(password)
            assert stored.startswith("$argon2id$")
            assert await passwords.verify(password, stored)
            assert not await passwords.verify(password[:-1], stored)
        assert await passwords.hash("a") != await passwords.hash("a")
        assert not await passwords.verify("x" * (MAX_PASSWORD_BYTES + 1), await passwords.hash("x"))
        for broken in ("", "x", "$2b$12$short", "$argon2id$broken", "$2b$04$" + "x" * 53, "plain"):
            assert not await passwords.verify("x", broken)
            assert needs_rehash(broken)
        assert not await passwords.verify("nobody's password", None)
        assert not await passwords.verify("\ud800", await passwords.hash("x"))
    finally:
        passwords.close()

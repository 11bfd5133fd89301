"""The second factor and sleeping accounts: codes that work once, and ways back that end."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from bson import ObjectId

from nexfit.domains.identity import totp
from nexfit.domains.identity.deactivation import may_sign_in
from nexfit.stores.connections import Stores

from .conftest import PASSWORD, Client, Mailbox, account, assert_refused, login

LOGIN = "mutation ($i: LoginInput!) { login(input: $i) { accessToken refreshToken userErrors { code path } } }"
START = "mutation ($i: StartSecondFactorInput!) { startSecondFactor(input: $i) { secret address userErrors { code } } }"
CONFIRM = """mutation ($i: ConfirmSecondFactorInput!) {
    confirmSecondFactor(input: $i) { recoveryCodes userErrors { code path } } }"""
REMOVE = """mutation ($i: RemoveSecondFactorInput!) {
    removeSecondFactor(input: $i) { accepted userErrors { code path } } }"""
LEAVE = "mutation ($i: DeactivateAccountInput!) { deactivateAccount(input: $i) { accepted userErrors { code path } } }"


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_codes_are_those_of_rfc_6238(seconds: int, code: str) -> None:
    secret = b"12345678901234567890"
    now = datetime.fromtimestamp(seconds, UTC)
    assert totp.code_of(secret, totp.period_at(now), digits=8) == code
    six = code[2:]
    for drift, expected in ((-60, None), (-30, 0), (0, 0), (30, 0), (60, None)):
        found = totp.matching_period(secret, six, now + timedelta(seconds=drift), after=0)
        assert found == (None if expected is None else totp.period_at(now))
    assert totp.matching_period(secret, six, now, after=totp.period_at(now)) is None
    for wrong in ("", "ğ", "\ud800", six + "0", six[:-1]):
        assert totp.matching_period(secret, wrong, now, after=0) is None


async def attempt(http: httpx.AsyncClient, email: str, code: str | None, password: str = PASSWORD) -> dict[str, Any]:
    data = await Client(http).data(LOGIN, {"i": {"email": email, "password": password, "code": code}})
    payload: dict[str, Any] = data["login"]
    return payload


def codes(payload: dict[str, Any]) -> list[str]:
    return [error["code"] for error in payload["userErrors"]]


def code_at(secret: str, periods: int) -> str:
    """The code so many periods from now."""
    raw = base64.b32decode(secret + "=" * (-len(secret) % 8))
    return totp.code_of(raw, totp.period_at(datetime.now(UTC)) + periods)


async def rewind(stores: Stores, user: ObjectId) -> None:
    """Let codes of the current period work again."""
    await stores.mongo.database["second_factors"].update_one({"_id": user}, {"$set": {"lastPeriod": 0}})


async def test_a_second_factor_from_start_to_end(small_http: httpx.AsyncClient, small_stores: Stores) -> None:
    user, email = await account(small_stores)
    somebody = await login(small_http, email, PASSWORD)
    factors = small_stores.mongo.database["second_factors"]
    assert codes((await somebody.data(START, {"i": {"password": "wrong"}}))["startSecondFactor"]) == [
        "INVALID_CREDENTIALS"
    ]
    assert_refused(await Client(small_http).post(START, {"i": {"password": PASSWORD}}), "UNAUTHENTICATED")
    assert codes((await somebody.data(CONFIRM, {"i": {"code": "123456"}}))["confirmSecondFactor"]) == ["INVALID_CODE"]
    started = (await somebody.data(START, {"i": {"password": PASSWORD}}))["startSecondFactor"]
    secret = started["secret"]
    assert f"secret={secret}" in started["address"]
    assert started["address"].startswith("otpauth://totp/NexFit")
    assert (await attempt(small_http, email, None))["accessToken"]  # not on yet
    used = code_at(secret, 0)
    confirmed = (await somebody.data(CONFIRM, {"i": {"code": used}}))["confirmSecondFactor"]
    recovery = confirmed["recoveryCodes"]
    assert len(set(recovery)) == 10
    assert (await somebody.data("{ viewer { secondFactorEnabled } }"))["viewer"] == {"secondFactorEnabled": True}
    kept = repr(await factors.find_one({"_id": user}))
    assert secret not in kept
    assert not any(code in kept for code in recovery)
    again = (await somebody.data(START, {"i": {"password": PASSWORD}}))["startSecondFactor"]
    assert codes(again) == ["SECOND_FACTOR_EXISTS"]

    assert (await attempt(small_http, email, None))["userErrors"] == [
        {"code": "SECOND_FACTOR_REQUIRED", "path": ["code"]}
    ]
    assert codes(await attempt(small_http, email, None, "wrong")) == ["INVALID_CREDENTIALS"]  # and no word of codes
    assert codes(await attempt(small_http, email, code_at(secret, 0), "wrong")) == ["INVALID_CREDENTIALS"]
    for wrong in ("000000", "", "x" * 1000, used):
        assert codes(await attempt(small_http, email, wrong)) == ["INVALID_CODE"]
    await rewind(small_stores, user)
    code = code_at(secret, 0)
    answers = await asyncio.gather(*(attempt(small_http, email, code) for _ in range(6)))
    assert sum(answer["accessToken"] is not None for answer in answers) == 1
    assert codes(await attempt(small_http, email, code)) == ["INVALID_CODE"]

    one = recovery[0].upper().replace("-", " ")
    answers = await asyncio.gather(*(attempt(small_http, email, one) for _ in range(4)))
    assert sum(answer["accessToken"] is not None for answer in answers) == 1
    assert codes(await attempt(small_http, email, recovery[0])) == ["INVALID_CODE"]
    assert (await attempt(small_http, email, recovery[1]))["accessToken"]

    both = {"password": PASSWORD, "code": "000000"}
    assert codes((await somebody.data(REMOVE, {"i": both}))["removeSecondFactor"]) == ["INVALID_CODE"]
    both["code"] = recovery[2]
    assert (await somebody.data(REMOVE, {"i": both}))["removeSecondFactor"] == {"accepted": True, "userErrors": []}
    assert await factors.find_one({"_id": user}) is None
    assert (await attempt(small_http, email, None))["accessToken"]
    assert (await somebody.data("{ viewer { secondFactorEnabled } }"))["viewer"] == {"secondFactorEnabled": False}


async def test_a_sleeping_account_wakes_for_its_owner_and_not_for_ever(
    small_http: httpx.AsyncClient, small_stores: Stores, mailbox: Mailbox
) -> None:
    user, email = await account(small_stores)
    here, there = await login(small_http, email, PASSWORD), await login(small_http, email, PASSWORD)
    users = small_stores.mongo.database["users"]
    assert codes((await here.data(LEAVE, {"i": {"password": "wrong"}}))["deactivateAccount"]) == ["INVALID_CREDENTIALS"]
    assert_refused(await Client(small_http).post(LEAVE, {"i": {"password": PASSWORD}}), "UNAUTHENTICATED")
    assert (await here.data(LEAVE, {"i": {"password": PASSWORD}}))["deactivateAccount"]["accepted"]
    for client in (here, there):
        assert_refused(await client.post("{ viewer { id } }"), "UNAUTHENTICATED", status=401)
    await mailbox.newest(email, "account_deactivated")
    asleep = await users.find_one({"_id": user}) or {}
    assert (asleep["isActive"], "deactivatedAt" in asleep) == (False, True)
    assert codes(await attempt(small_http, email, None, "wrong")) == ["INVALID_CREDENTIALS"]
    answers = await asyncio.gather(*(attempt(small_http, email, None) for _ in range(3)))
    assert all(answer["accessToken"] for answer in answers)
    awake = await users.find_one({"_id": user}) or {}
    assert (awake["isActive"], "deactivatedAt" in awake) == (True, False)
    outbox = small_stores.mongo.database["outbox"]
    for type_ in ("AccountDeactivated", "AccountReactivated"):
        assert await outbox.count_documents({"aggregateId": str(user), "eventType": type_}) == 1
    long_ago = asleep["deactivatedAt"] - timedelta(days=30)
    await users.update_one({"_id": user}, {"$set": {"isActive": False, "deactivatedAt": long_ago}})
    assert await attempt(small_http, email, None) == await attempt(small_http, "nobody@example.org", None)


def test_who_may_sign_in() -> None:
    now = datetime(2026, 6, 15, 12, tzinfo=UTC)
    assert may_sign_in({"isActive": True}, now, 30)
    assert not may_sign_in({"isActive": False}, now, 30)  # by the operator, not the owner
    since = {"isActive": False, "deactivatedAt": now - timedelta(days=30)}
    assert not may_sign_in(since, now, 30)
    assert may_sign_in(since, now - timedelta(microseconds=1), 30)
    assert not may_sign_in({"isActive": False, "deactivatedAt": now}, now, 0)

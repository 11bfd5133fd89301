"""Forgotten and changed passwords, and phone numbers: one use, one winner, and nothing to learn from the answer."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any
from uuid import uuid4

import bcrypt
import httpx

from nexfit.domains.identity.passwords import Passwords
from nexfit.stores.connections import Stores

from .conftest import PASSWORD, Client, Mailbox, account, assert_refused, login

REQUEST = (
    "mutation ($i: RequestPasswordResetInput!) { requestPasswordReset(input: $i) { accepted userErrors { code } } }"
)
RESET = "mutation ($i: ResetPasswordInput!) { resetPassword(input: $i) { accepted userErrors { code path } } }"
CHANGE = "mutation ($i: ChangePasswordInput!) { changePassword(input: $i) { accepted userErrors { code path } } }"
LOGIN = "mutation ($i: LoginInput!) { login(input: $i) { accessToken userErrors { code } } }"
ASK = """mutation ($i: RequestPhoneVerificationInput!) {
    requestPhoneVerification(input: $i) { accepted userErrors { code path } } }"""
PROVE = """mutation ($i: VerifyPhoneInput!) {
    verifyPhone(input: $i) { viewer { phoneNumber phoneVerifiedAt } userErrors { code path } } }"""
ACCEPTED = {"accepted": True, "userErrors": []}
NEW = "yeni parola, uzun ve güzel"


async def request(http: httpx.AsyncClient, email: str) -> dict[str, Any]:
    payload: dict[str, Any] = (await Client(http).data(REQUEST, {"i": {"email": email}}))["requestPasswordReset"]
    return payload


async def reset(http: httpx.AsyncClient, token: str | None, password: str = NEW) -> dict[str, Any]:
    data = await Client(http).data(RESET, {"i": {"token": token, "newPassword": password}})
    payload: dict[str, Any] = data["resetPassword"]
    return payload


async def lets_in(http: httpx.AsyncClient, email: str, password: str) -> bool:
    data = await Client(http).data(LOGIN, {"i": {"email": email, "password": password}})
    return data["login"]["accessToken"] is not None


async def is_signed_in(client: Client) -> bool:
    return (await client.post("{ viewer { id } }")).status_code == 200


def codes(payload: dict[str, Any]) -> list[str]:
    return [error["code"] for error in payload["userErrors"]]


async def test_a_link_sets_the_password_once_and_ends_all_sessions(
    small_http: httpx.AsyncClient, small_stores: Stores, mailbox: Mailbox
) -> None:
    user, email = await account(small_stores)
    before = [await login(small_http, email, PASSWORD) for _ in range(2)]
    assert await request(small_http, email.upper()) == ACCEPTED
    message = await mailbox.newest(email, "password_reset")
    assert codes(await reset(small_http, message.secret, "short")) == ["BAD_USER_INPUT"]
    assert await lets_in(small_http, email, PASSWORD)
    payloads = await asyncio.gather(*(reset(small_http, message.secret, f"{NEW} {n}") for n in range(8)))
    [won] = [n for n, payload in enumerate(payloads) if payload == ACCEPTED]
    assert all(codes(payload) == ["INVALID_CODE"] for n, payload in enumerate(payloads) if n != won)
    assert [await lets_in(small_http, email, f"{NEW} {n}") for n in range(8)] == [n == won for n in range(8)]
    assert not await lets_in(small_http, email, PASSWORD)
    assert [await is_signed_in(client) for client in before] == [False, False]
    assert codes(await reset(small_http, message.secret)) == ["INVALID_CODE"]
    await mailbox.newest(email, "password_changed")
    database = small_stores.mongo.database
    assert message.secret is not None
    for collection in ("one_time_codes", "outbox", "audit_entries", "sessions"):
        assert message.secret not in repr(await database[collection].find({}).to_list())
    assert await database["outbox"].count_documents({"aggregateId": str(user), "eventType": "PasswordChanged"}) == 1


async def test_an_unknown_address_is_answered_alike_and_gets_nothing(
    small_http: httpx.AsyncClient, small_stores: Stores, mailbox: Mailbox
) -> None:
    _, email = await account(small_stores)
    times: dict[str, list[float]] = {email: [], "nobody@example.org": []}
    for _ in range(15):
        for address, taken in times.items():
            started = time.perf_counter()
            assert await request(small_http, address) == ACCEPTED
            taken.append(time.perf_counter() - started)
    known, unknown = (statistics.median(taken) for taken in times.values())
    assert 0.4 < unknown / known < 2.5
    await mailbox.newest(email, "password_reset", 15)
    assert not [message for message in mailbox.messages if message.to == "nobody@example.org"]
    for odd in ("", "\0", "x" * 10_000, "$ne"):
        assert await request(small_http, odd) == ACCEPTED


async def test_only_the_newest_link_works_and_not_for_long(
    small_http: httpx.AsyncClient, small_stores: Stores, mailbox: Mailbox
) -> None:
    user, email = await account(small_stores)
    await request(small_http, email)
    first = await mailbox.newest(email, "password_reset")
    await request(small_http, email)
    second = await mailbox.newest(email, "password_reset", 2)
    assert codes(await reset(small_http, first.secret)) == ["INVALID_CODE"]
    codes_ = small_stores.mongo.database["one_time_codes"]
    [kept] = await codes_.find({"userId": user}).to_list()
    await codes_.update_one({"_id": kept["_id"]}, {"$set": {"expiresAt": kept["createdAt"]}})
    assert codes(await reset(small_http, second.secret)) == ["INVALID_CODE"]
    for token in ("", "x", "\0", "A" * 43):
        assert codes(await reset(small_http, token)) == ["INVALID_CODE"]
    assert await lets_in(small_http, email, PASSWORD)


async def test_changing_a_password_takes_the_current_one_and_leaves_this_session(
    small_http: httpx.AsyncClient, small_stores: Stores, mailbox: Mailbox
) -> None:
    _, email = await account(small_stores)
    here, there = await login(small_http, email, PASSWORD), await login(small_http, email, PASSWORD)
    wrong = {"i": {"currentPassword": "wrong", "newPassword": NEW}}
    assert (await here.data(CHANGE, wrong))["changePassword"]["userErrors"] == [
        {"code": "INVALID_CREDENTIALS", "path": ["currentPassword"]}
    ]
    common = {"i": {"currentPassword": PASSWORD, "newPassword": "password"}}
    assert (await here.data(CHANGE, common))["changePassword"]["userErrors"] == [
        {"code": "BAD_USER_INPUT", "path": ["newPassword"]}
    ]
    assert_refused(await Client(small_http).post(CHANGE, wrong), "UNAUTHENTICATED")
    assert await is_signed_in(there)
    await request(small_http, email)
    link = await mailbox.newest(email, "password_reset")
    inputs = [{"i": {"currentPassword": PASSWORD, "newPassword": f"{NEW} {n}"}} for n in range(4)]
    answers = await asyncio.gather(*(here.data(CHANGE, given) for given in inputs))
    won = [n for n, answer in enumerate(answers) if answer["changePassword"] == ACCEPTED]
    assert len(won) == 1
    assert await lets_in(small_http, email, f"{NEW} {won[0]}")
    assert (await is_signed_in(here), await is_signed_in(there)) == (True, False)
    assert codes(await reset(small_http, link.secret)) == ["INVALID_CODE"]  # asked for before the change
    await mailbox.newest(email, "password_changed")


async def test_a_phone_number_is_the_viewers_once_its_code_comes_back(
    small_http: httpx.AsyncClient, small_stores: Stores, mailbox: Mailbox
) -> None:
    user, email = await account(small_stores)
    somebody = await login(small_http, email, PASSWORD)
    number = f"+90532{uuid4().int % 10**7:07d}"
    assert_refused(await Client(small_http).post(ASK, {"i": {"phoneNumber": number}}), "UNAUTHENTICATED")
    asked = (await somebody.data(ASK, {"i": {"phoneNumber": "12"}}))["requestPhoneVerification"]
    assert asked["userErrors"] == [{"code": "BAD_USER_INPUT", "path": ["phoneNumber"]}]
    spelled = f"{number[:3]} {number[3:6]} {number[6:]}"
    assert (await somebody.data(ASK, {"i": {"phoneNumber": spelled}}))["requestPhoneVerification"] == ACCEPTED
    code = (await mailbox.newest(number, "phone_code")).secret
    assert code is not None
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    for given in (wrong, "", "x" * 1000, code[:-1]):
        assert codes((await somebody.data(PROVE, {"i": {"code": given}}))["verifyPhone"]) == ["INVALID_CODE"]
    right = (await somebody.data(PROVE, {"i": {"code": f" {code} "}}))["verifyPhone"]
    assert right["userErrors"] == []
    assert right["viewer"]["phoneNumber"] == number
    assert right["viewer"]["phoneVerifiedAt"]
    assert codes((await somebody.data(PROVE, {"i": {"code": code}}))["verifyPhone"]) == ["INVALID_CODE"]
    kept = await small_stores.mongo.database["users"].find_one({"_id": user}) or {}
    assert kept["phoneNumber"] == number


async def test_five_wrong_codes_are_the_end_of_a_code_however_parallel(
    small_http: httpx.AsyncClient, small_stores: Stores, mailbox: Mailbox
) -> None:
    _, email = await account(small_stores)
    somebody = await login(small_http, email, PASSWORD)
    number = f"+90533{uuid4().int % 10**7:07d}"
    await somebody.data(ASK, {"i": {"phoneNumber": number}})
    code = (await mailbox.newest(number, "phone_code")).secret
    assert code is not None
    guesses = [f"{(int(code) + 1 + n) % 10**6:06d}" for n in range(5)]
    await asyncio.gather(*(somebody.data(PROVE, {"i": {"code": guess}}) for guess in guesses))
    assert codes((await somebody.data(PROVE, {"i": {"code": code}}))["verifyPhone"]) == ["INVALID_CODE"]
    await somebody.data(ASK, {"i": {"phoneNumber": number}})
    again = (await mailbox.newest(number, "phone_code", 2)).secret
    assert codes((await somebody.data(PROVE, {"i": {"code": again}}))["verifyPhone"]) == []


async def test_time_tells_neither_an_old_hash_nor_an_unknown_account(true_cost: None) -> None:
    """A refusal does the work of both kinds of hash, measured in CPU time, so that a busy machine does not matter."""
    passwords = Passwords(1)
    try:
        stored = {
            "old": bcrypt.hashpw(PASSWORD.encode()[:72], bcrypt.gensalt(12)).decode(),
            "new": await passwords.hash(PASSWORD),
            "unknown": None,
        }
        spent: dict[str, list[float]] = {name: [] for name in stored}
        for _ in range(4):
            for name, hash_ in stored.items():
                started = time.process_time()
                assert not await passwords.verify("wrong", hash_)
                spent[name].append(time.process_time() - started)
        least = {name: min(times) for name, times in spent.items()}
        assert max(least.values()) / min(least.values()) < 2, least
        assert await passwords.verify(PASSWORD, stored["old"])
    finally:
        passwords.close()

"""Registering: the same answer for free and taken addresses, one account for one address, nothing before the proof."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any
from uuid import uuid4

import httpx
import pytest
from bson import ObjectId

from nexfit.domains.identity.one_time import Hashes
from nexfit.domains.identity.registration import NewAccount
from nexfit.domains.identity.validation import MAX_PASSWORD, MIN_PASSWORD, InvalidInput, checked
from nexfit.settings import Settings
from nexfit.stores.connections import Stores
from nexfit.stores.field_encryption import Place

from .conftest import PASSWORD, Client, Mailbox, account, assert_refused, global_id, login

REGISTER = """mutation ($i: RegisterInput!) { register(input: $i) { accepted userErrors { code message path } } }"""
VERIFY = """mutation ($i: VerifyEmailInput!) { verifyEmail(input: $i) { accessToken refreshToken
    viewer { id firstName email roles emailVerifiedAt phoneVerifiedAt } userErrors { code message path } } }"""
RESEND = "mutation ($i: ResendVerificationInput!) { resendVerification(input: $i) { accepted userErrors { code } } }"
ACCEPTED = {"accepted": True, "userErrors": []}


def somebody(**fields: Any) -> dict[str, Any]:
    return {
        "email": f"yeni.{uuid4().hex}@example.org",
        "password": PASSWORD,
        "firstName": "Işıl",
        "lastName": "Öz",
        **fields,
    }


async def register(http: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """What the API answers, for valid input."""
    payload: dict[str, Any] = (await Client(http).data(REGISTER, {"i": somebody(**fields)}))["register"]
    return payload


async def verify(http: httpx.AsyncClient, token: str | None, password: str = PASSWORD) -> dict[str, Any]:
    data = await Client(http).data(VERIFY, {"i": {"token": token, "password": password}})
    payload: dict[str, Any] = data["verifyEmail"]
    return payload


def codes(payload: dict[str, Any]) -> list[str]:
    return [error["code"] for error in payload["userErrors"]]


async def users(stores: Stores, email: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await stores.mongo.database["users"].find({"emailNormalized": email}).to_list()
    return found


async def test_an_account_is_there_once_its_address_is_proven(
    small_http: httpx.AsyncClient, small_stores: Stores, mailbox: Mailbox
) -> None:
    given = somebody(role="COACH", phoneNumber="+90 532 123 45 67", email=f"İlk.{uuid4().hex}@Example.org")
    assert (await Client(small_http).data(REGISTER, {"i": given}))["register"] == ACCEPTED
    normalized = given["email"].replace("İ", "i").lower()
    assert await users(small_stores, normalized) == []
    refused = await Client(small_http).data(
        "mutation ($e: String!, $p: String!) { login(input: { email: $e, password: $p }) { userErrors { code } } }",
        {"e": given["email"], "p": PASSWORD},
    )
    assert codes(refused["login"]) == ["INVALID_CREDENTIALS"]  # as if there were none
    message = await mailbox.newest(given["email"].replace("Example", "example"), "verify_email")
    assert message.secret is not None
    assert message.secret in message.text
    assert codes(await verify(small_http, message.secret, "another password")) == ["INVALID_CODE"]
    payload = await verify(small_http, message.secret)
    assert payload["userErrors"] == []
    assert payload["viewer"] == {
        "id": payload["viewer"]["id"],
        "firstName": "Işıl",
        "email": message.to,
        "roles": ["COACH"],
        "emailVerifiedAt": payload["viewer"]["emailVerifiedAt"],
        "phoneVerifiedAt": None,
    }
    assert payload["viewer"]["emailVerifiedAt"]
    [user] = await users(small_stores, normalized)
    assert global_id("User", user["_id"]) == payload["viewer"]["id"]
    assert (user["phoneNumber"], user["nameFolded"], user["isActive"]) == ("+905321234567", "isil oz", True)
    assert codes(await verify(small_http, message.secret)) == ["INVALID_CODE"]
    again = await login(small_http, given["email"].upper(), PASSWORD)
    assert (await again.data("{ viewer { id } }"))["viewer"]["id"] == payload["viewer"]["id"]
    database = small_stores.mongo.database
    assert await database["registrations"].count_documents({"_id": user["_id"]}) == 0
    events = await database["outbox"].find({"aggregateId": str(user["_id"])}).to_list()
    assert {"AccountRegistered", "SessionOpened"} <= {event["eventType"] for event in events}
    held = repr(events) + repr(await database["audit_entries"].find({"entityId": str(user["_id"])}).to_list())
    assert message.secret not in held
    assert PASSWORD not in held


async def test_a_taken_address_answers_the_same_and_its_owner_is_told(
    small_http: httpx.AsyncClient, small_stores: Stores, mailbox: Mailbox
) -> None:
    user, email = await account(small_stores)
    free: list[float] = []
    taken: list[float] = []
    for _ in range(7):
        for times, address in ((free, f"free.{uuid4().hex}@example.org"), (taken, email.upper())):
            started = time.perf_counter()
            assert await register(small_http, email=address, firstName="Mallory") == ACCEPTED
            times.append(time.perf_counter() - started)
    assert 0.5 < statistics.median(free) / statistics.median(taken) < 2.0
    told = await mailbox.newest(email.upper().replace("EXAMPLE.ORG", "example.org"), "email_taken", 7)
    assert told.secret is None
    # Asking for the link again makes none either.
    assert (await Client(small_http).data(RESEND, {"i": {"email": email}}))["resendVerification"] == ACCEPTED
    await asyncio.sleep(0.05)
    assert not [message for message in mailbox.messages if message.kind == "verify_email" and message.to == email]
    [kept] = await users(small_stores, email)
    assert (kept["_id"], kept["firstName"]) == (user, "Deniz")
    assert await login(small_http, email, PASSWORD)


async def test_two_registrations_of_one_address_make_one_account(
    small_http: httpx.AsyncClient, small_stores: Stores, mailbox: Mailbox
) -> None:
    email = f"yaris.{uuid4().hex}@example.org"
    spellings = [email, email.replace("i", "İ"), email.replace("yar", "YAR")]
    await asyncio.gather(*(register(small_http, email=spelling) for spelling in spellings))
    tokens = [(await mailbox.newest(spelling, "verify_email")).secret for spelling in spellings]
    payloads = await asyncio.gather(*(verify(small_http, token) for token in tokens * 4))
    assert sum(payload["accessToken"] is not None for payload in payloads) == 1
    for payload in payloads:
        assert payload["accessToken"] or codes(payload)[0] in ("INVALID_CODE", "EMAIL_TAKEN")
    assert len(await users(small_stores, email)) == 1
    sessions = await small_stores.mongo.database["sessions"].count_documents(
        {"userId": (await users(small_stores, email))[0]["_id"]}
    )
    assert sessions == 1


async def test_whoever_comes_second_with_a_link_of_their_own_is_told(
    small_http: httpx.AsyncClient, small_stores: Stores, mailbox: Mailbox
) -> None:
    email = f"ikinci.{uuid4().hex}@example.org"
    await register(small_http, email=email)
    message = await mailbox.newest(email, "verify_email")
    now = (await small_stores.mongo.database["registrations"].find_one({"email": email}) or {})["createdAt"]
    await small_stores.mongo.database["users"].insert_one(
        {
            "_id": ObjectId(),
            "email": email,
            "emailNormalized": email,
            "firstName": "A",
            "lastName": "B",
            "nameFolded": "a b",
            "role": ["client"],
            "isActive": True,
            "createdAt": now,
            "updatedAt": now,
        }
    )
    assert codes(await verify(small_http, message.secret)) == ["EMAIL_TAKEN"]
    assert len(await users(small_stores, email)) == 1


async def test_a_link_sent_again_replaces_the_one_before(
    small_http: httpx.AsyncClient, small_stores: Stores, mailbox: Mailbox
) -> None:
    email = f"tekrar.{uuid4().hex}@example.org"
    await register(small_http, email=email)
    first = await mailbox.newest(email, "verify_email")
    for address in (email.upper(), "nobody@example.org", "", "not an address"):
        answer = (await Client(small_http).data(RESEND, {"i": {"email": address}}))["resendVerification"]
        assert answer == ACCEPTED
    second = await mailbox.newest(email, "verify_email", 2)
    assert codes(await verify(small_http, first.secret)) == ["INVALID_CODE"]
    assert (await verify(small_http, second.secret))["userErrors"] == []


async def test_a_link_that_is_too_old_makes_nothing(
    small_http: httpx.AsyncClient, small_stores: Stores, small_settings: Settings, mailbox: Mailbox
) -> None:
    email = f"eski.{uuid4().hex}@example.org"
    await register(small_http, email=email)
    secret = (await mailbox.newest(email, "verify_email")).secret
    registrations = small_stores.mongo.database["registrations"]
    kept = await registrations.find_one({"email": email}) or {}
    assert secret is not None
    assert kept["tokenHash"] == Hashes(small_settings.auth).of_token(secret)
    await registrations.update_one({"_id": kept["_id"]}, {"$set": {"expiresAt": kept["createdAt"]}})
    assert codes(await verify(small_http, secret)) == ["INVALID_CODE"]
    for token in ("", "x", "é" * 10_000, secret[:-1]):
        assert codes(await verify(small_http, token)) == ["INVALID_CODE"]


async def test_a_company_registers_with_its_tax_id_encrypted(
    small_http: httpx.AsyncClient, small_stores: Stores, mailbox: Mailbox
) -> None:
    email = f"sirket.{uuid4().hex}@example.org"
    company = {"userType": "CORPORATE", "companyName": "Çınar Spor A.Ş.", "taxId": "123 456 7890", "role": "GYM_OWNER"}
    assert await register(small_http, email=email, **company) == ACCEPTED
    waiting = await small_stores.mongo.database["registrations"].find_one({"email": email}) or {}
    assert b"4567890" not in repr(waiting).encode()
    assert (await verify(small_http, (await mailbox.newest(email, "verify_email")).secret))["userErrors"] == []
    [user] = await users(small_stores, email)
    assert (user["userType"], user["company"]["name"]) == ("corporate", "Çınar Spor A.Ş.")
    place = Place("users", user["_id"], "company.taxId")
    assert small_stores.keys.decrypt(place, user["company"]["taxId"]) == "123 456 7890"


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"email": "not an address"}, [["email"]]),
        ({"email": "a@b@example.org", "password": "short"}, [["email"], ["password"]]),
        ({"email": "x" * 250 + "@example.org"}, [["email"]]),
        ({"password": "x" * (MAX_PASSWORD + 1)}, [["password"]]),
        ({"password": "PASSWORD1"}, [["password"]]),
        ({"password": "şifre1234"}, [["password"]]),
        ({"password": "aaaaaaaaaaaa"}, [["password"]]),
        ({"firstName": " ", "lastName": "x" * 81}, [["firstName"], ["lastName"]]),
        ({"firstName": "a\0b"}, [["firstName"]]),
        ({"phoneNumber": "0532 123 45 67"}, [["phoneNumber"]]),
        ({"userType": "CORPORATE"}, [["companyName"], ["taxId"]]),
        ({"userType": "CORPORATE", "companyName": "A", "taxId": "<script>"}, [["taxId"]]),
    ],
)
async def test_input_that_does_not_fit_is_named_field_by_field(
    small_http: httpx.AsyncClient, small_stores: Stores, fields: dict[str, Any], paths: list[list[str]]
) -> None:
    before = await small_stores.mongo.database["registrations"].estimated_document_count()
    payload = await register(small_http, **fields)
    assert (payload["accepted"], [error["path"] for error in payload["userErrors"]]) == (False, paths)
    assert set(codes(payload)) == {"BAD_USER_INPUT"}
    assert await small_stores.mongo.database["registrations"].estimated_document_count() == before


async def test_only_roles_one_can_choose_are_taken(small_http: httpx.AsyncClient) -> None:
    refused = await Client(small_http).post(REGISTER, {"i": somebody(role="GYM_COACH")})
    assert_refused(refused, "BAD_USER_INPUT")
    with pytest.raises(InvalidInput):
        checked(NewAccount, email="a@example.org", password=PASSWORD, first_name="A", last_name="B", role="gym_coach")


@pytest.mark.parametrize("length", [MIN_PASSWORD, 73, 128, MAX_PASSWORD])
async def test_every_character_of_a_password_counts(
    small_http: httpx.AsyncClient, mailbox: Mailbox, length: int
) -> None:
    password = ("ğ1x" * 100)[: length - 1] + "z"
    email = f"uzun.{uuid4().hex}@example.org"
    assert await register(small_http, email=email, password=password) == ACCEPTED
    token = (await mailbox.newest(email, "verify_email")).secret
    assert codes(await verify(small_http, token, password[:-1] + "y")) == ["INVALID_CODE"]
    assert (await verify(small_http, token, password))["userErrors"] == []

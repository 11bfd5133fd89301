"""Guest sessions: begun by anybody, good for what hangs on them only, and one account's for good once claimed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from nexfit.domains.identity.guests import TRUSTED
from nexfit.settings import LimitSettings, Settings
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreUnavailable
from nexfit.stores.sql import load_sql

from .conftest import PASSWORD, Client, Mailbox, account, assert_refused, forget_views, login, running
from .test_registration import register, somebody

CREATE = """mutation ($i: CreateGuestSessionInput!) { createGuestSession(input: $i) {
  guestToken expiresAt userErrors { code } } }"""
END = "mutation ($i: EndGuestSessionInput!) { endGuestSession(input: $i) { ended userErrors { code path } } }"
LOGIN = "mutation ($i: LoginInput!) { login(input: $i) { accessToken guestClaim userErrors { code } } }"
VERIFY = "mutation ($i: VerifyEmailInput!) { verifyEmail(input: $i) { accessToken guestClaim userErrors { code } } }"
MINE = "{ guestSession { deviceInfo createdAt lastActivity expiresAt } viewer { id } }"


async def guest_of(http: httpx.AsyncClient, **given: Any) -> Client:
    """A client with a new guest session."""
    made = (await Client(http).data(CREATE, {"i": given}))["createGuestSession"]
    assert made["userErrors"] == []
    return Client(http, made["guestToken"])


async def signs_in(http: httpx.AsyncClient, email: str, token: Any, password: str = PASSWORD) -> Any:
    given = {"email": email, "password": password, "guestToken": token}
    return (await Client(http).data(LOGIN, {"i": given}))["login"]


def named(settings: Settings, token: str | None) -> str:
    """The guest a token names."""
    key = OctKey.import_key(settings.auth.secret.get_secret_value())
    found: str = jwt.decode(token or "", key, algorithms=["HS256"]).claims["sub"]
    return found


async def row_of(stores: Stores, settings: Settings, guest: Client) -> dict[str, Any]:
    rows = await stores.postgres.fetch(
        "SELECT * FROM shop.guest_sessions WHERE guest_id = $1", named(settings, guest.token)
    )
    return dict(rows[0])


async def told_of(stores: Stores, id_: object) -> tuple[list[str], list[str]]:
    """Events and audit entries about a session."""
    events = await stores.postgres.fetch("SELECT event_type FROM finance.outbox WHERE aggregate_id = $1", str(id_))
    entries = await stores.postgres.fetch("SELECT action FROM finance.audit_logs WHERE entity_id = $1", str(id_))
    return [event["event_type"] for event in events], [entry["action"] for entry in entries]


async def is_refused(guest: Client) -> None:
    """Refused as a token that does not hold, a second from its end at the latest."""
    async with asyncio.timeout(20):
        while (response := await guest.post("{ __typename }")).status_code == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert_refused(response, "UNAUTHENTICATED", status=401)


async def test_a_guest_session_is_seen_by_its_guest_and_opens_nothing(
    small_http: httpx.AsyncClient, small_stores: Stores, small_settings: Settings
) -> None:
    guest = await guest_of(small_http, deviceName=" Ece's phone ")
    seen = await guest.data(MINE)
    assert seen["viewer"] is None
    session = seen["guestSession"]
    assert session["deviceInfo"] == "Ece's phone"
    days = datetime.fromisoformat(session["expiresAt"]) - datetime.fromisoformat(session["createdAt"])
    assert timedelta(days=29.9) < days <= timedelta(days=30)
    row = await row_of(small_stores, small_settings, guest)
    assert (row["device_info"], row["claimed_by"], row["revoked_at"]) == ("Ece's phone", None, None)
    assert (await Client(small_http).data(MINE)) == {"guestSession": None, "viewer": None}
    member = await login(small_http, "client@demo.nexfit.app")
    assert (await member.data(MINE))["guestSession"] is None
    query = 'mutation { cancelBooking(input: {booking: "x"}) { userErrors { code } } }'
    assert_refused(await guest.post(query), "UNAUTHENTICATED")
    other = await guest_of(small_http)
    assert (await other.data(MINE))["guestSession"]["deviceInfo"]  # what the client called itself


async def test_signing_in_claims_the_session_once_and_its_token_is_dead(
    small_http: httpx.AsyncClient, small_stores: Stores, small_settings: Settings
) -> None:
    guest = await guest_of(small_http)
    (user, email), (_, other) = await account(small_stores), await account(small_stores)
    refused = await signs_in(small_http, email, guest.token, "not the password")
    assert (refused["guestClaim"], refused["userErrors"]) == (None, [{"code": "INVALID_CREDENTIALS"}])
    assert (await guest.data(MINE))["guestSession"]  # nothing was claimed
    answer = await signs_in(small_http, email, guest.token)
    assert (answer["guestClaim"], answer["userErrors"]) == ("CLAIMED", [])
    assert_refused(await guest.post("{ __typename }"), "UNAUTHENTICATED", status=401)
    # Again, because the answer was lost, it is still theirs, and nobody else's.
    assert (await signs_in(small_http, email, guest.token))["guestClaim"] == "CLAIMED"
    stranger = await signs_in(small_http, other, guest.token)
    assert stranger["guestClaim"] == "ENDED"
    assert stranger["accessToken"]
    row = await row_of(small_stores, small_settings, guest)
    assert (row["claimed_by"], row["revoked_at"]) == (str(user), None)
    events, entries = await told_of(small_stores, row["id"])
    assert (events, entries) == (["GuestSessionClaimed"], ["guest_session.claimed"])
    assert (await Client(small_http).data(END, {"i": {"guestToken": guest.token}}))["endGuestSession"] == {
        "ended": False,
        "userErrors": [{"code": "NOT_FOUND", "path": ["guestToken"]}],
    }


@pytest.mark.parametrize("token", ["", "x", "x.y.z", "an access token"])
async def test_what_is_no_guests_token_keeps_nobody_from_signing_in(
    small_http: httpx.AsyncClient, small_stores: Stores, token: str
) -> None:
    _, email = await account(small_stores)
    if token == "an access token":
        token = (await login(small_http, "client@demo.nexfit.app")).token or ""
    answer = await signs_in(small_http, email, token)
    assert (answer["guestClaim"], answer["userErrors"]) == ("ENDED", [])
    assert answer["accessToken"]


async def test_of_many_who_claim_one_session_at_once_one_gets_it(
    small_http: httpx.AsyncClient, small_stores: Stores, small_settings: Settings
) -> None:
    guest = await guest_of(small_http)
    accounts = [await account(small_stores) for _ in range(4)]
    async with running(small_settings) as second:
        # Each twice, by two processes: whoever gets it is told so both times.
        answers = await asyncio.gather(
            *(signs_in(http, email, guest.token) for _, email in accounts for http in (small_http, second))
        )
    claims = [answer["guestClaim"] for answer in answers]
    assert sorted(claims) == ["CLAIMED"] * 2 + ["ENDED"] * 6
    won = claims.index("CLAIMED") // 2
    assert claims[2 * won : 2 * won + 2] == ["CLAIMED", "CLAIMED"]
    row = await row_of(small_stores, small_settings, guest)
    assert row["claimed_by"] == str(accounts[won][0])
    assert await told_of(small_stores, row["id"]) == (["GuestSessionClaimed"], ["guest_session.claimed"])


async def test_a_new_account_brings_its_guest_session_along(
    small_http: httpx.AsyncClient, small_stores: Stores, small_settings: Settings, mailbox: Mailbox
) -> None:
    guest, given = await guest_of(small_http), somebody()
    await register(small_http, **given)
    message = await mailbox.newest(given["email"], "verify_email")
    verified = await Client(small_http).data(
        VERIFY, {"i": {"token": message.secret, "password": PASSWORD, "guestToken": guest.token}}
    )
    assert (verified["verifyEmail"]["guestClaim"], verified["verifyEmail"]["userErrors"]) == ("CLAIMED", [])
    assert (await row_of(small_stores, small_settings, guest))["claimed_by"]
    await is_refused(guest)


async def test_a_session_that_ends_is_refused_by_every_process(
    small_http: httpx.AsyncClient, small_stores: Stores, small_settings: Settings
) -> None:
    async with running(small_settings) as second:
        guest = await guest_of(small_http)
        there = Client(second, guest.token)
        assert (await there.data(MINE))["guestSession"]
        ended = await Client(small_http).data(END, {"i": {"guestToken": guest.token}})
        assert ended["endGuestSession"] == {"ended": True, "userErrors": []}
        assert_refused(await guest.post("{ __typename }"), "UNAUTHENTICATED", status=401)
        await is_refused(there)
    row = await row_of(small_stores, small_settings, guest)
    assert await told_of(small_stores, row["id"]) == ([], ["guest_session.ended"])


async def test_a_session_ends_with_its_time(
    small_http: httpx.AsyncClient, small_stores: Stores, small_settings: Settings
) -> None:
    guest = await guest_of(small_http)
    assert (await guest.data(MINE))["guestSession"]
    await small_stores.postgres.fetch(
        """UPDATE shop.guest_sessions SET created_at = now() - interval '9 days', expires_at = now() - interval '8 days'
           WHERE guest_id = $1""",
        named(small_settings, guest.token),
    )
    await is_refused(guest)
    _, email = await account(small_stores)
    assert (await signs_in(small_http, email, guest.token))["guestClaim"] == "ENDED"
    # The token has an end of its own, which is looked at first.
    key = OctKey.import_key(small_settings.auth.secret.get_secret_value())
    claims = {"iss": "nexfit", "sub": "g" * 32, "use": "guest", "iat": 1, "exp": 2}
    for forged in (jwt.encode({"alg": "HS256"}, claims, key), f"{guest.token}x"):
        assert_refused(await Client(small_http, forged).post("{ __typename }"), "UNAUTHENTICATED", status=401)
    # And whoever begins the next one takes out what ended long ago.
    await guest_of(small_http)
    assert not await small_stores.postgres.fetch(
        "SELECT FROM shop.guest_sessions WHERE guest_id = $1", named(small_settings, guest.token)
    )


async def test_an_address_begins_so_many_sessions_and_none_while_nobody_counts(
    small_settings: Settings, small_stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def count() -> int:
        [row] = await small_stores.postgres.fetch("SELECT count(*) FROM shop.guest_sessions")
        found: int = row["count"]
        return found

    auth = small_settings.auth.model_copy(update={"guest_sessions_per_address": 3})
    await forget_views(small_settings)
    async with running(small_settings.model_copy(update={"auth": auth})) as http:
        before = await count()
        aliases = " ".join(
            f"a{n}: createGuestSession(input: {{}}) {{ guestToken userErrors {{ code }} }}" for n in range(5)
        )
        made = list((await Client(http).data(f"mutation {{ {aliases} }}")).values())
        assert [payload["guestToken"] is not None for payload in made] == [True] * 3 + [False] * 2
        assert [payload["userErrors"] for payload in made[3:]] == [[{"code": "RATE_LIMITED"}]] * 2
        assert await count() == before + 3

        async def away(*_: object) -> None:
            raise StoreUnavailable("redis", "away")

        monkeypatch.setattr("nexfit.domains.identity.attempts.take", away)
        assert_refused(await Client(http).post(CREATE, {"i": {}}), "UNAVAILABLE")
        assert await count() == before + 3
    await forget_views(small_settings)


async def test_without_postgresql_signing_in_goes_on_and_the_session_is_brought_later(
    small_http: httpx.AsyncClient, small_stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = await guest_of(small_http)
    _, email = await account(small_stores)

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("postgres", "away")

    with monkeypatch.context() as outage:
        outage.setattr("nexfit.hybrid.commits.PostgresCommit.begin", away)
        answer = await signs_in(small_http, email, guest.token)
        assert answer["guestClaim"] == "POSTPONED"
        assert answer["accessToken"]
        outage.setattr("nexfit.stores.postgres.Postgres.fetch", away)
        await asyncio.sleep(TRUSTED)
        assert_refused(await guest.post("{ __typename }"), "UNAVAILABLE", status=503)
    assert (await guest.data(MINE))["guestSession"]
    assert (await signs_in(small_http, email, guest.token))["guestClaim"] == "CLAIMED"


async def test_a_guests_token_brings_no_points_and_a_name_in_the_log(
    small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr("nexfit.request_log.write", lines.append)
    http_settings = small_settings.http.model_copy(update={"log_requests": True})
    limits = LimitSettings(points=150, points_per_second=0.001)
    await forget_views(small_settings)
    async with running(small_settings.model_copy(update={"limits": limits, "http": http_settings})) as http:
        first, second = await guest_of(http), await guest_of(http)
        query = "{ facilities(first: 10) { nodes { id } } }"
        statuses = [(await first.post(query)).status_code for _ in range(20)]
        assert {200, 429} == set(statuses)
        lines.clear()
        for client in (first, second, Client(http), first):
            assert (await client.post(query)).status_code == 429
    assert [line["kind"] for line in lines] == ["guest_session", "guest_session", "guest", "guest_session"]
    names = [line["viewer"] for line in lines]
    assert len(set(names)) == 3
    assert names[0] == names[3]
    await forget_views(small_settings)


async def test_a_live_session_is_asked_for_once_a_second(small_http: httpx.AsyncClient) -> None:
    guest = await guest_of(small_http)
    await guest.data("{ __typename }")
    _, log = await guest.counted("{ __typename }")
    assert sum(map(len, log.sent.values())) == 0


async def test_what_has_ended_stays_so_whoever_writes(
    small_http: httpx.AsyncClient, small_stores: Stores, small_settings: Settings
) -> None:
    guest = await guest_of(small_http)
    id_ = named(small_settings, guest.token)
    database = await asyncpg.connect(small_settings.postgres.url.get_secret_value())
    try:
        for wrong in (
            f"claimed_by = '{'6a' * 12}'",
            f"claimed_by = '{'6a' * 12}', claimed_at = now(), revoked_at = now()",
            "claimed_by = 'somebody', claimed_at = now()",
            "guest_id = 'short'",
            "expires_at = created_at",
        ):
            with pytest.raises(asyncpg.CheckViolationError):
                await database.execute(f"UPDATE shop.guest_sessions SET {wrong} WHERE guest_id = $1", id_)
        await database.execute(
            "UPDATE shop.guest_sessions SET claimed_by = $2, claimed_at = now() WHERE guest_id = $1", id_, "6a" * 12
        )
        for wrong in (
            "claimed_by = NULL, claimed_at = NULL",
            f"claimed_by = '{'6b' * 12}'",
            "guest_id = 'another-guest-that-is-new'",
        ):
            with pytest.raises(asyncpg.RestrictViolationError):
                await database.execute(f"UPDATE shop.guest_sessions SET {wrong} WHERE guest_id = $1", id_)
    finally:
        await database.close()


async def test_the_queries_use_their_indexes(small_stores: Stores) -> None:
    sql = load_sql("nexfit.domains.identity", "guests.sql")
    assert sql.names() == ["begin", "live", "touch", "claim", "owner", "revoke"]
    async with small_stores.postgres.connection() as connection:
        await connection.execute("SET enable_seqscan = off")
        now = datetime.now(UTC)
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql.claim}", "g", now, "6a" * 12))
        assert "guest_sessions_guest_id_key" in plan
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql.begin}", "g", None, now, now))
        assert "idx_guest_sessions_expires_at" in plan
        await connection.execute("RESET enable_seqscan")

"""The API over seeded stores: one migrated and seeded pair of databases for the whole run, read by every test here.

A second, smaller pair is for tests that write, and for comparing budgets over sizes.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest
from bson import ObjectId
from pydantic import SecretStr
from redis.asyncio import Redis

from nexfit.app import create_app
from nexfit.domains.identity import passwords
from nexfit.domains.identity.messages import Message, Provider
from nexfit.embedded import EmbeddedServers, ServerUrls
from nexfit.operations.demo import seed
from nexfit.settings import (
    AuthSettings,
    HttpSettings,
    LimitSettings,
    Settings,
)
from nexfit.stores.commands import CommandLog, command_log
from nexfit.stores.connections import Stores, open_stores
from tests.databases import migrated

from .viewers import FACILITIES, ROLES, Role, Truth

TODAY = date(2026, 6, 15)
"""The day the demo data ends on: fixed, so that what tests read does not depend on the day they run."""

REDIS_DATABASE = 2

PASSWORD = "deniz kenarında bir akşam"
"""Of accounts that tests make."""

PREFLIGHTED = {"graphql-preflight": "1"}
"""What a GET needs (`nexfit.api.guard`)."""

WIDE = LimitSettings(
    characters=1_000_000, tokens=4_000, depth=80, aliases=1_000, fields=20_000, cost=10**9, points_per_second=0
)
"""Limits far from what tests of everything else ask for; tests of the limits have the ones a server starts with."""


@dataclass(slots=True)
class Client:
    """A GraphQL client of the application in this process, as one viewer."""

    http: httpx.AsyncClient
    token: str | None = None

    async def post(self, query: str, variables: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
        """The HTTP response to an operation."""
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        body = {"query": query, "variables": variables, **more}
        return await self.http.post("/graphql", json=body, headers=headers)

    async def run(self, query: str, variables: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """The response's JSON."""
        answer: dict[str, Any] = (await self.post(query, variables, **more)).json()
        return answer

    async def data(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        """The data of an operation that must succeed."""
        answer = await self.run(query, variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def counted(self, query: str, variables: dict[str, Any] | None = None) -> tuple[Any, CommandLog]:
        """The data of an operation that must succeed, and the commands each store received for it."""
        with command_log() as log:
            data = await self.data(query, variables)
        return data, log


class Mailbox:
    """Takes what is sent instead of delivering it."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._came = asyncio.Condition()

    async def send(self, message: Message) -> None:
        """Keep it."""
        async with self._came:
            self.messages.append(message)
            self._came.notify_all()

    async def newest(self, to: str, kind: str, count: int = 1) -> Message:
        """The newest of at least `count` messages of a kind to somebody, waited for."""

        def found() -> list[Message]:
            return [message for message in self.messages if (message.to, message.kind) == (to, kind)]

        async with self._came, asyncio.timeout(30):
            await self._came.wait_for(lambda: len(found()) >= count)
        return found()[-1]


@asynccontextmanager
async def running(settings: Settings, provider: Provider | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of a started application."""
    app = create_app(settings, provider=provider)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://nexfit.test", headers=PREFLIGHTED) as client,
    ):
        yield client


async def login(http: httpx.AsyncClient, email: str, password: str = "nexfit-demo") -> Client:
    """A client signed in as a demo user."""
    query = "mutation ($i: LoginInput!) { login(input: $i) { accessToken userErrors { code } } }"
    data = await Client(http).data(query, {"i": {"email": email, "password": password}})
    assert data["login"]["userErrors"] == []
    return Client(http, data["login"]["accessToken"])


async def account(stores: Stores, *, password: str = PASSWORD, **fields: Any) -> tuple[ObjectId, str]:
    """A new person with a password, who can sign in: their id and e-mail address."""
    user_id, now = ObjectId(), datetime.now(UTC)
    email = f"somebody.{user_id}@example.org"
    user = {
        "_id": user_id,
        "email": email,
        "emailNormalized": email,
        "firstName": "Deniz",
        "lastName": "Kaya",
        "nameFolded": "deniz kaya",
        "role": ["client"],
        "isActive": True,
        "createdAt": now,
        "updatedAt": now,
    }
    database = stores.mongo.database
    await database["users"].insert_one({**user, **fields})
    await database["credentials"].insert_one(
        {"_id": user_id, "passwordHash": passwords.hasher.hash(password), "updatedAt": now}
    )
    return user_id, email


@asynccontextmanager
async def seeded(
    urls: ServerUrls, *, scale: float, redis_database: int, patient: bool = True
) -> AsyncIterator[Settings]:
    """Settings of databases that are migrated and hold the demo as of TODAY; dropped afterwards."""
    async with migrated(
        urls,
        redis_database=redis_database,
        patient=patient,
        auth=AuthSettings(
            secret=SecretStr("a secret of the tests that is long enough"),
            bcrypt_hashes=False,  # what they cost is measured where it matters
            tries_per_account=10_000,
            tries_per_address=10_000,
        ),
        http=HttpSettings(response_cache=False, log_requests=False),  # what is tested here is how answers are made
        limits=WIDE,
        background=False,
    ) as settings:
        async with open_stores(settings) as stores:
            await seed(stores, scale=scale, today=TODAY)
        yield settings


@pytest.fixture(scope="session")
async def settings(servers: EmbeddedServers) -> AsyncIterator[Settings]:
    """The databases that every test may read and none may write: 300 members."""
    async with seeded(servers.urls, scale=1, redis_database=REDIS_DATABASE) as made:
        yield made


@pytest.fixture(scope="session")
async def small_settings(servers: EmbeddedServers) -> AsyncIterator[Settings]:
    """The databases for tests that write: 60 members. A test tidies up what it changed of the demo itself."""
    async with seeded(servers.urls, scale=0.2, redis_database=REDIS_DATABASE + 1) as made:
        yield made


@pytest.fixture(scope="session")
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    """The stores behind the application, for reading them by another way than the API."""
    async with open_stores(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
async def small_stores(small_settings: Settings) -> AsyncIterator[Stores]:
    """The stores of `small_settings`."""
    async with open_stores(small_settings) as opened:
        yield opened


async def forget_views(settings: Settings) -> None:
    """Empty the cache of joined views."""
    async with Redis.from_url(settings.redis.url.get_secret_value()) as cache:
        await cache.flushdb()


@pytest.fixture(scope="session")
async def http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The started application."""
    async with running(settings) as client:
        yield client


@pytest.fixture(scope="session")
async def owner(http: httpx.AsyncClient) -> Client:
    """The owner of the gym chain."""
    return await login(http, "owner@demo.nexfit.app")


@pytest.fixture(scope="session")
async def studio_owner(http: httpx.AsyncClient) -> Client:
    """The owner of the studio: a stranger to the chain."""
    return await login(http, "studio@demo.nexfit.app")


@pytest.fixture(scope="session")
async def desk(http: httpx.AsyncClient) -> Client:
    """A receptionist of the chain."""
    return await login(http, "desk@demo.nexfit.app")


@pytest.fixture(scope="session")
async def coach(http: httpx.AsyncClient) -> Client:
    """A coach of the chain."""
    return await login(http, "coach@demo.nexfit.app")


@pytest.fixture(scope="session")
async def member(http: httpx.AsyncClient) -> Client:
    """A member of the chain with an overdue invoice."""
    return await login(http, "client@demo.nexfit.app")


@pytest.fixture(scope="session")
def guest(http: httpx.AsyncClient) -> Client:
    """Nobody in particular."""
    return Client(http)


@pytest.fixture(scope="session")
def mailbox() -> Mailbox:
    """Where the messages of `small_http` end."""
    return Mailbox()


@pytest.fixture(scope="session")
async def small_http(small_settings: Settings, mailbox: Mailbox) -> AsyncIterator[httpx.AsyncClient]:
    """The started application over `small_settings`."""
    async with running(small_settings, mailbox) as client:
        yield client


@pytest.fixture(scope="session")
async def small_owner(small_http: httpx.AsyncClient) -> Client:
    """The owner of the gym chain in `small_settings`."""
    return await login(small_http, "owner@demo.nexfit.app")


def local(global_id: str) -> str:
    """The local id in a global one."""
    return base64.urlsafe_b64decode(global_id + "=" * (-len(global_id) % 4)).decode().partition(":")[2]


def global_id(type_name: str, local_id: object) -> str:
    """The global id of a local one."""
    return base64.urlsafe_b64encode(f"{type_name}:{local_id}".encode()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Business:
    """One facility of a demo business, and one entity of every type that belongs to it: global ids by type."""

    facility: str
    ids: dict[str, str]


async def business_of(stores: Stores, facility: ObjectId) -> Business:
    """A facility with its newest entities, read from the stores themselves."""

    async def newest(collection: str, **filter: Any) -> dict[str, Any]:
        documents = stores.mongo.database[collection].find(filter).sort("_id", -1).limit(1)
        return (await documents.to_list())[0]

    contract = await newest("member_subscriptions", facilityId=facility)
    review = await newest("reviews", subjectType="coach")
    class_ = await newest("classes", facilityId=facility, isActive=True)
    ids = {
        "Facility": facility,
        "Membership": contract["membershipId"],
        "Class": class_["_id"],
        "ClassOccurrence": (await newest("class_occurrences", classId=class_["_id"]))["_id"],
        "MemberSubscription": contract["_id"],
        "ClassBooking": (await newest("class_bookings", facilityId=facility))["_id"],
        "Visit": (await newest("visits", facilityId=facility))["_id"],
        "Coach": review["subjectId"],
        "CoachReview": review["_id"],
        "Exercise": (await newest("exercises", isPublic=True))["_id"],
        "Food": (await newest("foods", isVerified=True))["_id"],
        "NutritionPlan": (await newest("nutrition_plans", isPublic=True))["_id"],
        "WorkoutTemplate": (await newest("workout_templates", isPublic=True))["_id"],
        "WorkoutProgram": (await newest("workout_programs", isPublic=True))["_id"],
    }
    for name, table, column in (
        ("Transaction", "transactions", "transaction_id"),
        ("Subscription", "subscriptions", "subscription_id"),
        ("Invoice", "invoices", "invoice_id"),
        ("MembershipPurchase", "purchases", "purchase_id"),
    ):
        rows = await stores.postgres.fetch(
            f"SELECT {column} AS id FROM finance.{table} WHERE facility_id = $1 AND status <> 'expired'"
            " ORDER BY created_at DESC LIMIT 1",
            str(facility),
        )
        ids[name] = rows[0]["id"]
    # Somebody who belongs to this business only: the demo has people who train at two.
    [only] = await stores.postgres.fetch(
        """SELECT user_id FROM platform.member_facts GROUP BY user_id
           HAVING count(*) = 1 AND min(facility_id) = $1 ORDER BY user_id DESC LIMIT 1""",
        str(facility),
    )
    ids["User"] = only["user_id"]
    ids["Member"] = f"{facility}:{only['user_id']}"
    made = {name: global_id(name, id_) for name, id_ in ids.items()}
    return Business(made["Facility"], made)


async def facility_of(stores: Stores, name: str) -> ObjectId:
    """The id of the facility whose folded name ends so."""
    [found] = await stores.mongo.database["facilities"].find({"nameFolded": {"$regex": f"{name}$"}}).to_list()
    id_: ObjectId = found["_id"]
    return id_


@pytest.fixture(scope="session")
async def chain(stores: Stores) -> Business:
    """A facility of the gym chain."""
    return await business_of(stores, await facility_of(stores, "karsiyaka"))


@pytest.fixture(scope="session")
async def studio(stores: Stores) -> Business:
    """The studio."""
    return await business_of(stores, await facility_of(stores, "alsancak"))


_LEAKS = re.compile(
    r"asyncpg|pymongo|redis|mongodb:|postgres|psycopg|Traceback|/src/|\.py\b|codec|int\(\)|NoneType|Errno|0x[0-9a-f]+"
    r"|(?-i:SELECT|ObjectId)",
    re.IGNORECASE,
)


def assert_refused(response: httpx.Response, *codes: str, status: int = 200) -> None:
    """The response refuses with one of the codes in every error, and names nothing of the inside."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith(("application/json", "application/graphql-response+json"))
    body = response.json()
    assert body["errors"], body
    for error in body["errors"]:
        assert error["extensions"]["code"] in codes, error
        assert error["message"]
        assert not _LEAKS.search(error["message"]), error


@pytest.fixture(scope="module")
async def roles(
    stores: Stores, guest: Client, member: Client, coach: Client, desk: Client, owner: Client, studio_owner: Client
) -> dict[str, Role]:
    """Every viewer of the demo by name."""
    facilities = await stores.mongo.database["facilities"].find({}).to_list()
    clients = dict(zip(ROLES, (guest, member, coach, desk, owner, studio_owner), strict=True))
    found = {}
    for name, client in clients.items():
        viewer = (await client.data("{ viewer { id } }"))["viewer"]
        found[name] = Role(client, ObjectId(local(viewer["id"])) if viewer else None, facilities)
    return found


@pytest.fixture(scope="module")
async def businesses(stores: Stores) -> list[Business]:
    """One facility of each kind there is, with an entity of every type."""
    return [await business_of(stores, await facility_of(stores, name)) for name in FACILITIES]


@pytest.fixture(scope="module")
async def truth(stores: Stores, roles: dict[str, Role]) -> Truth:
    """Whose everything is."""
    assert roles  # signed in: their sessions are there
    return await Truth.read(stores)

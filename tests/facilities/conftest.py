"""Empty stores with two processes of the API before them, and people who are signed in.

Everything a test needs it makes through the API, so that tests do not disturb each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from bson import ObjectId
from pydantic import SecretStr
from redis.asyncio import Redis

from nexfit.domains.identity.session_watch import SessionWatch
from nexfit.domains.identity.tokens import Tokens
from nexfit.embedded import EmbeddedServers
from nexfit.hybrid.freshness import KEY
from nexfit.settings import AuthSettings, HttpSettings, Settings
from nexfit.stores.connections import Stores, open_stores
from tests.api.conftest import WIDE, Client, Mailbox, global_id, running
from tests.databases import migrated

REDIS_DATABASE = 13

CREATE = """mutation ($i: CreateFacilityInput!) { createFacility(input: $i) {
  facility { id name type timezone address { city country latitude longitude } createdAt }
  userErrors { code message path } } }"""

WATCHED = (
    *("facilities", "classes", "class_occurrences", "class_bookings", "timetable_turns", "users"),
    *("idempotency_keys", "outbox", "audit_entries"),
)
"""Collections a refused mutation must leave alone."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in, at either process."""

    id: ObjectId
    email: str
    here: Client
    there: Client

    @property
    def gid(self) -> str:
        """The global id."""
        return global_id("User", self.id)


@dataclass(slots=True)
class Town:
    """The stores, two processes, and the mail they sent."""

    stores: Stores
    settings: Settings
    here: httpx.AsyncClient
    there: httpx.AsyncClient
    mailbox: Mailbox
    tokens: Tokens
    people: int = field(default=0)

    @property
    def database(self) -> Any:
        """MongoDB, past the code under test."""
        return self.stores.mongo.database

    @property
    def guest(self) -> Client:
        """Nobody in particular."""
        return Client(self.here)

    async def person(self, *roles: str, first: str = "Deniz", last: str = "Kaya") -> Person:
        """Somebody new."""
        self.people += 1
        user, now = ObjectId(), datetime.now(UTC)
        email = f"somebody.{user}@example.org"
        document = {
            "_id": user,
            "email": email,
            "emailNormalized": email,
            "firstName": first,
            "lastName": last,
            "nameFolded": f"{first} {last}".lower(),
            "role": list(roles or ("client",)),
            "isActive": True,
            "createdAt": now,
            "updatedAt": now,
        }
        await self.database["users"].insert_one(document)
        token = self.tokens.issue(user, ObjectId(), now).value
        return Person(user, email, Client(self.here, token), Client(self.there, token))

    async def facility(self, owner: Person, **input_: Any) -> str:
        """The global id of a new facility."""
        given = {"name": "Kule Spor", "type": "GYM", "timezone": "Europe/Istanbul", "idempotencyKey": uuid4().hex}
        payload = await asks(owner.here, CREATE, **{**given, **input_})
        assert payload["userErrors"] == []
        made: str = payload["facility"]["id"]
        return made

    async def stored(self, collection: str, id_: ObjectId | str) -> dict[str, Any]:
        """A document, read past the code under test."""
        found = await self.database[collection].find_one({"_id": ObjectId(id_)})
        assert found is not None
        return dict(found)

    async def everything(self) -> str:
        """A digest of what both stores hold: two that are equal mean that nothing was written between."""
        digest = hashlib.sha256()
        for collection in WATCHED:
            async for document in self.database[collection].find({}).sort("_id", 1):
                digest.update(orjson.dumps(document, default=str))
        for table in ("finance.audit_logs", "finance.outbox", "finance.subscriptions", "finance.transactions"):
            for row in await self.stores.postgres.fetch(f"SELECT count(*) AS n FROM {table}"):
                digest.update(f"{table}:{row['n']}".encode())
        return digest.hexdigest()

    async def audited(self, entity: str | ObjectId) -> list[dict[str, Any]]:
        """The audit entries about an entity, in their order, before the relay takes them over."""
        rows = await self.database["audit_entries"].find({"entityId": str(entity)}).sort("position", 1).to_list()
        return [
            {
                "action": row["action"],
                "by": row.get("userId"),
                "before": orjson.loads(row["previousState"]) if "previousState" in row else None,
                "after": orjson.loads(row["newState"]) if "newState" in row else None,
            }
            for row in rows
        ]

    async def told(self, aggregate: str | ObjectId) -> list[str]:
        """The facts told about an aggregate, in their order."""
        rows = await self.database["outbox"].find({"aggregateId": str(aggregate)}).sort("position", 1).to_list()
        return [row["eventType"] for row in rows]


async def asks(client: Client, query: str, **input_: Any) -> Any:
    """The payload of a mutation's only field."""
    data = await client.data(query, {"i": input_})
    return next(iter(data.values()))


def codes(payload: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Code and path of each user error."""
    return [(error["code"], error["path"]) for error in payload["userErrors"]]


@pytest.fixture(scope="package")
async def town(servers: EmbeddedServers) -> AsyncIterator[Town]:
    """The town; one per run."""
    auth = AuthSettings(
        secret=SecretStr("a secret of the tests that is long enough"),
        bcrypt_hashes=False,
        tries_per_account=10_000,
        tries_per_address=10_000,
    )
    http = HttpSettings(response_cache=True, log_requests=False)
    mailbox = Mailbox()
    async with (
        migrated(
            servers.urls, redis_database=REDIS_DATABASE, auth=auth, http=http, limits=WIDE, background=False
        ) as settings,
        Redis.from_url(settings.redis.url.get_secret_value()) as cache,
        AsyncExitStack() as opened,
    ):
        await cache.set(KEY, "1:1")  # as if somebody followed the change feeds
        stores = await opened.enter_async_context(open_stores(settings))
        here = await opened.enter_async_context(running(settings, mailbox))
        there = await opened.enter_async_context(running(settings, mailbox))
        tokens = Tokens(settings.auth, SessionWatch(stores.mongo, stores.redis, settings.auth))
        yield Town(stores, settings, here, there, mailbox, tokens)

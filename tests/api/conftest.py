"""The API over seeded stores: one migrated and seeded pair of databases for the whole run, read by every test here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest
from pymongo import AsyncMongoClient

from nexfit.app import create_app
from nexfit.embedded import EmbeddedServers
from nexfit.operations.demo import seed
from nexfit.operations.setup import migrate_up
from nexfit.settings import AuthSettings, MongoSettings, PostgresSettings, RedisSettings, Settings
from nexfit.stores.commands import CommandLog, command_log
from nexfit.stores.connections import open_stores

TODAY = date(2026, 6, 15)
"""The day the demo data ends on: fixed, so that what tests read does not depend on the day they run."""

REDIS_DATABASE = 2


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


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of a started application."""
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://nexfit.test") as client,
    ):
        yield client


async def login(http: httpx.AsyncClient, email: str, password: str = "nexfit-demo") -> Client:
    """A client signed in as a demo user."""
    query = "mutation ($i: LoginInput!) { login(input: $i) { accessToken userErrors { code } } }"
    data = await Client(http).data(query, {"i": {"email": email, "password": password}})
    assert data["login"]["userErrors"] == []
    return Client(http, data["login"]["accessToken"])


@pytest.fixture(scope="session")
async def settings(servers: EmbeddedServers) -> AsyncIterator[Settings]:
    """Settings of databases that are migrated and hold the demo as of TODAY; dropped after the run."""
    name = f"nexfit_test_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(servers.urls.postgres)
    await admin.execute(f"CREATE DATABASE {name}")
    made = Settings(
        mongo=MongoSettings(url=servers.urls.mongo, database=name),
        postgres=PostgresSettings(url=urlsplit(servers.urls.postgres)._replace(path=f"/{name}").geturl()),
        redis=RedisSettings(url=urlsplit(servers.urls.redis)._replace(path=f"/{REDIS_DATABASE}").geturl()),
        auth=AuthSettings(secret="a secret of the tests that is long enough"),
    )
    await migrate_up(made)
    async with open_stores(made) as stores:
        await seed(stores, today=TODAY)
    yield made
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()
    client: AsyncMongoClient[dict[str, object]]
    async with AsyncMongoClient(servers.urls.mongo) as client:
        await client.drop_database(name)


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
async def member(http: httpx.AsyncClient) -> Client:
    """A member of the chain with an overdue invoice."""
    return await login(http, "client@demo.nexfit.app")


@pytest.fixture(scope="session")
def guest(http: httpx.AsyncClient) -> Client:
    """Nobody in particular."""
    return Client(http)

"""Stores with both schemas applied, for the demo and the importers."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from nexfit.embedded import EmbeddedServers
from nexfit.operations import migrations, mongo_schema
from nexfit.operations.demo import seed
from nexfit.settings import MongoSettings, PostgresSettings, RedisSettings, Settings
from nexfit.stores.connections import Stores, open_stores

REPOSITORY = Path(__file__).parents[2]
DATA = REPOSITORY.parent / "shared" / "data"

TODAY = date(2026, 5, 20)

FreshStores = Callable[[], AbstractAsyncContextManager[Stores]]


@asynccontextmanager
async def _prepared(mongo_url: str, mongo_database: str, postgres_url: str, redis_url: str) -> AsyncIterator[Stores]:
    settings = Settings(
        mongo=MongoSettings(url=SecretStr(mongo_url), database=mongo_database),
        postgres=PostgresSettings(url=SecretStr(postgres_url)),
        redis=RedisSettings(url=SecretStr(redis_url)),
    )
    async with open_stores(settings) as stores:
        await mongo_schema.up(stores.mongo.database)
        async with stores.postgres.connection() as connection:
            await migrations.up(connection, REPOSITORY / "migrations_pg")
        yield stores


@pytest.fixture(scope="module")
async def stores(
    servers: EmbeddedServers, mongo_url: str, mongo_database: str, postgres_url: str
) -> AsyncIterator[Stores]:
    """Connected stores of this module, both schemas applied, nothing in them."""
    async with _prepared(mongo_url, mongo_database, postgres_url, servers.urls.redis) as ready:
        yield ready


@pytest.fixture(scope="module")
def fresh_stores(servers: EmbeddedServers) -> FreshStores:
    """Makes further stores on the same servers; each is dropped when its block ends."""

    @asynccontextmanager
    async def make() -> AsyncIterator[Stores]:
        name = f"nexfit_test_{uuid4().hex[:12]}"
        admin = await asyncpg.connect(servers.urls.postgres)
        try:
            await admin.execute(f"CREATE DATABASE {name}")
            url = urlsplit(servers.urls.postgres)._replace(path=f"/{name}").geturl()
            async with _prepared(servers.urls.mongo, name, url, servers.urls.redis) as ready:
                yield ready
                await ready.mongo.client.drop_database(name)
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        finally:
            await admin.close()

    return make


@pytest.fixture(scope="module")
async def seeded(stores: Stores) -> Stores:
    """The stores with the demo at scale 1, told on a fixed day."""
    await seed(stores, today=TODAY)
    return stores


@pytest.fixture
def data_folder() -> Path:
    """The folder of real input files beside the repository; skips where there is none."""
    if not DATA.is_dir():
        pytest.skip(f"the real input files are not here: {DATA} does not exist")
    return DATA

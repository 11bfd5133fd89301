"""A migrated database of the real server, with the document models bound to it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from beanie import init_beanie
from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient

from nexfit.operations.mongo_schema import ALL_DOCUMENTS, up
from nexfit.stores.mongo_ddl import Database


@pytest.fixture(scope="module")
async def bare_database(mongo_url: str, mongo_database: str) -> AsyncIterator[Database]:
    """An empty database."""
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url, tz_aware=True) as client:
        yield client.get_database(mongo_database, codec_options=CodecOptions(tz_aware=True))


@pytest.fixture(scope="module")
async def database(bare_database: Database) -> Database:
    """A database in which the schema is applied and the models work."""
    await up(bare_database)
    await init_beanie(database=bare_database, document_models=ALL_DOCUMENTS, skip_indexes=True)
    return bare_database

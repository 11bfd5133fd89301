"""The fixtures hand out working, empty databases."""

from typing import Any

import asyncpg
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from redis.asyncio import Redis


async def test_postgres_database_is_empty_and_utf8(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert tables == 0
        assert await connection.fetchval("SELECT upper('ğüşç')") == "ĞÜŞÇ"
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
    finally:
        await connection.close()


async def test_mongo_database_takes_transactions(mongo_url: str, mongo_database: str) -> None:
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url) as client:
        collection: AsyncCollection[dict[str, Any]] = client[mongo_database].things
        assert await client[mongo_database].list_collection_names() == []
        async with client.start_session() as session, await session.start_transaction():
            await collection.insert_one({"name": "kept"}, session=session)
        assert await collection.count_documents({}) == 1


async def test_redis_database_is_empty(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        await client.set("left behind", "for the fixture to remove")

"""Schema commands of MongoDB: what collections, validators and indexes exist, and commands that change them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pymongo
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError

from nexfit.stores.errors import StoreError

Database = AsyncDatabase[dict[str, Any]]

NAMESPACE_NOT_FOUND = 26
NAMESPACE_EXISTS = 48


class SchemaCommandFailed(StoreError):
    """The server refused a schema command; ``code`` is its error number, or None when it did not answer."""

    def __init__(self, detail: str, code: int | None) -> None:
        super().__init__("mongo", detail)
        self.code = code


@dataclass(frozen=True)
class LiveCollection:
    """A collection as the server has it; indexes are the server's own descriptions, without the one on ``_id``."""

    validator: dict[str, Any] = field(default_factory=dict)
    enforced: bool = True
    pre_images: bool = False
    indexes: list[dict[str, Any]] = field(default_factory=list)


async def live_collections(database: Database) -> dict[str, LiveCollection]:
    """Every collection of the database by name, views and system collections aside. Raises SchemaCommandFailed."""
    try:
        found = {}
        async for described in await database.list_collections(filter={"type": "collection"}):
            name, options = described["name"], described.get("options", {})
            if name.startswith("system."):
                continue
            indexes = [dict(index) async for index in await database[name].list_indexes()]
            found[name] = LiveCollection(
                validator=options.get("validator", {}),
                enforced=options.get("validationLevel", "strict") == "strict"
                and options.get("validationAction", "error") == "error",
                pre_images=options.get("changeStreamPreAndPostImages", {}).get("enabled", False),
                indexes=[index for index in indexes if index["name"] != "_id_"],
            )
    except PyMongoError as error:
        raise _failed(error) from error
    return found


async def run(database: Database, command: Mapping[str, Any]) -> None:
    """Run a schema command until it is done on a majority, however long it takes. Raises SchemaCommandFailed."""
    try:
        with pymongo.timeout(None):
            await database.command({**command, "writeConcern": {"w": "majority"}})
    except PyMongoError as error:
        raise _failed(error) from error


async def is_empty(database: Database, collection: str) -> bool:
    """Whether the collection holds no document. Raises SchemaCommandFailed."""
    try:
        return await database[collection].find_one({}, {"_id": 1}) is None
    except PyMongoError as error:
        raise _failed(error) from error


async def refused(database: Database, collection: str, validator: Mapping[str, Any]) -> int:
    """Number of stored documents the validator would refuse; reads the whole collection. Raises SchemaCommandFailed."""
    try:
        with pymongo.timeout(None):
            return await database[collection].count_documents({"$nor": [validator]})
    except PyMongoError as error:
        raise _failed(error) from error


async def size(database: Database, collection: str) -> int:
    """Number of documents by the server's own count, which may lag after a crash. Raises SchemaCommandFailed."""
    try:
        return await database[collection].estimated_document_count()
    except PyMongoError as error:
        raise _failed(error) from error


def _failed(error: PyMongoError) -> SchemaCommandFailed:
    return SchemaCommandFailed(str(error), error.code if isinstance(error, OperationFailure) else None)

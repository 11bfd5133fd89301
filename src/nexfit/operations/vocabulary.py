"""Words of what was loaded past the API: imports, demo data, and documents older than the search by words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from nexfit.domains.nutrition import foods
from nexfit.domains.training import exercises
from nexfit.domains.vocabulary.documents import Kind
from nexfit.domains.vocabulary.search import COLLECTION, entry
from nexfit.stores.mongo import Document, Mongo

BATCH = 1_000
_DUPLICATE = 11000

_SEARCHED: Mapping[Kind, tuple[str, Callable[[Mapping[str, Any]], Document]]] = {
    Kind.EXERCISES: ("isPublic", exercises.searched),
    Kind.FOODS: ("isVerified", foods.searched),
}
"""Which field says that everybody finds a document, and the stored fields that search reads."""


def entries(kind: Kind, documents: Iterable[Mapping[str, Any]]) -> Iterator[Document]:
    """The words of the documents as they are stored, each once for everybody or for its owner."""
    known: set[str] = set()
    public = _SEARCHED[kind][0]
    for document in documents:
        owner = None if document.get(public, True) else document.get("createdBy")
        for word in document["words"]:
            row = entry(kind, owner, word)
            if row["_id"] not in known:
                known.add(row["_id"])
                yield row


async def learn(mongo: Mongo, kind: Kind, documents: Iterable[Mapping[str, Any]]) -> None:
    """Add the words of documents that are stored. Words known already stay. Raises StoreError."""
    rows = entries(kind, documents)
    while batch := list(islice(rows, BATCH)):
        with mongo.unhurried() as database:
            try:
                await database[COLLECTION].insert_many(batch, ordered=False)
            except BulkWriteError as error:
                if any(one["code"] != _DUPLICATE for one in error.details["writeErrors"]):
                    raise


async def fill(mongo: Mongo, collections: Collection[str]) -> int:
    """Write the words of documents that were stored before search read any; how many documents. Raises StoreError.

    May be run again after dying half-way: only documents without words are looked at.
    """
    count = 0
    for kind, (_, searched) in _SEARCHED.items():
        if str(kind) not in collections:
            continue
        with mongo.unhurried() as database:
            cursor = database[str(kind)].find({"words": {"$exists": False}})
            while batch := await cursor.to_list(BATCH):
                found = [{**document, **searched(document)} for document in batch]
                # The words first: what is found by them is looked at again should this die between.
                await learn(mongo, kind, found)
                await database[str(kind)].bulk_write(
                    [
                        UpdateOne({"_id": one["_id"]}, {"$set": {"words": one["words"], "nameWords": one["nameWords"]}})
                        for one in found
                    ]
                )
                count += len(found)
    return count

"""Imported documents into a collection: found again by their source and its id, compared, inserted or updated."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from bson import ObjectId

from nexfit.domains.text import normalize_email
from nexfit.operations.importers.reports import ImportReport, Outcome, Progress, RowResult, UnknownPerson
from nexfit.stores.mongo import Mongo

Row = dict[str, Any]

BATCH = 1_000

Verdict = tuple[Outcome, str | None]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a source's documents go: fields every one of them has, and the fields this importer decides."""

    collection: str
    identity: Mapping[str, Any]
    owned: Collection[str]
    only_on_insert: Mapping[str, Any]
    on_update: Mapping[str, Any]
    refuses: Callable[[Mapping[str, Any]], str | None] = lambda stored: None
    """Why a stored document must be left alone; None if it may be updated."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that can be imported: its id in the source, and the fields it decides."""

    name: str
    source_id: str
    document: Row


@dataclass(frozen=True, slots=True)
class Unusable:
    """A row that cannot, and why."""

    name: str
    reason: str


async def store_rows(
    mongo: Mongo,
    target: Target,
    rows: Iterable[Candidate | Unusable],
    report: ImportReport,
    on_progress: Progress | None,
) -> ImportReport:
    """Bring the collection to what the rows say, and the report to what became of each. Raises StoreError."""
    documents: dict[str, Row] = {}
    taken: list[tuple[str, str | Verdict]] = []
    for row in rows:
        if isinstance(row, Unusable):
            taken.append((row.name, (Outcome.SKIPPED, row.reason)))
        elif row.source_id in documents:
            taken.append((row.name, (Outcome.SKIPPED, f"an earlier row has the id {row.source_id} too")))
        else:
            documents[row.source_id] = row.document
            taken.append((row.name, row.source_id))
    verdicts = await store(mongo, target, documents, on_progress)
    for number, (name, fate) in enumerate(taken, 1):
        report.rows.append(RowResult(number, name, *(verdicts[fate] if isinstance(fate, str) else fate)))
    return report


async def store(
    mongo: Mongo, target: Target, documents: Mapping[str, Row], on_progress: Progress | None
) -> dict[str, Verdict]:
    """Bring the collection to the documents (by source id); what became of each. Raises StoreError."""
    verdicts: dict[str, Verdict] = {}
    remaining = iter(documents.items())
    while batch := list(islice(remaining, BATCH)):
        with mongo.unhurried() as database:
            collection = database[target.collection]
            wanted = {**target.identity, "sourceId": {"$in": [source_id for source_id, _ in batch]}}
            existing = {row["sourceId"]: row async for row in collection.find(wanted)}
            new = [
                {"_id": ObjectId(), **target.identity, "sourceId": source_id, **target.only_on_insert, **document}
                for source_id, document in batch
                if source_id not in existing
            ]
            if new:
                await collection.insert_many(new)
            for source_id, document in batch:
                stored = existing.get(source_id)
                reason = None if stored is None else target.refuses(stored)
                if stored is None:
                    verdicts[source_id] = (Outcome.IMPORTED, None)
                elif reason is not None:
                    verdicts[source_id] = (Outcome.SKIPPED, reason)
                elif change := _change(target, stored, document):
                    await collection.update_one({"_id": stored["_id"]}, change)
                    verdicts[source_id] = (Outcome.UPDATED, None)
                else:
                    verdicts[source_id] = (Outcome.UNCHANGED, None)
        if on_progress is not None:
            on_progress(target.collection, len(verdicts), len(documents))
    return verdicts


def _change(target: Target, stored: Mapping[str, Any], document: Mapping[str, Any]) -> Row:
    """The update that makes the importer's own fields what the file says; empty if they are."""
    changed = {name: document[name] for name in target.owned if name in document and stored.get(name) != document[name]}
    gone = [name for name in target.owned if name not in document and name in stored]
    if not changed and not gone:
        return {}
    wanted = {"$set": {**changed, **target.on_update}, "$unset": dict.fromkeys(gone, "")}
    return {operator: fields for operator, fields in wanted.items() if fields}


def without_empty(document: Row) -> Row:
    """The document without absent values: nothing is stored as null."""
    return {name: value for name, value in document.items() if value is not None}


class MongoHolder(Protocol):
    """The store an importer writes to."""

    @property
    def mongo(self) -> Mongo:
        """MongoDB."""


async def user_by_email(mongo: Mongo, email: str) -> ObjectId:
    """The user's id. Raises UnknownPerson, StoreError."""
    found = await mongo.find("users", {"emailNormalized": normalize_email(email)}, (), limit=1)
    if not found:
        raise UnknownPerson(email)
    user_id: ObjectId = found[0]["_id"]
    return user_id

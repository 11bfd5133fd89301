"""MongoDB collections, validators and indexes brought to what `mongo_indexes` says, and back. Documents stay as is.

Every function compares the server with the files and does only what is missing, so it may run any number of times, and
again after dying half-way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from nexfit.domains.classes.documents import CalendarFeed, ClassBooking, ClassOccurrence, FitnessClass, TimetableTurn
from nexfit.domains.coaching.documents import CoachClient, CoachHours, PtSession
from nexfit.domains.facilities.documents import Facility
from nexfit.domains.identity.documents import (
    Consent,
    Credential,
    Device,
    OneTimeCode,
    Registration,
    SecondFactor,
    Session,
    User,
)
from nexfit.domains.identity.review_documents import Review
from nexfit.domains.memberships.documents import Membership, MemberSubscription, MemberTurn, Visit
from nexfit.domains.nutrition.documents import DiaryEntry, Food, NutritionPlan
from nexfit.domains.training.body_documents import BodyGoal, Measurement
from nexfit.domains.training.documents import Exercise, WorkoutProgram, WorkoutTemplate
from nexfit.domains.training.enrolment_documents import ProgramEnrolment, WorkoutTemplateVersion
from nexfit.domains.training.log_documents import WorkoutLog
from nexfit.domains.vocabulary.documents import VocabularyWord
from nexfit.hybrid.documents import AuditEntry, Decision, IdempotencyKey, OutboxEvent, StoreMarker
from nexfit.operations.mongo_files import CollectionFile, IndexFile, default_folder, read_folder
from nexfit.stores.documents import StoredDocument
from nexfit.stores.mongo_ddl import (
    NAMESPACE_EXISTS,
    Database,
    LiveCollection,
    SchemaCommandFailed,
    is_empty,
    live_collections,
    refused,
    run,
    size,
)

ALL_DOCUMENTS: list[type[StoredDocument]] = [
    User,
    Credential,
    Registration,
    OneTimeCode,
    SecondFactor,
    Session,
    Device,
    Consent,
    Review,
    Facility,
    Exercise,
    WorkoutTemplate,
    WorkoutTemplateVersion,
    WorkoutProgram,
    ProgramEnrolment,
    WorkoutLog,
    Measurement,
    BodyGoal,
    NutritionPlan,
    Food,
    DiaryEntry,
    VocabularyWord,
    Membership,
    MemberSubscription,
    Visit,
    FitnessClass,
    ClassOccurrence,
    TimetableTurn,
    CalendarFeed,
    ClassBooking,
    MemberTurn,
    CoachClient,
    CoachHours,
    PtSession,
    Decision,
    StoreMarker,
    OutboxEvent,
    AuditEntry,
    IdempotencyKey,
]
"""Every document model, for `init_beanie(document_models=ALL_DOCUMENTS, skip_indexes=True)`."""

_REFUSE_EVERYTHING = {"$expr": False}


class Action(StrEnum):
    """What is done to a collection."""

    CREATE_COLLECTION = "create collection"
    SET_VALIDATOR = "set validator"
    SET_PRE_IMAGES = "set pre-images"
    CREATE_INDEX = "create index"
    REBUILD_INDEX = "rebuild index"
    DROP_INDEX = "drop index"
    DROP_VALIDATOR = "drop validator"
    DROP_COLLECTION = "drop collection"


@dataclass(frozen=True)
class Change:
    """One step between the server and the files; ``target`` is the index's name where it is about one."""

    collection: str
    action: Action
    target: str | None = None

    def __str__(self) -> str:
        return f"{self.collection}: {self.action}{f' {self.target}' if self.target else ''}"


@dataclass(frozen=True)
class CollectionStatus:
    """Where a collection stands; ``pending`` is what `up` would do, ``unknown_indexes`` what only pruning would."""

    collection: str
    exists: bool
    documents: int
    pending: tuple[Change, ...]
    unknown_indexes: tuple[str, ...]


class SchemaNotApplied(Exception):
    """The server refused a step, for instance a unique index over documents that are not unique. The rest is undone
    or was complete: running again continues from there."""

    def __init__(self, change: Change, detail: str) -> None:
        super().__init__(f"{change}: {detail}")
        self.change = change


async def up(database: Database, *, folder: Path | None = None, prune: bool = False) -> list[Change]:
    """Create and change what the files name; with ``prune`` also drop indexes they do not name. The changes made.

    Raises MongoFileError before anything is done, SchemaNotApplied, SchemaCommandFailed.
    """
    files = read_folder(folder or default_folder())
    live = await live_collections(database)
    changes = [change for file in files for change in _missing(file, live.get(file.collection), prune=prune)]
    by_name = {file.collection: file for file in files}
    for change in changes:
        await _apply(database, change, by_name[change.collection], live.get(change.collection))
    return changes


async def down(database: Database, *, folder: Path | None = None) -> list[Change]:
    """Drop the files' indexes and validators, and each collection that holds no document. The changes made.

    Raises MongoFileError before anything is done, SchemaNotApplied, SchemaCommandFailed.
    """
    files = read_folder(folder or default_folder())
    live = await live_collections(database)
    changes = []
    for file in reversed(files):
        found = live.get(file.collection)
        if found is None:
            continue
        present = {index["name"] for index in found.indexes}
        for index in file.indexes:
            if index.name in present:
                change = Change(file.collection, Action.DROP_INDEX, index.name)
                await _apply(database, change, file, found)
                changes.append(change)
        if await _drop_when_empty(database, file.collection):
            changes.append(Change(file.collection, Action.DROP_COLLECTION))
        else:
            if found.validator:
                await _set_validator(database, file.collection, {})
                changes.append(Change(file.collection, Action.DROP_VALIDATOR))
            if found.pre_images:
                await _set_pre_images(database, file.collection, enabled=False)
                changes.append(Change(file.collection, Action.SET_PRE_IMAGES))
    return changes


async def verify(database: Database, *, folder: Path | None = None) -> list[Change]:
    """What differs from the files, as the changes that would repair it; unknown indexes count. Empty means in order."""
    files = read_folder(folder or default_folder())
    live = await live_collections(database)
    return [change for file in files for change in _missing(file, live.get(file.collection), prune=True)]


async def status(database: Database, *, folder: Path | None = None) -> list[CollectionStatus]:
    """Every collection of the files and what is left to do for it."""
    files = read_folder(folder or default_folder())
    live = await live_collections(database)
    return [
        CollectionStatus(
            collection=file.collection,
            exists=file.collection in live,
            documents=await size(database, file.collection) if file.collection in live else 0,
            pending=tuple(_missing(file, live.get(file.collection), prune=False)),
            unknown_indexes=tuple(_unknown(file, live.get(file.collection))),
        )
        for file in files
    ]


async def refused_documents(database: Database, *, folder: Path | None = None) -> dict[str, int]:
    """How many stored documents each file's validator would refuse, where any; reads every document."""
    files = read_folder(folder or default_folder())
    live = await live_collections(database)
    counts = {
        file.collection: await refused(database, file.collection, file.validator)
        for file in files
        if file.collection in live
    }
    return {collection: count for collection, count in counts.items() if count}


def _missing(file: CollectionFile, live: LiveCollection | None, *, prune: bool) -> list[Change]:
    changes = []
    if live is None:
        changes.append(Change(file.collection, Action.CREATE_COLLECTION))
        live = LiveCollection(validator=dict(file.validator), pre_images=file.pre_images)
    if live.validator != file.validator or not live.enforced:
        changes.append(Change(file.collection, Action.SET_VALIDATOR))
    if live.pre_images != file.pre_images:
        changes.append(Change(file.collection, Action.SET_PRE_IMAGES))
    if prune:
        changes += [Change(file.collection, Action.DROP_INDEX, name) for name in _unknown(file, live)]
    found = {index["name"]: _comparable(index) for index in live.indexes}
    for index in file.indexes:
        if index.name not in found:
            changes.append(Change(file.collection, Action.CREATE_INDEX, index.name))
        elif found[index.name] != _comparable(index.description()):
            changes.append(Change(file.collection, Action.REBUILD_INDEX, index.name))
    return changes


def _unknown(file: CollectionFile, live: LiveCollection | None) -> list[str]:
    written = {index.name for index in file.indexes}
    return [index["name"] for index in live.indexes if index["name"] not in written] if live else []


def _comparable(description: Mapping[str, Any]) -> dict[str, Any]:
    """An index description in one form, whether written or read back: the server rewrites text keys as weights."""
    keys = dict(description["key"])
    words = [name for name, kind in keys.items() if kind == "text" and name != "_fts"]
    weights = dict.fromkeys(words, 1) | dict(description.get("weights", {}))
    return {
        "keys": [(name, kind) for name, kind in keys.items() if name not in {*words, "_fts", "_ftsx"}],
        "weights": weights,
        "language": description.get("default_language", "english") if weights else None,
        "unique": bool(description.get("unique")),
        "partial": description.get("partialFilterExpression"),
        "ttl": description.get("expireAfterSeconds"),
        "sparse": bool(description.get("sparse")),
        "collation": description.get("collation"),
        "hidden": bool(description.get("hidden")),
    }


async def _apply(database: Database, change: Change, file: CollectionFile, live: LiveCollection | None) -> None:
    try:
        match change.action:
            case Action.CREATE_COLLECTION:
                await _create(database, file)
            case Action.SET_VALIDATOR:
                await _set_validator(database, file.collection, file.validator)
            case Action.SET_PRE_IMAGES:
                await _set_pre_images(database, file.collection, enabled=file.pre_images)
            case Action.CREATE_INDEX:
                await _create_index(database, file.collection, _written(file, change.target).description())
            case Action.DROP_INDEX:
                await run(database, {"dropIndexes": file.collection, "index": change.target})
            case Action.REBUILD_INDEX:
                old = next(index for index in live.indexes if index["name"] == change.target) if live else {}
                await _rebuild_index(database, file.collection, old, _written(file, change.target).description())
            case _:
                raise AssertionError(change)
    except SchemaCommandFailed as error:
        raise SchemaNotApplied(change, str(error)) from error


def _written(file: CollectionFile, name: str | None) -> IndexFile:
    return next(index for index in file.indexes if index.name == name)


async def _create(database: Database, file: CollectionFile) -> None:
    try:
        await run(
            database,
            {
                "create": file.collection,
                "validator": file.validator,
                "validationLevel": "strict",
                "validationAction": "error",
                "changeStreamPreAndPostImages": {"enabled": file.pre_images},
            },
        )
    except SchemaCommandFailed as error:
        if error.code != NAMESPACE_EXISTS:
            raise
        await _set_validator(database, file.collection, file.validator)
        await _set_pre_images(database, file.collection, enabled=file.pre_images)


async def _set_validator(database: Database, collection: str, validator: Mapping[str, Any]) -> None:
    await run(
        database,
        {"collMod": collection, "validator": validator, "validationLevel": "strict", "validationAction": "error"},
    )


async def _set_pre_images(database: Database, collection: str, *, enabled: bool) -> None:
    await run(database, {"collMod": collection, "changeStreamPreAndPostImages": {"enabled": enabled}})


async def _create_index(database: Database, collection: str, description: Mapping[str, Any]) -> None:
    await run(database, {"createIndexes": collection, "indexes": [description]})


async def _rebuild_index(
    database: Database, collection: str, old: Mapping[str, Any], description: Mapping[str, Any]
) -> None:
    await run(database, {"dropIndexes": collection, "index": description["name"]})
    try:
        await _create_index(database, collection, description)
    except SchemaCommandFailed:
        await _create_index(database, collection, old)
        raise


async def _drop_when_empty(database: Database, collection: str) -> bool:
    """Drop the collection if it holds nothing.

    Between looking and dropping nobody may insert, so the door is closed before the look that counts: no document
    passes the validator.
    """
    if not await is_empty(database, collection):
        return False
    await _set_validator(database, collection, _REFUSE_EVERYTHING)
    if await is_empty(database, collection):
        await run(database, {"drop": collection})
        return True
    await _set_validator(database, collection, {})
    return False

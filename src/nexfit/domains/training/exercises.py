"""Finding exercises in MongoDB: everybody's and one's own, by words, by what they train and need, and by id."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from nexfit.domains.text import fold
from nexfit.domains.training.documents import Difficulty
from nexfit.domains.vocabulary import search
from nexfit.domains.vocabulary.documents import Kind
from nexfit.domains.vocabulary.words import found_by, split
from nexfit.hybrid import documents_paging
from nexfit.hybrid.paging import Key, Page, PageRequest, object_id, text
from nexfit.stores.mongo import Document, Mongo

COLLECTION = "exercises"
BY_NAME = (Key("nameFolded", text), Key("_id", object_id))


@dataclass(frozen=True, slots=True)
class ExerciseFilter:
    """What an exercise must match; absent parts match every one. Of several areas or tools one is enough."""

    text: str | None = None
    body_areas: Sequence[str] = ()
    equipment: Sequence[str] = ()
    difficulty: Difficulty | None = None
    type: str | None = None
    tags: Sequence[str] = ()
    mine: bool = False


def visible(viewer: ObjectId | None) -> dict[str, Any]:
    """The condition of what somebody may find: what is public, and their own."""
    if viewer is None:
        return {"isPublic": True}
    return {"$or": [{"isPublic": True}, {"createdBy": viewer}]}


def searched(exercise: Mapping[str, Any]) -> Document:
    """The stored fields that search reads, from an exercise's names in every language and its tags."""
    names = [exercise["name"], *(one["name"] for one in exercise.get("translations") or ())]
    tags = (exercise.get("metadata") or {}).get("tags") or ()
    return {"words": found_by([*names, *tags]), "nameWords": len(split(exercise["name"]))}


async def page(
    mongo: Mongo, viewer: ObjectId | None, wanted: ExerciseFilter, request: PageRequest, columns: Iterable[str]
) -> Page:
    """One page of the exercises somebody may find: by name, and found by a text the closest first."""
    conditions = _conditions(viewer, wanted)
    if not wanted.text or not split(wanted.text):
        return await documents_paging.page(mongo, COLLECTION, conditions, BY_NAME, request, columns)
    found = await search.condition(mongo, Kind.EXERCISES, viewer, wanted.text)
    if found is None:
        return Page(rows=[], keys=search.KEYS, has_next=False, has_previous=False, total=0)
    both = {"$and": [found, conditions]}
    return await documents_paging.page(mongo, COLLECTION, both, search.KEYS, request, columns)


def _conditions(viewer: ObjectId | None, wanted: ExerciseFilter) -> dict[str, Any]:
    conditions: dict[str, Any] = {"createdBy": viewer} if wanted.mine else visible(viewer)
    for column, several in (("bodyAreas", wanted.body_areas), ("equipment", wanted.equipment), ("tags", wanted.tags)):
        if several:
            conditions[f"metadata.{column}"] = {"$in": list(several)}
    if wanted.difficulty is not None:
        conditions["metadata.difficultyLevel"] = str(wanted.difficulty)
    if wanted.type is not None:
        conditions["metadata.type"] = wanted.type
    return conditions


async def similar(
    mongo: Mongo, viewer: ObjectId | None, name: str, besides: ObjectId, columns: Iterable[str], *, most: int = 5
) -> list[Document]:
    """Exercises somebody may find that have all the words of a name, also with slips: what may be the same."""
    found = await search.condition(mongo, Kind.EXERCISES, viewer, name, loosely=True)
    if not found:
        return []
    query = {"$and": [found, visible(viewer), {"_id": {"$ne": besides}}]}
    sort = [(key.column, 1) for key in search.KEYS]
    return await mongo.find(COLLECTION, query, columns, sort=sort, limit=most)


async def by_names(mongo: Mongo, viewer: ObjectId, names: Iterable[str]) -> dict[str, ObjectId]:
    """Ids of exercises by folded name, the person's own before public ones, of those the oldest; in one command."""
    folded = list({fold(name) for name in names})
    query = {"nameFolded": {"$in": folded}, **visible(viewer)}
    found = await mongo.find(COLLECTION, query, ("nameFolded", "createdBy"))
    # The person's own come last and win; among public ones the oldest.
    found.sort(key=lambda row: (row.get("createdBy") == viewer, -int(str(row["_id"]), 16)))
    return {row["nameFolded"]: row["_id"] for row in found}


def named(owner: ObjectId, name: str, equipment: Sequence[str]) -> Document:
    """An exercise of somebody's own of which only the name and what is needed for it are known."""
    row: Document = {
        "_id": ObjectId(),
        "name": name,
        "nameFolded": fold(name),
        "metadata": {"equipment": list(equipment)},
        "createdBy": owner,
        "isPublic": False,
    }
    return row | searched(row)


async def by_ids(mongo: Mongo, ids: Iterable[ObjectId], columns: Iterable[str]) -> dict[ObjectId, Document]:
    """Exercises by id, whoever made them, in one command: for what names them and may be read."""
    wanted = list(set(ids))
    rows = await mongo.find(COLLECTION, {"_id": {"$in": wanted}}, columns) if wanted else []
    return {row["_id"]: row for row in rows}


async def visible_by_ids(
    mongo: Mongo, viewer: ObjectId | None, ids: Collection[ObjectId], columns: Iterable[str]
) -> dict[ObjectId, Document]:
    """Of the exercises with these ids those that somebody may find, in one command."""
    if not ids:
        return {}
    rows = await mongo.find(COLLECTION, {"_id": {"$in": list(set(ids))}, **visible(viewer)}, columns)
    return {row["_id"]: row for row in rows}

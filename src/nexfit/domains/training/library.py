"""Finding workout templates and programs in MongoDB: everybody's and one's own, and templates as they once were."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from nexfit.domains.text import fold
from nexfit.domains.training.documents import Difficulty
from nexfit.domains.training.exercises import visible
from nexfit.hybrid import documents_paging
from nexfit.hybrid.paging import Key, Page, PageRequest, object_id, text
from nexfit.stores.mongo import Document, Mongo

TEMPLATES, PROGRAMS, VERSIONS = "workout_templates", "workout_programs", "workout_template_versions"
KEYS = (Key("nameFolded", text), Key("_id", object_id))
LIVE: Mapping[str, Any] = {"archivedAt": {"$exists": False}}
"""The condition of what its maker has not archived. No index has it: few are."""

FIRST_VERSION = 1
"""The version of what was stored before versions were counted."""


@dataclass(frozen=True, slots=True)
class LibraryFilter:
    """What a template or program must match; absent parts match every one."""

    name: str | None = None
    goal: str | None = None
    difficulty: Difficulty | None = None
    body_areas: Sequence[str] = ()
    tags: Sequence[str] = ()
    mine: bool = False
    archived: bool = False
    """Of the viewer's own those that were archived, in place of what is not."""


def findable(viewer: ObjectId | None) -> dict[str, Any]:
    """The condition of what somebody may find: what is public and not archived, and their own."""
    public = {"isPublic": True, **LIVE}
    return public if viewer is None else {"$or": [public, {"createdBy": viewer}]}


async def page(
    mongo: Mongo,
    collection: str,
    viewer: ObjectId | None,
    wanted: LibraryFilter,
    request: PageRequest,
    columns: Iterable[str],
) -> Page:
    """One page of the templates or programs somebody may find, by name."""
    own = wanted.mine or wanted.archived
    conditions: dict[str, Any] = {"createdBy": viewer} if own else visible(viewer)
    conditions |= {"archivedAt": {"$exists": True}} if wanted.archived else LIVE
    if wanted.name:
        start = fold(wanted.name)
        conditions["nameFolded"] = {"$gte": start, "$lt": start + "\U0010ffff"}
    if wanted.goal is not None:
        conditions["metadata.targetGoal"] = wanted.goal
    if wanted.difficulty is not None:
        conditions["metadata.difficulty"] = str(wanted.difficulty)
    if wanted.body_areas:
        conditions["metadata.targetBodyAreas"] = {"$in": list(wanted.body_areas)}
    if wanted.tags:
        conditions["metadata.tags"] = {"$in": list(wanted.tags)}
    return await documents_paging.page(mongo, collection, conditions, KEYS, request, columns)


async def by_ids(
    mongo: Mongo, collection: str, ids: Iterable[ObjectId], columns: Iterable[str]
) -> dict[ObjectId, Document]:
    """Templates or programs by id, whoever made them, in one command: for what names them and may be read."""
    wanted = list(set(ids))
    rows = await mongo.find(collection, {"_id": {"$in": wanted}}, columns) if wanted else []
    return {row["_id"]: row for row in rows}


async def visible_by_ids(
    mongo: Mongo, collection: str, viewer: ObjectId | None, ids: Iterable[ObjectId], columns: Iterable[str]
) -> dict[ObjectId, Document]:
    """Of the templates or programs with these ids those that somebody may find, in one command."""
    rows = await mongo.find(collection, {"_id": {"$in": list(set(ids))}, **findable(viewer)}, columns)
    return {row["_id"]: row for row in rows}


async def versions(
    mongo: Mongo, wanted: Iterable[tuple[ObjectId, int]], columns: Iterable[str]
) -> dict[tuple[ObjectId, int], Document]:
    """Templates as they were in a version, in one command, and one more for those nobody has changed since."""
    pairs = list(set(wanted))
    if not pairs:
        return {}
    asked = {*columns, "templateId", "version"}
    query = {"$or": [{"templateId": template, "version": version} for template, version in pairs]}
    found = {(row["templateId"], row["version"]): row for row in await mongo.find(VERSIONS, query, asked)}
    # What nobody changed since versions are counted is its own first version.
    unchanged = [
        template for template, version in pairs if version == FIRST_VERSION and (template, version) not in found
    ]
    for id_, row in (await by_ids(mongo, TEMPLATES, unchanged, columns)).items():
        found[id_, FIRST_VERSION] = {**row, "templateId": id_, "version": FIRST_VERSION}
    return found


def version_of(template: Mapping[str, Any]) -> int:
    """The version a template or program is in."""
    return int(template.get("version") or FIRST_VERSION)

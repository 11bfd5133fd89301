"""Keeping workouts in MongoDB: sent twice, late, or in any order, the same versions leave the same workout."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from bson import ObjectId

from nexfit.domains.errors import ErrorCode, NotFound, Refusal
from nexfit.domains.identity.access import Actor
from nexfit.domains.training import figures
from nexfit.domains.training.exercises import COLLECTION as EXERCISES
from nexfit.domains.training.exercises import visible
from nexfit.domains.training.library import TEMPLATES, VERSIONS, version_of
from nexfit.domains.training.photos import is_of, unnamed
from nexfit.domains.training.workout_drafts import (
    APP,
    Entry,
    ResultDraft,
    Version,
    check_end,
    digest_of,
    result_of,
)
from nexfit.domains.training.workouts import COLLECTION, KEPT
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.mongo import Document

_VERSION = ("revision", "editedAt", "digest")
_CONTENT = (
    *("name", "startTime", "endTime", "duration", "caloriesBurned", "exercises", "feedback", "biometrics", "location"),
    *("photos", "notes", "workoutTemplateId", "templateVersion"),
)
_EVERYTHING = (
    "userId",
    "source",
    "sourceId",
    "createdAt",
    "deletedAt",
    "updatedAt",
    "figures",
    "gonePhotos",
    *_VERSION,
    *_CONTENT,
)
ENROLMENTS = "program_enrolments"
MOST_GONE = 200
"""Pictures of a workout that are gone and may still be named; the oldest are forgotten."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Outcome(StrEnum):
    """What became of a version that was sent."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"
    KEPT = "KEPT"
    REFUSED = "REFUSED"


@dataclass(slots=True)
class Saved:
    """The outcome of an entry, and the id of the workout as it is kept; `refusal` says why nothing was done.

    `gone` are the keys of pictures that nothing names any more: their files are to be deleted.
    """

    outcome: Outcome
    id: ObjectId | None = None
    refusal: Refusal | None = None
    gone: Collection[str] = ()


class WorkoutSaved(Event):
    """Somebody logged, changed or deleted a workout."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "workout_log"

    workout_id: str
    user_id: str
    finished: bool

    @property
    def aggregate_id(self) -> str:
        """The workout."""
        return self.workout_id

    def tags(self) -> Sequence[str]:
        """What is kept of the person's training."""
        return (f"user:{self.user_id}:training",)


class WorkoutOver(Refusal):
    """The workout was finished before."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("This workout is over already.", path=("workout",))


async def save(
    units: UnitsOfWork, actor: Actor, entries: Sequence[Entry], *, now: datetime, uploaded: Collection[str] = ()
) -> list[Saved]:
    """Keep versions of the viewer's workouts, one transaction for all; what became of each, in their order.

    Of two versions of a workout the winner is kept (`Version.wins_over`), in whichever order they come. One that names
    an unknown exercise, or a picture that is neither among the viewer's `uploaded` ones nor was ever the workout's, is
    refused, and the others are kept. Raises Unauthenticated, StoreError.
    """
    viewer = actor.require()

    async def body(work: MongoWork) -> list[Saved]:
        stored = await _stored(work, viewer, entries)
        exercises = await _exercises(work, set().union(*(entry.exercises for entry in entries)))
        others = {id_ for id_, row in exercises.items() if not (row["isPublic"] or row.get("createdBy") == viewer)}
        nameable = exercises.keys() - others | await _prescribed(work, viewer, others)
        templates = await _templates(work, viewer, {entry.template for entry in entries if entry.template is not None})
        desk = _Desk(work, viewer, exercises, templates, now, nameable, {key for key in uploaded if is_of(viewer, key)})
        saved = [await desk.keep(stored, entry) for entry in entries]
        await desk.insert()
        gone = await unnamed(work, viewer, set().union(*(one.gone for one in saved)))
        for one in saved:
            one.gone = gone.intersection(one.gone)
        return saved

    return await units.mongo("save_workouts").run(body) if entries else []


async def finish(units: UnitsOfWork, actor: Actor, workout: ObjectId, draft: ResultDraft, *, now: datetime) -> None:
    """End a workout of the viewer's that is under way, now or when the draft says; its revision is one more then.

    The same again changes nothing. Raises Unauthenticated, NotFound, BadInput, WorkoutOver.
    """
    viewer = actor.require()

    async def body(work: MongoWork) -> None:
        kept = await work.mongo.find_one(COLLECTION, {"_id": workout, "userId": viewer, **KEPT}, _EVERYTHING)
        if kept is None:
            raise NotFound("There is no such {name}.", path=("workout",), name="workout")
        start = kept["startTime"]
        if "endTime" in kept:
            if {**kept, **result_of(draft, start)} == kept:
                return
            raise WorkoutOver
        ended = draft if draft.end_time is not None else draft.model_copy(update={"end_time": max(now, start)})
        check_end(start, ended.end_time or now)
        content = {name: kept[name] for name in _CONTENT if name in kept} | result_of(ended, start)
        known = await _exercises(work, {one["exerciseId"] for one in content.get("exercises") or ()})
        edited = max(now.replace(microsecond=now.microsecond // 1000 * 1000), kept.get("editedAt", _LONG_AGO))
        version = Version(kept.get("revision", 0) + 1, edited, digest_of(content))
        entry = Entry(kept.get("source", ""), kept.get("sourceId", ""), version, content)
        await _Desk(work, viewer, known, {}, now).write(kept, entry)

    await units.mongo("finish_workout").run(body)


async def _stored(work: MongoWork, viewer: ObjectId, entries: Sequence[Entry]) -> dict[tuple[str, str], Document]:
    """Versions that are kept already, by source and id."""
    by_source: dict[str, set[str]] = {}
    for entry in entries:
        by_source.setdefault(entry.source, set()).add(entry.source_id)
    found: dict[tuple[str, str], Document] = {}
    for source, ids in by_source.items():
        query = {"userId": viewer, "source": source, "sourceId": {"$in": sorted(ids)}}
        for row in await work.mongo.find(COLLECTION, query, _EVERYTHING):
            found[source, row["sourceId"]] = row
    return found


async def _exercises(work: MongoWork, ids: Collection[ObjectId]) -> dict[ObjectId, Document]:
    """The exercises with what they train, and who may find them."""
    if not ids:
        return {}
    columns = ("metadata.primaryBodyAreas", "metadata.bodyAreas", "isPublic", "createdBy")
    return {row["_id"]: row for row in await work.mongo.find(EXERCISES, {"_id": {"$in": list(ids)}}, columns)}


async def _prescribed(work: MongoWork, viewer: ObjectId, ids: Collection[ObjectId]) -> set[ObjectId]:
    """Of exercises that only others find, those in workouts of a program that the viewer goes or went through."""
    if not ids:
        return set()
    enrolments = await work.mongo.find(ENROLMENTS, {"userId": viewer}, ("days.workoutTemplateId",))
    days = [day for enrolment in enrolments for day in enrolment["days"]]
    asked = list({day["workoutTemplateId"] for day in days if "workoutTemplateId" in day})
    naming = {"exercises.exerciseId": {"$in": list(ids)}}
    found = [
        *await work.mongo.find(TEMPLATES, {"_id": {"$in": asked}, **naming}, ("exercises.exerciseId",)),
        *await work.mongo.find(VERSIONS, {"templateId": {"$in": asked}, **naming}, ("exercises.exerciseId",)),
    ]
    return {one["exerciseId"] for template in found for one in template["exercises"]} & set(ids)


async def _templates(work: MongoWork, viewer: ObjectId, ids: Collection[ObjectId]) -> dict[ObjectId, int]:
    """The versions of the templates that are public or the viewer's, or that they go through in a program.

    Archived ones too: a workout that was done offline by one is kept, whenever it comes.
    """
    if not ids:
        return {}
    found = await work.mongo.find(TEMPLATES, {"_id": {"$in": list(ids)}, **visible(viewer)}, ("version",))
    known = {row["_id"]: version_of(row) for row in found}
    others = [id_ for id_ in ids if id_ not in known]
    if others:
        mine = {"userId": viewer, "days.workoutTemplateId": {"$in": others}}
        columns = ("days.workoutTemplateId", "days.templateVersion")
        for enrolment in await work.mongo.find(ENROLMENTS, mine, columns):
            for day in enrolment["days"]:
                if day.get("workoutTemplateId") in others:
                    known[day["workoutTemplateId"]] = day["templateVersion"]
    return known


class _Desk:
    """Keeps versions in one transaction. New workouts are inserted together, by `insert`."""

    def __init__(
        self,
        work: MongoWork,
        viewer: ObjectId,
        exercises: Mapping[ObjectId, Document],
        templates: Mapping[ObjectId, int],
        now: datetime,
        nameable: Collection[ObjectId] = (),
        uploaded: Collection[str] = (),
    ) -> None:
        self._work = work
        self._viewer = viewer
        self._exercises = exercises
        self._templates = templates
        self._now = now
        self._nameable = nameable
        self._uploaded = uploaded
        self._new: dict[ObjectId, Document] = {}

    async def keep(self, stored: dict[tuple[str, str], Document], entry: Entry) -> Saved:
        """Keep the version, if it wins over the one among `stored`."""
        key = entry.source, entry.source_id
        kept = stored.get(key)
        if kept is not None:
            there = Version(kept.get("revision", 0), kept.get("editedAt", _LONG_AGO), kept.get("digest", b""))
            imported_again = entry.source != APP and there.digest == entry.version.digest
            if there == entry.version or imported_again:
                return Saved(Outcome.UNCHANGED, kept["_id"])
            if entry.only_new or not entry.version.wins_over(there):
                return Saved(Outcome.KEPT, kept["_id"])
        named = {one["exerciseId"] for one in (kept or {}).get("exercises") or ()}
        if not all(id_ in named or id_ in self._nameable for id_ in entry.exercises):
            unknown = NotFound("There is no such {name}.", path=("exercises",), name="exercise")
            return Saved(Outcome.REFUSED, refusal=unknown)
        if not self._may_follow(entry, kept or {}):
            unknown = NotFound("There is no such {name}.", path=("template",), name="template")
            return Saved(Outcome.REFUSED, refusal=unknown)
        before = (kept or {}).get("photos") or ()
        if not {*entry.photos} <= {*before, *(kept or {}).get("gonePhotos", ()), *self._uploaded}:
            unknown = NotFound("There is no such {name}.", path=("photos",), name="photo")
            return Saved(Outcome.REFUSED, refusal=unknown)
        stored[key] = await self.write(kept, entry)
        gone = {*before} - {*entry.photos}
        return Saved(Outcome.CREATED if kept is None else Outcome.UPDATED, stored[key]["_id"], gone=gone)

    def _may_follow(self, entry: Entry, kept: Document) -> bool:
        template = entry.template
        if template is None or template == kept.get("workoutTemplateId"):
            return True
        return template in self._templates and entry.content.get("templateVersion", 1) <= self._templates[template]

    async def write(self, kept: Document | None, entry: Entry) -> Document:
        """Store the version in place of what is kept; how the workout is then."""
        before = kept or {"_id": ObjectId(), "userId": self._viewer, "createdAt": self._now}
        after = self._after(before, entry)
        if kept is None or after["_id"] in self._new:
            self._new[after["_id"]] = after
        else:
            gone = {name: "" for name in kept if name not in after}
            change: dict[str, Any] = {"$set": {name: value for name, value in after.items() if name != "_id"}}
            await self._work.mongo.update(
                COLLECTION, {"_id": after["_id"]}, {**change, "$unset": gone} if gone else change
            )
        self._tell(after, entry, is_new=kept is None)
        return after

    def _after(self, before: Document, entry: Entry) -> Document:
        version = entry.version
        after: Document = {
            **{name: value for name, value in before.items() if name not in (*_CONTENT, "deletedAt", "figures")},
            **entry.content,
            "revision": version.revision,
            "editedAt": version.edited_at,
            "digest": version.digest,
            "updatedAt": self._now,
        }
        if entry.template is not None and entry.template in self._templates:
            after.setdefault("templateVersion", self._templates[entry.template])
        elif entry.template is not None and "templateVersion" in before:
            after.setdefault("templateVersion", before["templateVersion"])
        if entry.source:
            after |= {"source": entry.source, "sourceId": entry.source_id}
        if entry.deleted:
            after["deletedAt"] = self._now
        else:
            after["figures"] = figures.of_workout(entry.content.get("exercises") or (), self._exercises)
        gone = [key for key in before.get("photos") or () if key not in entry.photos]
        if gone:
            after["gonePhotos"] = list(dict.fromkeys((*before.get("gonePhotos", ()), *gone)))[-MOST_GONE:]
        return after

    def _tell(self, after: Document, entry: Entry, *, is_new: bool) -> None:
        id_, user = str(after["_id"]), str(self._viewer)
        self._work.emit(WorkoutSaved(workout_id=id_, user_id=user, finished="endTime" in after))
        action = "workout.deleted" if entry.deleted else "workout.logged" if is_new else "workout.changed"
        # What somebody trained is theirs: the entry tells that it changed and nothing of it.
        told = {"revision": entry.version.revision, "source": entry.source}
        self._work.audit(Audit(action, "workout_log", id_, user_id=user, after=told))

    async def insert(self) -> None:
        """Insert what is new. Raises WriteConflict where another device of the person's was faster."""
        try:
            await self._work.mongo.insert(COLLECTION, *self._new.values())
        except ConstraintViolated as violated:
            if violated.constraint != "source_unique":
                raise
            raise WriteConflict("mongo", "the workout is there meanwhile") from violated

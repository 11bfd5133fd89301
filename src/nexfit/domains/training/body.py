"""Recording measurements of one's body, encrypted, in MongoDB's `measurements`; and what somebody works towards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, ClassVar
from zoneinfo import ZoneInfo

from bson import ObjectId
from pydantic import Field, StringConstraints
from pydantic.alias_generators import to_camel

from nexfit.domains.errors import BadInput, ErrorCode, NotFound, Refusal
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.profiles import BioText
from nexfit.domains.identity.validation import Input
from nexfit.domains.training import figures, measurements
from nexfit.domains.training.body_documents import BodyMeasurements, BodyMetric
from nexfit.domains.training.measurements import COLLECTION
from nexfit.domains.training.photos import MOST_PHOTOS, PhotoKey, is_of, unnamed
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.documents import Instant
from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.field_encryption import KeyRing, Place
from nexfit.stores.mongo import Document, Mongo

GOALS = "body_goals"
AHEAD = timedelta(days=1)
COMPARED = timedelta(days=90)
"""How far before and after a measurement others are that it is compared with."""

Mass = Annotated[float, Field(gt=0, le=700, allow_inf_nan=False)]
Circumference = Annotated[float, Field(gt=0, le=400, allow_inf_nan=False)]
Percentage = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class PhotoDraft(Input):
    """A picture that was uploaded: its key, and from which side it shows the body."""

    key: PhotoKey
    position: (
        Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=80)] | None
    ) = None


class MeasurementDraft(Input):
    """What was measured: kg, cm, percent. What is not given stays, None forgets."""

    date: Instant | None = None
    weight: Mass | None = None
    body_fat_percentage: Percentage | None = None
    muscle_mass: Mass | None = None
    chest_circumference: Circumference | None = None
    waist_circumference: Circumference | None = None
    hip_circumference: Circumference | None = None
    arm_circumference: Circumference | None = None
    thigh_circumference: Circumference | None = None
    notes: BioText | None = None
    photos: Annotated[list[PhotoDraft], Field(max_length=MOST_PHOTOS)] | None = None


FIGURES = tuple(str(field.alias) for field in BodyMeasurements.model_fields.values())


class BodyMeasured(Event):
    """Somebody recorded, changed or deleted a measurement, or set a goal; none of its figures are told."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "body"

    user_id: str

    @property
    def aggregate_id(self) -> str:
        """The person."""
        return self.user_id

    def tags(self) -> Sequence[str]:
        """What is kept of the person's training."""
        return (f"user:{self.user_id}:training",)


class UnlikelyValue(Refusal):
    """Far from what was measured before; to be confirmed."""

    code = ErrorCode.UNLIKELY_VALUE

    def __init__(self, *, name: str) -> None:
        super().__init__("{name} is far from what was measured before. Confirm it.", path=(name,), name=name)


async def record(
    units: UnitsOfWork,
    mongo: Mongo,
    keys: KeyRing,
    actor: Actor,
    draft: MeasurementDraft,
    *,
    confirmed: bool,
    key: str,
    now: datetime,
) -> ObjectId:
    """Keep a measurement of the viewer's body; the same key and input give the first one again.

    Raises Unauthenticated, BadInput, UnlikelyValue for what is far from other measurements and not confirmed,
    IdempotencyConflict, FieldEncryptionError; then nothing was written.
    """
    viewer = actor.require()
    asked = {**draft.model_dump(mode="json", exclude_unset=True), "confirmed": confirmed}

    async def body(work: MongoWork) -> str:
        made: Document = {"_id": ObjectId(), "userId": viewer, "date": draft.date or now}
        await _save(work, keys, viewer, None, made, draft, confirmed=confirmed, now=now)
        return str(made["_id"])

    return ObjectId(await once(mongo, units.mongo("record_measurement"), viewer, "recordMeasurement", key, asked, body))


async def update(
    units: UnitsOfWork,
    keys: KeyRing,
    actor: Actor,
    measurement: ObjectId,
    draft: MeasurementDraft,
    *,
    confirmed: bool,
    now: datetime,
) -> None:
    """Change a measurement of the viewer's. Raises as `record` does, and NotFound."""
    viewer = actor.require()

    async def body(work: MongoWork) -> None:
        kept = await _own(work, viewer, measurement)
        await _save(work, keys, viewer, kept, dict(kept), draft, confirmed=confirmed, now=now)

    await units.mongo("update_measurement").run(body)


async def delete(units: UnitsOfWork, actor: Actor, measurement: ObjectId) -> set[str]:
    """Delete a measurement of the viewer's; the keys of pictures that go with it. Raises Unauthenticated, NotFound."""
    viewer = actor.require()

    async def body(work: MongoWork) -> set[str]:
        kept = await _own(work, viewer, measurement)
        await work.mongo.delete(COLLECTION, {"_id": measurement})
        _tell(work, viewer, measurement, "measurement.deleted")
        return await unnamed(work, viewer, {photo["url"] for photo in kept.get("photos") or ()})

    return await units.mongo("delete_measurement").run(body)


async def _own(work: MongoWork, viewer: ObjectId, measurement: ObjectId) -> Document:
    columns = ("userId", "date", "measurements", "notes", "photos")
    kept = await work.mongo.find_one(COLLECTION, {"_id": measurement, "userId": viewer}, columns)
    if kept is None:
        raise NotFound("There is no such {name}.", path=("measurement",), name="measurement")
    return kept


async def _save(
    work: MongoWork,
    keys: KeyRing,
    viewer: ObjectId,
    before: Document | None,
    after: Document,
    draft: MeasurementDraft,
    *,
    confirmed: bool,
    now: datetime,
) -> None:
    given = draft.model_dump(exclude_unset=True)
    if given.get("date") is not None:
        after["date"] = given["date"]
    if after["date"] > now + AHEAD:
        raise BadInput("{name} lies in the future.", path=("date",), name="date")
    id_, own = after["_id"], keys.of_person(viewer)
    found = measurements.figures(own, id_, before["measurements"]) if before is not None else {}
    values = {**found, **{to_camel(name): value for name, value in given.items() if to_camel(name) in FIGURES}}
    values = {name: value for name, value in values.items() if value is not None}
    if not values:
        raise BadInput("Give at least one figure.", path=("weight",))
    if not confirmed:
        await _compare(
            work, keys, viewer, after, {name: values[name] for name in values if values[name] != found.get(name)}
        )
    if values != found:
        after["measurements"] = measurements.encrypt_figures(own, id_, BodyMeasurements.model_validate(values))
    if "notes" in given:
        after.pop("notes", None)
        if draft.notes is not None:
            after["notes"] = own.encrypt(Place(COLLECTION, id_, "notes"), draft.notes)
    if "photos" in given:
        after["photos"] = _photos(viewer, before or {}, draft, after["date"])
    if before is None:
        await work.mongo.insert(COLLECTION, after)
    elif after == before:
        return
    else:
        gone = {name: "" for name in before if name not in after}
        change: dict[str, Any] = {"$set": {name: value for name, value in after.items() if name != "_id"}}
        await work.mongo.update(COLLECTION, {"_id": id_}, {**change, "$unset": gone} if gone else change)
    _tell(work, viewer, id_, "measurement.recorded" if before is None else "measurement.changed")


async def _compare(
    work: MongoWork, keys: KeyRing, viewer: ObjectId, at: Document, changed: Mapping[str, float]
) -> None:
    """Raises UnlikelyValue for a figure that is far from the nearest one measured around that time."""
    moment = at["date"]
    query = {
        "userId": viewer,
        "date": {"$gte": moment - COMPARED, "$lte": moment + COMPARED},
        "_id": {"$ne": at["_id"]},
    }
    rows = await work.mongo.find(COLLECTION, query, ("date", "measurements"))
    rows.sort(key=lambda row: abs(row["date"] - moment))
    own = keys.of_person(viewer)
    others = [measurements.figures(own, row["_id"], row["measurements"]) for row in rows]
    for name, value in changed.items():
        nearest = next((other[name] for other in others if name in other), None)
        if nearest is not None and figures.is_unlikely(name, value, nearest):
            raise UnlikelyValue(name=name)


def _photos(viewer: ObjectId, before: Document, draft: MeasurementDraft, taken: datetime) -> list[Document]:
    """The pictures as they are stored; a person's own alone can be shown."""
    known = {photo["url"]: photo for photo in before.get("photos") or ()}
    rows = []
    for photo in draft.photos or ():
        if photo.key not in known and not is_of(viewer, photo.key):
            raise NotFound("There is no such {name}.", path=("photos",), name="photo")
        position = {} if photo.position is None else {"position": photo.position}
        rows.append({"url": photo.key, "date": known.get(photo.key, {}).get("date", taken), **position})
    return rows


def _tell(work: MongoWork, viewer: ObjectId, id_: ObjectId, action: str) -> None:
    work.emit(BodyMeasured(user_id=str(viewer)))
    work.audit(Audit(action, "measurement", str(id_), user_id=str(viewer)))


# --- trends


async def points_of(
    mongo: Mongo,
    keys: KeyRing,
    people: Iterable[ObjectId],
    metric: BodyMetric,
    since: date,
    until: date,
    zone: ZoneInfo,
) -> dict[ObjectId, list[figures.Point]]:
    """Each person's values of a figure from `since` to `until`, with those a week's mean reaches back to; one command.

    Raises StoreError, FieldEncryptionError.
    """
    wanted = list(set(people))
    first = datetime.combine(since - figures.WEEK, time(), zone)
    last = datetime.combine(until + timedelta(days=1), time(), zone)
    query = {"userId": {"$in": wanted}, "date": {"$gte": first, "$lt": last}}
    found: dict[ObjectId, list[figures.Point]] = {person: [] for person in wanted}
    for row in await mongo.find(COLLECTION, query, ("userId", "date", "measurements")):
        own = keys.of_person(row["userId"])
        value = measurements.figures(own, row["_id"], row["measurements"]).get(str(metric))
        if value is not None:
            found[row["userId"]].append(figures.Point(row["date"], figures.day_of(row["date"], zone), value))
    for points in found.values():
        points.sort(key=lambda point: point.at)
    return found


async def goals_of(mongo: Mongo, keys: KeyRing, people: Iterable[ObjectId]) -> dict[ObjectId, list[Document]]:
    """What each person works towards, with the targets readable, in one command. Raises FieldEncryptionError."""
    wanted = list(set(people))
    found: dict[ObjectId, list[Document]] = {person: [] for person in wanted}
    columns = ("userId", "metric", "target", "by", "createdAt", "updatedAt")
    for row in await mongo.find(GOALS, {"userId": {"$in": wanted}}, columns, sort=[("userId", 1), ("metric", 1)]):
        own = keys.of_person(row["userId"])
        target = float(own.decrypt(Place(GOALS, row["_id"], "target"), row["target"]))
        found[row["userId"]].append({**row, "target": target})
    return found


async def set_goal(
    units: UnitsOfWork,
    keys: KeyRing,
    actor: Actor,
    metric: BodyMetric,
    target: float | None,
    by: date | None,
    *,
    now: datetime,
) -> None:
    """Work towards a value, in place of an earlier goal of that figure; None gives it up. Raises BadInput."""
    viewer = actor.require()
    if target is not None:
        limits = figures.POSSIBLE[str(metric)]
        if not limits[0] <= target <= limits[1]:
            raise BadInput(
                "{name} must be between {least} and {most}.",
                path=("target",),
                name="target",
                least=f"{limits[0]:g}",
                most=f"{limits[1]:g}",
            )
        if by is not None and by < now.date():
            raise BadInput("{name} lies in the past.", path=("by",), name="by")

    async def body(work: MongoWork) -> None:
        own = {"userId": viewer, "metric": str(metric)}
        kept = await work.mongo.find_one(GOALS, own, ("createdAt",))
        if target is None:
            if kept is None:
                return
            await work.mongo.delete(GOALS, own)
        else:
            id_ = kept["_id"] if kept is not None else ObjectId()
            row = {
                **own,
                "target": keys.of_person(viewer).encrypt(Place(GOALS, id_, "target"), target),
                "updatedAt": now,
            }
            if by is not None:
                row["by"] = datetime.combine(by, time(), now.tzinfo)
            try:
                if kept is None:
                    await work.mongo.insert(GOALS, {"_id": id_, **row, "createdAt": now})
                else:
                    gone = {} if by is not None else {"$unset": {"by": ""}}
                    await work.mongo.update(GOALS, {"_id": id_}, {"$set": row, **gone})
            except ConstraintViolated as violated:
                raise WriteConflict("mongo", "the goal is there meanwhile") from violated
        work.emit(BodyMeasured(user_id=str(viewer)))
        told = {"metric": str(metric), "given up": target is None}
        work.audit(Audit("body_goal.set", "body_goal", str(viewer), user_id=str(viewer), after=told))

    await units.mongo("set_body_goal").run(body)

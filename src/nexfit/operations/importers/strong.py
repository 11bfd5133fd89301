"""One person's workouts from the Strong app's CSV export (a row a set) into `workout_logs`.

The export says neither zone nor units: times are taken in a given zone, weights in kg and distances in km unless told
otherwise. A zero weight, distance or time means that the set has none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from bson import ObjectId
from pydantic import BeforeValidator, Field

from nexfit.domains.text import fold
from nexfit.operations.importers.reading import FileRow, name_of, parse, read_csv, zone_of
from nexfit.operations.importers.reports import ImportReport, Outcome, Progress, RowResult
from nexfit.operations.importers.storing import MongoHolder, Row, Target, Verdict, store, user_by_email, without_empty
from nexfit.stores.documents import Line, Quantity, Text
from nexfit.stores.mongo import Mongo

SOURCE = "Strong app export"

WARM_UP = "W"
ORDINARY = frozenset({"D", "F"})
"""Drop sets and sets to failure are ordinary sets here."""

KILOGRAMS = {"kg": 1.0, "lb": 0.45359237}
METRES = {"km": 1000.0, "mi": 1609.344}

_SET_ORDER = re.compile(r"^[0-9]{1,3}$")
_DURATION = re.compile(r"^(?:(\d+)h)? ?(?:(\d+)m)? ?(?:(\d+)s)?$")
_EQUIPMENT = re.compile(r"\(([^()]+)\)$")


def _none_if_blank(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


Figure = Annotated[Quantity | None, BeforeValidator(_none_if_blank)]
Remark = Annotated[Text | None, BeforeValidator(_none_if_blank)]


class SetRow(FileRow):
    """A row of the export; the last columns are only in some of its versions."""

    date: Annotated[datetime, Field(alias="Date")]
    workout: Annotated[str, Field(alias="Workout Name", min_length=1, max_length=200)]
    duration: Annotated[str, Field(alias="Duration")]
    exercise: Annotated[Line, Field(alias="Exercise Name")]
    order: Annotated[str, Field(alias="Set Order")]
    weight: Annotated[Figure, Field(alias="Weight")] = None
    reps: Annotated[Figure, Field(alias="Reps")] = None
    distance: Annotated[Figure, Field(alias="Distance")] = None
    seconds: Annotated[Figure, Field(alias="Seconds")] = None
    rpe: Annotated[Annotated[float, Field(ge=0, le=10)] | None, BeforeValidator(_none_if_blank)] = Field(
        default=None, alias="RPE"
    )
    notes: Annotated[Remark, Field(alias="Notes")] = None
    workout_notes: Annotated[Remark, Field(alias="Workout Notes")] = None


REQUIRED = ("Date", "Workout Name", "Duration", "Exercise Name", "Set Order", "Weight", "Reps")


@dataclass(slots=True)
class _Session:
    """The usable sets of one workout."""

    started: datetime
    seconds: float
    sets: list[SetRow] = field(default_factory=list)


async def import_strong(
    stores: MongoHolder,
    path: Path,
    *,
    email: str,
    timezone: str = "Europe/Istanbul",
    weight_unit: Literal["kg", "lb"] = "kg",
    distance_unit: Literal["km", "mi"] = "km",
    on_progress: Progress | None = None,
) -> ImportReport:
    """Import a person's workouts; exercises not known by name become their own, private ones.

    A row's outcome is its workout's. Raises MalformedFile, UnknownPerson, UnknownZone, StoreError.
    """
    zone = zone_of(timezone)
    items = read_csv(path, REQUIRED)
    user = await user_by_email(stores.mongo, email)
    report = ImportReport(path, SOURCE)
    sessions: dict[str, _Session] = {}
    taken: list[tuple[str, str | Verdict]] = []
    for item in items:
        row = _usable(item, zone)
        if isinstance(row, str):
            taken.append((name_of(item, "Exercise Name"), (Outcome.SKIPPED, row)))
            continue
        source_id = f"{row.date:%Y-%m-%d %H:%M:%S} {row.workout}"
        session = sessions.get(source_id)
        if session is None:
            started = row.date.replace(tzinfo=zone).astimezone(UTC)
            session = sessions[source_id] = _Session(started, _seconds(row.duration) or 0.0)
        session.sets.append(row)
        taken.append((row.exercise, source_id))
    names = dict.fromkeys(row.exercise for session in sessions.values() for row in session.sets)
    exercises, made = await _exercises(stores.mongo, user, list(names))
    if made:
        report.created["exercises"] = made
    scale = (KILOGRAMS[weight_unit], METRES[distance_unit])
    documents = {source_id: _document(session, exercises, *scale) for source_id, session in sessions.items()}
    target = Target(
        collection="workout_logs",
        identity={"userId": user, "source": SOURCE},
        owned=("name", "startTime", "endTime", "duration", "exercises", "notes"),
        only_on_insert={"photos": []},
        on_update={},
    )
    verdicts = await store(stores.mongo, target, documents, on_progress)
    for number, (name, fate) in enumerate(taken, 1):
        report.rows.append(RowResult(number, name, *(verdicts[fate] if isinstance(fate, str) else fate)))
    return report


def _usable(item: Mapping[str, str], zone: ZoneInfo) -> SetRow | str:
    """The row, or why it is not a set of a workout."""
    row = parse(SetRow, item)
    if isinstance(row, str):
        return row
    if row.date.tzinfo is not None:
        return f"Date: a zone is not expected, times are local to {zone.key}"
    if _seconds(row.duration) is None:
        return f"Duration: {row.duration!r} is not like 1h 13m"
    if row.reps is not None and row.reps != int(row.reps):
        return f"Reps: {row.reps} is not a whole number"
    if not (_SET_ORDER.match(row.order) or row.order == WARM_UP or row.order in ORDINARY):
        return f"Set Order: {row.order!r} is no set"
    return row


def _seconds(duration: str) -> float | None:
    """Seconds of a duration such as `1h 13m` or `11s`; None if it is none."""
    match = _DURATION.match(duration)
    if match is None or not duration:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


async def _exercises(mongo: Mongo, user: ObjectId, names: list[str]) -> tuple[dict[str, ObjectId], int]:
    """Ids by exercise name, the person's own before public ones; how many had to be made."""
    folded = {name: fold(name) for name in names}
    visible = {"nameFolded": {"$in": list(set(folded.values()))}, "$or": [{"createdBy": user}, {"isPublic": True}]}
    found = await mongo.find("exercises", visible, ("nameFolded", "createdBy"))
    # The person's own come last and win; among public ones the oldest.
    found.sort(key=lambda row: (row.get("createdBy") == user, -int(str(row["_id"]), 16)))
    by_folded: dict[str, ObjectId] = {row["nameFolded"]: row["_id"] for row in found}
    new: list[Row] = []
    for name in names:
        if folded[name] not in by_folded:
            equipment = _EQUIPMENT.search(name)
            by_folded[folded[name]] = ObjectId()
            new.append(
                {
                    "_id": by_folded[folded[name]],
                    "name": name,
                    "nameFolded": folded[name],
                    "metadata": {"equipment": [equipment[1].lower()] if equipment else []},
                    "createdBy": user,
                    "isPublic": False,
                }
            )
    if new:
        with mongo.unhurried() as database:
            await database["exercises"].insert_many(new)
    return {name: by_folded[folded[name]] for name in names}, len(new)


def _document(session: _Session, exercises: Mapping[str, ObjectId], kilograms: float, metres: float) -> Row:
    groups = groupby(session.sets, key=lambda row: row.exercise)
    return without_empty(
        {
            "name": session.sets[0].workout,
            "startTime": session.started,
            "endTime": session.started + timedelta(seconds=session.seconds),
            "duration": session.seconds,
            "exercises": [_exercise(exercises[name], list(rows), kilograms, metres) for name, rows in groups],
            "notes": next((row.workout_notes for row in session.sets if row.workout_notes), None),
        }
    )


def _exercise(exercise: ObjectId, rows: list[SetRow], kilograms: float, metres: float) -> Row:
    notes = "\n".join(dict.fromkeys(row.notes for row in rows if row.notes))
    logged: Row = {"exerciseId": exercise, "sets": [_set(row, kilograms, metres) for row in rows]}
    return logged | ({"notes": notes} if notes else {})


def _set(row: SetRow, kilograms: float, metres: float) -> Row:
    values: dict[str, Any] = {
        "reps": int(row.reps) if row.reps else None,
        "weight": round(row.weight * kilograms, 3) if row.weight else None,
        "distance": round(row.distance * metres, 3) if row.distance else None,
        "duration": row.seconds or None,
        "rpe": row.rpe,
    }
    return without_empty(values) | {"completed": True, "isWarmUp": row.order == WARM_UP}

"""The Strong app's CSV export (a row a set) into workouts. No I/O.

The export says neither zone nor units: times are taken in a given zone, weights in kg and distances in km unless told
otherwise. A zero weight, distance or time means that the set has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field

from nexfit.domains.tables import FileRow, name_of, parse
from nexfit.stores.documents import Line, Quantity, Text

SOURCE = "Strong app export"
REQUIRED = ("Date", "Workout Name", "Duration", "Exercise Name", "Set Order", "Weight", "Reps")

KILOGRAMS = {"kg": 1.0, "lb": 0.45359237}
METRES = {"km": 1000.0, "mi": 1609.344}

_KINDS = {"W": "warm_up", "D": "drop", "F": "failure"}
_SET_ORDER = re.compile(r"^[0-9]{1,3}$")
_DURATION = re.compile(r"^(?:(\d{1,4})h)? ?(?:(\d{1,4})m)? ?(?:(\d{1,6})s)?$")
_EQUIPMENT = re.compile(r"\(([^()]+)\)$")

Row = dict[str, Any]


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


@dataclass(slots=True)
class Workout:
    """The usable sets of one workout."""

    source_id: str
    started: datetime
    seconds: float
    sets: list[SetRow] = field(default_factory=list)


@dataclass(slots=True)
class Export:
    """What a file holds: workouts by their id in the source, and of each row its name and workout or what is wrong."""

    workouts: dict[str, Workout] = field(default_factory=dict)
    rows: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """Exercise, source id of the workout, reason for leaving the row out."""

    @property
    def exercises(self) -> list[str]:
        """Names of the exercises, in the order they come."""
        return list(dict.fromkeys(row.exercise for workout in self.workouts.values() for row in workout.sets))


def read(items: Iterable[Mapping[str, str]], zone: ZoneInfo) -> Export:
    """The workouts in the rows; every row is accounted for."""
    found = Export()
    for item in items:
        row = _usable(item, zone)
        if isinstance(row, str):
            found.rows.append((name_of(item, "Exercise Name"), None, row))
            continue
        source_id = f"{row.date:%Y-%m-%d %H:%M:%S} {row.workout}"
        workout = found.workouts.get(source_id)
        if workout is None:
            started = row.date.replace(tzinfo=zone).astimezone(UTC)
            workout = found.workouts[source_id] = Workout(source_id, started, _seconds(row.duration) or 0.0)
        workout.sets.append(row)
        found.rows.append((row.exercise, source_id, None))
    return found


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
    if not (_SET_ORDER.match(row.order) or row.order in _KINDS):
        return f"Set Order: {row.order!r} is no set"
    return row


def _seconds(duration: str) -> float | None:
    """Seconds of a duration such as `1h 13m` or `11s`; None if it is none."""
    match = _DURATION.match(duration)
    if match is None or not duration:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def content(workout: Workout, exercises: Mapping[str, Any], kilograms: float, metres: float) -> Row:
    """The workout as it is stored, with ids of its exercises by name, and the size of the file's units."""
    groups = groupby(workout.sets, key=lambda row: row.exercise)
    notes = next((row.workout_notes for row in workout.sets if row.workout_notes), None)
    return {
        "name": workout.sets[0].workout,
        "startTime": workout.started,
        "endTime": workout.started + timedelta(seconds=workout.seconds),
        "duration": workout.seconds,
        "exercises": [_exercise(exercises[name], list(rows), kilograms, metres) for name, rows in groups],
    } | ({"notes": notes} if notes else {})


def _exercise(exercise: Any, rows: list[SetRow], kilograms: float, metres: float) -> Row:
    notes = "\n".join(dict.fromkeys(row.notes for row in rows if row.notes))
    logged: Row = {"exerciseId": exercise, "sets": [_set(row, kilograms, metres) for row in rows]}
    return logged | ({"notes": notes} if notes else {})


def _set(row: SetRow, kilograms: float, metres: float) -> Row:
    kind = _KINDS.get(row.order, "working")
    values: Row = {
        "kind": kind,
        "reps": int(row.reps) if row.reps else None,
        "weight": round(row.weight * kilograms, 3) if row.weight else None,
        "distance": round(row.distance * metres, 3) if row.distance else None,
        "duration": row.seconds or None,
        "rpe": row.rpe,
    }
    kept = {name: value for name, value in values.items() if value is not None}
    return kept | {"completed": True, "isWarmUp": kind == "warm_up"}


def equipment_of(name: str) -> list[str]:
    """What is needed for an exercise, which Strong writes behind its name in brackets."""
    found = _EQUIPMENT.search(name)
    return [found[1].lower()] if found else []

"""The figures of training, each defined here and nowhere else (workflow 8.6). No I/O. Units: kg, m, s.

- A *working set* is one that was completed and is no warm-up; nothing else counts.
- *Volume* is weight times repetitions, summed. A set counts whole for each part of the body its exercise trains most
  (for all it trains, where nothing says which most; for `other`, where nothing is said at all).
- *e1RM* is the maximum for one repetition as Epley estimates it: weight x (1 + reps / 30), and the weight itself for
  one repetition. Above 30 repetitions there is no estimate.
- A *week* runs from Monday to Sunday on the calendar of the zone that is asked for; a workout is of the day it began.
- A *streak* is a number of weeks in a row with a workout; the present one goes on while this week may still get one.
- *Adherence* is done / due; without anything due there is none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

OTHER = "other"
"""The part of the body of exercises that name none."""

MOST_ESTIMATED_REPS = 30
WEEK = timedelta(days=7)

Row = Mapping[str, Any]


def is_working(one: Row) -> bool:
    """Whether a logged set counts."""
    kind = one.get("kind") or ("warm_up" if one.get("isWarmUp") else "working")
    return bool(one.get("completed", True)) and kind != "warm_up"


def volume_of(one: Row) -> float:
    """Kilograms moved in a set."""
    return float(one.get("weight") or 0) * (one.get("reps") or 0)


def e1rm(weight: float | None, reps: int | None) -> float | None:
    """The estimated one-repetition maximum (Epley); None where nothing can be estimated."""
    if not weight or not reps or reps > MOST_ESTIMATED_REPS:
        return None
    return float(weight) if reps == 1 else weight * (1 + reps / 30)


def trained_areas(exercise: Row | None) -> Sequence[str]:
    """The parts of the body that an exercise's sets count for."""
    metadata = (exercise or {}).get("metadata") or {}
    return metadata.get("primaryBodyAreas") or metadata.get("bodyAreas") or (OTHER,)


def of_workout(logged: Iterable[Row], exercises: Mapping[Any, Row]) -> dict[str, Any]:
    """The figures of a workout as they are stored with it, from its logged exercises and the exercises they are of."""
    sets = reps = 0
    volume = distance = 0.0
    areas: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0.0])
    working: dict[Any, list[Row]] = {}
    for entry in logged:
        done = [one for one in entry.get("sets") or () if is_working(one)]
        working.setdefault(entry["exerciseId"], []).extend(done)
        for one in done:
            sets, reps = sets + 1, reps + (one.get("reps") or 0)
            moved = volume_of(one)
            volume, distance = volume + moved, distance + float(one.get("distance") or 0)
            for area in trained_areas(exercises.get(entry["exerciseId"])):
                areas[area][0] += 1
                areas[area][1] += moved
    return {
        "sets": sets,
        "reps": reps,
        "volume": _kept(volume),
        "distance": _kept(distance),
        "areas": [
            {"area": area, "sets": int(count), "volume": _kept(moved)} for area, (count, moved) in sorted(areas.items())
        ],
        "bests": [_best(exercise, done) for exercise, done in working.items() if done],
    }


def _best(exercise: Any, done: Sequence[Row]) -> dict[str, Any]:
    best: dict[str, Any] = {
        "exerciseId": exercise,
        "sets": len(done),
        "volume": _kept(sum(volume_of(one) for one in done)),
    }
    heaviest = max(done, key=lambda one: (one.get("weight") or 0, one.get("reps") or 0))
    if heaviest.get("weight") and heaviest.get("reps"):
        best |= {"weight": heaviest["weight"], "weightReps": heaviest["reps"]}
    strongest = max(done, key=lambda one: e1rm(one.get("weight"), one.get("reps")) or 0)
    estimate = e1rm(strongest.get("weight"), strongest.get("reps"))
    if estimate is not None:
        best |= {"e1rm": _kept(estimate), "e1rmWeight": strongest["weight"], "e1rmReps": strongest["reps"]}
    return best


def _kept(value: float) -> float:
    """Grams and millimetres are as exact as anybody weighs: what is beyond is rounding of sums."""
    return round(value, 3)


# --- progress


@dataclass(slots=True)
class Week:
    """What was done in a week, which `starts` on a Monday."""

    starts: date
    workouts: int = 0
    sets: int = 0
    reps: int = 0
    volume: float = 0.0
    distance: float = 0.0
    seconds: float = 0.0
    areas: dict[str, list[float]] = field(default_factory=dict)
    """By part of the body: sets and volume."""

    def add(self, log: Row) -> None:
        """Count a workout that has its figures."""
        figures = log.get("figures") or {}
        self.workouts += 1
        self.sets += figures.get("sets", 0)
        self.reps += figures.get("reps", 0)
        self.volume = _kept(self.volume + figures.get("volume", 0.0))
        self.distance = _kept(self.distance + figures.get("distance", 0.0))
        self.seconds += log.get("duration") or 0.0
        for one in figures.get("areas") or ():
            kept = self.areas.setdefault(one["area"], [0, 0.0])
            kept[0] += one["sets"]
            kept[1] = _kept(kept[1] + one["volume"])


@dataclass(frozen=True, slots=True)
class Record:
    """The best somebody did in an exercise: which workout, when, with which weight and repetitions; `value` is theirs.

    `exercise` and `log` are ids.
    """

    exercise: Any
    value: float
    weight: float
    reps: int
    at: datetime
    log: Any


def monday_of(day: date) -> date:
    """The first day of its week."""
    return day - timedelta(days=day.weekday())


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """The day a moment is on."""
    return moment.astimezone(zone).date()


def by_week(logs: Iterable[Row], zone: ZoneInfo, since: date, until: date) -> list[Week]:
    """Every week with a day from `since` to `until`, empty ones too; workouts of other days are left out."""
    weeks: dict[date, Week] = {}
    start = monday_of(since)
    while start <= until:
        weeks[start] = Week(start)
        start += WEEK
    for log in logs:
        day = day_of(log["startTime"], zone)
        if since <= day <= until:
            weeks[monday_of(day)].add(log)
    return list(weeks.values())


def total(weeks: Iterable[Week], since: date) -> Week:
    """All weeks in one."""
    whole = Week(since)
    for week in weeks:
        whole.workouts += week.workouts
        whole.sets += week.sets
        whole.reps += week.reps
        whole.volume = _kept(whole.volume + week.volume)
        whole.distance = _kept(whole.distance + week.distance)
        whole.seconds += week.seconds
        for area, (sets, volume) in week.areas.items():
            kept = whole.areas.setdefault(area, [0, 0.0])
            kept[0] += sets
            kept[1] = _kept(kept[1] + volume)
    return whole


def records(logs: Iterable[Row], value: str, weight: str, reps: str) -> list[Record]:
    """The best of each exercise by a stored figure (`e1rm` or `weight`), the strongest first; ties go to the first."""
    best: dict[Any, Record] = {}
    for log in sorted(logs, key=lambda one: one["startTime"]):
        for one in (log.get("figures") or {}).get("bests") or ():
            reached, known = one.get(value), best.get(one["exerciseId"])
            if reached is not None and (known is None or reached > known.value):
                best[one["exerciseId"]] = Record(
                    one["exerciseId"], reached, one[weight], one[reps], log["startTime"], log["_id"]
                )
    return sorted(best.values(), key=lambda record: (-record.value, record.at))


def streaks(days: Iterable[date], today: date) -> tuple[int, int]:
    """The present and the longest streak, in weeks, from the days of workouts."""
    weeks = sorted({monday_of(day) for day in days})
    longest = run = 0
    before: date | None = None
    for week in weeks:
        run = run + 1 if before is not None and week - before == WEEK else 1
        longest = max(longest, run)
        before = week
    goes_on = before is not None and monday_of(today) - before <= WEEK
    return (run if goes_on else 0), longest


def program_days(enrolments: Iterable[Row], since: date, until: date) -> tuple[int, int]:
    """Training days of programs that were done, and that were due, from `since` to `until`.

    A day is due on its date; what was still open when a person left a program, or completed it, is due no more.
    """
    done = due = 0
    for enrolment in enrolments:
        first = enrolment["startDate"].date()
        ended = enrolment.get("endedAt")
        for one in enrolment.get("days") or ():
            on = first + timedelta(days=one["day"] - 1)
            if one["isRestDay"] or not since <= on <= until:
                continue
            if one["state"] == "pending" and ended is not None and on >= ended.date():
                continue
            due += 1
            done += one["state"] == "done"
    return done, due


def adherence(done: int, due: int) -> float | None:
    """The part of what was due that was done; None where nothing was."""
    return done / due if due else None


# --- bodies

POSSIBLE = {
    "weight": (1, 700),
    "bodyFatPercentage": (0, 100),
    "muscleMass": (1, 700),
    **dict.fromkeys(
        (
            *("chestCircumference", "waistCircumference", "hipCircumference"),
            *("armCircumference", "thighCircumference"),
        ),
        (1, 400),
    ),
}
"""What figures of bodies can be: kg, percent, cm."""

FAR = 0.15
"""How far a figure may be from the nearest measured one, as a part of that one, before it is to be confirmed."""

FAR_PERCENT = 8.0
"""The same for figures in percent, in percentage points."""


def is_unlikely(name: str, value: float, nearest: float) -> bool:
    """Whether a figure is so far from the nearest measured one that somebody should look again."""
    if name == "bodyFatPercentage":
        return abs(value - nearest) > FAR_PERCENT
    return abs(value - nearest) > FAR * nearest


@dataclass(frozen=True, slots=True)
class Point:
    """A measured value: when, on which day, how much."""

    at: datetime
    day: date
    value: float


def seven_day_means(points: Sequence[Point]) -> list[float]:
    """At each point the mean of the days from six days before to its own, each day by its mean; days without count not.

    The points are in the order of time; those before a range are given so that its first means are whole.
    """
    by_day: defaultdict[date, list[float]] = defaultdict(list)
    for point in points:
        by_day[point.day].append(point.value)
    daily = {day: sum(values) / len(values) for day, values in by_day.items()}
    means = []
    for point in points:
        week = [point.day - timedelta(days=back) for back in range(7)]
        values = [daily[day] for day in week if day in daily]
        means.append(sum(values) / len(values))
    return means


def change_per_week(points: Sequence[Point]) -> float | None:
    """The slope of the straight line that fits the values best (least squares), a week; None for less than two days."""
    if len({point.day for point in points}) < 2:
        return None
    days = [(point.at - points[0].at).total_seconds() / 86_400 for point in points]
    middle, mean = sum(days) / len(days), sum(point.value for point in points) / len(points)
    spread = sum((day - middle) ** 2 for day in days)
    slope = sum((day - middle) * (point.value - mean) for day, point in zip(days, points, strict=True)) / spread
    return slope * 7

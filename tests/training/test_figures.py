"""The figures of training: each as it is defined, by examples worked out by hand and by properties."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from nexfit.domains.training import figures
from nexfit.domains.training.workout_drafts import Version

ISTANBUL = ZoneInfo("Europe/Istanbul")
BENCH, ROW, NOTHING = ObjectId(), ObjectId(), ObjectId()
EXERCISES = {
    BENCH: {"metadata": {"primaryBodyAreas": ["chest"], "bodyAreas": ["chest", "triceps"]}},
    ROW: {"metadata": {"bodyAreas": ["back", "biceps"]}},
    NOTHING: {"metadata": {}},
}


@pytest.mark.parametrize(
    ("weight", "reps", "expected"),
    [
        (100, 1, 100.0),
        (100, 10, 133.333),
        (60, 30, 120.0),
        (60, 31, None),
        (0, 5, None),
        (60, 0, None),
        (None, 5, None),
    ],
)
def test_the_estimated_maximum_is_epleys(weight: float | None, reps: int, expected: float | None) -> None:
    found = figures.e1rm(weight, reps)
    assert (found is None) == (expected is None)
    assert found == pytest.approx(expected, abs=0.001) if expected else found is None


def done(weight: float | None, reps: int | None, **more: Any) -> dict[str, Any]:
    row = {"weight": weight, "reps": reps, "completed": True, **more}
    return {name: value for name, value in row.items() if value is not None}


def test_a_workout_counts_its_working_sets_and_nothing_else() -> None:
    logged = [
        {
            "exerciseId": BENCH,
            "sets": [
                done(20, 10, isWarmUp=True),
                done(20, 10, kind="warm_up"),
                done(80, 5),
                done(82.5, 3, kind="failure"),
                done(60, 8, kind="drop"),
                done(100, 5, completed=False),
            ],
        },
        {"exerciseId": ROW, "sets": [done(50, 10)]},
        {"exerciseId": NOTHING, "sets": [done(None, None, distance=1500.5, duration=600)]},
        {"exerciseId": BENCH, "sets": [done(70, 12)]},
    ]
    found = figures.of_workout(logged, EXERCISES)
    bench = 80 * 5 + 82.5 * 3 + 60 * 8 + 70 * 12
    assert found == {
        "sets": 6,
        "reps": 5 + 3 + 8 + 10 + 12,
        "volume": bench + 500,
        "distance": 1500.5,
        "areas": [
            {"area": "back", "sets": 1, "volume": 500.0},
            {"area": "biceps", "sets": 1, "volume": 500.0},
            {"area": "chest", "sets": 4, "volume": bench},
            {"area": "other", "sets": 1, "volume": 0.0},
        ],
        "bests": [
            {
                "exerciseId": BENCH,
                "sets": 4,
                "volume": bench,
                "weight": 82.5,
                "weightReps": 3,
                "e1rm": round(70 * (1 + 12 / 30), 3),
                "e1rmWeight": 70,
                "e1rmReps": 12,
            },
            {
                "exerciseId": ROW,
                "sets": 1,
                "volume": 500.0,
                "weight": 50,
                "weightReps": 10,
                "e1rm": 66.667,
                "e1rmWeight": 50,
                "e1rmReps": 10,
            },
            {"exerciseId": NOTHING, "sets": 1, "volume": 0.0},
        ],
    }
    assert figures.of_workout([], {}) == {
        "sets": 0,
        "reps": 0,
        "volume": 0.0,
        "distance": 0.0,
        "areas": [],
        "bests": [],
    }


def log(at: datetime, volume: float = 0.0, e1rm: float | None = None, exercise: ObjectId = BENCH) -> dict[str, Any]:
    best = {"exerciseId": exercise, "e1rm": e1rm, "e1rmWeight": 1.0, "e1rmReps": 2}
    kept = {"sets": 1, "reps": 2, "volume": volume, "areas": [{"area": "chest", "sets": 1, "volume": volume}]}
    return {"_id": ObjectId(), "startTime": at, "duration": 60.0, "figures": {**kept, "bests": [best] if e1rm else []}}


def test_weeks_are_the_calendars_of_the_zone_across_midnights_and_clock_changes() -> None:
    # Sunday 29 March 2026, 22:30 in London and Berlin's clocks changed that night; in Istanbul it is Monday.
    at = datetime(2026, 3, 29, 21, 30, tzinfo=UTC)
    for zone, starts in (("Europe/Istanbul", date(2026, 3, 30)), ("Europe/Berlin", date(2026, 3, 23))):
        weeks = figures.by_week([log(at, 100.0)], ZoneInfo(zone), date(2026, 3, 23), date(2026, 4, 5))
        assert [week.starts for week in weeks] == [date(2026, 3, 23), date(2026, 3, 30)]
        assert [week.starts for week in weeks if week.workouts] == [starts]
    # Days outside of the range are left out also where their week has days inside.
    weeks = figures.by_week([log(at, 100.0)], ISTANBUL, date(2026, 3, 31), date(2026, 4, 1))
    assert [(week.starts, week.workouts) for week in weeks] == [(date(2026, 3, 30), 0)]


@given(st.lists(st.tuples(st.integers(0, 400), st.floats(0, 10_000)), max_size=40))
def test_weeks_add_up_to_the_total(entries: list[tuple[int, float]]) -> None:
    first = datetime(2025, 12, 1, 12, tzinfo=UTC)
    logs = [log(first + timedelta(days=day), round(volume, 3)) for day, volume in entries]
    weeks = figures.by_week(logs, ISTANBUL, date(2025, 12, 1), date(2027, 1, 31))
    whole = figures.total(weeks, date(2025, 12, 1))
    assert whole.workouts == sum(week.workouts for week in weeks) == len(entries)
    assert whole.volume == pytest.approx(sum(one["figures"]["volume"] for one in logs), abs=0.1)
    assert whole.areas == ({"chest": [len(entries), whole.volume]} if entries else {})


def test_a_record_is_the_first_to_reach_the_most() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    logs = [
        log(start + timedelta(days=day), e1rm=best, exercise=exercise)
        for day, best, exercise in ((3, 100.0, BENCH), (1, 90.0, BENCH), (2, 100.0, BENCH), (1, 120.0, ROW))
    ]
    found = figures.records(logs, "e1rm", "e1rmWeight", "e1rmReps")
    assert [(one.exercise, one.value, one.at.day) for one in found] == [(ROW, 120.0, 2), (BENCH, 100.0, 3)]


@pytest.mark.parametrize(
    ("days", "today", "expected"),
    [
        ([], date(2026, 6, 15), (0, 0)),
        ([date(2026, 6, 15)], date(2026, 6, 15), (1, 1)),
        ([date(2026, 6, 14)], date(2026, 6, 15), (1, 1)),  # this week may still get one
        ([date(2026, 6, 7)], date(2026, 6, 15), (0, 1)),
        ([date(2026, 6, 1), date(2026, 6, 14), date(2026, 6, 8)], date(2026, 6, 21), (2, 2)),
        ([date(2025, 12, 29), date(2026, 1, 4), date(2026, 1, 5)], date(2026, 3, 1), (0, 2)),
    ],
)
def test_a_streak_is_weeks_in_a_row(days: list[date], today: date, expected: tuple[int, int]) -> None:
    assert figures.streaks(days, today) == expected


def test_adherence_is_what_was_done_of_what_was_due() -> None:
    assert figures.adherence(3, 4) == 0.75
    assert figures.adherence(0, 4) == 0.0
    assert figures.adherence(0, 0) is None


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3), st.binary(max_size=1)), min_size=1, max_size=6))
def test_of_the_same_versions_the_same_one_stays_in_whichever_order(versions: list[tuple[int, int, bytes]]) -> None:
    made = [Version(rev, datetime(2026, 1, 1, second=at, tzinfo=UTC), digest) for rev, at, digest in versions]

    def last_of(order: list[Version]) -> Version:
        kept = order[0]
        for one in order[1:]:
            kept = one if one.wins_over(kept) else kept
        return kept

    assert last_of(made) == last_of(made[::-1]) == last_of(sorted(made, key=lambda one: one.digest))
    assert not made[0].wins_over(made[0])

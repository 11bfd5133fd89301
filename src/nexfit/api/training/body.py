"""Trends of bodies and goals: what a chart shows, in one question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import Args, column, derived
from nexfit.api.training.loaders import check_range, zone_of
from nexfit.api.units import LENGTH, MASS, Measure, UnitsArgs, UnitSystem
from nexfit.domains.training import body, figures
from nexfit.domains.training.body_documents import BodyMetric
from nexfit.engine.fields import Record

strawberry.enum(BodyMetric, description="A figure of a body.")

MOST_DAYS = 3_660
_MEASURES: Mapping[str, Measure] = {"weight": MASS, "muscleMass": MASS}


def measure_of(metric: str) -> Measure | None:
    """What a figure measures; None for one in percent."""
    return None if metric == "bodyFatPercentage" else _MEASURES.get(metric, LENGTH)


def in_system(metric: str, value: float | None, units: UnitSystem) -> float | None:
    """A stored figure in the units asked for."""
    measure = measure_of(metric)
    return value if measure is None else measure.shown(value, units)


def _target(record: Record, args: UnitsArgs, _context: object) -> float | None:
    return in_system(record["metric"], record["target"], args.units)


@strawberry.type(description="What somebody works towards.")
class BodyGoal:
    """From MongoDB's `body_goals`; the target is kept encrypted."""

    metric: BodyMetric = column(description="Which figure.")
    target: float = derived(
        _target,
        needs=("metric", "target"),
        args=UnitsArgs,
        description="In kg, percent or cm, or lb or inches.",
    )
    by: date | None = column(description="Until when.")
    created_at: datetime = column(description="Since when there is such a goal.")


@strawberry.type(description="A value in a trend.")
class TrendPoint:
    """Of one measurement."""

    at: datetime = column(description="When it was measured.")
    value: float = column(description="How much.")
    mean: float = column(description="The mean of the seven days up to that day, of each day with a value its mean.")


@strawberry.type(description="How a figure of a body went in a range of days.")
class BodyTrend:
    """In the units that were asked for."""

    metric: BodyMetric = column(description="Which figure.")
    points: list[TrendPoint] = column(description="Its values, in order.")
    latest: float | None = column(description="The last one's seven-day mean.")
    change: float | None = column(description="From the first point's seven-day mean to the last one's.")
    change_per_week: float | None = column(description="The slope of the line that fits best, a week.")
    goal: BodyGoal | None = column(description="What the person works towards.")
    left: float | None = column(description="From the last seven-day mean to the goal.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyTrendArgs(Args):
    """Which figure, which days."""

    from_: Annotated[date, strawberry.argument(name="from", description="First day.")]
    to: Annotated[date, strawberry.argument(description=f"Last day; at most {MOST_DAYS} days.")]
    metric: Annotated[BodyMetric, strawberry.argument(description="Which figure.")] = BodyMetric.WEIGHT
    timezone: Annotated[str, strawberry.argument(description="IANA zone of the calendar.")] = "UTC"
    units: Annotated[UnitSystem, strawberry.argument(description="Units of the values.")] = UnitSystem.METRIC


async def trends_of_people(parents: Sequence[Record], args: BodyTrendArgs, context: Context) -> Sequence[Any]:
    """The trend of each person, from one read of their measurements and one of their goals."""
    zone = zone_of(args.timezone, "timezone")
    check_range(args.from_, args.to, MOST_DAYS)
    people, stores = [parent["_id"] for parent in parents], context.stores
    found = await body.points_of(stores.mongo, stores.keys, people, args.metric, args.from_, args.to, zone)
    asked = not args.selection.fields.isdisjoint(("goal", "left"))
    goals = await body.goals_of(stores.mongo, stores.keys, people) if asked else {}
    return [_trend(found[person], goals.get(person, ()), args) for person in people]


def _trend(points: Sequence[figures.Point], goals: Sequence[Record], args: BodyTrendArgs) -> Record:
    means = figures.seven_day_means(points)
    shown = [(point, mean) for point, mean in zip(points, means, strict=True) if point.day >= args.from_]
    goal = next((one for one in goals if one["metric"] == args.metric), None)
    first, last = (shown[0][1], shown[-1][1]) if shown else (None, None)
    metric = str(args.metric)

    def told(value: float | None) -> float | None:
        return None if value is None else in_system(metric, round(value, 3), args.units)

    return {
        "metric": args.metric,
        "points": [{"at": point.at, "value": told(point.value), "mean": told(mean)} for point, mean in shown],
        "latest": told(last),
        "change": told(last - first) if last is not None and first is not None else None,
        "changePerWeek": told(figures.change_per_week([point for point, _ in shown])),
        "goal": goal,
        "left": told(goal["target"] - last) if goal is not None and last is not None else None,
    }


async def goals_of_people(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """What each person works towards."""
    people = [parent["_id"] for parent in parents]
    found = await body.goals_of(context.stores.mongo, context.stores.keys, people)
    return [found[person] for person in people]

"""What a run says: the numbers of each target, and the ratios between them. Every number is a median over rounds."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.stores.window import Window

Key = tuple[str, int]
"""Work and number of connections."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A target at a work and a number of connections."""

    per_second: float
    p50_ms: float
    p99_ms: float
    server_cpu_ms: float
    stores_cpu_ms: float
    mongo: float
    postgres: float
    session: float
    redis: float
    failed: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """API divided by floor, each the median of the ratios within one round."""

    per_second: float
    p50: float
    p99: float
    server_cpu: float


def cell(windows: Sequence[Window]) -> Cell:
    """The medians of one target's windows."""

    def middle(name: str) -> float:
        return float(median(getattr(window, name) for window in windows))

    outcomes = [window.outcome for window in windows]
    return Cell(
        per_second=median(outcome.per_second for outcome in outcomes),
        p50_ms=median(outcome.p50_ms for outcome in outcomes),
        p99_ms=median(outcome.p99_ms for outcome in outcomes),
        server_cpu_ms=middle("server_cpu_ms"),
        stores_cpu_ms=middle("stores_cpu_ms"),
        mongo=round(middle("mongo"), 2),
        postgres=round(middle("postgres"), 2),
        session=round(middle("session"), 2),
        redis=round(middle("redis"), 2),
        failed=sum(outcome.failed for outcome in outcomes),
    )


def ratio(api: Sequence[Window], floor: Sequence[Window]) -> Ratio:
    """The ratios of two targets' windows, paired by round."""
    pairs = [(one, next(other for other in floor if other.round == one.round)) for one in api]

    def of(value: Callable[[Window], float]) -> float:
        return median(value(one) / max(value(other), 1e-9) for one, other in pairs)

    return Ratio(
        per_second=of(lambda window: window.outcome.per_second),
        p50=of(lambda window: window.outcome.p50_ms),
        p99=of(lambda window: window.outcome.p99_ms),
        server_cpu=of(lambda window: window.server_cpu_ms),
    )


def summary(windows: Sequence[Window]) -> tuple[dict[Key, dict[str, Cell]], dict[Key, Ratio]]:
    """Cells and ratios by work and connections, in the order they were measured in."""
    grouped: dict[Key, dict[str, list[Window]]] = {}
    for window in windows:
        grouped.setdefault((window.work, window.connections), {}).setdefault(window.target, []).append(window)
    cells = {key: {target: cell(found) for target, found in targets.items()} for key, targets in grouped.items()}
    return cells, {key: ratio(targets["api"], targets["floor"]) for key, targets in grouped.items()}


def show(console: Console, windows: Sequence[Window]) -> None:
    """Print the numbers, then the ratios."""
    cells, ratios = summary(windows)
    numbers = Table(
        title="Each target", caption="commands: MongoDB / PostgreSQL (+ session resets) / Redis, counted by the stores"
    )
    for name in ("work", "conns", "target"):
        numbers.add_column(name)
    for name in ("requests/s", "p50 ms", "p99 ms", "CPU ms", "stores' CPU ms", "commands per request", "failed"):
        numbers.add_column(name, justify="right")
    for (work, connections), targets in cells.items():
        for target, found in sorted(targets.items()):
            first = target == "api"
            numbers.add_row(
                work if first else "",
                str(connections) if first else "",
                target,
                f"{found.per_second:,.0f}",
                f"{found.p50_ms:.2f}",
                f"{found.p99_ms:.2f}",
                f"{found.server_cpu_ms:.2f}",
                f"{found.stores_cpu_ms:.2f}",
                commands(found),
                str(found.failed),
                end_section=not first,
            )
    console.print(numbers)
    table = Table(
        title="API ÷ floor",
        caption="requests/s: 1.00 is the floor, more is better; the others: 1.00 is the floor, less is better",
    )
    for name in ("work", "conns"):
        table.add_column(name)
    for name in ("requests/s", "p50", "p99", "CPU per request", "commands"):
        table.add_column(name, justify="right")
    for key, found_ratio in ratios.items():
        api, floor = cells[key]["api"], cells[key]["floor"]
        same = (api.mongo, api.postgres, api.redis) == (floor.mongo, floor.postgres, floor.redis)
        table.add_row(
            key[0],
            str(key[1]),
            *(f"{value:.2f}" for value in asdict(found_ratio).values()),
            "the same" if same else f"{commands(api)} to {commands(floor)}",
        )
    console.print(table)


def commands(found: Cell) -> str:
    """Commands per request, store by store."""
    session = f" (+{found.session:g})" if found.session else ""
    return f"{found.mongo:g} / {found.postgres:g}{session} / {found.redis:g}"


def document(windows: Sequence[Window], **about: object) -> dict[str, object]:
    """The whole result for a file: medians, ratios, and every single window."""
    cells, ratios = summary(windows)
    rows = [
        {
            "work": work,
            "connections": connections,
            **{target: asdict(found) for target, found in targets.items()},
            "ratio": asdict(ratios[work, connections]),
        }
        for (work, connections), targets in cells.items()
    ]
    return {"machine": machine(), **about, "results": rows, "windows": [asdict(window) for window in windows]}


def machine() -> dict[str, object]:
    """Where and on what a result was measured."""
    packages = ("strawberry-graphql", "graphql-core", "starlette", "uvicorn", "pymongo", "asyncpg", "redis", "orjson")
    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
    }

"""What a run says: each server's numbers, and NexFit's ratios next to their bars. Numbers are medians over rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.peers.servers import CACHES, ENGINE, FLOOR, MERCURIUS, NEXFIT, NODE_CACHE, YOGA
from bench.peers.windows import CONNECTIONS, Window
from bench.stores.report import machine


@dataclass(frozen=True, slots=True)
class Cell:
    """A server at a work."""

    per_second: float
    per_cpu_second: float
    p50_ms: float
    p99_ms: float
    stores_cpu_ms: float
    failed: int


@dataclass(frozen=True, slots=True)
class Bar:
    """A ratio of NexFit (or its engine) and another server, and what it has to be: at least, or below where `below`."""

    of: str
    over: str
    bar: float
    about: str = "requests per CPU second"
    value: Callable[[Cell], float] = lambda cell: cell.per_cpu_second
    below: bool = False

    def __str__(self) -> str:
        return f"{self.of} ÷ {self.over}, {self.about}"

    def needs(self) -> str:
        """The bar as it is read."""
        return f"{'<' if self.below else '≥'} {self.bar:g}"

    def ratio(self, cells: Mapping[str, Cell]) -> float | None:
        """The ratio of medians; None where one of both was not measured."""
        if self.of not in cells or self.over not in cells:
            return None
        return self.value(cells[self.of]) / max(self.value(cells[self.over]), 1e-9)

    def is_met(self, ratio: float) -> bool:
        """Whether the ratio is good enough."""
        return ratio < self.bar if self.below else ratio >= self.bar


BARS: Mapping[str, Sequence[Bar]] = {
    "memory": (Bar(ENGINE, CACHES, 12), Bar(ENGINE, MERCURIUS, 0.4)),
    "stores": (
        Bar(NEXFIT, MERCURIUS, 1.2),
        Bar(NEXFIT, YOGA, 2),
        Bar(NEXFIT, MERCURIUS, 1, f"p99 at {CONNECTIONS} connections", lambda cell: cell.p99_ms, below=True),
        Bar(NEXFIT, FLOOR, 0.6),
    ),
    "cache": (Bar(NEXFIT, NODE_CACHE, 0.6),),
}
"""By kind of work, as the project set them for itself."""

Cells = dict[str, dict[str, Cell]]
"""By work and server, in the order of the first round."""


def cells(windows: Sequence[Window]) -> Cells:
    """The medians of each server at each work."""
    grouped: dict[str, dict[str, list[Window]]] = {}
    for window in windows:
        grouped.setdefault(window.work, {}).setdefault(window.server, []).append(window)
    return {work: {server: _cell(found) for server, found in servers.items()} for work, servers in grouped.items()}


def _cell(windows: Sequence[Window]) -> Cell:
    outcomes = [window.outcome for window in windows]
    return Cell(
        per_second=median(outcome.per_second for outcome in outcomes),
        per_cpu_second=median(window.per_cpu_second for window in windows),
        p50_ms=median(outcome.p50_ms for outcome in outcomes),
        p99_ms=median(outcome.p99_ms for outcome in outcomes),
        stores_cpu_ms=median(window.stores_cpu_ms for window in windows),
        failed=sum(outcome.failed for outcome in outcomes),
    )


def show(console: Console, found: Cells, kinds: Mapping[str, str]) -> None:
    """Print the numbers, then the ratios. `kinds` gives each work's."""
    numbers = Table(title=f"Each server at {CONNECTIONS} connections")
    for name in ("work", "server"):
        numbers.add_column(name)
    for name in ("requests/s", "per CPU second", "p50 ms", "p99 ms", "stores' CPU ms", "failed"):
        numbers.add_column(name, justify="right")
    for work, servers in found.items():
        for place, (server, cell) in enumerate(servers.items()):
            numbers.add_row(
                "" if place else work,
                server,
                f"{cell.per_second:,.0f}",
                f"{cell.per_cpu_second:,.0f}",
                f"{cell.p50_ms:.2f}",
                f"{cell.p99_ms:.2f}",
                f"{cell.stores_cpu_ms:.2f}" if kinds[work] != "memory" else "",
                str(cell.failed),
                end_section=place == len(servers) - 1,
            )
    console.print(numbers)
    ratios = Table(title="NexFit against the bars")
    for name in ("work", "ratio of medians"):
        ratios.add_column(name)
    for name in ("measured", "bar", ""):
        ratios.add_column(name, justify="right")
    for work, servers in found.items():
        for place, bar in enumerate(BARS[kinds[work]]):
            ratio = bar.ratio(servers)
            verdict = "not measured" if ratio is None else "met" if bar.is_met(ratio) else "[bold red]missed[/]"
            shown = "–" if ratio is None else f"{ratio:.2f}"
            ratios.add_row(
                "" if place else work,
                str(bar),
                shown,
                bar.needs(),
                verdict,
                end_section=place == len(BARS[kinds[work]]) - 1,
            )
    console.print(ratios)


def document(windows: Sequence[Window], kinds: Mapping[str, str], **about: object) -> dict[str, object]:
    """The whole result for a file: medians, ratios, and every single window."""
    found = cells(windows)
    results = [
        {
            "work": work,
            "servers": {server: asdict(cell) for server, cell in servers.items()},
            "ratios": {str(bar): bar.ratio(servers) for bar in BARS[kinds[work]]},
        }
        for work, servers in found.items()
    ]
    return {"machine": machine(), **about, "results": results, "windows": [asdict(window) for window in windows]}

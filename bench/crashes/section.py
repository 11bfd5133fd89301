"""`python -m bench crashes`: the crash test by itself, on servers of its own. Exit code 1 when it found anything."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.crashes.run import RECOVERERS, WRITERS, Outcome, crash
from bench.crashes.servers import stores_on
from nexfit.embedded import EmbeddedServers
from nexfit.progress import progress


def main(arguments: Sequence[str]) -> int:
    """Run, show what was found; 1 when anything was."""
    parser = argparse.ArgumentParser(prog="python -m bench crashes", description=__doc__)
    parser.add_argument("--runs", type=int, default=500, help="writers to kill (default 500)")
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args(arguments)
    console = Console()
    with (
        tempfile.TemporaryDirectory(prefix="nexfit-crashes-") as folder,
        EmbeddedServers(Path(folder) / "servers", durable=False) as servers,
        stores_on(servers.urls) as where,
        progress(console) as bars,
    ):
        task = bars.add_task("killing writers", total=asked.runs)
        outcome = crash(where, asked.runs, asked.seed, lambda done, _: bars.update(task, completed=done))
    show(console, outcome)
    return 0 if outcome.is_right else 1


def show(console: Console, outcome: Outcome) -> None:
    """The outcome in words."""
    killed = ", ".join(f"{count} at {point}" for point, count in sorted(outcome.kills.items()))
    console.print(
        f"{outcome.runs} writers killed in {outcome.seconds:.0f} s by {WRITERS} at a time beside {RECOVERERS} recovery"
        f" workers: {killed}.\n{outcome.pairs:,} pairs in the stores, {outcome.committed:,} acknowledged,"
        f" {outcome.refused} refused, {outcome.decided_against} decided against by recovery or coordinator.\n"
        f"{len(outcome.disagreeing)} pairs disagree, {outcome.prepared} transactions left prepared,"
        f" {len(outcome.lost)} acknowledged writes lost, {len(outcome.miscounted)} miscounted,"
        f" {len(outcome.untold)} events without their change or the other way round.",
        highlight=False,
    )
    for name in (*outcome.disagreeing, *outcome.lost, *outcome.miscounted, *outcome.untold)[:20]:
        console.print(f"  {name}", highlight=False)

"""Requests that failed make a run fail: what both benchmarks say of them."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from bench.stores.generator import Outcome


def show_failures(console: Console, outcomes: Iterable[tuple[str, Outcome]]) -> int:
    """Print each outcome (behind its label) in which a request failed; the exit status, 0 where none did."""
    failed = [(label, outcome) for label, outcome in outcomes if outcome.failed]
    for label, outcome in failed:
        console.print(
            f"{label}: {outcome.failed} of {outcome.sent} requests failed, the first with {outcome.first_failure}",
            style="bold red",
            markup=False,
        )
    return 1 if failed else 0

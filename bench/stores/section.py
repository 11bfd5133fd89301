"""`python -m bench overview`: loads members, checks that the floor is the API's floor, and measures both in turns."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

ABOUT = """
Loads members into servers of its own, then measures the API (`nexfit serve`, one process) next to a floor: a bare ASGI
handler under the same uvicorn that sends the stores the same commands over the same drivers and writes the same JSON,
without GraphQL, rights or domains. Nothing is measured unless both give the same bytes. The floor reads through
NexFit's own store layer, so nothing can be below it; `--floor drivers` reads through PyMongo, asyncpg and redis-py as
they come.

The API's cache of whole answers is off (NEXFIT_HTTP_RESPONSE_CACHE): it does the work for every request.

Works: OwnerOverview with its joined views in Redis (warm) and made unreadable before every request (cold: the load
generator raises the versions of the views' tags, as a writer would; requests under way together may share one load, in
both targets), `facility(id:)` and `node(id:)` of an invoice. Windows of API and floor take turns; results are medians.

CPU is that of the server's process, from the system's own count. Commands are counted by the stores: MongoDB's
serverStatus, pg_stat_statements, INFO commandstats. p50 and p99 are the load generator's.
"""


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a run; exits for `--help` and for what makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m bench overview", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--members", type=int, metavar="N", help="members to load (10000)")
    add("--seconds", type=float, metavar="S", help="length of a window (2)")
    add("--rounds", type=int, metavar="N", help="windows of each kind (3)")
    add("--connections", type=_numbers, default=[1, 32], metavar="N,N", help="open connections (1,32)")
    add("--only", metavar="TEXT", help="only works whose name contains this, such as `warm`")
    add("--quick", action="store_true", help="a look in under a minute: 600 members, one round of 1 s windows")
    add("--keep", action="store_true", help="keep the loaded servers in .data/bench for the next run with --keep")
    floors = ("stores", "drivers")
    add("--floor", choices=floors, default=floors[0], help="read through nexfit.stores (the default) or plain drivers")
    add("--json", type=Path, metavar="FILE", help="write medians, ratios and every window to a file as well")
    given = parser.parse_args(arguments)
    for name, usual, quick in (("members", 10_000, 600), ("seconds", 2.0, 1.0), ("rounds", 3, 1)):
        if getattr(given, name) is None:
            setattr(given, name, quick if given.quick else usual)
    if given.members < 100 or not 0.05 <= given.seconds <= 7 or given.rounds < 1:
        # A joined view lives for 8 s or more: a longer window would not stay warm.
        parser.error("--members is at least 100, --seconds from 0.05 to 7, --rounds at least 1")
    return given


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; the exit code is 0 when everything could be measured."""
    given = options(arguments)
    from rich.console import Console

    from bench.stores.run import run  # only now: `--help` and a refusal come at once

    console = Console() if sys.stdout.isatty() else Console(width=150)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is ended and deleted
    return run(given, console)


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if not numbers or not all(1 <= number <= 1000 for number in numbers):
        raise ValueError(text)
    return numbers

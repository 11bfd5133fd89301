"""`python -m bench commits` measures every kind of commit, and they are what it says."""

from __future__ import annotations

import asyncio

from rich.console import Console

from bench.commits import FLOOR, WRITERS, measure, show
from bench.crashes.servers import stores_on
from nexfit.embedded import EmbeddedServers


def test_every_kind_of_commit_is_measured(servers: EmbeddedServers) -> None:
    with stores_on(servers.urls) as where:
        found = asyncio.run(measure(where, rounds=1, seconds=0.05))
    console = Console(width=120, record=True, quiet=False)
    show(console, found)
    said = console.export_text()
    assert found.keys() == {*WRITERS}
    for of_kind in found.values():
        assert of_kind.keys() == {"postgres", "mongo", FLOOR, "both"}
        assert all(spent > 0 for rounds in of_kind.values() for spent in rounds)
    assert all(kind in said for kind in found[WRITERS[0]])

"""Writers die at every step of the commit and at any moment; the stores agree, and nothing acknowledged is lost."""

from __future__ import annotations

import pytest

from bench.crashes.run import crash
from bench.crashes.servers import stores_on
from bench.crashes.worker import POINTS
from nexfit.embedded import EmbeddedServers

RUNS = 60


@pytest.mark.timeout(300)
def test_killed_writers_leave_stores_that_agree(servers: EmbeddedServers) -> None:
    with stores_on(servers.urls) as where:
        outcome = crash(where, RUNS, seed=11)
    assert outcome.is_right, outcome
    assert sum(outcome.kills.values()) == RUNS
    assert outcome.kills.keys() == {*POINTS, "any moment"}
    # And it was no idle run: recovery had both kinds of work, and others wrote beside it.
    assert outcome.committed >= RUNS
    assert outcome.decided_against >= 3
    assert outcome.pairs > outcome.committed  # decided, and dead before it could say so

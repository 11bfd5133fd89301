"""Thousands of seeded histories of the commit over both stores: the stores agree after each, and a fault is found.

10,000 of them with NEXFIT_HISTORIES=10000; the seeds go from NEXFIT_SEED on, and the one that fails is told.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from nexfit.hybrid import two_phase
from nexfit.hybrid.documents import Verdict

from .simulation import history, simulated_servers

HISTORIES = int(os.environ.get("NEXFIT_HISTORIES", "500"))
SEED = int(os.environ.get("NEXFIT_SEED", "1"))


@pytest.fixture
def servers_made_up() -> Iterator[pytest.MonkeyPatch]:
    with simulated_servers() as patch:
        yield patch


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("servers_made_up")
def test_whatever_happens_the_stores_agree() -> None:
    for seed in range(SEED, SEED + HISTORIES):
        assert history(seed) == [], f"NEXFIT_SEED={seed} NEXFIT_HISTORIES=1"


async def _roll_back_what_has_no_decision(mongo: Any, xid: str, _: float) -> Verdict | None:
    """What looks right and is not: nobody is told that it was decided."""
    return await two_phase.decision_of(mongo, xid) or Verdict.ABORT


async def _ask_nobody(_: Any, xid: str) -> Verdict | None:
    return Verdict.ABORT


@pytest.mark.parametrize(
    ("name", "fault"),
    [("end_undecided", _roll_back_what_has_no_decision), ("settle", _ask_nobody)],
    ids=["no fence", "a lost answer taken for a no"],
)
def test_a_fault_in_the_protocol_is_found(servers_made_up: pytest.MonkeyPatch, name: str, fault: Any) -> None:
    servers_made_up.setattr(two_phase, name, fault)
    wrong = ((seed, found) for seed in range(300) if (found := history(seed)))
    first = list(islice(wrong, 2))
    assert len(first) == 2
    for seed, found in first:
        assert history(seed) == found  # a seed is a history

"""Medians, ratios, and the check that floor and API do the same."""

from __future__ import annotations

from typing import Any, cast

import pytest

from bench.stores import equality
from bench.stores.counters import Counters, Footprint, Statement
from bench.stores.errors import CannotMeasure
from bench.stores.generator import Outcome
from bench.stores.report import commands, summary
from bench.stores.target import Target
from bench.stores.window import Window
from bench.stores.works import Subject, Work

WORK = Work("overview", "/overview", b"{}")
SUBJECT = Subject("token", "facility", "name", "invoice", ())


def window(target: str, round_: int, per_second: float, cpu: float, failed: int = 0) -> Window:
    outcome = Outcome(100, failed, None, per_second, 1000 / per_second, 2000 / per_second)
    return Window("overview", 32, target, round_, outcome, 1.0, cpu, 1.0, 8.0, 1.0, 4.0, 3.004)


def test_numbers_are_medians_and_ratios_are_taken_within_a_round() -> None:
    # The machine was slow in the second round, for both: a ratio of medians would not notice that it was for both.
    api = [window("api", 1, 100, 4), window("api", 2, 10, 40), window("api", 3, 90, 5)]
    floor = [window("floor", 1, 400, 1), window("floor", 2, 20, 10), window("floor", 3, 180, 2, failed=3)]
    cells, ratios = summary([*api, *floor])
    key = ("overview", 32)
    assert list(cells) == list(ratios) == [key]
    assert cells[key]["api"].per_second == 90
    assert cells[key]["floor"].server_cpu_ms == 2
    assert (cells[key]["api"].failed, cells[key]["floor"].failed) == (0, 3)
    assert ratios[key].per_second == pytest.approx(0.5)
    assert ratios[key].server_cpu == pytest.approx(4)
    assert ratios[key].p99 == pytest.approx(2)
    assert commands(cells[key]["api"]) == "8 / 1 (+4) / 3"


class Answering:
    """A target with given answers, one per request."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)

    def prepare(self, *_: object) -> None:
        pass

    def ask(self, *_: object) -> bytes:
        return self._answers.pop(0)


class Seen:
    """Counters that saw given footprints, one per request."""

    def __init__(self, *footprints: Footprint) -> None:
        self._footprints = list(footprints)

    def watch(self) -> None:
        pass

    def footprint(self) -> Footprint:
        return self._footprints.pop(0)


def check(api: Any, floor: Any, counters: Any) -> equality.Equality:
    return equality.check(WORK, cast("Target", api), cast("Target", floor), SUBJECT, cast("Counters", counters))


PLAIN = Footprint(["find users"], {1: Statement("SELECT a", 1, 3)}, {"mget": 3})


def test_equal_answers_by_equal_commands_are_equal() -> None:
    spelt = Footprint(["find users"], {1: Statement("SELECT  a", 1, 3)}, {"mget": 3})
    assert check(Answering(b"{}"), Answering(b"{}"), Seen(PLAIN, spelt)) == equality.Equality("overview", 2, "")


@pytest.mark.parametrize(
    "other",
    [
        Footprint(["find users", "find users"], PLAIN.postgres, PLAIN.redis),
        Footprint([], PLAIN.postgres, PLAIN.redis),
        Footprint(PLAIN.mongo, {1: Statement("SELECT a", 1, 4)}, PLAIN.redis),
        Footprint(PLAIN.mongo, {2: Statement("SELECT a", 1, 3)}, PLAIN.redis),
        Footprint(PLAIN.mongo, PLAIN.postgres, {"mget": 3, "set": 1}),
    ],
)
def test_other_commands_are_told(other: Footprint) -> None:
    answers = [b"{}"] * 3
    assert "only the " in check(Answering(*answers), Answering(*answers), Seen(*[PLAIN, other] * 3)).difference


def test_a_command_that_comes_once_was_nobodys() -> None:
    polled = Footprint([*PLAIN.mongo, "find sessions"], PLAIN.postgres, PLAIN.redis)
    answers = [b"{}"] * 2
    assert check(Answering(*answers), Answering(*answers), Seen(polled, PLAIN, PLAIN, PLAIN)).difference == ""


def test_another_answer_is_asked_for_again_and_then_refused() -> None:
    turned = check(Answering(b"{1}", b"{2}"), Answering(b"{2}", b"{2}"), Seen(*[PLAIN] * 4))
    assert turned.difference == ""
    with pytest.raises(CannotMeasure, match="differ at byte 1") as refused:
        check(Answering(*[b"{1}"] * 3), Answering(*[b"{2}"] * 3), Seen(*[PLAIN] * 6))
    assert "floor" in str(refused.value)

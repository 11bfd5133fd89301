"""The check before every measurement: the floor gives the API's answer to the byte, by the API's commands.

Other commands do not stop a run, because whoever changes the API's must be able to measure it; they are shown, and a
test fails until the floor has followed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from bench.stores.counters import Counters, Footprint
from bench.stores.errors import CannotMeasure
from bench.stores.target import Target
from bench.stores.works import Subject, Work

MOST_SHOWN = 400

_TRIES = 3
"""Answers hold what is so now (open, next dates), so two requests around a minute's turn may differ by right."""


@dataclass(frozen=True, slots=True)
class Equality:
    """Both targets gave the same bytes. `difference` tells what else they had the stores do; it should be empty."""

    work: str
    size: int
    difference: str


def check(work: Work, api: Target, floor: Target, subject: Subject, counters: Counters) -> Equality:
    """Compare answers and commands, rows included. Raises CannotMeasure when the answers differ in a byte.

    What the API does by itself once a second may fall between, but not every time.
    """
    equal = None
    for _ in range(_TRIES):
        expected, footprint = _ask(work, api, subject, counters)
        given, other_footprint = _ask(work, floor, subject, counters)
        if expected == given:
            equal = Equality(work.name, len(expected), _of_commands(footprint, other_footprint))
            if not equal.difference:
                break
    if equal is not None:
        return equal
    raise CannotMeasure(
        f"{work.name}: the floor does not answer what the API answers, so nothing is measured.\n"
        f"{_of_answers(expected, given)}\nBring bench/stores/floor.py up to it, or find the fault in the API."
    )


def _ask(work: Work, target: Target, subject: Subject, counters: Counters) -> tuple[bytes, Footprint]:
    target.prepare(work, subject, counters)
    counters.watch()
    answer = target.ask(work, subject.token)
    return answer, counters.footprint()


def _of_answers(expected: bytes, given: bytes) -> str:
    at = next(
        (place for place, (a, b) in enumerate(zip(expected, given, strict=False)) if a != b),
        min(len(expected), len(given)),
    )
    start = max(0, at - 60)
    return (
        f"Answers differ at byte {at}:\n  API   …{expected[start : at + 60].decode(errors='replace')}\n"
        f"  floor …{given[start : at + 60].decode(errors='replace')}"
    )


def _of_commands(api: Footprint, floor: Footprint) -> str:
    given, held = _commands(api), _commands(floor)
    lines = [f"only the API:   {given[key]}" for key in given if key not in held]
    lines += [f"only the floor: {held[key]}" for key in held if key not in given]
    return "\n".join(line[:MOST_SHOWN] for line in lines)


def _commands(footprint: Footprint) -> dict[tuple[object, ...], str]:
    """What identifies each command, its number and its rows; and how to show it."""
    found: dict[tuple[object, ...], str] = {}
    for command, count in Counter(footprint.mongo).items():
        found["mongo", command, count] = f"{count} × MongoDB {command}"
    for id_, one in footprint.postgres.items():
        found["postgres", id_, one.calls, one.rows] = f"{one.calls} × PostgreSQL -> {one.rows} rows: {one.text}"
    for name, calls in footprint.redis.items():
        found["redis", name, calls] = f"{calls} × Redis {name}"
    return found

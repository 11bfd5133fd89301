"""`python -m bench plans`: what an operation costs before it runs the first time, and what unknown ones leave behind.

Needs no stores: operations of NexFit's schema are planned but not executed, and the stream of ever-new operations runs
over the plain data of `bench.peers`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from graphql import GraphQLSchema
from rich.console import Console
from rich.table import Table

from bench.peers import memory
from bench.peers.memory_compiled import compiled
from bench.peers.works import TIMETABLE
from bench.stores.works import FACILITY, OWNER_OVERVIEW
from nexfit.api.fields import spec_of
from nexfit.api.schema import build_schema
from nexfit.engine.engine import Engine
from nexfit.engine.plan import ObjectPlan, OperationPlan
from nexfit.engine.result import Result

COPIES = 20
"""Operations of a kind that are kept while their memory is counted; fewer than an engine keeps."""

MOST_GROWTH_MB = 8.0
"""What a process may grow over the second half of the stream; allocators never give everything back."""

_FACILITY = {"facility": memory.ID}
_DAYS = {"from": "2026-01-01", "to": "2026-11-30"}


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a schema with variables it can be planned for."""

    name: str
    schema: GraphQLSchema
    source: str
    variables: dict[str, str]

    def renamed(self, number: int) -> str:
        """A document nobody has sent before: an alias makes it another one."""
        return self.source.replace("facility(id", f"f{number}: facility(id", 1)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one operation: milliseconds until it can run, and kilobytes kept for it."""

    characters: int
    fields: int
    validated_ms: float
    planned_ms: float
    generated_ms: float
    found_us: float
    document_kb: float
    plan_kb: float


@dataclass(frozen=True, slots=True)
class Look:
    """A process in the midst of a stream of unknown operations."""

    operations: int
    resident_mb: float
    documents: int
    plans: int
    evicted: int


def planned(engine: Engine, source: str, variables: dict[str, str]) -> OperationPlan:
    """The engine's plan for an operation, without running it."""
    selected = engine._select(engine.prepare(source), None, variables)
    assert not isinstance(selected, Result), selected.errors
    plan = engine._plan(*selected)
    assert plan is not None, "an operation that plans do not cover"
    return plan


def generate(plan: OperationPlan) -> None:
    """Write the code of every selection set, as meeting rows of each type would."""
    waiting: list[ObjectPlan] = list(plan.roots)
    while waiting:
        one = waiting.pop()
        one.build = one.generate(one)
        waiting.extend(below for field in one.fields for below in field.objects.values())


def cost(operation: Operation, rounds: int) -> Cost:
    """Times are medians over fresh engines, memory is an average over operations that differ in a name."""
    schema, variables = operation.schema, operation.variables
    validated, made, generated = [], [], []
    for _ in range(rounds):
        engine = Engine(schema, spec_of)
        validated.append(_seconds(partial(engine.prepare, operation.source)))
        made.append(_seconds(partial(planned, engine, operation.source, variables)))
        plan = planned(engine, operation.source, variables)
        generated.append(_seconds(partial(generate, plan)))
    found = _seconds(lambda: [planned(engine, operation.source, variables) for _ in range(1000)])

    sources = [operation.renamed(number) for number in range(COPIES)]
    engine = Engine(schema, spec_of, documents=COPIES, plans=COPIES, plan_fields=10**9, document_characters=10**9)
    document_kb = _kilobytes(lambda: [engine.prepare(source) for source in sources])
    plan_kb = _kilobytes(lambda: [*map(generate, (planned(engine, source, variables) for source in sources))])
    return Cost(
        len(operation.source),
        plan.size,
        median(validated) * 1000,
        median(made) * 1000,
        median(generated) * 1000,
        found * 1000,
        document_kb / COPIES,
        plan_kb / COPIES,
    )


async def stream(operations: int, looks: int = 5) -> tuple[list[Look], int]:
    """Execute ever-new operations, a large one for every nine small ones, with one that is known after each.

    What was seen on the way, and how often the known operation had to be compiled.
    """
    engine = Engine(compiled(), spec_of)
    known = "query Known($facility: ID!) { facility(id: $facility) { name address { city } } }"
    large = Operation("", engine.schema, memory.QUERY, _FACILITY)
    small = Operation("", engine.schema, known.replace("Known", "Unknown"), _FACILITY)
    seen: list[Look] = []
    again = 0
    for number in range(1, operations + 1):
        source = (small if number % 10 else large).renamed(number)
        result = await engine.execute(source, variables=_FACILITY, root={})
        assert not result.errors, result.errors
        compiled_before = engine.counters.compiled
        await engine.execute(known, variables=_FACILITY, root={})
        again += engine.counters.compiled - compiled_before
        if number % (operations // looks) == 0:
            seen.append(_look(engine, number))
    return seen, again


def _look(engine: Engine, number: int) -> Look:
    gc.collect()
    documents, plans = engine._documents, engine._plans
    return Look(number, _resident_mb(), len(documents), len(plans), documents.evicted + plans.evicted)


def _resident_mb() -> float:
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 2**10


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _kilobytes(work: Callable[[], object]) -> float:
    """What is still allocated of what was allocated meanwhile; the result is not counted."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    work()
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (after - before) / 1024


def operations() -> list[Operation]:
    """What is planned for."""
    nexfit = build_schema()
    facility = {"facility": "x"}
    return [
        Operation("one facility, three fields", nexfit, FACILITY, facility),
        Operation("Timetable", nexfit, TIMETABLE, facility),
        Operation("OwnerOverview", nexfit, OWNER_OVERVIEW, {**facility, **_DAYS}),
        Operation("in memory, 232 leaves", compiled(), memory.QUERY, _FACILITY),
    ]


def main(arguments: Sequence[str]) -> int:
    """Print both tables; the exit code is 1 where a stream of unknown operations makes the process grow."""
    parser = argparse.ArgumentParser(prog="python -m bench plans", description=__doc__)
    parser.add_argument("--stream", type=int, metavar="N", help="ever-new operations (20000)")
    parser.add_argument("--rounds", type=int, metavar="N", help="fresh engines per operation (20)")
    parser.add_argument("--quick", action="store_true", help="a look: 2000 operations, 3 engines")
    given = parser.parse_args(arguments)
    count = given.stream or (2_000 if given.quick else 20_000)
    rounds = given.rounds or (3 if given.quick else 20)
    if count < 100 or rounds < 1:
        parser.error("--stream is at least 100, --rounds at least 1")
    console = Console() if sys.stdout.isatty() else Console(width=150)
    _show_costs(console, rounds)
    seen, again = asyncio.run(stream(count))
    return _show_stream(console, seen, again)


def _show_costs(console: Console, rounds: int) -> None:
    table = Table(
        title="An operation before its first run",
        caption="times in ms; kB: what the caches keep for it; found again: until a known operation can run",
    )
    table.add_column("operation")
    columns = (
        "characters",
        "fields",
        "parse, validate",
        "plan",
        "generate code",
        "document kB",
        "plan kB",
        "found again",
    )
    for name in columns:
        table.add_column(name, justify="right")
    for operation in operations():
        one = cost(operation, rounds)
        table.add_row(
            operation.name,
            str(one.characters),
            str(one.fields),
            f"{one.validated_ms:.2f}",
            f"{one.planned_ms:.2f}",
            f"{one.generated_ms:.2f}",
            f"{one.document_kb:.0f}",
            f"{one.plan_kb:.0f}",
            f"{one.found_us:.1f} µs",
        )
    console.print(table)


def _show_stream(console: Console, seen: Sequence[Look], again: int) -> int:
    table = Table(title="A stream of ever-new operations")
    for name in ("operations", "resident MB", "documents kept", "plans kept", "evicted"):
        table.add_column(name, justify="right")
    for look in seen:
        table.add_row(
            f"{look.operations:,}",
            f"{look.resident_mb:.1f}",
            str(look.documents),
            str(look.plans),
            f"{look.evicted:,}",
        )
    console.print(table)
    growth = seen[-1].resident_mb - seen[len(seen) // 2].resident_mb
    console.print(f"Over its second half the process grew by {growth:.1f} MB (at most {MOST_GROWTH_MB:g} is allowed).")
    console.print(
        f"An operation that was asked for all the while was compiled {again} time{'' if again == 1 else 's'}."
    )
    return 0 if growth <= MOST_GROWTH_MB and again == 1 else 1

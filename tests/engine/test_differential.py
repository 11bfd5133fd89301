"""Random operations, executed by plans and by graphql-core: the same bytes, whatever goes wrong in the fields.

The same ones every time; `ENGINE_SEED` makes others, `ENGINE_OPERATIONS` sets how many the first comparison makes.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import orjson
import pytest
from graphql import DocumentNode

from nexfit.engine.engine import Engine

from .answers import nulled, reference, text, without_propagation, written
from .operations import generate
from .world import World, build

SEED = os.environ.get("ENGINE_SEED", "1")
OPERATIONS = int(os.environ.get("ENGINE_OPERATIONS", "5000"))
FAULT_RATES = (0.0, 0.01, 0.1)


@pytest.fixture(autouse=True)
def _leave_older_objects_to_themselves() -> Iterator[None]:
    """Keep the collector from walking the whole test session's objects while millions of small ones come and go."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@dataclass(frozen=True)
class Case:
    """One generated operation, and the fault rate of the world it is asked of."""

    name: str
    source: str
    document: DocumentNode
    asked: dict[str, Any]
    fault_rate: float

    def world(self) -> World:
        return World(self.name, self.fault_rate)

    def __str__(self) -> str:
        return f"ENGINE_SEED={SEED}, {self.name}: {self.asked} of\n{self.source}"


def cases(engine: Engine, kind: str) -> Iterator[Case]:
    """An endless stream of valid operations."""
    refused = 0
    for number in count():
        generated = generate(engine.schema, f"{SEED}/{kind}/{number}")
        prepared = engine.prepare(generated.source)
        if prepared.errors or prepared.document is None:
            refused += 1
            assert refused < 20 + number / 5, "the generator should write valid documents"
            continue
        for position, (name, variables) in enumerate(generated.operations):
            yield Case(
                f"{SEED}/{kind}/{number}/{position}",
                generated.source,
                prepared.document,
                {"variables": variables, "operation_name": name},
                FAULT_RATES[(number + position) % len(FAULT_RATES)],
            )


@pytest.mark.timeout(600)
async def test_plans_answer_as_synchronous_graphql_core_does() -> None:
    """Data, errors and their order are byte-identical although the plan's schema is asynchronous throughout."""
    schema, spec_of = build("plan")
    plain, _ = build("sync")
    engine = Engine(schema, spec_of, documents=8, plans=8)
    failed = 0
    for case in islice(cases(engine, "sync"), OPERATIONS):
        expected = await reference(plain, case.document, **case.asked, context=case.world(), root={})
        actual = await engine.execute(case.source, **case.asked, context=case.world(), root={})
        assert actual.executor == "plan"
        assert actual.to_json() == text(expected), case
        failed += bool(expected.errors)
    assert OPERATIONS / 10 < failed < OPERATIONS * 0.9, "some operations should fail somewhere, and some should not"


# graphql-core drops coroutines of its own where a sibling failed first
@pytest.mark.filterwarnings(
    "ignore:coroutine '.*' was never awaited", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.timeout(300)
async def test_plans_answer_as_graphql_core_with_loaders_up_to_timing() -> None:
    """Against asynchronous graphql-core the data is byte-identical, and so is which position each error nulls.

    Which of several errors is reported for one nulled position, and the order of the errors, graphql-core leaves to
    the timing of the fields; every error of the plan must be one that graphql-core meets without propagation.
    """
    schema, spec_of = build("plan")
    with_loaders, _ = build("loaders")
    engine = Engine(schema, spec_of, documents=8, plans=8)
    queries = (case for case in cases(engine, "loaders") if "mutation" not in case.source)
    for case in islice(queries, OPERATIONS // 8):
        expected = await reference(with_loaders, case.document, **case.asked, context=case.world(), root={})
        actual = await engine.execute(case.source, **case.asked, context=case.world(), root={})
        assert orjson.dumps(actual.data) == orjson.dumps(expected.data), case
        assert nulled(actual.data, actual.errors) == nulled(expected.data, expected.errors), case
        if expected.errors:
            document = without_propagation(case.document)
            every_error = await reference(with_loaders, document, **case.asked, context=case.world(), root={})
            assert written(actual.errors) <= written(every_error.errors), case
    gc.collect()

"""Documents and plans are kept within bounds, and a stream of new ones neither grows memory nor evicts what is used."""

from __future__ import annotations

import gc
import sys
from itertools import count, islice, pairwise
from statistics import median

from nexfit.engine.cache import SegmentedCache
from nexfit.engine.engine import Engine
from nexfit.engine.fields import Column

from .both import no_specs, schema_of, specs_of


def of_ones(entries: int = 10, weight: int = 1000) -> SegmentedCache[str, str]:
    return SegmentedCache(entries, weight, lambda _: 1)


def test_what_was_used_twice_outlives_a_stream_of_new_entries() -> None:
    cache = of_ones()
    cache.put("used", "value")
    assert cache.get("used") == "value"
    for number in range(1000):
        cache.put(f"new {number}", "x")
    assert cache.get("used") == "value"
    assert len(cache) == 10
    assert cache.evicted == 991


def test_entries_used_longest_ago_make_room_among_the_used() -> None:
    cache = of_ones()
    for name in "abcdefghij":
        cache.put(name, name)
    for name in "abcdefghij":
        assert cache.get(name) == name
    assert cache.get("a") == "a"
    for name in "klmno":
        cache.put(name, name)
        cache.get(name)
    assert len(cache) == 10
    assert cache.get("a") == "a"
    assert cache.get("b") is None


def test_weight_is_bounded_too() -> None:
    cache: SegmentedCache[int, str] = SegmentedCache(100, 50, len)
    for number in range(20):
        cache.put(number, "x" * 10)
    assert len(cache) == 5
    assert cache.weight == 50
    cache.put(21, "x" * 51)
    assert cache.get(21) is None
    assert len(cache) == 5
    cache.put(22, "x" * 45)
    assert len(cache) == 1
    assert cache.weight == 45


async def test_documents_and_plans_are_made_once() -> None:
    engine = Engine(schema_of("type Query { a: Int b: Int }"), no_specs)
    source = "query A($b: Boolean!) { a b @include(if: $b) } query B { b }"
    for flag in (True, False, True, True, False):
        await engine.execute(source, operation_name="A", variables={"b": flag})
        await engine.execute(source, operation_name="B")
    assert (engine.counters.documents, engine.counters.compiled, engine.counters.plans) == (1, 3, 10)
    assert (await engine.execute("{ nope }")).errors == (await engine.execute("{ nope }")).errors
    assert engine.counters.documents == 2


async def test_evicted_operations_still_run() -> None:
    engine = Engine(schema_of("type Query { a: Int }"), no_specs, documents=2, plans=2)
    for _ in range(3):
        for number in range(10):
            result = await engine.execute(f"{{ a{number}: a }}", root={"a": 1})
            assert result.data == {f"a{number}": 1}
    assert engine.counters.compiled == 30


async def test_a_hostile_stream_of_new_operations_does_not_grow_memory() -> None:
    schema = schema_of("type Query { rows: [Row!] } type Row { a: Int b: String row: Row }")
    specs = specs_of(schema, {"Query.rows": Column("rows"), "Row.a": Column("a"), "Row.b": Column("b")})
    engine = Engine(schema, specs, documents=20, plans=20)
    row = {"a": 1, "b": "x", "row": {"a": 2}}
    conditions = " ".join(f"f{n}: a @include(if: $v{n})" for n in range(6))
    declared = ", ".join(f"$v{n}: Boolean!" for n in range(6))
    flagged = f"query ({declared}) {{ rows {{ {conditions} }} }}"
    numbers = count()

    async def blocks_after_a_generation() -> int:
        """Blocks of memory in use once everything the caches held has been replaced.

        Blocks, not bytes: every new name also enters the interpreter's table of interned strings, whose next doubling
        is one block, yet megabytes of it in a process that has run many other tests.
        """
        for number in islice(numbers, 64):  # as many as there are plans of the conditional operation
            new = f"{{ rows {{ x{number}: a y{number}: b row {{ z{number}: a }} }} }}"
            await engine.execute(new, root={"rows": [row]})
            flags = {f"v{bit}": bool(number >> bit & 1) for bit in range(6)}
            await engine.execute(flagged, root={"rows": [row]}, variables=flags)
            await engine.execute(f"{{ rows {{ unknown{number} }} }}")
        gc.collect()
        return sys.getallocatedblocks()

    await blocks_after_a_generation()
    levels = [await blocks_after_a_generation() for _ in range(8)]
    growth = median(after - before for before, after in pairwise(levels))
    assert growth < 64  # of 192 operations: one string kept of each would be 192
    assert engine.counters.compiled > 500

"""A thousand interleaved requests of different viewers share plans and nothing else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nexfit.engine.engine import Engine
from nexfit.engine.fields import Batch, Column, Derived

from .both import schema_of, shape, specs_of

SDL = """
type Query { viewer(name: String, list: [Int!]): Viewer! }
type Viewer { name: String! secret: String! echo(name: String = "none"): String! friends(first: Int = 2): [Viewer!]!
  must: Int! plain(n: Int): String }
"""
SOURCE = """
query ($name: String, $first: Int, $list: [Int!], $friends: Boolean!, $n: Int) {
  viewer(name: $name, list: $list) {
    name secret echo(name: $name) constant: echo(name: "fixed") plain(n: $n)
    friends(first: $first) @include(if: $friends) { name secret must friends(first: 1) { secret echo(name: $name) } }
  }
}
"""


@dataclass
class Viewer:
    """A request's context."""

    name: str
    random: random.Random

    async def pause(self) -> None:
        for _ in range(self.random.randint(0, 3)):
            await asyncio.sleep(0)


async def test_a_thousand_interleaved_requests_leak_nothing() -> None:
    async def viewer(parents: Sequence[Any], args: Any, context: Viewer) -> Any:
        await context.pause()
        if args["name"] != context.name:
            return [PermissionError(f"{context.name} is not {args['name']}") for _ in parents]
        assert args["list"] == [len(context.name)]
        return [{"owner": context, "name": context.name} for _ in parents]

    async def friends(parents: Sequence[Any], args: Any, context: Viewer) -> Any:
        await context.pause()
        assert all(parent["owner"] is context for parent in parents)
        return [
            [{"owner": context, "name": f"{parent['name']}>{number}"} for number in range(args["first"])]
            for parent in parents
        ]

    async def must(parents: Sequence[Any], _args: Any, context: Viewer) -> Any:
        await context.pause()
        return [None if context.name.endswith("7") else 1 for _ in parents]

    def secret(record: Any, _args: Any, context: Viewer) -> str:
        assert record["owner"] is context
        return f"secret of {context.name}"

    async def plain(source: Any, info: Any, n: int | None = None) -> str:
        await info.context.pause()
        assert source["owner"] is info.context
        assert info.variable_values.coerced["name"] == info.context.name
        return f"{info.context.name} {n}"

    schema = schema_of(SDL, {"Viewer.plain": plain})

    def given(values: dict[str, Any], _selection: Any) -> dict[str, Any]:
        return values

    specs = {
        "Query.viewer": Batch(viewer, arguments=given),
        "Viewer.friends": Batch(friends, arguments=given),
        "Viewer.must": Batch(must),
        "Viewer.name": Column("name"),
        "Viewer.secret": Derived(secret),
        "Viewer.echo": Derived(lambda _, args, context: f"{args['name']}/{context.name}", arguments=given),
    }
    engine = Engine(schema, specs_of(schema, specs))
    chosen = random.Random(20261105)  # noqa: S311 - test data

    async def request(number: int) -> None:
        name, first = f"viewer{number}", number % 4
        wants_friends, foreign = number % 3 != 0, number % 10 == 3
        context = Viewer(name, random.Random(number))  # noqa: S311 - test data
        await context.pause()
        result = await engine.execute(
            SOURCE,
            variables={
                "name": "somebody" if foreign else name,
                "first": first,
                "list": [len(name)],
                "friends": wants_friends,
                **({"n": number} if number % 2 else {}),
            },
            context=context,
        )
        data, errors = shape(result)
        if foreign:
            assert (data, errors) == (None, [(f"{name} is not somebody", ["viewer"])])
            return
        if wants_friends and first and name.endswith("7"):
            message = "Cannot return null for non-nullable field Viewer.must."
            assert (data, errors) == (None, [(message, ["viewer", "friends", 0, "must"])])
            return
        mine = {"secret": f"secret of {name}"}
        expected: dict[str, Any] = {
            "name": name,
            **mine,
            "echo": f"{name}/{name}",
            "constant": f"fixed/{name}",
            "plain": f"{name} {number if number % 2 else None}",
        }
        if wants_friends:
            below = {"must": 1, "friends": [{**mine, "echo": f"{name}/{name}"}]}
            expected["friends"] = [{"name": f"{name}>{n}", **mine, **below} for n in range(first)]
        assert (data, errors) == ({"viewer": expected}, [])
        assert name in result.to_json().decode()

    numbers = list(range(1000))
    chosen.shuffle(numbers)
    await asyncio.gather(*map(request, numbers))
    assert engine.counters.compiled == 2
    assert engine.counters.plans == 1000

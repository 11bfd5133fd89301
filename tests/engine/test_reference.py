"""What plans do not do is done by graphql-core, and says so."""

from __future__ import annotations

from typing import Any

import orjson
from graphql import GraphQLDeferDirective, GraphQLSchema, GraphQLStreamDirective, specified_directives

from nexfit.engine.engine import Engine

from .both import no_specs, schema_of


def incremental_schema() -> GraphQLSchema:
    async def slow(_source: Any, _info: Any) -> str:
        return "slow"

    schema = schema_of("type Query { fast: String slow: String items: [Int] }", {"Query.slow": slow})
    kwargs = schema.to_kwargs()
    kwargs["directives"] = (*specified_directives, GraphQLDeferDirective, GraphQLStreamDirective)
    return GraphQLSchema(**kwargs)


async def test_deferred_and_streamed_answers_come_from_the_reference() -> None:
    engine = Engine(incremental_schema(), no_specs)
    source = '{ fast ... @defer(label: "later") { slow } items @stream(initialCount: 1) }'
    result = await engine.execute(source, root={"fast": "fast", "items": [1, 2, 3]})
    assert result.executor == "reference"
    assert engine.counters.reference == 1
    first = orjson.loads(result.to_json())
    assert first["data"] == {"fast": "fast", "items": [1]}
    assert first["hasNext"] is True
    assert [pending["path"] for pending in first["pending"]] == [[], ["items"]]
    assert result.subsequent is not None
    later = [payload.formatted async for payload in result.subsequent]
    assert later[-1]["hasNext"] is False
    assert {"slow": "slow"} in [part.get("data") for payload in later for part in payload.get("incremental", [])]


async def test_the_same_schema_runs_plans_where_nothing_is_deferred() -> None:
    engine = Engine(incremental_schema(), no_specs)
    result = await engine.execute("{ fast slow }", root={"fast": "fast"})
    assert (result.executor, result.data, result.subsequent) == ("plan", {"fast": "fast", "slow": "slow"}, None)

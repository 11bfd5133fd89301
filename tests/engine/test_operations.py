"""Operations: which one runs, what resolvers are told, arguments, variables, directives, mutations, introspection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLError,
    GraphQLInt,
    GraphQLNonNull,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    get_introspection_query,
    parse,
    validate,
)

from nexfit.engine.engine import Engine
from nexfit.engine.fields import Batch, Column

from .answers import reference
from .both import both, field_of, messages, no_specs, schema_of, shape, specs_of

# --- requests that are not executed


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("{ a ", None),
        ("", None),
        ("{ a }", "Other"),
        ("query A { a } query B { a }", None),
        ("query A { a } query B { a }", "C"),
        ("query A { a } query B { a }", ""),
        ("fragment F on Query { a }", None),
        ("type A { a: Int }", None),
        ("{ unknown }", None),
        ("{ a { b } }", None),
        ("query ($v: Nothing) { a }", None),
    ],
)
async def test_request_errors_are_answered_as_the_reference_does(source: str, name: str | None) -> None:
    schema = schema_of("type Query { a: Int }")
    result = await Engine(schema, no_specs).execute(source, operation_name=name)
    assert result.data is None
    assert result.errors
    assert result.errors == await request_errors(schema, source, name)


async def request_errors(schema: GraphQLSchema, source: str, name: str | None) -> list[GraphQLError]:
    try:
        document = parse(source)
    except GraphQLError as error:
        return [error]
    errors = validate(schema, document)
    return errors or (await reference(schema, document, operation_name=name)).errors or []


async def test_validation_stops_early_and_can_keep_its_suggestions() -> None:
    schema = schema_of("type Query { name: String }")
    engine = Engine(schema, no_specs, max_errors=2, hide_suggestions=True)
    result = await engine.execute("{ nam namee namme naame }")
    assert messages(result)[0] == "Cannot query field 'nam' on type 'Query'."
    assert len(result.errors) == 3
    assert messages(result)[-1].startswith("Too many validation errors")


async def test_a_document_of_too_many_tokens_is_not_parsed() -> None:
    result = await Engine(schema_of("type Query { a: Int }"), no_specs, max_tokens=10).execute("{ " + "a " * 20 + "}")
    assert messages(result) == ["Syntax Error: Document contains more than 10 tokens. Parsing aborted."]


async def test_a_mutation_needs_a_mutation_type() -> None:
    schema = schema_of("type Query { a: Int }")
    engine = Engine(schema, no_specs, rules=())
    document = "mutation { a }"
    assert messages(await engine.execute(document)) == ["The mutation operation is not supported by the schema."]


# --- what resolvers see


async def test_resolvers_get_their_source_arguments_and_the_whole_info() -> None:
    seen: list[tuple[Any, GraphQLResolveInfo[Any], dict[str, Any]]] = []

    def resolve(source: Any, info: GraphQLResolveInfo[Any], **args: Any) -> Any:
        seen.append((source, info, args))
        return {"again": {}}

    schema = schema_of("type Query { again(n: Int = 3, text: String): Query many: [Query] }", {"Query.again": resolve})
    root = {"many": [{"id": 1}, {"id": 2}]}
    source = """
      query Q($n: Int = 8) { many { first: again(n: $n) { __typename } first: again(n: $n) { again { __typename } } } }
    """
    result = await Engine(schema, no_specs).execute(source, root=root, context="ctx", variables={"n": 9})
    assert not result.errors
    assert [(source, args) for source, _, args in seen] == [
        ({"id": 1}, {"n": 9}),
        ({"id": 2}, {"n": 9}),
        ({"again": {}}, {"n": 3}),
        ({"again": {}}, {"n": 3}),
    ]
    info = seen[1][1]
    assert info.field_name == "again"
    assert [node.alias.value for node in info.field_nodes if node.alias] == ["first", "first"]
    assert info.return_type is schema.query_type
    assert info.parent_type is schema.query_type
    assert info.path.as_list() == ["many", 1, "first"]
    assert info.path.typename == "Query"
    assert seen[3][1].path.as_list() == ["many", 1, "first", "again"]
    assert info.schema is schema
    assert info.root_value is root
    assert info.operation.name.value == "Q"  # type: ignore[union-attr]
    assert info.variable_values.coerced == {"n": 9}
    assert info.context == "ctx"
    assert info.fragments == {}
    assert info.is_awaitable(asyncio.get_running_loop().create_future()) is True
    assert await info.async_helpers.gather([asyncio.sleep(0, 1), asyncio.sleep(0, 2)]) == [1, 2]


async def test_a_field_without_a_resolver_reads_keys_attributes_and_calls_methods() -> None:
    class Item:
        plain = "attribute"
        _count = 2

        def method(self, info: Any, by: int = 1) -> str:
            return f"{info.field_name} {self._count * by}"

        async def later(self, _info: Any) -> str:
            await asyncio.sleep(0)
            return "later"

        @property
        def broken(self) -> str:
            raise RuntimeError("property failed")

    schema = schema_of(
        "type Query { item: Item dict: Item } "
        "type Item { plain: String method(by: Int): String later: String broken: String missing: Int }"
    )
    source = "{ item { plain method twice: method(by: 2) later broken missing } dict { plain method missing } }"
    result = await both(schema, source, root={"item": Item(), "dict": {"plain": 1, "method": lambda _info: "called"}})
    assert shape(result) == (
        {
            "item": {
                "plain": "attribute",
                "method": "method 2",
                "twice": "method 4",
                "later": "later",
                "broken": None,
                "missing": None,
            },
            "dict": {"plain": "1", "method": "called", "missing": None},
        },
        [("property failed", ["item", "broken"])],
    )


async def test_awaitables_of_every_kind_are_awaited() -> None:
    class Awaitable:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return "own"

    loop = asyncio.get_running_loop()

    def future() -> Any:
        made = loop.create_future()
        loop.call_soon(made.set_result, "future")
        return made

    async def nested() -> Any:
        return {"a": asyncio.sleep(0, "deep"), "q": asyncio.sleep(0, {"a": "deeper"})}

    schema = schema_of("type Query { a: String b: String c: String q: Query }")
    make = {
        "a": lambda _: Awaitable(),
        "b": lambda _: future(),
        "c": lambda _: asyncio.ensure_future(asyncio.sleep(0, "task")),
        "q": lambda _: nested(),
    }
    result = await both(schema, "{ a b c q { a q { a } } }", root=make)
    assert result.data == {"a": "own", "b": "future", "c": "task", "q": {"a": "deep", "q": {"a": "deeper"}}}


async def test_resolvers_of_a_level_run_concurrently() -> None:
    running = most = 0

    async def resolve(_source: Any, _info: Any) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return 1

    schema = schema_of(
        "type Query { rows: [Row!] x: Int } type Row { n: Int m: Int }",
        {"Row.n": resolve, "Row.m": resolve, "Query.x": resolve},
    )
    await Engine(schema, no_specs).execute("{ rows { n m } x }", root={"rows": [{}] * 5})
    assert most == 11


# --- arguments and variables

INPUTS = """
scalar Even
enum Color { RED GREEN }
input Inner { deep: [Int!] = [7] flag: Boolean = true }
input Filter {
  name: String = "any" must: Int! inner: Inner = {flag: false} inners: [Inner!] even: Even color: Color = RED
}
input One @oneOf { a: Int b: String }
type Query {
  show(s: String i: Int = 5 f: Float b: Boolean id: ID color: Color even: Even list: [String] matrix: [[Int!]!]
       filter: Filter one: One withDefault: Filter = {must: 1}): String
  must(s: String! n: Int! = 3): String
}
"""


def inputs_schema() -> GraphQLSchema:
    def show(_source: Any, _info: Any, **args: Any) -> str:
        return repr(args)

    schema = schema_of(INPUTS, {"Query.show": show, "Query.must": show})
    even = schema.type_map["Even"]
    assert isinstance(even, GraphQLScalarType)

    def checked(value: Any) -> int:
        if not isinstance(value, int) or value % 2:
            raise ValueError(f"{value!r} is not even")
        return value // 2

    even.coerce_input_value = even.parse_value = checked  # type: ignore[method-assign]
    return schema


@pytest.mark.parametrize(
    "arguments",
    [
        "", '(s: "x")', "(s: null)", "(i: null)", '(s: "\\u00fc\\"\\\\", i: 1, f: 2, b: false, id: 7, color: GREEN)',
        "(even: 4)", '(list: "one")', '(list: ["a", null])', "(matrix: [[1, 2], []])", "(matrix: 3)",
        "(filter: {must: 2})", "(filter: {must: 2, inner: null, inners: [{}, {deep: []}]})", "(one: {a: 1})",
        "(filter: {must: 1, even: 6}, withDefault: null)", "(withDefault: {must: 2, name: null})",
    ],
)  # fmt: skip
async def test_literal_arguments(arguments: str) -> None:
    schema = inputs_schema()
    engine = Engine(schema, no_specs)
    for _ in range(2):
        await both(schema, f"{{ show{arguments} }}", engine=engine)


@pytest.mark.parametrize(
    ("declared", "arguments", "given"),
    [
        ("$v: String", "(s: $v)", [{}, {"v": None}, {"v": "x"}, {"v": 5}, {"v": ["x"]}, {"w": 1}]),
        ('$v: String = "d"', "(s: $v)", [{}, {"v": None}, {"v": "x"}]),
        ("$v: String!", "(s: $v)", [{}, {"v": None}, {"v": "x"}, {"v": 5}]),
        ("$v: Int", "(i: $v)",
         [{}, {"v": None}, {"v": 2}, {"v": 2.0}, {"v": 2.5}, {"v": "2"}, {"v": 2**31}, {"v": True}]),
        ("$v: Float", "(f: $v)", [{"v": 2}, {"v": 2.5}, {"v": float("nan")}, {"v": "2"}]),
        ("$v: Boolean", "(b: $v)", [{"v": True}, {"v": 0}, {"v": "true"}]),
        ("$v: ID", "(id: $v)", [{"v": 7}, {"v": "7"}, {"v": 7.5}, {"v": True}]),
        ("$v: Color", "(color: $v)", [{"v": "RED"}, {"v": "BLUE"}, {"v": 5}, {"v": None}]),
        ("$v: Even", "(even: $v)", [{"v": 4}, {"v": 5}, {"v": "x"}, {"v": None}]),
        ("$v: [String]", "(list: $v)", [{"v": []}, {"v": "one"}, {"v": ["a", None]}, {"v": [1]}, {"v": None}]),
        ("$v: [[Int!]!]", "(matrix: $v)", [{"v": [[1]]}, {"v": 5}, {"v": [1, 2]}, {"v": [[None]]}, {"v": [None]}]),
        ("$v: Filter", "(filter: $v)", [
            {"v": {"must": 1}}, {"v": {}}, {"v": {"must": None}}, {"v": {"must": 1, "more": 2}}, {"v": 5},
            {"v": None}, {"v": {"must": 1, "even": 3}}, {"v": {"must": 1, "inner": {"deep": 4}}},
            {"v": {"must": "x", "inners": [{"flag": 1}, {"deep": ["y"]}], "color": "RAINBOW"}},
        ]),
        ("$v: One", "(one: $v)", [{"v": {"a": 1}}, {"v": {"a": 1, "b": "x"}}, {"v": {"a": None}}, {"v": {}}]),
        ("$v: Int!, $w: Boolean = true", "(filter: {must: 1, inner: {deep: [$v, 2], flag: $w}})",
         [{"v": 1}, {}, {"v": None}, {"v": 1, "w": None}]),
        ("$v: String, $w: String", "(list: [$v, $w, null])", [{}, {"v": "x"}, {"w": None}]),
        ("$v: Int!, $w: Int", "(i: $w, filter: {must: $v})", [{"v": 1}, {"v": 1, "w": 2}, {}]),
        ("$v: Int, $x: Float", "(i: $v, f: $x)", [{}, {"v": 1}, {"x": 2}]),
    ],
)  # fmt: skip
async def test_variables(declared: str, arguments: str, given: list[dict[str, Any]]) -> None:
    schema = inputs_schema()
    engine = Engine(schema, no_specs)
    for variables in given:
        await both(schema, f"query ({declared}) {{ show{arguments} }}", variables=variables, engine=engine)


@pytest.mark.parametrize("given", [{}, {"s": "x"}, {"s": "x", "n": 4}, {"s": None}, {"s": "x", "n": None}])
async def test_required_arguments(given: dict[str, Any]) -> None:
    schema = inputs_schema()
    await both(schema, 'query ($s: String = "d", $n: Int = 1) { must(s: $s, n: $n) }', variables=given)
    await both(schema, 'query ($n: Int = 2) { a: must(s: "x", n: $n) b: must(s: "y") }', variables=given)


async def test_a_refused_argument_fails_its_field_for_every_parent_whatever_kind_the_field_is() -> None:
    async def load(parents: Any, _args: Any, _context: Any) -> Any:
        return [1 for _ in parents]

    def resolve(*_: Any, **__: Any) -> int:
        return 1

    sdl = "type Query { rows: [Row!] } type Row { a(n: Int! = 1): Int }"
    source = "query ($n: Int = 2) { rows { a(n: $n) } }"
    root = {"rows": [{"a": 1}, {"a": 2}]}
    expected = await both(schema_of(sdl, {"Row.a": resolve}), source, root=root, variables={"n": None})
    assert len(expected.errors) == 2
    schema = schema_of(sdl)
    for spec in (Batch(load), Column("a")):
        result = await Engine(schema, specs_of(schema, {"Row.a": spec})).execute(
            source, root=root, variables={"n": None}
        )
        assert result.to_json() == expected.to_json()


async def test_renamed_arguments_reach_the_resolver_by_their_own_name() -> None:
    schema = schema_of("type Query { a(x: Int): String }", {"Query.a": lambda _s, _i, **args: repr(args)})
    field_of(schema, "Query.a").args = {
        "from": GraphQLArgument(GraphQLNonNull(GraphQLInt), out_name="from_"),
        "x": GraphQLArgument(GraphQLInt, out_name="y", default_value=4),
    }
    await both(schema, "query ($f: Int!) { a(from: $f) b: a(from: 2, x: 1) }", variables={"f": 1})


async def test_argument_objects_are_not_shared_between_executions() -> None:
    def resolve(_source: Any, _info: Any, filter: Any, list: Any) -> str:
        filter["seen"] = True
        list.append("more")
        return f"{filter} {list}"

    schema = inputs_schema()
    field_of(schema, "Query.show").resolve = resolve
    engine = Engine(schema, no_specs)
    source = '{ show(filter: {must: 1, inner: {deep: [1]}}, list: ["a"]) }'
    answers = {(await engine.execute(source)).to_json() for _ in range(3)}
    assert len(answers) == 1


# --- directives, fragments, aliases


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("include", [True, False])
async def test_skip_and_include_everywhere(skip: bool, include: bool) -> None:
    schema = schema_of("type Query { a: Int b: Int q: Query }")
    engine = Engine(schema, no_specs)
    source = """
      query ($s: Boolean!, $i: Boolean = true) {
        a @skip(if: $s) b @include(if: $i) both: a @skip(if: $s) @include(if: $i) never: a @skip(if: true)
        ... @include(if: $i) { q { a b @skip(if: $s) } }
        ... on Query @skip(if: $s) { x: a }
        ...F @include(if: $i)
        ...F @skip(if: $s)
      }
      fragment F on Query { f: b q @skip(if: $s) { y: a } }
    """
    root = {"a": 1, "b": 2, "q": {"a": 3, "b": 4}}
    await both(schema, source, root=root, variables={"s": skip, "i": include}, engine=engine)
    await both(schema, source, root=root, variables={"s": skip}, engine=engine)
    refused = await both(schema, source, root=root, variables={"s": skip, "i": None}, engine=engine)
    assert refused.executor == "reference", "a null for a directive is for the reference to refuse"


async def test_selections_of_one_key_are_merged_in_the_order_of_the_document() -> None:
    schema = schema_of("type Query { a: Int b: Int c: Int q: Query }")
    source = """
      { q { a } b ...F q { c ... { b } ... on Query { q { a } } } x: q { x: a } }
      fragment F on Query { c q { b ...G } }
      fragment G on Query { q { b c } c }
    """
    await both(schema, source, root={"a": 1, "b": 2, "c": 3, "q": {"a": 4, "b": 5, "c": 6, "q": {"a": 7, "b": 8}}})


async def test_an_unused_or_fieldless_selection_is_fine() -> None:
    schema = schema_of("type Query { a: Int q: Query }")
    await both(schema, "{ q { a @skip(if: true) } q @skip(if: true) { a } }", root={"q": {}})
    await both(schema, "{ q { ... on Query @include(if: false) { a } } }", root={"q": {}}, variables={"more": 1})


# --- mutations


async def test_mutations_run_one_after_the_other() -> None:
    log: list[str] = []

    def mutation(name: str) -> Any:
        async def resolve(_source: Any, _info: Any) -> Any:
            log.append(f"{name} begins")
            await asyncio.sleep(0.002 if name == "first" else 0)
            log.append(f"{name} ends")
            if name == "fails":
                raise ValueError("failed")
            return {"name": name}

        return resolve

    async def below(source: Any, _info: Any) -> str:
        await asyncio.sleep(0)
        log.append(f"below {source['name']}")
        return "done"

    names = ("first", "second", "fails", "last")
    schema = schema_of(
        "type Query { a: Int } type Done { below: String } "
        "type Mutation { first: Done second: Done fails: Done last: Done }",
        {**{f"Mutation.{name}": mutation(name) for name in names}, "Done.below": below},
    )
    result = await Engine(schema, no_specs).execute(
        "mutation { first { below } x: second { below } __typename fails { below } ...F } "
        "fragment F on Mutation { last { below } }"
    )
    assert shape(result) == (
        {
            "first": {"below": "done"},
            "x": {"below": "done"},
            "__typename": "Mutation",
            "fails": None,
            "last": {"below": "done"},
        },
        [("failed", ["fails"])],
    )
    assert log == [
        "first begins", "first ends", "below first", "second begins", "second ends", "below second",
        "fails begins", "fails ends", "last begins", "last ends", "below last",
    ]  # fmt: skip


async def test_nothing_runs_after_a_mutation_that_nulled_the_response() -> None:
    ran: list[str] = []

    def run(_source: Any, info: Any) -> int | None:
        ran.append(info.field_name)
        return None if info.field_name == "must" else 1

    schema = schema_of(
        "type Query { a: Int } type Mutation { may: Int must: Int! then: Int }",
        {"Mutation.may": run, "Mutation.must": run, "Mutation.then": run},
    )
    result = await both(schema, "mutation { may must then }")
    assert result.data is None
    assert ran == ["may", "must"] * 2, "once for the engine and once for the reference"


# --- introspection, and what falls back


async def test_introspection_is_answered_like_the_reference() -> None:
    schema = inputs_schema()
    await both(schema, get_introspection_query(input_value_deprecation=True, one_of=True, specified_by_url=True))
    await both(schema, '{ __type(name: "Filter") { inputFields { name defaultValue type { kind ofType { name } } } } }')
    await both(schema, '{ __typename __schema { queryType { fields { name } } } no: __type(name: "X") { name } }')


async def test_more_than_a_plan_may_hold_runs_on_the_reference() -> None:
    schema = schema_of("type Query { a: Int q: Query }")
    engine = Engine(schema, no_specs)
    fragments = [f"fragment F{n} on Query {{ x: q {{ ...F{n + 1} }} y: q {{ ...F{n + 1} }} }}" for n in range(16)]
    source = "{ ...F0 } " + " ".join(fragments) + " fragment F16 on Query { a }"
    result = await both(schema, source, root={"q": {"q": None}}, engine=engine)
    assert result.executor == "reference"
    deep = "{ q " * 150 + "{ a }" + " }" * 150
    assert (await both(schema, deep, root={"q": {"a": 1}}, engine=engine)).executor == "reference"
    assert engine.counters.reference == 2
    assert engine.counters.plans == 0

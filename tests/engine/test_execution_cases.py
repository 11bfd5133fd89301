"""What graphql-core's own tests of execution check, in our words, each case answered by a plan as by the reference.

Its modules of version 3.3.2, and where their cases are here:

- executor, schema: below; operations and their names in `test_operations`, `test_reference`; siblings in `test_batches`
- lists: below; nullability at every depth in `test_completion`
- nonnull: below; chains of required fields in `test_completion`, errors at one nulled position in `test_differential`
- variables, oneof: below; coercion in `test_operations`
- directives: `test_operations`
- resolve: below, and `test_operations`
- abstract, union_interface: below; what names a type and what is refused in `test_types`
- mutations, parallel: below, `test_operations` and `test_batches`
- subscribe: below, and `test_subscriptions`

Not for plans:

- error_propagation, incremental, executor_throwing_on_incremental: @defer, @stream and errors that do not propagate
  run on graphql-core (`test_reference`), and so does what too_deeply_nested_selections nests (`test_operations`)
- sync: there is no synchronous execution; an answer is always awaited
- customize, hooks, middleware, collect_fields, map_async_iterable, execution_result: parts of graphql-core that the
  engine offers no way to replace
- cancellation, aborted_graphql_execution_error, and what parallel cancels: siblings of a failed field run to their end,
  and who cancels the execution cancels all of it (`test_batches`)

Where graphql-core lets timing decide which of several errors is told, a plan tells the first of the document. It reads
an iterator no further than its failure, and an asynchronous one to its end before items are completed; answers are the
same. Of a document that is not valid nothing is executed, so cases about executing one have no counterpart.
"""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest
from graphql import (
    GraphQLError,
    GraphQLField,
    GraphQLInt,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    GraphQLUnionType,
    parse,
)

from nexfit.engine.engine import Engine

from .both import both, field_of, no_specs, schema_of, shape


def later(value: Any) -> Any:
    """A value that has to be awaited, or an error that is raised then."""

    async def give() -> Any:
        await asyncio.sleep(0)
        if isinstance(value, Exception):
            raise value
        return value

    return give()


def fails(error: Exception) -> Any:
    raise error


# --- executor: errors of every kind, paths, order

WAYS: dict[str, Callable[[], Any]] = {
    "value": lambda: "v",
    "raised": lambda: fails(ValueError("raised")),
    "returned": lambda: ValueError("returned"),
    "empty": lambda: fails(ValueError()),
    "located": lambda: fails(GraphQLError("located", extensions={"code": 7})),
    "later": lambda: later("v"),
    "raised later": lambda: later(ValueError("raised later")),
    "returned later": lambda: later_returned(),  # noqa: PLW0108 - it is defined below
    "null": lambda: None,
    "null later": lambda: later(None),
}


def later_returned() -> Any:
    async def give() -> Any:
        return ValueError("returned later")

    return give()


@pytest.mark.parametrize("type_", ["String", "String!", "[String]", "[String!]", "[String!]!"])
@pytest.mark.parametrize("way", WAYS)
async def test_every_way_to_fail_at_every_nullability(way: str, type_: str) -> None:
    give = WAYS[way]
    listed = type_.startswith("[")

    def items() -> Iterator[Any]:
        yield "first"
        yield give()
        yield "last"

    schema = schema_of(
        f"type Query {{ box: Box }} type Box {{ tried: {type_} sure: String }}",
        {
            "Query.box": lambda *_: {},
            "Box.tried": lambda *_: items() if listed else give(),
            "Box.sure": lambda *_: "sure",
        },
    )
    await both(schema, "{ box { tried sure } again: box { sure } }")


async def test_the_path_of_an_error_leads_through_lists_and_abstract_types() -> None:
    schema = schema_of(
        """type Query { all: [Named] } interface Named { name: String parts: [Named!] }
           type One implements Named { name: String parts: [Named!] bad: Int! }
           type Two implements Named { name: String parts: [Named!] }""",
        {"One.bad": lambda *_: fails(ValueError("bad"))},
    )
    tree = {"all": [{"__typename": "Two", "parts": [{"__typename": "Two"}, {"__typename": "One"}]}, None]}
    result = await both(schema, "{ all { name parts { name ... on One { bad } } } }", root=tree)
    assert shape(result)[1] == [("bad", ["all", 0, "parts", 1, "bad"])]


async def test_keys_keep_the_documents_order_whatever_is_ready_first() -> None:
    async def slow(*_: Any) -> str:
        await asyncio.sleep(0.01)
        return "slow"

    schema = schema_of(
        "type Query { a: String b: String c: String d: String }",
        {"Query.a": lambda *_: "a", "Query.b": slow, "Query.c": lambda *_: "c", "Query.d": lambda *_: later("d")},
    )
    result = await both(schema, "{ d b c a }")
    assert list(result.data or {}) == ["d", "b", "c", "a"]


async def test_errors_below_what_another_one_nulled_are_not_told() -> None:
    schema = schema_of(
        "type Query { outer: Outer } type Outer { inner: [Inner!] } type Inner { required: Int! other: Int }",
        {"Inner.required": lambda *_: None},
    )
    result = await both(schema, "{ outer { inner { required } } }", root={"outer": {"inner": [{}, {}, {}]}})
    assert len(result.errors) == 1


async def test_a_custom_scalar_that_writes_nothing_is_an_error() -> None:
    nothing = GraphQLScalarType("Nothing", serialize=lambda _: None)
    schema = GraphQLSchema(GraphQLObjectType("Query", {"it": GraphQLField(nothing, resolve=lambda *_: "it")}))
    await both(schema, "{ it }")


async def test_arguments_that_are_not_given_are_not_passed() -> None:
    schema = schema_of(
        "type Query { told(a: Boolean b: Boolean c: Boolean = true d: Int e: Int): String }",
        {"Query.told": lambda *_, **given: repr(given)},
    )
    await both(schema, "query ($d: Int) { told(a: true, c: false, d: $d, e: 0) }")
    await both(schema, "query ($d: Int) { told(b: null, d: $d) }", variables={"d": None})


async def test_variables_of_fragments_are_left_to_the_reference() -> None:
    schema = schema_of("type Query { told(text: String): String }", {"Query.told": lambda *_, text=None: text})
    engine = Engine(schema, no_specs, parse=partial(parse, experimental_fragment_arguments=True))
    result = await engine.execute('{ ...F(x: "A") } fragment F($x: String) on Query { told(text: $x) }')
    assert (result.executor, result.data, result.errors) == ("reference", {"told": "A"}, [])


# --- lists: what counts as one


class Items:
    def __iter__(self) -> Iterator[str]:
        return iter(("custom", "items"))


class Later:
    """Asynchronous items; an exception among them is raised."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self.items:
            if isinstance(item, Exception):
                raise item
            yield item


def broken() -> Iterator[str]:
    yield "ok"
    raise ValueError("broke off")


LISTS: dict[str, Callable[[], Any]] = {
    "list": lambda: ["a", "b"],
    "tuple": lambda: ("a", "b"),
    "set": lambda: {"a"},
    "generator": lambda: (letter for letter in "ab"),
    "iterable": Items,
    "mapping": lambda: {"a": "b"},
    "text": lambda: "not a list",
    "number": lambda: 7,
    "iterator that fails": broken,
    "async": lambda: Later("a", "b"),
    "async that fails": lambda: Later("a", ValueError("broke off")),
    "async of awaitables": lambda: Later("a", later("b"), later(ValueError("late"))),
    "async with nulls": lambda: Later("a", None, "b"),
    "async of what the type refuses": lambda: Later("a", {}),
    "nothing": lambda: None,
    "failure": lambda: ValueError("no list"),
    "later": lambda: later(["a", None]),
    "async later": lambda: later(Later("a", None)),
}


@pytest.mark.parametrize("type_", ["[String]", "[String]!", "[String!]", "[String!]!"])
@pytest.mark.parametrize("kind", LISTS)
async def test_what_is_a_list(kind: str, type_: str) -> None:
    give = LISTS[kind]
    schema = schema_of(f"type Query {{ listed: {type_} }}", {"Query.listed": lambda *_: give()})
    await both(schema, "{ listed }")


@pytest.mark.parametrize("type_", ["[Item]", "[Item!]", "[Item!]!"])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_fields_of_items_fail_one_by_one(asynchronous: bool, type_: str) -> None:
    def index(item: dict[str, int], _: Any) -> Any:
        return ValueError("second") if item["at"] == 1 else later(item["at"]) if item["at"] == 2 else item["at"]

    items = [{"at": at} for at in range(3)]
    schema = schema_of(
        f"type Query {{ items: {type_} }} type Item {{ at: Int required: Int! }}",
        {"Query.items": lambda *_: Later(*items) if asynchronous else items, "Item.at": index, "Item.required": index},
    )
    for below in ("at", "at required"):
        await both(schema, f"{{ items {{ {below} }} }}")


# --- resolve: the default resolver


class Person:
    name = "attribute"

    def greeting(self, info: Any, *, to: str = "you") -> str:
        return f"{info.field_name} {to} {info.context}"

    async def soon(self, _: Any) -> str:
        return "soon"


async def test_the_default_resolver_reads_attributes_keys_and_methods() -> None:
    sdl = "type Query { person: Person } type Person { name: String greeting(to: String): String soon: String }"
    query = '{ person { name greeting(to: "all") soon } }'
    for person in (
        Person(),
        {"name": "key"},
        ChainMap({"name": "first"}, {"name": "second"}),
        {"name": lambda _: "called", "greeting": lambda _, to: to},
    ):
        await both(schema_of(sdl), query, root={"person": person}, context="context")


async def test_an_error_of_a_resolver_is_the_located_errors_cause() -> None:
    error = KeyError("what")
    schema = schema_of("type Query { it: Int }", {"Query.it": lambda *_: fails(error)})
    result = await both(schema, "{ it }")
    assert result.errors[0].original_error is error


# --- abstract types: how the runtime type is found, at once or later

PETS = {"dogs": [{"name": "Odie", "barks": True, "kind": "Dog"}, {"name": "Garfield", "barks": False, "kind": "Cat"}]}


class Cat:
    name = "Garfield"
    barks = False


class Kitten(Cat):
    name = "Kit"


def pets(way: str, given: Callable[[Any], Any], *, abstract: type) -> GraphQLSchema:
    """A schema of an abstract type whose objects are told apart by `way`; `given` makes an answer awaitable or not."""
    fields = {"name": GraphQLField(GraphQLString), "barks": GraphQLField(GraphQLString)}
    answers = {
        "kind": lambda pet, *_: given(pet["kind"]),
        "raises": lambda *_: given(ValueError("no type")),
        "nothing": lambda *_: given(None),
        "unknown": lambda *_: given("Bird"),
        "impossible": lambda *_: given("Query"),
        "no name": lambda *_: given(7),
    }

    def is_type_of(name: str) -> Any:
        checks = {
            "checks": lambda pet, _: given(pet["kind"] == name),
            "checks raise": lambda *_: given(ValueError(f"not a {name}?")),
            "checks answer with something": lambda *_: ValueError("neither true nor false"),
            "checks refuse": lambda *_: given(False),
            "first at once, then a failure": lambda *_: True if name == "Dog" else given(ValueError("too late")),
        }
        return checks.get(way)

    resolve_type = answers.get(way)
    interface = GraphQLInterfaceType("Pet", fields, resolve_type=resolve_type)
    interfaces = [interface] if abstract is GraphQLInterfaceType else []
    types = [
        GraphQLObjectType(name, fields, interfaces=interfaces, is_type_of=is_type_of(name)) for name in ("Dog", "Cat")
    ]
    pet = interface if abstract is GraphQLInterfaceType else GraphQLUnionType("Pet", types, resolve_type=resolve_type)
    return GraphQLSchema(GraphQLObjectType("Query", {"dogs": GraphQLField(GraphQLList(pet))}), types=types)


def at_once(value: Any) -> Any:
    return fails(value) if isinstance(value, Exception) else value


TYPED = "{ dogs { __typename ... on Dog { name barks } ... on Cat { name } } }"
WAYS_TO_A_TYPE = (
    *("kind", "raises", "nothing", "unknown", "impossible", "no name"),
    *("checks", "checks raise", "checks answer with something", "checks refuse", "first at once, then a failure"),
)


@pytest.mark.parametrize("abstract", [GraphQLInterfaceType, GraphQLUnionType], ids=["interface", "union"])
@pytest.mark.parametrize("given", [at_once, later], ids=["now", "later"])
@pytest.mark.parametrize("way", WAYS_TO_A_TYPE)
async def test_finding_the_type_of_an_object(way: str, given: Callable[[Any], Any], abstract: type) -> None:
    await both(pets(way, given, abstract=abstract), TYPED, root=PETS)


async def test_types_are_asked_of_their_objects_at_the_same_time() -> None:
    barrier = asyncio.Barrier(2)

    async def is_dog(pet: Any, _: Any) -> bool:
        async with asyncio.timeout(20):
            await barrier.wait()
        return bool(pet["kind"] == "Dog")

    schema = schema_of(
        "type Query { dogs: [Pet] } union Pet = Dog | Cat type Dog { name: String } type Cat { name: String }"
    )
    for name, check in (("Dog", is_dog), ("Cat", lambda *_: later(False))):
        type_ = schema.type_map[name]
        assert isinstance(type_, GraphQLObjectType)
        type_.is_type_of = check
    await both(schema, TYPED.replace("name barks", "name"), root={"dogs": PETS["dogs"][:1] * 2})


async def test_conditions_of_fragments_may_be_abstract() -> None:
    schema = schema_of(
        """type Query { all: [Thing] } union Thing = Dog | Robot interface Alive { name: String friends: [Alive] }
           type Dog implements Alive { name: String friends: [Alive] } type Robot { model: String }"""
    )
    dog = {"__typename": "Dog", "name": "Odie", "friends": [{"__typename": "Dog", "name": "Rex", "friends": []}]}
    await both(
        schema,
        """{ all { __typename ... on Alive { name friends { ...A } } ... on Robot { model } } }
           fragment A on Alive { name ... on Dog { friends { name } } }""",
        root={"all": [dog, {"__typename": "Robot", "model": "T"}]},
    )


# --- variables

VARIABLES_SDL = """
type Query { object(input: In): String text(input: String): String required(input: String!): String
  listed(input: [String]): String requiredList(input: [String]!): String listOfRequired(input: [String!]): String
  both(input: [String!]!): String defaulted(input: String = "default"): String nested(input: Outer): String
  scalar(input: Any): String one(input: OneOf): String oneDefault(input: OneOf = { a: "first" }): String
  requiredDefault(input: String! = "default"): String }
input In { a: String b: [String] c: String! d: Any }
input Outer { in: In! ins: [In!] text: String! }
input OneOf @oneOf { a: String b: Int }
scalar Any
"""

GIVEN: list[tuple[str, str, Any]] = [
    *[("object", "In", value) for value in (
        {"a": "foo", "b": ["bar"], "c": "baz"}, {"a": "foo", "b": "bar", "c": "baz"}, {"c": "baz"}, None,
        {"a": "foo", "b": "bar", "c": None}, "foo bar", {"a": "foo", "b": "bar"}, {"c": "x", "extra": 1}, [],
        {"c": "x", "d": {"free": [1, None]}}, {"a": None, "c": "x"}, {"b": [None, "x", 1], "c": "y"},
    )],
    *[("nested", "Outer", value) for value in (
        {"in": {"a": "foo"}}, {"text": "t", "in": {"c": "x"}}, {"text": "t", "in": {"c": "x"}, "ins": {"c": "y"}},
        {"text": "t", "in": {"c": "x"}, "ins": [{"c": "y"}, {}]}, {"in": None},
    )],
    *[("text", "String", value) for value in (None, "a", 1, True, [1, 2, 3], {})],
    *[("required", "String!", value) for value in (None, "a", ["a"])],
    *[(field, type_, value) for field, type_ in (
        ("listed", "[String]"), ("requiredList", "[String]!"), ("listOfRequired", "[String!]"), ("both", "[String!]!"),
    ) for value in (None, ["A"], ["A", None, "B"], "A", [], [1], [["A"]])],
    *[("defaulted", "String", value) for value in (None, "a")],
    *[("scalar", "Any", value) for value in (None, 1, "a", {"deep": [{"er": None}]})],
    *[("one", "OneOf", value) for value in (
        {"a": "x"}, {"b": 1}, {"a": "x", "b": 1}, {"a": None}, {"a": None, "b": None}, {}, None, {"a": "x", "c": 1},
        "x",
    )],
]  # fmt: skip


def told() -> GraphQLSchema:
    schema = schema_of(VARIABLES_SDL)
    query = schema.query_type
    assert query is not None
    for name in query.fields:
        field_of(schema, f"Query.{name}").resolve = lambda *_, **given: repr(given)
    return schema


@pytest.mark.parametrize(("field", "type_", "value"), GIVEN, ids=range(len(GIVEN)))
async def test_a_variable_of_every_type(field: str, type_: str, value: Any) -> None:
    query = f"query ($input: {type_}) {{ {field}(input: $input) }}"
    await both(told(), query, variables={"input": value})
    await both(told(), query, variables={})


@pytest.mark.parametrize(
    ("source", "given"),
    [
        ('query ($x: String = "variable") { defaulted(input: $x) }', {}),
        ('query ($x: String = "variable") { defaulted(input: $x) }', {"x": None}),
        ("query ($x: String) { defaulted(input: $x) }", {}),
        ('query ($x: String = "default") { required(input: $x) }', {}),
        ('query ($x: String = "default") { required(input: $x) }', {"x": None}),
        ("query ($x: String) { requiredDefault(input: $x) }", {}),
        ("query ($x: String) { requiredDefault(input: $x) }", {"x": None}),
        ('{ object(input: { a: "x", b: "single", c: "y" }) }', {}),
        ("query ($x: String) { object(input: { a: $x, b: [$x], c: \"y\" }) }", {}),
        ("query ($x: String) { object(input: { a: $x, b: [$x], c: \"y\" }) }", {"x": "v"}),
        ("query ($x: String) { scalar(input: { deep: [$x, 1] }) }", {"x": "v"}),
        ("query ($x: Any) { scalar(input: $x) }", {"x": [1, {"a": None}]}),
        ('{ one(input: { a: "x" }) oneDefault }', {}),
        ("query ($x: String!) { one(input: { a: $x }) }", {"x": "v"}),
        ('query ($x: OneOf = { b: 2 }) { one(input: $x) }', {}),
        ("query ($x: OneOf = { b: 2 }) { one(input: $x) }", {"x": {"a": None}}),
        ("query ($x: [String!] = [\"a\"], $y: In = { c: \"z\" }) { listOfRequired(input: $x) object(input: $y) }", {}),
        ("query ($x: Unknown) { text }", {"x": 1}),
        ("query ($x: Query) { text }", {"x": 1}),
    ],
)  # fmt: skip
async def test_defaults_and_variables_inside_literals(source: str, given: dict[str, Any]) -> None:
    engine = Engine(told(), no_specs)
    if engine.prepare(source).errors:  # the reference would execute it all the same
        result = await engine.execute(source, variables=given)
        assert result.data is None
        return
    await both(told(), source, variables=given)


# --- mutations, parallel siblings


async def test_mutations_see_what_the_ones_before_did_and_go_on_after_a_failure() -> None:
    class Store:
        number = 6

        async def set(self, value: int) -> Store:
            await asyncio.sleep(0)
            self.number = value
            return self

    def to(store: Store, _: Any, value: int) -> Any:
        return fails(ValueError("refused")) if value == 9 else store.set(value)

    sdl = "type Query { number: Int } type Mutation { to(value: Int!): Query required: Int! }"
    schema = schema_of(sdl, {"Mutation.to": to, "Query.number": lambda store, _: later(store.number)})
    source = """mutation { one: to(value: 1) { number } bad: to(value: 9) { number } ...Rest }
                fragment Rest on Mutation { three: to(value: 3) { number } four: to(value: 4) { number } }"""
    expected = await both(schema, source, root=Store())
    assert expected.data == {"one": {"number": 1}, "bad": None, "three": {"number": 3}, "four": {"number": 4}}


async def test_siblings_and_items_wait_for_each_other() -> None:
    meeting: list[asyncio.Barrier] = []

    async def meet(*_: Any) -> int:
        async with asyncio.timeout(20):
            await meeting[-1].wait()
        return 1

    fields = {"foo": GraphQLField(GraphQLInt, resolve=meet), "bar": GraphQLField(GraphQLInt, resolve=meet)}
    listed = GraphQLField(GraphQLList(GraphQLInt), resolve=lambda *_: [meet(), meet()])
    schema = GraphQLSchema(GraphQLObjectType("Query", {**fields, "listed": listed}))
    for source in ("{ foo bar }", "{ listed }"):
        meeting.append(asyncio.Barrier(2))
        await both(schema, source)


# --- subscriptions


async def test_closing_a_stream_closes_the_iterator_of_its_source() -> None:
    closed = []

    async def events() -> AsyncIterator[dict[str, int]]:
        try:
            yield {"it": 1}
            yield {"it": 2}
        finally:
            closed.append(True)

    class Source:
        def __aiter__(self) -> AsyncIterator[dict[str, int]]:
            return events()

    schema = schema_of("type Query { it: Int } type Subscription { it: Int }")
    field_of(schema, "Subscription.it").subscribe = lambda *_: Source()
    stream = await Engine(schema, no_specs).subscribe("subscription { it }")
    assert not hasattr(stream, "errors")
    assert (await anext(stream)).data == {"it": 1}
    assert not closed
    await stream.aclose()
    assert closed == [True]

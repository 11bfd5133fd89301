"""A schema with every construct, and an endless deterministic world behind it, faults included.

`build("plan")` gives fields their specifications and asynchronous resolvers; `build("sync")` resolves the same fields
one by one without a single awaitable; `build("loaders")` resolves them as an application under graphql-core would,
batch fields through loaders. All three see the same values: everything follows from the seed, the
parent and the arguments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any
from zlib import crc32

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
)

from nexfit.engine.fields import TYPENAME, Batch, Column, Derived, FieldSpec, SpecOf

SDL = """
scalar Date
scalar JSON
enum Role { OWNER COACH CLIENT }
enum Style { SHORT LONG }
input Range { from: Int = 0 to: Int! }
input Filter { role: Role range: Range names: [String!] style: Style = LONG note: String }
input Choice @oneOf { id: ID name: String }
interface Node { id: ID! }
interface Named { name: String nick(style: Style = SHORT): String! }
type Person implements Node & Named {
  id: ID! name: String nick(style: Style = SHORT): String! age: Int! height: Float admin: Boolean! role: Role
  joined: Date extra: JSON tags: [String!] grid: [[Int!]]! label: String address: Address homes: [Address!]!
  plates: [[Address]!] friends(first: Int = 2, filter: Filter): [Person!]! rivals: [Person] boss: Person
  mentor: Person! pet: Pet pets: [Pet!]! hero: Named score: Int! badges: [Role!] circle: [[Person]!]
  slowName: String! item: Item items: [Item] stock: [Item!]! motto: String shout(times: Int! = 1): String
  secret: String rank(of: Int): Float! partner: Person idols: [Named!]
}
type Address { street: String! city: City! geo: [Float!] place: Place tenants(limit: Int = 2): [Person!] }
type City { name: String! mayor: Person founded: Date }
type Place { x: Float! y: Float! tag: String }
type Cat implements Node & Named {
  id: ID! name: String nick(style: Style = SHORT): String! lives: Int! keeper: Person
}
type Dog implements Node & Named {
  id: ID! name: String nick(style: Style = SHORT): String! good: Boolean! keeper: Person walks: [Place!]
}
union Pet = Cat | Dog
interface Priced { price: Float! }
type Book implements Priced { title: String! price: Float! author: Person }
type Song implements Priced { title: String! price: Float! seconds: Int }
union Item = Book | Song
union Found = Person | Cat | Book
type Query {
  person(id: ID!): Person people(ids: [ID!], filter: Filter): [Person!] everyone: [Person] node(id: ID!): Node
  named: [Named] search(text: String!, limit: Int = 4): [Found!]! echo(filter: Filter, choice: Choice, at: Date): String
  nothing: Person strict: Person! count: Int! cheap: [Priced] ancient: Person! tuple: [Person!] later: [Item]
}
type Mutation {
  rename(id: ID!, name: String!): Person drop(id: ID!): Boolean must(id: ID!): Int! move(id: ID!): Person!
}
"""


class Fault(Exception):
    """A failure the world has in store for a field; carries extensions as application errors do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.extensions = {"code": "FAULT", "at": message}


class Book:
    def __init__(self, world: World, key: int) -> None:
        self.key, self.title, self.price = key, world.given(f"Book {key}", ("book", key)), key % 90 + 0.5


class Song:
    def __init__(self, world: World, key: int) -> None:
        self.key, self.title, self.price = key, f"Song {key}", world.given(key % 7, ("song", key), "dear")
        self.seconds = key % 400


class World:
    """What one execution sees; also its context value."""

    def __init__(self, seed: str, fault_rate: float = 0.0) -> None:
        self.seed = seed
        self.threshold = int(fault_rate * 2**32)
        self.log: list[str] = []
        self.loads = 0
        self.loaders: dict[Any, Loader] = {}
        self._records: dict[tuple[str, int], dict[str, Any]] = {}

    def draw(self, *key: Any) -> int:
        return crc32(f"{self.seed}/{key}".encode())

    def strikes(self, *key: Any) -> bool:
        return self.draw("fault", *key) < self.threshold

    def given(self, value: Any, key: Any, *faulty: Any) -> Any:
        """`value`, or where a fault strikes one of the faulty ones, null when there are none."""
        return self.pick(faulty or (None,), "which", key) if self.strikes(key) else value

    def pick(self, choices: Sequence[Any], *key: Any) -> Any:
        return choices[self.draw(*key) % len(choices)]

    def record(self, type_name: str, number: int) -> dict[str, Any]:
        number %= 97
        record = self._records.get((type_name, number))
        if record is None:
            record = self._records[type_name, number] = self._make(type_name, number)
        return record

    def records(self, type_name: str, count: int, *key: Any) -> list[dict[str, Any]]:
        return [self.record(type_name, self.draw(type_name, index, *key)) for index in range(count)]

    def pet(self, *key: Any) -> dict[str, Any]:
        return self.record(self.pick(["Cat", "Dog"], "pet", *key), self.draw("pets", *key))

    def item(self, *key: Any) -> Any:
        return self.pick([Book, Song], "item", *key)(self, self.draw("items", *key) % 1000)

    def _make(self, type_name: str, number: int) -> dict[str, Any]:
        def odd(name: str, value: Any, *faulty: Any) -> Any:
            return self.given(value, (type_name, number, name), *faulty)

        record: dict[str, Any] = {
            TYPENAME: odd("type", type_name, "Nobody", "Query", None, "Role", 7),
            "_id": odd("_id", f"{type_name}:{number}", None, [1], 12),
            "name": odd("name", f"{type_name} {number} ü \"'\\", None, 7, {"no": 1}, 1.5, True),
        }
        if type_name == "Person":
            record |= {
                "age": odd("age", number, None, "old", "17", 2**31, True, 3.0, 3.5),
                "height": odd("height", number / 7, None, 2, float("nan"), Decimal("1.75"), "x", 10**400),
                "admin": odd("admin", number % 2 == 0, None, 1, "yes", Decimal(0)),
                "role": odd("role", self.pick([1, 2, 3], "role", number), None, 9, [1], 1.0, True),
                "joined": odd("joined", date(2000 + number % 30, 1, 1), None, "yesterday", date(1, 1, 1)),
                "extra": odd("extra", {"deep": [number, None, {"k": "v"}]}, None, 5, "text", []),
                "tags": odd(
                    "tags", [f"t{n}" for n in range(number % 4)], None, "abc", [None], ["a", 5, {}], ("x", "y")
                ),
                "grid": odd("grid", [[number, 1], [], [2]], None, [None], [[None]], [["x", 3]], [3], 3, [range(3)]),
                "label": odd("label", number, None, -1, "bad"),
                "address": odd("address", self._address(number), None, "street", {}),
                "homes": odd("homes", [self._address(n) for n in range(number % 3)], None, [None], {}, ["x"]),
                "plates": odd("plates", [[self._address(number), None], []], None, [None], [[{}, 5]]),
                "motto": odd("motto", "carpe diem", None, [], b"x"),
                "shout": odd("shout", lambda _info, times: "!" * times, None, "plain", fails),
            }
            if self.strikes("missing", number):
                del record[self.pick(sorted(record.keys() - {TYPENAME}), "missing", number)]
        elif type_name == "Cat":
            record["lives"] = odd("lives", 9, None, "nine")
        else:
            record["good"] = odd("good", True, None)
            record["walks"] = odd("walks", [self._place(n) for n in range(number % 3)], None, [None], [{}])
        return record

    def _address(self, number: int) -> dict[str, Any]:
        return {
            "street": self.given(f"{number} Street", ("street", number)),
            "city": self.given(self._city(number), ("city", number)),
            "geo": self.given([27.1, 38.4], ("geo", number), None, [1, None], ["a"]),
            "place": self.given(self._place(number), ("place", number)),
        }

    def _city(self, number: int) -> dict[str, Any]:
        return {"name": self.given("İzmir", ("city name", number), 5), "founded": date(1900, 2, 3)}

    def _city(self, number: int) -> dict[str, Any]:
        return {"name": self.given("İzmir", ("city name", number), 5), "founded": date(1900, 2, 3)}

    def _place(self, number: int) -> dict[str, Any]:
        return {"x": self.given(1.5, ("x", number)), "y": self.given(2, ("y", number), "far")}


def fails(_info: Any, times: int) -> str:
    raise Fault(f"shouted {times} times")


def number_of(parent: Any) -> Any:
    return parent.get("_id") if isinstance(parent, Mapping) else getattr(parent, "key", None)


def label_of(value: Any) -> str:
    if value == "bad":
        raise Fault("unreadable label")
    return f"#{value}"


# --- one value per parent, as a batch field or a resolver gives it: (parent, arguments, world) -> value

One = Callable[[Any, dict[str, Any], World], Any]


def listed(type_name: str, name: str, most: int = 3) -> One:
    def one(parent: Any, args: dict[str, Any], world: World) -> Any:
        key = (name, number_of(parent), str(args))
        count = args.get("first", args.get("limit", world.draw("count", key) % (most + 1)))
        values: list[Any] = world.records(type_name, max(0, min(count if count is not None else 1, most)), key)
        return world.given(values, key, None, Fault(f"list {key}"), [*values, None], [Fault("item"), *values], "x")

    return one


def single(type_name: str, name: str) -> One:
    def one(parent: Any, args: dict[str, Any], world: World) -> Any:
        key = (name, number_of(parent), str(args))
        if world.draw("none", key) % 4 == 0 and name != "mentor":
            return None
        value = world.record(type_name, world.draw(key))
        return world.given(value, key, None, Fault(f"one {key}"), GraphQLError("own"), 5)

    return one


def pets(parent: Any, _args: dict[str, Any], world: World) -> Any:
    key = ("pets", number_of(parent))
    values = [world.pet(key, index) for index in range(world.draw(key) % 4)]
    return world.given(values, key, None, [None, *values], [5, *values], [{}, *values])


def pet(parent: Any, _args: dict[str, Any], world: World) -> Any:
    key = ("pet", number_of(parent))
    return world.given(world.pet(key), key, None, {TYPENAME: "Person"}, Fault("no pet"))


def hero(parent: Any, _args: dict[str, Any], world: World) -> Any:
    key = ("hero", number_of(parent))
    return world.record(world.pick(["Person", "Cat", "Dog"], key), world.draw("hero no", key))


def idols(parent: Any, args: dict[str, Any], world: World) -> Any:
    return [
        hero({"_id": (number_of(parent), index)}, args, world) for index in range(world.draw(number_of(parent)) % 4)
    ]


def score(parent: Any, _args: dict[str, Any], world: World) -> Any:
    key = ("score", number_of(parent))
    return world.given(world.draw(key) % 1000, key, None, Fault("score"), 2**40, "12", ValueError())


def badges(parent: Any, _args: dict[str, Any], world: World) -> Any:
    key = ("badges", number_of(parent))
    return world.given([1, 3], key, None, [9], [None], 1, [Fault("badge"), 2])


def nick(parent: Any, args: dict[str, Any], world: World) -> Any:
    key = ("nick", number_of(parent), str(args))
    if world.strikes(key):
        raise Fault(f"nick {key}")
    return f"nick of {number_of(parent)}: {args['style']}"


def secret(parent: Any, _args: dict[str, Any], world: World) -> Any:
    key = ("secret", number_of(parent))
    return world.given("hush", key, None, Fault("secret"), ["x"], b"bytes")


def rank(parent: Any, args: dict[str, Any], world: World) -> Any:
    return world.given(float(args.get("of") or 1), ("rank", number_of(parent), str(args)))


def slow_name(parent: Any, _args: dict[str, Any], world: World) -> Any:
    key = ("slow", number_of(parent))
    if world.strikes(key):
        raise Fault(f"slow {key}")
    return world.given(f"slow {number_of(parent)}", ("null", key))


def circle(parent: Any, _args: dict[str, Any], world: World) -> Any:
    key = ("circle", number_of(parent))
    rows: list[Any] = [world.records("Person", world.draw(key, row) % 3, key, row) for row in range(2)]
    return world.given(rows, key, None, [None, *rows], [[None], *rows], [5], [[Fault("inner")], *rows])


def item(parent: Any, _args: dict[str, Any], world: World) -> Any:
    key = ("item", number_of(parent))
    return world.given(world.item(key), key, None, object, Fault("item"))


def items(parent: Any, _args: dict[str, Any], world: World) -> Any:
    key = ("items", number_of(parent))
    values = [world.item(key, index) for index in range(world.draw(key) % 4)]
    return world.given(values, key, None, [*values, None], [World, *values], Fault("items"), 5)


def person(_parent: Any, args: dict[str, Any], world: World) -> Any:
    return single("Person", "person")({"_id": args["id"]}, {}, world)


def people(_parent: Any, args: dict[str, Any], world: World) -> Any:
    ids = args.get("ids")
    if ids is None:
        return listed("Person", "people")(None, {"first": 3}, world)
    return [world.record("Person", world.draw(id_)) for id_ in ids]


def node(_parent: Any, args: dict[str, Any], world: World) -> Any:
    key = ("node", args["id"])
    return world.given(world.record(world.pick(["Person", "Cat", "Dog"], key), world.draw(key, 1)), key)


def search(_parent: Any, args: dict[str, Any], world: World) -> Any:
    found: list[Any] = []
    for index in range(max(0, min(args.get("limit") or 0, 5))):
        kind = world.pick(["Person", "Cat", "Book"], args["text"], index)
        number = world.draw(args["text"], index, "n")
        found.append(Book(world, number % 50) if kind == "Book" else world.record(kind, number))
    return world.given(found, ("search", args["text"]), [*found, None])


def echo(_parent: Any, args: dict[str, Any], _world: World) -> Any:
    return repr(args)


def mutate(name: str) -> One:
    def one(_parent: Any, args: dict[str, Any], world: World) -> Any:
        world.log.append(f"{name} {args}")
        key = (name, str(args))
        if world.strikes(key):
            raise Fault(f"{name} failed")
        return {
            "rename": lambda: world.record("Person", world.draw(key)),
            "drop": lambda: True,
            "must": lambda: world.given(len(world.log), ("log", key)),
            "move": lambda: world.record("Person", world.draw(key)),
        }[name]()

    return one


BATCHES: dict[str, One] = {
    "Person.friends": listed("Person", "friends"), "Person.rivals": listed("Person", "rivals"),
    "Person.boss": single("Person", "boss"), "Person.mentor": single("Person", "mentor"),
    "Person.pet": pet, "Person.pets": pets, "Person.hero": hero, "Person.idols": idols, "Person.score": score,
    "Person.badges": badges, "Address.tenants": listed("Person", "tenants"), "City.mayor": single("Person", "mayor"),
    "Cat.keeper": single("Person", "keeper"), "Dog.keeper": single("Person", "keeper"),
    "Query.person": person, "Query.people": people, "Query.node": node, "Query.strict": single("Person", "mentor"),
}  # fmt: skip
DERIVED: dict[str, One] = {
    "Person.nick": nick, "Cat.nick": nick, "Dog.nick": nick, "Person.secret": secret, "Person.rank": rank,
    "Person.partner": single("Person", "partner"),
}  # fmt: skip
RESOLVERS: dict[str, One] = {
    "Person.slowName": slow_name, "Person.circle": circle, "Person.item": item, "Person.items": items,
    "Person.stock": items, "Book.author": single("Person", "author"), "Query.everyone": listed("Person", "everyone"),
    "Query.named": idols, "Query.search": search, "Query.echo": echo, "Query.count": score, "Query.cheap": items,
    "Query.ancient": single("Person", "mentor"), "Query.tuple": people, "Query.later": items,
    "Mutation.rename": mutate("rename"), "Mutation.drop": mutate("drop"), "Mutation.must": mutate("must"),
    "Mutation.move": mutate("move"),
}  # fmt: skip
COLUMNS: dict[str, Column] = {
    **{f"{owner}.id": Column("_id") for owner in ("Person", "Cat", "Dog")},
    **{f"{owner}.name": Column("name") for owner in ("Person", "Cat", "Dog")},
    **{
        f"Person.{name}": Column(name)
        for name in ("age", "height", "admin", "role", "joined", "extra", "tags", "grid", "address", "homes", "plates")
    },
    "Person.label": Column("label", label_of), "Cat.lives": Column("lives"), "Dog.good": Column("good"),
    "Dog.walks": Column("walks"),
    **{f"Address.{name}": Column(name) for name in ("street", "city", "geo", "place")},
    **{f"City.{name}": Column(name) for name in ("name", "founded")},
    **{f"Place.{name}": Column(name) for name in ("x", "y", "tag")},
}  # fmt: skip


class Loader:
    """Collects the parents asked for in one turn of the event loop and loads them together."""

    def __init__(self, load: Callable[[list[Any]], Awaitable[Sequence[Any]]]) -> None:
        self._load = load
        self._waiting: list[tuple[Any, asyncio.Future[Any]]] = []

    def load(self, parent: Any) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(lambda: loop.create_task(self._dispatch()))
        future = loop.create_future()
        self._waiting.append((parent, future))
        return future

    async def _dispatch(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            results = await self._load([parent for parent, _ in waiting])
        except Exception as error:
            results = [error] * len(waiting)
        for (_, future), result in zip(waiting, results, strict=True):
            if not future.done():
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)


def build(flavour: str) -> tuple[GraphQLSchema, SpecOf]:
    schema = build_schema(SDL)
    _customise(schema)
    specs: dict[int, FieldSpec] = {}

    def field(name: str) -> GraphQLField:
        owner, _, field_name = name.partition(".")
        type_ = schema.type_map[owner]
        assert isinstance(type_, GraphQLObjectType)
        return type_.fields[field_name]

    for name, column in COLUMNS.items():
        if flavour == "plan":
            specs[id(field(name))] = column
        else:
            field(name).resolve = _column_resolver(column)
    for name, one in DERIVED.items():
        if flavour == "plan":
            specs[id(field(name))] = Derived(
                lambda parent, args, world, one=one: one(parent, args, world), arguments=lambda args, _selection: args
            )
        else:
            field(name).resolve = _sync_resolver(one)
    for name, one in BATCHES.items():
        if flavour == "plan":
            specs[id(field(name))] = Batch(_load(one), arguments=lambda args, _selection: args)
        else:
            field(name).resolve = _sync_resolver(one) if flavour == "sync" else _loader_resolver(name, one)
    for name, one in RESOLVERS.items():
        field(name).resolve = _sync_resolver(one) if flavour == "sync" else _async_resolver(name, one)
    return schema, lambda definition: specs.get(id(definition))


def _customise(schema: GraphQLSchema) -> None:
    """What SDL cannot say: internal enum values, scalar functions, runtime types."""
    types = schema.type_map
    role, day = types["Role"], types["Date"]
    assert isinstance(role, GraphQLEnumType)
    assert isinstance(day, GraphQLScalarType)
    for value, number in zip(role.values.values(), (1, 2, 3), strict=True):
        value.value = number

    def written(value: Any) -> Any:
        return None if value.year == 1 else value.isoformat()

    day.coerce_output_value = day.serialize = written  # type: ignore[method-assign]
    day.coerce_input_value = day.parse_value = date.fromisoformat  # type: ignore[assignment,method-assign]
    for name, class_ in (("Book", Book), ("Song", Song)):
        type_ = types[name]
        assert isinstance(type_, GraphQLObjectType)
        type_.is_type_of = lambda value, _info, class_=class_: isinstance(value, class_)
    types["Priced"].resolve_type = lambda value, _info, _type: type(value).__name__  # type: ignore[attr-defined]


def _column_resolver(column: Column) -> Callable[..., Any]:
    def resolve(source: Any, _info: Any) -> Any:
        value = source.get(column.key)
        return value if value is None or column.read is None else column.read(value)

    return resolve


def _sync_resolver(one: One) -> Callable[..., Any]:
    return lambda source, info, **args: one(source, args, info.context)


def _loader_resolver(name: str, one: One) -> Callable[..., Any]:
    def resolve(source: Any, info: Any, **args: Any) -> Any:
        world = info.context
        key = (name, str(args), tuple(map(id, info.field_nodes)))
        loader = world.loaders.get(key)
        if loader is None:
            load = _load(one)
            loader = world.loaders[key] = Loader(lambda parents: load(parents, args, world))
        return loader.load(source)

    return resolve


def _async_resolver(name: str, one: One) -> Callable[..., Any]:
    """Gives the value in one of the ways in which a resolver may be asynchronous."""

    async def later(value: Any) -> Any:
        await asyncio.sleep(0)
        if isinstance(value, Exception):
            raise value
        return value

    async def stream(values: list[Any]) -> Any:
        for value in values:
            yield value

    def resolve(source: Any, info: Any, **args: Any) -> Any:
        world = info.context
        way = world.draw("way", name, number_of(source)) % 4
        if way == 0:
            return one(source, args, world)
        if way == 1 or name.startswith("Mutation."):
            return asynchronous(source, world, args)
        value = one(source, args, world)
        if not isinstance(value, list):
            return later(value)
        return [later(item) for item in value] if way == 2 else stream(value)

    async def asynchronous(source: Any, world: World, args: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        return one(source, args, world)

    return resolve


def _load(one: One) -> Callable[[Sequence[Any], Any, Any], Awaitable[Sequence[Any]]]:
    async def load(parents: Sequence[Any], args: dict[str, Any], world: World) -> Sequence[Any]:
        world.loads += 1
        await asyncio.sleep(0)
        return [one(parent, args, world) for parent in parents]

    return load

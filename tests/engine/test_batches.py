"""Batch fields: one call per level, concurrent siblings, errors of one parent or of all, and what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from nexfit.engine.engine import Engine
from nexfit.engine.fields import Batch, Column, Derived, FieldSpec
from nexfit.engine.selection import Selection

from .both import schema_of, shape, specs_of

SDL = """
interface Node { id: ID! }
type Query { gyms(first: Int = 2): [Gym!]! gym: Gym search: [Found!]! }
type Gym implements Node { id: ID! name: String! place: Place! classes(first: Int = 2, day: String): [Lesson!]! owner: User rating: Float! }
type Place { city: String! country: Country }
type Country { code: String! }
type Lesson implements Node { id: ID! name: String! coach: User! gym: Gym }
type User implements Node { id: ID! name: String! gyms: [Gym!]! }
union Found = Gym | User
"""  # noqa: E501


class Store:
    """Loads everything from memory and keeps the calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, Any]] = []
        self.running = self.most_running = 0

    def batch(self, name: str, one: Any) -> Batch:
        async def load(parents: Sequence[Any], args: Any, _context: Any) -> Sequence[Any]:
            self.calls.append((name, len(parents), args))
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            await asyncio.sleep(0.001)
            self.running -= 1
            return [one(parent, args) for parent in parents]

        return Batch(load, arguments=lambda values, selection: (values, selection))

    def engine(self, **others: FieldSpec) -> Engine:
        def gyms(_: Any, args: Any) -> Any:
            return [gym(number) for number in range(args[0]["first"])]

        def classes(parent: Any, args: Any) -> Any:
            return [lesson(f"{parent['_id']}{number}") for number in range(args[0]["first"])]

        specs: dict[str, FieldSpec] = {
            "Query.gyms": self.batch("gyms", gyms),
            "Query.gym": self.batch("gym", lambda _, __: gym(7)),
            "Query.search": self.batch("search", lambda _, __: [gym(1), user(2), gym(3)]),
            "Gym.classes": self.batch("classes", classes),
            "Gym.owner": self.batch("owner", lambda parent, _: user(parent["_id"])),
            "Gym.rating": self.batch("rating", lambda _, __: 4.5),
            "Lesson.coach": self.batch("coach", lambda parent, _: user(parent["_id"])),
            "Lesson.gym": self.batch("gym of lesson", lambda _, __: gym(1)),
            "User.gyms": self.batch("gyms of user", lambda _, __: [gym(1), gym(2)]),
            "Gym.id": Column("_id", str),
            "Lesson.id": Column("_id"),
            "User.id": Column("_id", str),
            **{f"{type_}.name": Column("name") for type_ in ("Gym", "Lesson", "User")},
            "Gym.place": Column("place"),
            "Place.city": Column("city"),
            "Place.country": Column("country"),
            "Country.code": Column("code"),
        }
        for name, spec in others.items():
            specs[name.replace("_", ".")] = spec
        schema = schema_of(SDL)
        return Engine(schema, specs_of(schema, specs))

    def counts(self) -> dict[str, int]:
        return {name: parents for name, parents, _ in self.calls}


def gym(number: Any) -> dict[str, Any]:
    place = {"city": "İstanbul", "country": {"code": "TR"}}
    return {"__typename": "Gym", "_id": number, "name": f"Gym {number}", "place": place}


def lesson(name: str) -> dict[str, Any]:
    return {"__typename": "Lesson", "_id": name, "name": f"Lesson {name}"}


def user(number: Any) -> dict[str, Any]:
    return {"__typename": "User", "_id": number, "name": f"User {number}"}


async def test_every_batch_field_is_called_once_per_level_for_all_parents() -> None:
    store = Store()
    result = await store.engine().execute(
        "{ gyms(first: 3) { id classes(first: 4) { name coach { name gyms { id owner { name } } } } owner { name } } }"
    )
    assert not result.errors
    assert store.counts() == {"gyms": 1, "classes": 3, "owner": 24, "coach": 12, "gyms of user": 12}
    assert [name for name, _, _ in store.calls].count("owner") == 2, "two places of the operation, two levels"
    first = result.data["gyms"][2]["classes"][3]  # type: ignore[index]
    assert first == {
        "name": "Lesson 23",
        "coach": {
            "name": "User 23",
            "gyms": [{"id": "1", "owner": {"name": "User 1"}}, {"id": "2", "owner": {"name": "User 2"}}],
        },
    }


async def test_sibling_fields_of_a_level_run_concurrently_however_often_the_plan_ran() -> None:
    store = Store()
    engine = store.engine()
    for _ in range(20):
        store.most_running = 0
        await engine.execute("{ gym { classes { id } owner { id } rating } }")
        assert store.most_running == 3


async def test_fields_that_never_wait_are_awaited_in_place_and_get_tasks_back_when_they_do() -> None:
    tasks: set[Any] = set()
    running = most_running = 0
    wait = False

    async def load(parents: Sequence[Any], _args: Any, _context: Any) -> Sequence[Any]:
        nonlocal running, most_running
        tasks.add(asyncio.current_task())
        if wait:
            running += 1
            most_running = max(most_running, running)
            await asyncio.sleep(0)
            running -= 1
        return [None for _ in parents]

    engine = Store().engine(Gym_owner=Batch(load), Gym_place=Batch(load), Query_gym=Batch(load_gym))
    source = "{ gym { a: owner { id } b: owner { id } c: owner { id } } }"
    await engine.execute(source)
    assert len(tasks) == 3
    for _ in range(40):
        tasks.clear()
        await engine.execute(source)
    assert tasks == {asyncio.current_task()}, "nothing waits, so no task is made"
    wait = True
    await engine.execute(source)
    assert most_running == 1, "at first they are still awaited one after the other"
    for _ in range(20):
        await engine.execute(source)
    assert most_running == 3


async def load_nobody(parents: Sequence[Any], _args: Any, _context: Any) -> Sequence[Any]:
    return [None for _ in parents]


async def load_gym(parents: Sequence[Any], _args: Any, _context: Any) -> Sequence[Any]:
    return [gym(1) for _ in parents]


async def test_a_timeout_inside_an_in_place_load_cancels_that_load_only() -> None:
    slow = False

    async def load(parents: Sequence[Any], _args: Any, _context: Any) -> Sequence[Any]:
        if slow:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(10)
        return [1.0 for _ in parents]

    engine = Store().engine(Gym_rating=Batch(load), Gym_owner=Batch(load_nobody), Query_gym=Batch(load_gym))
    for _ in range(40):
        await engine.execute("{ gym { name rating owner { id } } }")
    slow = True
    result = await engine.execute("{ gym { name owner { id } rating } again: gym { name } }")
    assert result.data == {"gym": None, "again": {"name": "Gym 1"}}
    assert isinstance(result.errors[0].original_error, TimeoutError)


async def test_a_batch_without_parents_is_not_called() -> None:
    store = Store()
    result = await store.engine().execute("{ gyms(first: 0) { classes { coach { id } } } }")
    assert result.data == {"gyms": []}
    assert store.counts() == {"gyms": 1}


async def test_an_exception_among_the_results_is_the_error_of_that_parent_alone() -> None:
    async def load(parents: Sequence[Any], _args: Any, _context: Any) -> Sequence[Any]:
        return [ValueError(f"no owner of {parent['_id']}") if parent["_id"] == 1 else user(9) for parent in parents]

    result = await Store().engine(Gym_owner=Batch(load)).execute("{ gyms(first: 3) { owner { name } } }")
    assert shape(result) == (
        {"gyms": [{"owner": {"name": "User 9"}}, {"owner": None}, {"owner": {"name": "User 9"}}]},
        [("no owner of 1", ["gyms", 1, "owner"])],
    )


async def test_a_load_that_raises_fails_every_parent() -> None:
    async def load(_parents: Sequence[Any], _args: Any, _context: Any) -> Sequence[Any]:
        raise RuntimeError("store is down")

    result = await Store().engine(Gym_owner=Batch(load)).execute("{ gyms(first: 2) { name owner { name } } }")
    assert shape(result) == (
        {"gyms": [{"name": "Gym 0", "owner": None}, {"name": "Gym 1", "owner": None}]},
        [("store is down", ["gyms", 0, "owner"]), ("store is down", ["gyms", 1, "owner"])],
    )
    assert isinstance(result.errors[0].original_error, RuntimeError)


@pytest.mark.parametrize("results", [[], [None, None, None], ({"_id": 1},)])
async def test_a_load_must_give_one_result_per_parent(results: Any) -> None:
    async def load(_parents: Sequence[Any], _args: Any, _context: Any) -> Sequence[Any]:
        return results  # type: ignore[no-any-return]

    result = await Store().engine(Gym_owner=Batch(load)).execute("{ gyms(first: 2) { owner { name } } }")
    assert result.data == {"gyms": [{"owner": None}, {"owner": None}]}
    assert result.errors[0].message == f"Gym.owner loaded {len(results)} results for 2 parents."


async def test_an_error_of_a_required_value_nulls_the_nearest_nullable_parent_only() -> None:
    async def load(parents: Sequence[Any], _args: Any, _context: Any) -> Sequence[Any]:
        return [None if parent["_id"] == 1 else 3.0 for parent in parents]

    engine = Store().engine(
        Gym_rating=Batch(load), Lesson_gym=Store().batch("g", lambda parent, _: gym(len(parent["_id"])))
    )
    result = await engine.execute("{ gyms(first: 1) { rating classes(first: 1) { gym { rating } } } }")
    assert shape(result) == ({"gyms": [{"rating": 3.0, "classes": [{"gym": {"rating": 3.0}}]}]}, [])
    result = await engine.execute("{ gyms(first: 2) { rating } }")
    assert shape(result) == (None, [("Cannot return null for non-nullable field Gym.rating.", ["gyms", 1, "rating"])])


async def test_cancelling_an_execution_cancels_its_loads() -> None:
    cancelled = 0

    async def load(_parents: Sequence[Any], _args: Any, _context: Any) -> Sequence[Any]:
        nonlocal cancelled
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled += 1
            raise
        return []

    engine = Store().engine(Gym_owner=Batch(load), Gym_rating=Batch(load), Gym_classes=Batch(load))
    task = asyncio.ensure_future(engine.execute("{ gym { owner { id } rating classes { id } } }"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert cancelled == 3


async def test_constant_arguments_are_made_once_and_variable_ones_for_every_execution() -> None:
    made: list[Mapping[str, Any]] = []

    def maker(values: dict[str, Any], selection: Selection) -> Any:
        made.append(values)
        return (values, selection)

    store = Store()
    classes = Batch(store.batch("classes", lambda _, args: [lesson(str(args[0]))]).load, arguments=maker)
    engine = store.engine(Gym_classes=classes)
    for _ in range(3):
        await engine.execute('{ gym { classes(day: "MON") { name } } }')
    assert made == [{"first": 2, "day": "MON"}]
    made.clear()
    for day in ("TUE", "WED"):
        await engine.execute("query ($d: String) { gym { classes(day: $d) { name } } }", variables={"d": day})
    await engine.execute("query ($d: String) { gym { classes(day: $d) { name } } }")
    assert made == [{"first": 2, "day": "TUE"}, {"first": 2, "day": "WED"}, {"first": 2}]


async def test_a_maker_that_refuses_its_arguments_fails_the_field() -> None:
    def maker(values: dict[str, Any], _selection: Selection) -> Any:
        if values["first"] > 100:
            raise ValueError("first is at most 100")
        return (values, None)

    store = Store()
    classes = Batch(store.batch("classes", lambda *_: [lesson("x")]).load, arguments=maker)
    result = await store.engine(Gym_classes=classes).execute("{ gym { name classes(first: 101) { name } } }")
    assert shape(result) == (
        {"gym": None},
        [("first is at most 100", ["gym", "classes"])],
    )


async def test_without_a_maker_a_load_gets_no_arguments() -> None:
    seen: list[Any] = []

    async def load(parents: Sequence[Any], args: Any, context: Any) -> Sequence[Any]:
        seen.append((args, context))
        return [1.5 for _ in parents]

    await Store().engine(Gym_rating=Batch(load)).execute("{ gym { rating } }", context="viewer")
    assert seen == [(None, "viewer")]


async def test_look_ahead_names_what_the_operation_asks_for_below_a_field() -> None:
    store = Store()
    derived = Derived(lambda record, *_: record["name"], needs=("name", "place.city"))
    engine = store.engine(Gym_name=derived)
    source = """
      query ($c: Boolean!, $o: Boolean!) {
        gyms { id ...Where owner @include(if: $o) { name } classes(first: 1) @skip(if: $c) { id coach { name } } }
      }
      fragment Where on Gym { place { city country { code } } more: name }
    """
    for classes in (True, False):
        store.calls.clear()
        await engine.execute(source, variables={"c": not classes, "o": False})
        selection: Selection = store.calls[0][2][1]
        assert selection.fields == {"id", "place", "name"} | ({"classes"} if classes else set())
        assert selection.columns == {"_id", "place.city", "place.country.code", "name"}
        assert bool(selection.at("classes", "coach")) is classes
        assert selection.at("classes", "coach").columns == ({"name"} if classes else set())
        assert not selection.at("owner")
    assert engine.counters.compiled == 2, "one plan for each combination of the directives' variables"


async def test_records_of_an_abstract_type_name_their_type_and_load_by_type() -> None:
    store = Store()
    result = await store.engine().execute(
        "{ search { __typename ... on Node { id } ... on Gym { owner { name } } ... on User { gyms { name } } } }"
    )
    assert result.data == {
        "search": [
            {"__typename": "Gym", "id": "1", "owner": {"name": "User 1"}},
            {"__typename": "User", "id": "2", "gyms": [{"name": "Gym 1"}, {"name": "Gym 2"}]},
            {"__typename": "Gym", "id": "3", "owner": {"name": "User 3"}},
        ]
    }
    assert store.counts() == {"search": 1, "owner": 2, "gyms of user": 1}
    assert store.most_running == 2, "the types of a level load concurrently"


class Row:
    """Like an asyncpg row: read by key and by `get`, yet no Mapping."""

    def __init__(self, **columns: Any) -> None:
        self._columns = columns

    def __getitem__(self, key: str) -> Any:
        return self._columns[key]

    def get(self, key: str, default: Any = None) -> Any:
        return self._columns.get(key, default)


async def test_records_need_only_item_access_and_get() -> None:
    async def load(parents: Sequence[Any], _args: Any, _context: Any) -> Sequence[Any]:
        return [Row(__typename="Gym", _id=5, name="Row", place=Row(city="Ankara")) for _ in parents]

    async def find(_parents: Sequence[Any], _args: Any, _context: Any) -> Sequence[Any]:
        return [[Row(__typename="Gym", _id=6, name="Found"), Row(__typename="User", _id=7)]]

    engine = Store().engine(Query_gym=Batch(load), Query_search=Batch(find))
    result = await engine.execute("{ gym { id name place { city country { code } } } search { __typename } }")
    assert result.data == {
        "gym": {"id": "5", "name": "Row", "place": {"city": "Ankara", "country": None}},
        "search": [{"__typename": "Gym"}, {"__typename": "User"}],
    }

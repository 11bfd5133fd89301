"""Runtime types of interfaces and unions: by the records' own word, `resolve_type`, `is_type_of`, or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from graphql import GraphQLObjectType, GraphQLSchema

from nexfit.engine.engine import Engine
from nexfit.engine.fields import Batch, Column

from .both import both, no_specs, schema_of, shape, specs_of

SDL = """
interface Life { progeny: [Life] }
interface Named { name: String }
interface Mammal implements Life { progeny: [Mammal] mother: Mammal }
type Dog implements Mammal & Life & Named { name: String barks: Boolean progeny: [Dog] mother: Dog age: Int }
type Cat implements Mammal & Life & Named { name: String meows: Boolean progeny: [Cat] mother: Cat age: Int! }
type Person implements Mammal & Life & Named {
  name: String pets: [Pet] friends: [Named] progeny: [Person] mother: Person
}
type Stone { weight: Int }
union Pet = Dog | Cat
type Query { pets: [Pet] pet: Pet named: [Named!] person: Person mustPet: Pet! stone: Stone }
"""


class Thing:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__ |= attributes


class Dog(Thing):
    pass


class Cat(Thing):
    pass


class Person(Thing):
    pass


def schema_by(how: str) -> GraphQLSchema:
    schema = schema_of(SDL)
    classes = {"Dog": Dog, "Cat": Cat, "Person": Person}

    async def later(value: Any) -> Any:
        await asyncio.sleep(0)
        return value

    if how.startswith("is_type_of"):
        for name, class_ in classes.items():
            type_ = schema.type_map[name]
            assert isinstance(type_, GraphQLObjectType)
            type_.is_type_of = (
                (lambda value, _info, class_=class_: later(isinstance(value, class_)))
                if how.endswith("later")
                else lambda value, _info, class_=class_: isinstance(value, class_)
            )
    elif how.startswith("resolve_type"):
        for name in ("Life", "Named", "Mammal", "Pet"):
            schema.type_map[name].resolve_type = (  # type: ignore[attr-defined]
                (lambda value, _info, _type: later(type(value).__name__))
                if how.endswith("later")
                else lambda value, _info, _type: type(value).__name__
            )
    return schema


GARFIELD = {"name": "Garfield", "meows": False, "age": 9}
ODIE = {"name": "Odie", "barks": True}
SOURCE = """
{
  pets { __typename ...Names ... on Cat { meows age } ... on Dog { barks years: age } }
  pet { ... on Named { name } ... on Mammal { mother { __typename ... on Dog { name } } } }
  named { name ...P }
  person { __typename name pets { ... on Dog { woof: barks } ...Names } friends { name __typename } progeny { name } }
}
fragment Names on Named { name }
fragment P on Person { pets { __typename } }
"""


@pytest.mark.parametrize("how", ["is_type_of", "is_type_of later", "resolve_type", "resolve_type later"])
async def test_objects_are_typed_by_the_schemas_rules(how: str) -> None:
    def root() -> dict[str, Any]:
        garfield, odie = Cat(**GARFIELD), Dog(**ODIE)
        john = Person(name="John", pets=[garfield, odie], friends=[garfield, Person(name="Liz")], progeny=None)
        return {
            "pets": [garfield, odie, None],
            "pet": Dog(**ODIE, mother=Dog(name="Ma")),
            "named": [odie, john],
            "person": john,
        }

    expected = await both(schema_by("is_type_of"), SOURCE, root=root())
    result = await Engine(schema_by(how), no_specs).execute(SOURCE, root=root())
    assert result.to_json() == expected.to_json()
    assert not result.errors


async def test_mappings_are_typed_by_their_own_word() -> None:
    garfield, odie = {"__typename": "Cat", **GARFIELD}, {"__typename": "Dog", **ODIE}
    john = {"__typename": "Person", "name": "John", "pets": [odie], "friends": [garfield]}
    root = {"pets": [garfield, odie, None], "pet": odie, "named": [odie, john], "person": john}
    result = await both(schema_of(SDL), SOURCE, root=root)
    assert not result.errors


@pytest.mark.parametrize("name", [None, "Fish", "Stone", "Named", "Pet", "Query", 5, ["Dog"], "", "Person"], ids=repr)
@pytest.mark.parametrize("where", ["pet", "pets", "mustPet", "named"])
async def test_values_without_a_possible_type_are_errors(name: Any, where: str) -> None:
    good, bad = {"__typename": "Dog", "name": "Rex"}, {"__typename": name, "name": "?"}
    root = {where: [good, bad, good] if where in ("pets", "named") else bad}
    selection = "{ __typename name }" if where == "named" else "{ __typename ... on Dog { name } }"
    expected = await both(schema_of(SDL), f"{{ {where} {selection} }}", root=root)

    async def load(parents: Any, _args: Any, _context: Any) -> Any:
        return [parent[where] for parent in parents]

    schema = schema_of(SDL)
    names = {f"{type_}.name": Column("name") for type_ in ("Dog", "Cat", "Person")}
    for spec in (Column(where), Batch(load)):
        engine = Engine(schema, specs_of(schema, {f"Query.{where}": spec, **names}))
        result = await engine.execute(f"{{ {where} {selection} }}", root=root)
        assert result.to_json() == expected.to_json()


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("verdict", [True, False, None, ValueError("cannot say")], ids=repr)
async def test_an_object_type_checks_what_it_is_given(verdict: Any, later: bool) -> None:
    def check(_value: Any, info: Any) -> Any:
        assert info.path.as_list() == ["person"]
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    async def check_later(value: Any, info: Any) -> Any:
        await asyncio.sleep(0)
        return check(value, info)

    schema = schema_of(SDL)
    person = schema.type_map["Person"]
    assert isinstance(person, GraphQLObjectType)
    person.is_type_of = check_later if later else check
    await both(schema, "{ person { name } }", root={"person": {"name": "Ann"}})


async def test_the_first_matching_type_is_taken_and_errors_of_finding_it_are_reported() -> None:
    schema = schema_by("is_type_of")
    cat = schema.type_map["Cat"]
    assert isinstance(cat, GraphQLObjectType)

    def broken(_value: Any, _info: Any) -> bool:
        raise RuntimeError("cannot look")

    cat.is_type_of = broken
    result = await both(schema, "{ pets { __typename } }", root={"pets": [Dog(), Cat(), Dog()]})
    assert shape(result) == (
        {"pets": [{"__typename": "Dog"}, None, {"__typename": "Dog"}]},
        [("cannot look", ["pets", 1])],
    )


async def test_resolve_type_is_told_of_the_field() -> None:
    seen: list[Any] = []
    schema = schema_of(SDL)

    def resolve_type(value: Any, info: Any, abstract: Any) -> str:
        seen.append((value["name"], info.path.as_list(), info.field_name, info.context, abstract.name))
        return "Dog"

    schema.type_map["Pet"].resolve_type = resolve_type  # type: ignore[attr-defined]
    await Engine(schema, no_specs).execute(
        "{ a: pets { __typename } person { pets { __typename } } }",
        root={"pets": [{"name": 1}, {"name": 2}], "person": {"pets": [{"name": 3}]}},
        context="viewer",
    )
    assert sorted(seen) == [
        (1, ["a"], "pets", "viewer", "Pet"),
        (2, ["a"], "pets", "viewer", "Pet"),
        (3, ["person", "pets"], "pets", "viewer", "Pet"),
    ]

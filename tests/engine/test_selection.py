"""Look-ahead over fragments, abstract types and directives."""

from __future__ import annotations

from graphql import FieldNode, FragmentDefinitionNode, OperationDefinitionNode, get_named_type, parse

from nexfit.engine.fields import Batch, Column
from nexfit.engine.selection import Scope, Selection

from .both import schema_of, specs_of

SDL = """
interface Item { name: String parts: [Part] }
interface Part { size: Int }
type Bolt implements Part { size: Int thread: String }
type Plank implements Part { size: Int wood: String }
type Chair implements Item { name: String parts: [Bolt] maker: Maker }
type Table implements Item { name: String parts: [Plank] maker: Owner place: Place }
type Maker { name: String }
type Owner { name: String city: String }
type Place { x: Int y: Int }
type Query { items: [Item] edges: Page }
type Page { edges: [Edge] nodes: [Table] }
type Edge { node: Table }
"""
COLUMNS = {
    "Chair.name": Column("name"), "Table.name": Column("title"), "Bolt.size": Column("size"),
    "Bolt.thread": Column("thread"),
    "Plank.size": Column("length"), "Plank.wood": Column("wood"), "Maker.name": Column("maker_name"),
    "Owner.name": Column("owner_name"), "Owner.city": Column("city"), "Table.place": Column("place"),
    "Place.x": Column("x"), "Place.y": Column("y"),
}  # fmt: skip


async def nothing(*_: object) -> list[object]:
    return []


def selection_of(source: str, **flags: bool) -> Selection:
    schema = schema_of(SDL)
    parts = {"Chair.parts": Batch(nothing, ("_id", "parts")), "Table.parts": Batch(nothing, ("_id",))}
    specs = specs_of(schema, {**COLUMNS, **parts})
    document = parse(source)
    operation = next(node for node in document.definitions if isinstance(node, OperationDefinitionNode))
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    field = operation.selection_set.selections[0]
    assert isinstance(field, FieldNode)
    type_ = get_named_type(schema.query_type.fields[field.name.value].type)  # type: ignore[union-attr]
    return Selection(Scope(schema, fragments, flags, specs), type_, [field])


def test_columns_are_told_by_possible_type() -> None:
    selection = selection_of(
        "{ items { name ... on Table { place { x } parts { size } } ...C } } fragment C on Chair { parts { size } }"
    )
    assert selection.columns_of("Chair") == {"name", "_id", "parts"}
    assert selection.columns_of("Table") == {"title", "place.x", "_id"}
    assert selection.columns_of("Maker") == frozenset()
    assert selection.columns == {"name", "title", "place.x", "_id", "parts"}
    assert selection.fields == {"name", "place", "parts"}


def test_below_an_interface_each_possible_type_keeps_its_own_type() -> None:
    selection = selection_of(
        "{ items { parts { size ... on Bolt { thread } ... on Plank { wood } }"
        " ... on Chair { maker { name } } ... on Table { maker: maker { name city } } } }"
    )
    assert selection.at("parts").columns_of("Bolt") == {"size", "thread"}
    assert selection.at("parts").columns_of("Plank") == {"length", "wood"}
    assert selection.at("maker").columns == {"maker_name", "owner_name", "city"}
    assert selection.at("maker").columns_of("Maker") == {"maker_name"}


def test_selections_are_merged() -> None:
    selection = selection_of("{ edges { nodes { name } edges { node { place { y } } } a: nodes { parts { size } } } }")
    merged = selection.at("nodes") | selection.at("edges", "node")
    assert merged.columns == {"title", "_id", "place.y"}
    assert (selection.at("nothing") | merged).columns == merged.columns
    assert (merged | selection.at("nothing")).columns == merged.columns
    assert not selection.at("nothing")
    assert not selection.at("edges", "node", "place", "y")


def test_directives_decide_by_the_plans_flags() -> None:
    source = """
      query ($a: Boolean!) {
        items { name @include(if: $a) ... on Table @skip(if: $a) { place { x } } parts @skip(if: true) { size } }
      }
    """
    assert selection_of(source, a=True).columns == {"name", "title"}
    assert selection_of(source, a=False).columns == {"place.x"}

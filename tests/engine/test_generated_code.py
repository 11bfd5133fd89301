"""The text of generated functions: names from clients and schemas are constants in it, never code."""

from __future__ import annotations

import ast
from typing import Any

from graphql import GraphQLEnumType, GraphQLField, GraphQLObjectType, GraphQLSchema, GraphQLString

import nexfit.engine.generate as generate_module
from nexfit.engine.engine import Engine
from nexfit.engine.fields import Column

from .both import both, no_specs, schema_of, specs_of

KEYWORDS = ["None", "True", "lambda", "yield", "await", "def", "import", "exec", "eval", "__import__", "__builtins__"]
OWN_NAMES = ["o", "c0", "x0", "v1", "k2", "i3", "odd", "ODD", "built", "add", "sources", "zip", "type", "build"]
DUNDERS = ["__class__", "__dict__", "__proto__", "_", "__", "constructor", "toString"]
HOSTILE_KEYS = [
    "'", '"', "\\", "\n", "'''", '"""', "\\'", "{}", "{0}", "%s", "%(x)s", "'] + __import__('os').getcwd() + o['",
    "\x00", "ü", "\u2028", "${x}", "f'{o}'", "#", "a.b", "a b", "",
]  # fmt: skip


async def test_any_alias_is_only_a_key() -> None:
    schema = schema_of("type Query { a: String b: [Query!] }")
    names = [*KEYWORDS, *OWN_NAMES, *DUNDERS]
    source = "{ b { " + " ".join(f"{name}: a" for name in names) + " } }"
    result = await both(schema, source, root={"b": [{"a": "x"}, {"a": "y"}]})
    assert result.data == {"b": [dict.fromkeys(names, "x"), dict.fromkeys(names, "y")]}
    specs = specs_of(schema, {"Query.a": Column("a"), "Query.b": Column("b")})
    again = await Engine(schema, specs).execute(source, root={"b": [{"a": "x"}, {"a": "y"}]})
    assert again.data == result.data


async def test_any_stored_key_and_enum_value_is_only_a_constant() -> None:
    color = GraphQLEnumType("Color", {f"V{number}": key for number, key in enumerate(HOSTILE_KEYS)})
    fields = {f"f{number}": GraphQLField(GraphQLString) for number in range(len(HOSTILE_KEYS))}
    fields |= {f"e{number}": GraphQLField(color) for number in range(len(HOSTILE_KEYS))}
    schema = GraphQLSchema(GraphQLObjectType("Query", fields))
    columns = {f"Query.{kind}{number}": Column(key) for kind in "fe" for number, key in enumerate(HOSTILE_KEYS)}
    engine = Engine(schema, specs_of(schema, columns))
    record = {key: key for key in HOSTILE_KEYS}
    result = await engine.execute("{ " + " ".join(fields) + " }", root=record)
    assert not result.errors
    for number, key in enumerate(HOSTILE_KEYS):
        assert result.data[f"f{number}"] == key  # type: ignore[index]
        assert result.data[f"e{number}"] == f"V{number}"  # type: ignore[index]


async def test_generated_text_names_nothing_but_its_own_constants(monkeypatch: Any) -> None:
    texts: list[str] = []

    def watching(text: str, name: str, mode: str) -> Any:
        texts.append(text)
        return compile(text, name, mode)

    monkeypatch.setattr(generate_module, "compile", watching, raising=False)
    schema = schema_of(
        "enum E { A } type Query { evil: String! e: E! many: [Query!]! n: Int f: [[Float!]!] }",
        {"Query.n": lambda *_: 1},
    )
    specs = specs_of(
        schema,
        {
            "Query.evil": Column("']; import os; os.abort(); ['", str),
            "Query.e": Column("e"),
            "Query.many": Column("many"),
            "Query.f": Column("f"),
        },
    )
    record = {"']; import os; os.abort(); ['": "x", "e": "A", "many": [], "f": [[1.0]]}
    source = "{ __import__: evil os: e many { evil exec: e } n f }"
    result = await Engine(schema, specs).execute(source, root=record)
    assert result.data == {"__import__": "x", "os": "A", "many": [], "n": 1, "f": [[1.0]]}
    assert texts
    allowed = {"sources", "odd", "built", "o", "ODD", "Undefined", "Exception"}
    allowed |= {"zip", "isinstance", "type", "list", "tuple", "str", "int", "float", "bool"}
    for text in texts:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Name):
                assert node.id in allowed or (node.id[0] in "cxvkir" and node.id[1:].isdigit()), node.id
            assert not isinstance(node, ast.Import | ast.ImportFrom)
            if isinstance(node, ast.Attribute):
                assert node.attr in ("append", "get")


async def test_embedded_records_may_nest_deeper_than_one_expression_can() -> None:
    schema = schema_of("type Query { q: Query qs: [Query] a: Int }")
    specs = specs_of(schema, {"Query.q": Column("q"), "Query.qs": Column("qs"), "Query.a": Column("a")})
    source, record = "{ a }", {"a": 0}
    for depth in range(60):
        name = "q" if depth % 3 else "qs"
        source = f"{{ {name} {source} a }}"
        record = {"a": depth, name: [record, None] if name == "qs" else record}
    expected = await both(schema, source, root=record)
    assert (await Engine(schema, specs).execute(source, root=record)).to_json() == expected.to_json()
    assert (await Engine(schema, no_specs).execute(source, root=record)).executor == "plan"

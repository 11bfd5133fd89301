"""Writes random valid operations for a schema: variables, fragments, directives and all."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_composite_type,
    is_list_type,
    is_non_null_type,
    is_required_argument,
)


@dataclass(frozen=True)
class Generated:
    """A document, and its operations: the name to ask for (None for an anonymous one) and raw variables."""

    source: str
    operations: list[tuple[str | None, dict[str, Any]]]


@dataclass
class Writer:
    """Writes one operation; every random choice comes from `random`."""

    schema: GraphQLSchema
    random: random.Random
    name: str | None
    most_fields: int
    most_depth: int
    declarations: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    fragments: list[tuple[str, str, str]] = field(default_factory=list)
    fields: int = 0
    aliases: int = 0

    def write(self) -> list[str]:
        """The operation's definition and those of its fragments."""
        mutation = self.schema.mutation_type is not None and self.random.random() < 0.1
        root = self.schema.mutation_type if mutation else self.schema.query_type
        selections = self._selections(root, 0)
        declared = f"({', '.join(f'${name}: {type_}' for name, type_ in self.declarations.items())})"
        keyword = "mutation" if mutation else "query"
        operation = f"{keyword} {self.name or ''}{declared if self.declarations else ''} {selections}"
        return [operation, *(f"fragment {name} on {type_} {body}" for name, type_, body in self.fragments)]

    def _selections(self, type_: Any, depth: int) -> str:
        parts = [self._selection(type_, depth) for _ in range(self.random.randint(1, 4))]
        return "{ " + " ".join(parts) + " }"

    def _selection(self, type_: Any, depth: int) -> str:
        chance = self.random.random()
        if chance < 0.12 and depth < self.most_depth:
            on = self._condition(type_)
            condition = f"on {on.name}" if on is not type_ or self.random.random() < 0.5 else ""
            return f"... {condition}{self._directives()} {self._selections(on, depth + 1)}"
        if chance < 0.2 and depth < self.most_depth:
            return f"...{self._fragment(self._condition(type_), depth)}{self._directives()}"
        return self._field(type_, depth)

    def _condition(self, type_: Any) -> Any:
        """A type whose fragment may be spread here."""
        possible = self._possible(type_)
        overlapping = [
            other
            for other in self.schema.type_map.values()
            if is_composite_type(other) and not other.name.startswith("__") and self._possible(other) & possible
        ]
        return self.random.choice(overlapping)

    def _possible(self, type_: Any) -> set[str]:
        if isinstance(type_, GraphQLObjectType):
            return {type_.name}
        return {possible.name for possible in self.schema.get_possible_types(type_)}

    def _fragment(self, type_: Any, depth: int) -> str:
        known = [
            name for name, on, _ in self.fragments if self._possible(self.schema.type_map[on]) & self._possible(type_)
        ]
        if known and self.random.random() < 0.4:
            return self.random.choice(known)
        body = self._selections(type_, depth + 1)
        name = f"F{len(self.fragments)}{self.name or ''}"
        self.fragments.append((name, type_.name, body))
        return name

    def _field(self, type_: Any, depth: int) -> str:
        self.fields += 1
        names = [] if isinstance(type_, GraphQLUnionType) else list(type_.fields)
        if depth >= self.most_depth or self.fields > self.most_fields:
            names = [name for name in names if not is_composite_type(get_named_type(type_.fields[name].type))]
        if not names or self.random.random() < 0.08:
            return f"{self._alias(0.1)}__typename{self._directives()}"
        name = self.random.choice(names)
        definition = type_.fields[name]
        arguments = self._arguments(definition.args)
        below = get_named_type(definition.type)
        alias = self._alias(1 if definition.args else 0.2)
        selections = f" {self._selections(below, depth + 1)}" if is_composite_type(below) else ""
        return f"{alias}{name}{arguments}{self._directives()}{selections}"

    def _alias(self, chance: float) -> str:
        if self.random.random() >= chance:
            return ""
        self.aliases += 1
        return f"{self.random.choice(['a', '_', '__proto', 'class', 'None', 'odd', 'o'])}{self.aliases}: "

    def _directives(self) -> str:
        text = ""
        for name in ("skip", "include"):
            if self.random.random() < 0.06:
                flag = self.random.random() < 0.5
                written = str(flag).lower()
                if self.random.random() < 0.6:
                    written = self._variable("Boolean!", flag)
                text += f" @{name}(if: {written})"
        return text

    def _arguments(self, arguments: dict[str, Any]) -> str:
        written = []
        for name, argument in arguments.items():
            if not is_required_argument(argument) and self.random.random() < 0.4:
                continue
            written.append(f"{name}: {self._argument(argument)}")
        return f"({', '.join(written)})" if written else ""

    def _argument(self, argument: Any) -> str:
        if self.random.random() < 0.4:
            type_ = argument.type
            value = self._json(type_)
            if is_non_null_type(type_) or self.random.random() < 0.7:
                return self._variable(str(type_), value)
            name = self._variable(str(type_), value)
            del self.variables[name[1:]]  # a variable that is not given
            return name
        return self._literal(argument.type)

    def _variable(self, type_: str, value: Any) -> str:
        name = f"v{len(self.declarations)}"
        self.declarations[name] = type_
        self.variables[name] = value
        return f"${name}"

    def _json(self, type_: Any) -> Any:
        """A raw input value, now and then null where that is allowed."""
        if is_non_null_type(type_):
            return self._given(type_.of_type)
        return None if self.random.random() < 0.08 else self._given(type_)

    def _given(self, type_: Any) -> Any:
        if is_list_type(type_):
            return [self._json(type_.of_type) for _ in range(self.random.randint(0, 3))]
        if isinstance(type_, GraphQLEnumType):
            return self.random.choice(list(type_.values))
        if isinstance(type_, GraphQLInputObjectType):
            if type_.is_one_of:
                name = self.random.choice(list(type_.fields))
                return {name: self._given(type_.fields[name].type)}
            return {
                name: self._json(item.type)
                for name, item in type_.fields.items()
                if is_non_null_type(item.type) or self.random.random() < 0.6
            }
        given = {"Int": self.random.randint(0, 3), "Float": self.random.random(), "Boolean": True, "Date": "2026-11-05"}
        return given.get(type_.name, self.random.choice(["x", "1", 'ş "q" \\', "it's"]))

    def _literal(self, type_: Any) -> str:
        return self._written(self._json(type_), type_)

    def _written(self, value: Any, type_: Any) -> str:
        if is_non_null_type(type_):
            type_ = type_.of_type
        if value is None:
            return "null"
        if is_list_type(type_):
            return "[" + ", ".join(self._written(item, type_.of_type) for item in value) + "]"
        if isinstance(type_, GraphQLInputObjectType):
            return "{" + ", ".join(f"{name}: {self._within(value[name], type_, name)}" for name in value) + "}"
        if isinstance(type_, GraphQLEnumType):
            return str(value)
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, str):
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        return repr(value)

    def _within(self, value: Any, owner: GraphQLInputObjectType, name: str) -> str:
        """A field of an input object literal, now and then from a variable."""
        type_ = owner.fields[name].type
        if self.random.random() < 0.15 and not owner.is_one_of and value is not None:
            return self._variable(str(type_), value)
        return self._written(value, type_)


def generate(schema: GraphQLSchema, seed: str) -> Generated:
    """A document of one to six operations; the same for the same seed."""
    chosen = random.Random(seed)  # noqa: S311 - test data
    count = chosen.choice([1, 5, 6])
    definitions: list[str] = []
    operations: list[tuple[str | None, dict[str, Any]]] = []
    for number in range(count):
        name = f"Op{number}" if count > 1 or chosen.random() < 0.5 else None
        writer = Writer(
            schema, chosen, name, most_fields=chosen.choice([3, 8, 20]), most_depth=chosen.choice([2, 4, 6])
        )
        definitions += writer.write()
        operations.append((name, writer.variables))
    chosen.shuffle(definitions)
    return Generated("\n".join(definitions), operations)

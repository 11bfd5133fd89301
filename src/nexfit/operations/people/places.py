"""Where a person's documents and rows are: the registry as filters of MongoDB and conditions of PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from nexfit.operations.people import registry
from nexfit.operations.people.registry import Erased, Holding, Rule
from nexfit.stores.connections import Stores


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, and the words that name them: e-mail address, phone number, full name."""

    id: ObjectId
    email: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The id as PostgreSQL has it."""
        return str(self.id)


async def find_person(stores: Stores, user_id: ObjectId) -> Person | None:
    """The person with this id; None where there is none. Raises StoreError."""
    columns = ("emailNormalized", "email", "phoneNumber", "firstName", "lastName")
    found = await stores.mongo.find("users", {"_id": user_id}, columns, limit=1)
    if not found:
        return None
    user = found[0]
    name = f"{user['firstName']} {user['lastName']}"
    words = (user["email"], user["emailNormalized"], user.get("phoneNumber"), name)
    return Person(user_id, user["emailNormalized"], tuple(dict.fromkeys(filter(None, words))))


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents of a collection that hold one of a person's ids at `path`, and what holds for them."""

    collection: str
    path: str
    filter: Mapping[str, Any]
    rule: Rule
    is_own: bool

    @property
    def section(self) -> str:
        """What the export calls them."""
        return self.collection if self.is_own else f"{self.collection}.{self.path}"


async def documents_of(stores: Stores, person: Person) -> list[Documents]:
    """Every kind of documents the registry knows, in its order. Raises StoreError."""
    found = []
    for collection, holding in registry.mongo().items():
        own = await _own(stores, holding, person)
        if own is not None:
            found.append(Documents(collection, holding.of or "_id", own, holding.rule, True))
        for path, rule in holding.others.items():
            value: Any = person.email if rule.by_words else person.id
            found.append(Documents(collection, path, {path: value}, rule, False))
    return found


async def _own(stores: Stores, holding: Holding, person: Person) -> dict[str, Any] | None:
    if holding.of is not None:
        return {holding.of: person.id}
    if holding.by_prefix is not None:
        return {holding.by_prefix: {"$regex": f"^{person.id}:"}}
    if holding.by_words:
        return {path: getattr(person, word) for path, word in holding.by_words.items()}
    if holding.through:
        [(collection, key)] = holding.through.items()
        parent = registry.mongo()[collection]
        assert parent.of is not None  # noqa: S101  # tests/api/test_people.py
        rows = await stores.mongo.find(collection, {parent.of: person.id}, ())
        return {key: {"$in": [row["_id"] for row in rows]}}
    return None


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a table that hold a person's id in a column: `condition` has it as $1."""

    table: str
    column: str
    condition: str
    rule: Rule
    is_own: bool

    @property
    def section(self) -> str:
        """What the export calls them."""
        return self.table if self.is_own else f"{self.table}.{self.column}"


def rows_of() -> Iterator[Rows]:
    """Every kind of rows the registry knows, in its order."""
    for table, holding in registry.postgres().items():
        if holding.of is not None:
            yield Rows(table, holding.of, f"{_column(holding.of)} = $1::text", holding.rule, True)
        elif holding.through:
            parent, key = holding.through["table"], _column(holding.through["key"])
            of = registry.postgres()[parent].of
            condition = f"{key} IN (SELECT {key} FROM {_table(parent)} WHERE {of} = $1::text)"  # noqa: S608 - our names
            yield Rows(table, key, condition, holding.rule, True)
        for column, rule in holding.others.items():
            yield Rows(table, column, f"{_column(column)} = $1::text", rule, False)


def is_erased(rule: Rule) -> bool:
    """Whether the registry itself says how to erase."""
    return rule.erased in (Erased.DELETE, Erased.CHANGE, Erased.PULL)


def _column(name: str) -> str:
    assert re.fullmatch(r"[a-z_]+", name)  # noqa: S101  # the registry is ours
    return name


def _table(name: str) -> str:
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", name)  # noqa: S101
    return name

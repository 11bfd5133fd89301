"""Stored rows behind lists: read in a list's order by another way than the API, and made and taken away by tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from bson import ObjectId

from nexfit.stores.connections import Stores

from .conftest import global_id, local

Row = dict[str, Any]

INSTANT = "2026-06-01T00:00:00.000001+00:00"
"""As PostgreSQL spells one, and more exact than MongoDB keeps them."""
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(slots=True)
class At:
    """Where a list is looked at: the stores behind the API, who asks, and whose the rows are.

    `postgres` is a connection of its own on which no trigger runs: rows come and go that otherwise stay for ever.
    """

    stores: Stores
    postgres: asyncpg.Connection[Any]
    chance: Random
    viewer: ObjectId
    plan: ObjectId
    parents: dict[str, list[Any]]
    """By type, what lists belong to: the first of each, and others to look at together with it."""
    kept: dict[str, Any] = field(default_factory=dict)
    """Rows to copy."""

    @property
    def facility(self) -> ObjectId:
        """The facility."""
        return self.parents["Facility"][0]

    def number(self) -> int:
        """One that no row has."""
        return self.chance.randrange(10**8, 2 * 10**9)

    def id(self) -> ObjectId:
        """One that no row has, before or after all others."""
        return ObjectId(self.chance.randbytes(12))

    def uuid(self) -> str:
        """One that no row has."""
        return str(UUID(bytes=self.chance.randbytes(16), version=4))


TEXTS = ("", "a", "a b", "İz", "ş", "zz", "%_\\")


def _read(value: Any) -> Any:
    """A value as PostgreSQL spells it in JSON."""
    if not isinstance(value, str):
        return value
    if _INSTANT.match(value):
        return datetime.fromisoformat(value)
    return date.fromisoformat(value) if _DAY.fullmatch(value) else value


def _moved(chance: Random, value: Any) -> Any:
    """A value of the same kind, one of few, so that rows share one."""
    step = chance.randint(-3, 3)
    if isinstance(value, datetime):
        return value + timedelta(minutes=step)
    if isinstance(value, date):
        return value + timedelta(days=step)
    return TEXTS[step] if isinstance(value, str) else value + step


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents of MongoDB.

    `orders` names the column of each value of `orderBy` (`""` where there is none), with `-` where it descends.
    A new row is a copy of one that is there, with `fresh` in it; `like` makes one where there may be none.
    """

    type_: str
    collection: str
    of: Callable[[At], Row]
    orders: Mapping[str, str]
    fresh: Callable[[At], Row] = lambda _: {}
    like: Callable[[At], Row] | None = None
    nullable: tuple[str, ...] = ()

    async def ids(self, at: At, order: str, direction: str, condition: Any) -> list[str]:
        way = -1 if (direction == "DESC") != self.orders[order].startswith("-") else 1
        column = self.orders[order].removeprefix("-")
        found = at.stores.mongo.database[self.collection].find({**self.of(at), **(condition or {})}, {"_id": 1})
        documents = await found.sort(list({column: way, "_id": way}.items())).to_list()
        return [global_id(self.type_, document["_id"]) for document in documents]

    async def add(self, at: At) -> str:
        collection, kept = at.stores.mongo.database[self.collection], f"{self.collection} {self.of(at)}"
        if kept not in at.kept:
            at.kept[kept] = self.like(at) if self.like else await collection.find_one(self.of(at))
        assert at.kept[kept], f"there is nothing in {self.collection} to copy: give the recipe a `like`"
        made = {**deepcopy(at.kept[kept]), "_id": at.id(), **self.fresh(at)}
        for column in self.orders.values():
            *outer, last = column.removeprefix("-").split(".")
            within = made
            for part in outer:
                within = within[part]
            if last != "_id":
                within[last] = _moved(at.chance, within[last])
        await collection.insert_one(made, bypass_document_validation=True)
        return global_id(self.type_, made["_id"])

    async def remove(self, at: At, id_: str) -> None:
        await at.stores.mongo.database[self.collection].delete_one({"_id": ObjectId(local(id_))})


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of PostgreSQL. `key` is the unique column of a row under its parent, `local` the id that clients see.

    `orders` and `fresh` are as for `Documents`; a column named in `nullable` is sometimes without a value.
    """

    type_: str
    table: str
    key: str
    of: Callable[[At], Row]
    orders: Mapping[str, str]
    fresh: Callable[[At], Row] = lambda _: {}
    like: Callable[[At], Row] | None = None
    local: str = ""
    nullable: tuple[str, ...] = ()
    where: str = "true"

    async def ids(self, at: At, order: str, direction: str, condition: Any) -> list[str]:
        down = (direction == "DESC") != self.orders[order].startswith("-")
        way, nulls = ("DESC", "LAST") if down else ("ASC", "FIRST")
        column, of = self.orders[order].removeprefix("-"), self.of(at)
        conditions = [f"{name} = ${place}" for place, name in enumerate(of, 1)]
        found = await at.postgres.fetch(
            f"SELECT {self.local or self.key} AS id FROM {self.table} t"
            f" WHERE {' AND '.join([*conditions, self.where, condition or 'true'])}"
            f" ORDER BY {column} {way} NULLS {nulls}, {self.key} {way}",
            *of.values(),
        )
        return [global_id(self.type_, row["id"]) for row in found]

    async def add(self, at: At) -> str:
        of = self.of(at)
        template, columns = await self._template(at)
        made = {**template, **(self.like(at) if self.like else {}), **of, **self.fresh(at)}
        for column in {column.removeprefix("-") for column in self.orders.values()} - {self.key}:
            value = made[column] or INSTANT
            made[column] = _moved(at.chance, _read(value))
            if column in self.nullable and at.chance.random() < 0.3:
                made[column] = None
        names = ", ".join(name for name in columns if name in made)
        [row] = await at.postgres.fetch(
            f"INSERT INTO {self.table} AS t ({names}) OVERRIDING SYSTEM VALUE"
            f" SELECT {names} FROM jsonb_populate_record(NULL::{self.table}, $1)"
            f" RETURNING {self.local or self.key} AS id",
            orjson.dumps(made, default=str).decode(),
        )
        return global_id(self.type_, row["id"])

    async def _template(self, at: At) -> tuple[Row, list[str]]:
        """A row to copy, and the columns that can be written."""
        kept, of = f"{self.table} {self.of(at)}", self.of(at)
        if kept not in at.kept:
            conditions = " AND ".join([*(f"{name} = ${place}" for place, name in enumerate(of, 1)), self.where])
            found = await at.postgres.fetch(
                f"SELECT to_jsonb(t) AS row FROM {self.table} t WHERE {conditions} LIMIT 1", *of.values()
            )
            columns = await at.postgres.fetch(
                "SELECT attname FROM pg_attribute"
                " WHERE attrelid = $1::text::regclass AND attnum > 0 AND attgenerated = '' AND NOT attisdropped",
                self.table,
            )
            assert found or self.like, f"there is no row of {self.table} to copy: give the recipe a `like`"
            at.kept[kept] = orjson.loads(found[0]["row"]) if found else {}, [row["attname"] for row in columns]
        made: tuple[Row, list[str]] = at.kept[kept]
        return made

    async def remove(self, at: At, id_: str) -> None:
        of = self.of(at)
        conditions = [f"{name} = ${place}" for place, name in enumerate(of, 2)]
        await at.postgres.execute(
            f"DELETE FROM {self.table} t WHERE {' AND '.join([f'({self.local or self.key})::text = $1', *conditions])}",
            local(id_),
            *of.values(),
        )


@dataclass(frozen=True, slots=True)
class Timeline:
    """What both stores have of the first member among the parents; new ones are visits and notes, in turn."""

    type_: str
    orders: Mapping[str, str] = field(default_factory=lambda: {"": "-at"})
    nullable: tuple[str, ...] = ()

    async def ids(self, at: At, order: str, direction: str, condition: Any) -> list[str]:
        facility, user = at.parents["Member"][0].split(":")
        of = {"facilityId": ObjectId(facility), "userId": ObjectId(user)}
        found: list[tuple[datetime, str, str, str]] = []
        for type_, kind, collection, moment in (
            ("ClassBooking", "booking", "class_bookings", "date"),
            ("Visit", "visit", "visits", "at"),
        ):
            for document in await at.stores.mongo.database[collection].find(of).to_list():
                found.append((document[moment], kind, str(document["_id"]), type_))
        for type_, kind, table, key in (
            ("Invoice", "invoice", "finance.invoices", "invoice_id"),
            ("Subscription", "membership", "finance.subscriptions", "subscription_id"),
            ("MemberNote", "note", "platform.member_notes", "note_id"),
            ("Transaction", "transaction", "finance.transactions", "transaction_id"),
        ):
            drafts = "AND status <> 'draft'" if kind == "invoice" else ""
            rows = await at.postgres.fetch(
                f"SELECT {key}::text AS id, created_at FROM {table} WHERE facility_id = $1 AND user_id = $2 {drafts}",
                *(facility, user),
            )
            found += [(row["created_at"], kind, row["id"], type_) for row in rows]
        return [global_id(type_, id_) for _, _, id_, type_ in sorted(found, reverse=True)]

    async def add(self, at: At) -> str:
        facility, user = at.parents["Member"][0].split(":")
        moment = datetime.fromisoformat(INSTANT).replace(microsecond=0) + timedelta(minutes=at.chance.randint(-2, 2))
        if at.chance.random() < 0.5:
            visit = {"_id": at.id(), "facilityId": ObjectId(facility), "userId": ObjectId(user), "at": moment}
            await at.stores.mongo.database["visits"].insert_one({**visit, "source": "import"})
            return global_id("Visit", visit["_id"])
        id_ = at.uuid()
        moment += timedelta(microseconds=at.chance.choice((0, 1, 999)))
        await at.postgres.execute(
            "INSERT INTO platform.member_notes (note_id, facility_id, user_id, author_id, text, created_at)"
            " VALUES ($1, $2, $3, $3, 'x', $4)",
            *(id_, facility, user, moment),
        )
        return global_id("MemberNote", id_)

    async def remove(self, at: At, id_: str) -> None:
        here = local(id_)
        if "-" in here:
            await at.postgres.execute("DELETE FROM platform.member_notes WHERE note_id = $1", here)
        else:
            await at.stores.mongo.database["visits"].delete_one({"_id": ObjectId(here)})

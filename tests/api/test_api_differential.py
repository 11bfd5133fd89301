"""Random operations on NexFit's own schema and real stores: plans answer exactly as graphql-core with DataLoaders does.

`API_SEED` repeats a run, `API_OPERATIONS` sets how many operations are compared.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from bson import ObjectId
from graphql import GraphQLSchema, get_named_type, is_list_type, is_non_null_type

from nexfit.api.context import Context, Services
from nexfit.api.errors import presented
from nexfit.api.fields import spec_of
from nexfit.api.relay import global_id
from nexfit.api.schema import build_schema
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.identity.accounts import Accounts
from nexfit.domains.identity.attempts import Attempts
from nexfit.domains.identity.guests import Guests
from nexfit.domains.identity.messages import Console, Post
from nexfit.domains.identity.one_time import Hashes
from nexfit.domains.identity.passwords import Passwords
from nexfit.domains.identity.session_watch import SessionWatch
from nexfit.domains.identity.sessions import Sessions
from nexfit.domains.identity.tokens import Tokens
from nexfit.engine.engine import Engine
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.settings import Settings
from nexfit.stores.connections import open_stores
from tests.api.conftest import TODAY
from tests.engine.answers import nulled, reference, without_propagation, written
from tests.engine.operations import Writer

SEED = os.environ.get("API_SEED", "1")
OPERATIONS = int(os.environ.get("API_OPERATIONS", "5000"))


@dataclass
class ApiWriter(Writer):
    """Writes queries that find something: ids that exist, pages that are small enough, days that have money."""

    ids: list[str] = field(default_factory=list)

    def _arguments(self, arguments: dict[str, Any]) -> str:
        # From both ends, or behind a cursor of nothing, no page is given: most are asked for from the start.
        if self.random.random() < 0.8:
            arguments = {name: one for name, one in arguments.items() if name not in ("after", "last", "before")}
        return super()._arguments(arguments)

    def _given(self, type_: Any) -> Any:
        if is_non_null_type(type_) or is_list_type(type_):
            return super()._given(type_)
        match get_named_type(type_).name:
            case "ID":
                return self.random.choice(self.ids) if self.random.random() < 0.9 else "bm9ib2R5"
            case "Int":
                return self.random.choice([1, 2, 3, 5, 8, 0])
            case "Date":
                return self.random.choice(["2026-01-01", "2026-05-31", "2026-06-15"])
            case "DateTime":
                return "2026-06-01T00:00:00Z"
            case "String":
                return self.random.choice(["istanbul", "a", "çınar", "bm90IGEgY3Vyc29y"])
            case (
                "ExercisesFilter" | "TemplatesFilter" | "ProgramsFilter" | "FoodsFilter"
            ):  # of parts put together by chance nothing fits all
                return self.random.choice([{}, super()._given(type_)])
            case _:
                return super()._given(type_)


def _operation(schema: GraphQLSchema, chosen: random.Random, ids: list[str]) -> tuple[str, dict[str, Any]]:
    """A query and its variables."""
    while True:
        writer = ApiWriter(schema, chosen, None, most_fields=25, most_depth=5, ids=ids)
        definitions = writer.write()
        if definitions[0].startswith("query"):
            return "\n".join(definitions), writer.variables


@pytest.fixture(scope="module")
async def services(settings: Settings) -> AsyncIterator[Services]:
    passwords = Passwords(1)
    async with open_stores(settings) as stores:
        views, watch = JoinedViews(stores.redis), SessionWatch(stores.mongo, stores.redis, settings.auth)
        tokens, attempts = Tokens(settings.auth, watch), Attempts(stores.redis, settings.auth)
        sessions = Sessions(stores.redis, tokens, watch, settings.auth)
        units = UnitsOfWork(stores, views.invalidate)
        accounts = Accounts(
            *(stores, units, settings.auth, passwords, sessions, attempts),
            *(Hashes(settings.auth), Post(Console()), Guests(stores.postgres, units, tokens, attempts, settings.auth)),
        )
        yield Services(settings, stores, views, units, passwords, tokens, attempts, sessions, accounts)
    passwords.close()


@pytest.fixture(scope="module")
async def ids(services: Services) -> list[str]:
    """Global ids of every type, a few each."""
    found = []
    for type_name, collection in (
        ("Facility", "facilities"),
        ("Membership", "memberships"),
        ("Class", "classes"),
        ("ClassOccurrence", "class_occurrences"),
        ("User", "users"),
        ("MemberSubscription", "member_subscriptions"),
    ):
        rows = await services.stores.mongo.find(collection, {}, (), limit=4)
        found += [global_id(type_name, row["_id"]) for row in rows]
    for type_name, key, table in (
        ("Transaction", "transaction_id", "finance.transactions"),
        ("Subscription", "subscription_id", "finance.subscriptions"),
        ("Invoice", "invoice_id", "finance.invoices"),
        ("Member", "facility_id || ':' || user_id", "platform.member_facts"),
    ):
        rows = await services.stores.postgres.fetch(f"SELECT {key} AS id FROM {table} LIMIT 4")
        found += [global_id(type_name, row["id"]) for row in rows]
    return found


@pytest.fixture(scope="module")
async def actors(services: Services) -> list[Actor]:
    """A guest, the chain's owner, the studio's, a receptionist and a member."""
    emails = [f"{name}@demo.nexfit.app" for name in ("owner", "studio", "desk", "client")]
    rows = await services.stores.mongo.find("users", {"emailNormalized": {"$in": emails}}, ())
    assert len(rows) == len(emails)
    return [GUEST, *(Actor(ObjectId(row["_id"])) for row in rows)]


@pytest.mark.timeout(300)
async def test_plans_answer_as_graphql_core_on_real_stores(
    services: Services, ids: list[str], actors: list[Actor]
) -> None:
    schema: GraphQLSchema = build_schema()
    engine = Engine(schema, spec_of, documents=8, plans=8)
    now = datetime(TODAY.year, TODAY.month, TODAY.day, 9, tzinfo=UTC)
    compared = failed = with_rows = number = 0
    while compared < OPERATIONS:
        number += 1
        chosen = random.Random(f"{SEED}/{number}")  # noqa: S311 - chosen by lot, not for secrecy
        source, variables = _operation(schema, chosen, ids)
        prepared = engine.prepare(source)
        if prepared.errors or prepared.document is None:
            assert number < 100 or compared > number * 0.5, "the generator should write valid operations"
            continue
        actor = chosen.choice(actors)
        asked: dict[str, Any] = {"variables": variables}
        actual = await engine.execute(source, **asked, context=Context(services, now, actor), root={})
        expected = await reference(schema, prepared.document, **asked, context=Context(services, now, actor), root={})
        which = f"API_SEED={SEED}, operation {number}, actor {actor}: {source} {variables}"
        assert actual.executor == "plan", which
        assert orjson.dumps(actual.data) == orjson.dumps(expected.data), which
        if actual.errors or expected.errors:
            failed += 1
            assert nulled(actual.data, actual.errors) == nulled(expected.data, expected.errors), which
            every = await reference(
                schema,
                without_propagation(prepared.document),
                **asked,
                context=Context(services, now, actor),
                root={},
            )
            assert written(presented(actual.errors)) <= written(presented(every.errors)), which
        told = orjson.dumps(actual.data)
        with_rows += any(mark in told for mark in (b'"id":', b'"name":', b"[{"))  # a row may show neither of the two
        compared += 1
    assert failed < compared * 0.9, "most operations should find something"
    assert failed > compared * 0.02, "some operations should be refused somewhere"
    assert with_rows > compared * 0.2

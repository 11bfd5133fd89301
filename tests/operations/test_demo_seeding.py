"""Loading the demo: the same every time, never into filled stores, with progress, on any day of the calendar."""

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson
import pytest
from bson import json_util

from nexfit.operations import partitions
from nexfit.operations.demo import NotEmpty, SeedReport, seed
from nexfit.operations.mongo_schema import ALL_DOCUMENTS
from nexfit.operations.mongo_validators import collection_name, encrypted_fields
from nexfit.stores.connections import Stores
from nexfit.stores.field_encryption import Place

from .conftest import TODAY, FreshStores

TABLES = (
    *("finance.facility_accounts", "finance.subscriptions", "finance.transactions", "finance.transaction_keys"),
    *("finance.invoices", "finance.invoice_lines", "finance.refunds", "finance.credit_notes", "finance.audit_logs"),
    *("finance.analytics_daily", "finance.document_counters", "finance.package_credit_ledger"),
    *("finance.coaching_packages", "finance.package_balances", "platform.member_facts"),
)
WHEN_LOADED = {"finance.analytics_daily": ("created_at", "updated_at"), "platform.member_facts": ("updated_at",)}
"""Columns that tell when a row was written, not what it says."""


ENCRYPTED = {collection_name(model): encrypted_fields(model) for model in ALL_DOCUMENTS}


async def _digests(stores: Stores) -> dict[str, str]:
    """A hash of every collection and table."""
    made = {}
    for collection in await stores.mongo.database.list_collection_names():
        documents = await stores.mongo.database[collection].find(sort=[("_id", 1)]).to_list()
        for document in documents:
            _decrypt(stores, collection, document)
        made[collection] = hashlib.sha256(json_util.dumps(documents, sort_keys=True).encode()).hexdigest()
    for table in TABLES:
        columns = WHEN_LOADED.get(table, ())
        rows = [
            orjson.dumps([value for name, value in row.items() if name not in columns], default=str)
            for row in await stores.postgres.fetch(f"TABLE {table}")
        ]
        made[table] = hashlib.sha256(b"\n".join(sorted(rows))).hexdigest()
    return made


def _decrypt(stores: Stores, collection: str, document: dict[str, Any]) -> None:
    """Put what was encrypted in its envelope's place: the nonces differ from load to load."""
    for path in ENCRYPTED.get(collection, ()):
        *parts, name = path.split(".")
        holder: dict[str, Any] = document
        for part in parts:
            holder = holder.get(part, {})
        if name in holder:
            # What tells of health is under the key of who it tells of.
            person = document["_id"] if collection == "users" else document.get("userId")
            keys = stores.keys.of_person(person) if holder[name]["keyId"] == "person" else stores.keys
            holder[name] = keys.decrypt(Place(collection, document["_id"], path), holder[name])


@dataclass
class Load:
    """A finished load of the module's stores."""

    stores: Stores
    report: SeedReport
    steps: list[tuple[str, int, int]]
    digests: dict[str, str]


@pytest.fixture(scope="module")
async def load(stores: Stores) -> Load:
    """The stores with a small demo."""
    steps: list[tuple[str, int, int]] = []
    report = await seed(stores, scale=0.1, today=TODAY, on_progress=lambda *step: steps.append(step))
    return Load(stores, report, steps, await _digests(stores))


async def test_one_seed_and_day_make_the_same_data(load: Load, fresh_stores: FreshStores) -> None:
    async with fresh_stores() as stores:
        await seed(stores, scale=0.1, today=TODAY)
        assert await _digests(stores) == load.digests


@pytest.mark.parametrize(("number", "today"), [(8, TODAY), (7, date(2028, 2, 29)), (7, date(2031, 1, 1))])
async def test_another_seed_or_day_makes_other_sound_data(
    load: Load, fresh_stores: FreshStores, number: int, today: date
) -> None:
    async with fresh_stores() as stores:
        await seed(stores, scale=0.1, seed=number, today=today)
        made = await _digests(stores)
        assert made.keys() == load.digests.keys()
        for target in ("users", "member_subscriptions", "class_bookings", "finance.transactions", "finance.invoices"):
            assert made[target] != load.digests[target]
        async with stores.postgres.connection() as connection:
            assert all(one.stray_rows == 0 for one in await partitions.report(connection))
        client = await stores.mongo.find("users", {"email": "client@demo.nexfit.app"}, ())
        unpaid = await stores.postgres.fetch(
            "SELECT status, due_date FROM finance.invoices WHERE user_id = $1 AND status <> 'paid'",
            str(client[0]["_id"]),
        )
        assert [(row["status"], row["due_date"] < today) for row in unpaid] == [("open", True)]


async def test_filled_stores_are_refused_and_left_alone(load: Load) -> None:
    with pytest.raises(NotEmpty, match="--reset"):
        await seed(load.stores, scale=0.1, today=TODAY)
    assert await _digests(load.stores) == load.digests


def test_progress_ends_every_step_at_its_total(load: Load) -> None:
    assert all(0 <= done <= total for _, done, total in load.steps)
    names = list(dict.fromkeys(name for name, _, _ in load.steps))
    assert len(names) == 8
    assert names[-1] == "member facts"
    for name in names:
        seen = [(done, total) for step, done, total in load.steps if step == name]
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        assert seen[-1][0] == seen[-1][1]
    written = sum(max(done for step, done, _ in load.steps if step == name) for name in names)
    assert written == sum(load.report.rows.values())


async def test_the_report_counts_what_is_there(load: Load) -> None:
    assert load.report.members == 30
    assert load.report.today == TODAY
    for target, count in load.report.rows.items():
        if "." in target:
            rows = await load.stores.postgres.fetch(f"SELECT count(*) FROM {target}")
            assert rows[0]["count"] == count
        else:
            assert await load.stores.mongo.count(target, {}) == count


async def test_a_store_with_only_an_account_is_refused(fresh_stores: FreshStores) -> None:
    async with fresh_stores() as stores:
        async with stores.postgres.connection() as connection:
            await connection.execute(
                "INSERT INTO finance.facility_accounts (facility_id, business_id, currency) VALUES ($1, $1, 'TRY')",
                "a" * 24,
            )
        with pytest.raises(NotEmpty, match="facility_accounts"):
            await seed(stores)
        assert await stores.mongo.count("users", {}) == 0


@pytest.mark.parametrize("scale", [0, -1, 20_000, float("nan")])
async def test_a_nonsensical_scale_is_refused(stores: Stores, scale: float) -> None:
    with pytest.raises(ValueError, match="scale"):
        await seed(stores, scale=scale)

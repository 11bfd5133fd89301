"""Exports of many rows: nothing is left out where many share an instant, and memory does not grow with them."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId

from nexfit.domains.analytics.exports import BATCH, Export, Table, lines
from nexfit.embedded import EmbeddedServers
from nexfit.stores.connections import Stores, open_stores
from tests.databases import migrated

FILL = """INSERT INTO finance.transactions (business_id, facility_id, user_id, amount, currency, payment_method,
    transaction_type, status, created_at)
  SELECT $1, $1, $2, n, 'TRY', 'cash', 'manual_payment', 'succeeded',
    '2026-05-01T00:00:00Z'::timestamptz + (n / 7) * interval '1 second' FROM generate_series(1, $3::integer) n"""


@pytest.fixture(scope="module")
async def stores(servers: EmbeddedServers) -> AsyncIterator[Stores]:
    async with migrated(servers.urls) as settings, open_stores(settings) as opened:
        yield opened


async def test_twenty_times_as_many_rows_take_no_more_memory(stores: Stores) -> None:
    facility, user = ObjectId(), ObjectId()
    key, at = str(facility), datetime(2026, 5, 1, tzinfo=UTC)
    person = {
        "_id": user,
        "firstName": "=cmd|'/C calc'!A0",
        "lastName": "Işık",
        "nameFolded": "isik",
        "email": "x@example.org",
        "emailNormalized": "x@example.org",
        "role": ["client"],
        "isActive": True,
        "createdAt": at,
        "updatedAt": at,
    }
    await stores.mongo.database["users"].insert_one(person)
    account = "INSERT INTO finance.facility_accounts (facility_id, business_id, currency) VALUES ($1, $1, 'TRY')"
    await stores.postgres.fetch(account, key)
    export = Export(Table.TRANSACTIONS, facility, ZoneInfo("Europe/Istanbul"), date(2026, 5, 1), date(2026, 5, 31))
    peaks, counted = [], []
    for rows in (2 * BATCH, 18 * BATCH, 20 * BATCH):
        await stores.postgres.fetch(FILL, key, str(user), rows)
        tracemalloc.start()
        count = 0
        async for piece in lines(stores.mongo, stores.postgres, export):
            count += piece.count("\r\n")
            assert "=cmd" not in piece.replace("'=cmd", "")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        counted.append(count - 1)
    assert counted == [2 * BATCH, 20 * BATCH, 40 * BATCH]
    assert peaks[2] < 1.5 * peaks[0], peaks

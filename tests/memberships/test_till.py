"""The till of a local day, and its counts: what went over the desk and nothing else, counted once."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId

from nexfit.domains.errors import BadInput, NotFound, Refusal, Unauthenticated
from nexfit.domains.finance import till
from nexfit.domains.finance.errors import TillCounted, TillNotOpened
from nexfit.domains.finance.till import CountKind
from nexfit.domains.identity.access import GUEST, Actor

from .conftest import NOW, Shop

DAY = date(2026, 6, 15)
MOVE = """INSERT INTO finance.transactions (transaction_id, business_id, facility_id, user_id, amount, currency,
    payment_method, transaction_type, status, original_transaction_id, created_at)
  VALUES ($1, $2, $2, $3, $4, 'TRY', $5, $6, $7, $8, $9)"""


async def move(
    shop: Shop,
    amount: str,
    at: datetime = NOW,
    *,
    kind: str = "manual_payment",
    method: str = "cash",
    status: str = "succeeded",
    original: Any = None,
) -> Any:
    """A movement at an instant; its id."""
    id_ = uuid4()
    given = (str(shop.facility), str(ObjectId()), Decimal(amount), method, kind, status, original, at)
    await shop.stores.postgres.fetch(MOVE, id_, *given)
    return id_


async def open_account(shop: Shop) -> None:
    key = str(shop.facility)
    await shop.stores.postgres.fetch(
        "INSERT INTO finance.facility_accounts (facility_id, business_id, currency) VALUES ($1, $1, 'TRY')", key
    )


async def report(shop: Shop, day: date = DAY, zone: str = "Europe/Istanbul") -> dict[str, Any]:
    key = str(shop.facility)
    found = (await till.reports(shop.stores.postgres, {key: day}, {key: zone}))[key]
    assert found is not None
    return found


async def count(shop: Shop, kind: CountKind, counted: str, **more: Any) -> date:
    given = {"actor": shop.owner, "facility": shop.facility, "note": None, "now": NOW} | more
    return await till.count(shop.units, shop.stores, given.pop("actor"), kind=kind, counted=Decimal(counted), **given)


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Istanbul", date(2026, 3, 29)),  # keeps one clock all year
        ("Europe/Berlin", date(2026, 3, 29)),  # a day of 23 hours
        ("Europe/Berlin", date(2026, 10, 25)),  # and one of 25
        ("Asia/Beirut", date(2026, 3, 29)),  # whose clock jumps over midnight
        ("Pacific/Auckland", date(2026, 4, 5)),
    ],
)
async def test_every_movement_is_on_its_local_day(shop: Shop, zone: str, day: date) -> None:
    await open_account(shop)
    begins = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=26)
    expected: defaultdict[date, Decimal] = defaultdict(Decimal)
    for step in range(3 * 24 * 2):
        at = begins + timedelta(minutes=30 * step)
        await move(shop, f"{step + 1}.00", at)
        expected[at.astimezone(ZoneInfo(zone)).date()] += step + 1
    for near in (day - timedelta(days=1), day, day + timedelta(days=1)):
        assert (await report(shop, near, zone))["net"] == expected[near]
    assert expected[day] > 0


async def test_only_what_passed_the_desk_is_in_the_till(shop: Shop) -> None:
    await open_account(shop)
    cash = await move(shop, "100.00")
    await move(shop, "40.50", method="card")
    await move(shop, "9.50", method="card")
    charge = await move(shop, "500.00", kind="charge", method="card")
    await move(shop, "77.00", status="failed")
    await move(shop, "30.00", kind="refund", original=cash)
    await move(shop, "500.00", kind="refund", method="card", original=charge)
    await move(shop, "1.00", NOW - timedelta(days=1))
    found = await report(shop)
    assert found["methods"] == [
        {"method": "card", "payments": 2, "paid": Decimal("50.00"), "refunds": 0, "returned": Decimal(0),
         "net": Decimal("50.00"), "currency": "TRY"},
        {"method": "cash", "payments": 1, "paid": Decimal("100.00"), "refunds": 1, "returned": Decimal("30.00"),
         "net": Decimal("70.00"), "currency": "TRY"},
    ]  # fmt: skip
    assert found["net"] == Decimal("120.00")
    assert (found["opening"], found["closing"], found["expected_cash"], found["difference"]) == (None,) * 4


async def test_a_day_is_opened_and_closed_once(shop: Shop) -> None:
    await open_account(shop)
    with pytest.raises(TillNotOpened):
        await count(shop, CountKind.CLOSING, "1")
    results = await asyncio.gather(
        *(count(shop, CountKind.OPENING, f"{100 + n % 3}.00") for n in range(12)), return_exceptions=True
    )
    kinds = Counter(type(result).__name__ for result in results)
    assert kinds == {"date": 4, "TillCounted": 8}, [r for r in results if not isinstance(r, date | Refusal)]
    opened = (await report(shop))["opening"]["counted"]
    await move(shop, "50.00")
    await move(shop, "80.00", method="card")
    await count(shop, CountKind.CLOSING, f"{opened + 48}", note="İki lira eksik")
    await move(shop, "5.00")  # after closing: it is no longer what was expected then
    found = await report(shop)
    assert found["closing"]["expected"] == opened + 50
    assert found["difference"] == -2
    assert found["expected_cash"] == opened + 55
    assert found["closing"]["note"] == "İki lira eksik"
    assert await count(shop, CountKind.CLOSING, f"{opened + 48}") == DAY
    for kind in CountKind:
        with pytest.raises(TillCounted):
            await count(shop, kind, "1.23")
    kept = await shop.stores.postgres.fetch(
        "SELECT kind FROM finance.till_counts WHERE facility_id = $1 ORDER BY counted_at", str(shop.facility)
    )
    assert [row["kind"] for row in kept] == ["opening", "closing"]
    assert await count(shop, CountKind.OPENING, "7", now=NOW + timedelta(days=1)) == DAY + timedelta(days=1)


async def test_what_is_refused_writes_nothing(shop: Shop) -> None:
    with pytest.raises(BadInput):
        await count(shop, CountKind.OPENING, "1")  # there never was money here
    await open_account(shop)
    before = await shop.counts()
    for refused, counted, more in (
        (Unauthenticated, "1", {"actor": GUEST}),
        (NotFound, "1", {"actor": Actor(ObjectId())}),
        (NotFound, "1", {"facility": ObjectId()}),
        (BadInput, "-1", {}),
        (BadInput, "1.001", {}),
    ):
        with pytest.raises(refused):
            await count(shop, CountKind.OPENING, counted, **more)
        assert await shop.counts() == before
    assert (await report(shop))["opening"] is None

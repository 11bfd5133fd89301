"""Reads what a year left in both stores, by plain queries, and tells where it is not what the model says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import orjson

from bench.year.life import Chain, Place

_COLUMNS = ("new_members", "active_members", "total_revenue", "class_attendance", "subscription_renewals",
            "subscription_cancellations")  # fmt: skip


async def differences(chain: Chain) -> list[str]:
    """Everything that differs, in words; empty where both stores are what the model says, to the last coin."""
    found: list[str] = []
    taken = returned = Decimal(0)
    for place in chain.places:
        for check in (_invoices, _credits, _movements, _memberships, _balances, _figures):
            found += [f"{check.__name__.strip('_')} at {place.books.zone}: {one}" for one in await check(chain, place)]
        found += await _numbers(chain, place)
        taken += sum(one.amount for one in place.books.movements if one.kind == "charge")
        online = (one for one in place.books.movements if one.of is not None and one.of.kind == "charge")
        returned += sum(one.amount for one in online)
    if chain.bank.money != (taken, returned):
        found.append(f"the bank has {chain.bank.money}, the model {(taken, returned)}")
    return found


def _compare(stored: Iterable[tuple[Any, ...]], expected: Iterable[tuple[Any, ...]]) -> list[str]:
    left, right = Counter(stored), Counter(expected)
    extra, missing = (left - right).elements(), (right - left).elements()
    return [f"stored only: {one}" for one in extra] + [f"expected only: {one}" for one in missing]


async def _rows(chain: Chain, place: Place, columns: str, table: str) -> list[Any]:
    return await chain.stores.postgres.fetch(
        f"SELECT {columns} FROM finance.{table} t WHERE facility_id = $1", str(place.id)
    )


async def _invoices(chain: Chain, place: Place) -> list[str]:
    columns = "user_id, period_start, total_amount, net_amount, tax_amount, status, issued_on, due_date, payment_date"
    rows = await _rows(chain, place, f"{columns}, created_at", "invoices")
    expected = (
        (
            *(one.person, one.period, one.total, one.total - one.tax, one.tax, "paid" if one.paid_on else "open"),
            *(one.issued, one.issued, one.paid_on, one.made_at),
        )
        for one in place.books.invoices
    )
    return _compare((tuple(row) for row in rows), expected)


async def _numbers(chain: Chain, place: Place) -> list[str]:
    """Numbers of a year have no gap and follow the days of issue; so do those of credit notes."""
    found = []
    for table, number in (("invoices", "invoice_sequence"), ("credit_notes", "credit_note_sequence")):
        series: dict[int, list[tuple[int, date]]] = {}
        for row in await _rows(chain, place, f"{number} AS number, issued_on", table):
            series.setdefault(row["issued_on"].year, []).append((row["number"], row["issued_on"]))
        for year, given in series.items():
            given.sort()
            if [one[0] for one in given] != list(range(1, len(given) + 1)):
                found.append(f"numbers of {table} in {year} have gaps")
            if [one[1] for one in given] != sorted(one[1] for one in given):
                found.append(f"numbers of {table} in {year} do not follow their days")
    return found


async def _credits(chain: Chain, place: Place) -> list[str]:
    invoice = "(SELECT i.period_start FROM finance.invoices i WHERE i.invoice_id = t.invoice_id) AS period"
    rows = await _rows(
        chain, place, f"user_id, {invoice}, total_amount, tax_amount, issued_on, created_at", "credit_notes"
    )
    expected = (
        (one.invoice.person, one.invoice.period, one.total, one.tax, one.issued, one.made_at)
        for one in place.books.credits
    )
    return _compare((tuple(row) for row in rows), expected)


async def _movements(chain: Chain, place: Place) -> list[str]:
    rows = await _rows(chain, place, "user_id, created_at, amount, transaction_type, status", "transactions")
    expected = ((one.person, one.at, one.amount, one.kind, "succeeded") for one in place.books.movements)
    return _compare((tuple(row) for row in rows), expected)


async def _memberships(chain: Chain, place: Place) -> list[str]:
    """Subscriptions in PostgreSQL and contracts in MongoDB, each against the model."""
    columns = "user_id, start_date, current_period_start, current_period_end, status, amount"
    rows = await _rows(chain, place, columns, "subscriptions")
    model = place.books.memberships
    found = _compare(
        (tuple(row) for row in rows),
        ((one.person, one.starts, one.period, one.ends, one.status, one.price) for one in model),
    )
    contracts = await chain.database["member_subscriptions"].find({"facilityId": place.id}).to_list()
    return found + _compare(
        (
            (str(one["userId"]), one["startDate"].date(), one["endDate"].date(), one["status"], one["autoRenew"])
            for one in contracts
        ),
        ((one.person, one.starts, one.ends - timedelta(days=1), one.status, one.renews) for one in model),
    )


async def _balances(chain: Chain, place: Place) -> list[str]:
    rows = await chain.stores.postgres.fetch(
        "SELECT user_id, balance FROM platform.member_facts WHERE facility_id = $1", str(place.id)
    )
    return _compare((tuple(row) for row in rows), place.books.balances().items())


async def _figures(chain: Chain, place: Place) -> list[str]:
    rows = await chain.stores.postgres.fetch(
        f"SELECT date, {', '.join(_COLUMNS)}, metrics::text AS metrics FROM finance.analytics_daily "
        "WHERE business_id = $1 ORDER BY date",
        str(place.id),
    )
    days = [row["date"] for row in rows]
    if days != [days[0] + timedelta(days=n) for n in range(len(days))]:
        return ["days are missing"]
    found = []
    expected = place.books.figures(days[0], days[-1], place.happened)
    for row in rows:
        metrics = orjson.loads(row["metrics"])
        metrics["refunded"] = Decimal(metrics["refunded"])
        stored = {name: row[name] for name in _COLUMNS} | metrics
        if stored != expected[row["date"]]:
            wrong = {name: (stored.get(name), value) for name, value in expected[row["date"]].items()
                     if stored.get(name) != value}  # fmt: skip
            found.append(f"{row['date']}: {wrong}")
    return found

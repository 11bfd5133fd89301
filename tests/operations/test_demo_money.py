"""The demo's money, read back from both stores by a reader that knows nothing of the generator."""

from collections import Counter, defaultdict
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from nexfit.operations import partitions
from nexfit.operations.member_facts import rebuild_member_facts
from nexfit.stores.connections import Stores

from .conftest import TODAY

ZONE = ZoneInfo("Europe/Istanbul")


async def _documents(stores: Stores, collection: str) -> list[dict[str, Any]]:
    return await stores.mongo.database[collection].find().to_list()


async def test_every_subscription_has_its_mirror(seeded: Stores) -> None:
    rows = {str(row["subscription_id"]): row for row in await seeded.postgres.fetch("TABLE finance.subscriptions")}
    mirrors = {document["subscriptionId"]: document for document in await _documents(seeded, "member_subscriptions")}
    assert rows.keys() == mirrors.keys()
    assert len(rows) > 300
    for key, row in rows.items():
        mirror = mirrors[key]
        assert (row["user_id"], row["facility_id"], row["plan_id"], row["status"], row["start_date"]) == (
            str(mirror["userId"]),
            str(mirror["facilityId"]),
            str(mirror["membershipId"]),
            mirror["status"],
            mirror["startDate"].date(),
        )
        assert mirror["endDate"].date() == row["current_period_end"] - timedelta(days=1)
        assert row["end_date"] in (None, mirror["endDate"].date())
        assert mirror["autoRenew"] == row["auto_renew"] == (row["end_date"] is None)
        assert mirror.get("cancelledAt") == _milliseconds(row["cancelled_at"])


def _milliseconds(instant: Any) -> Any:
    return instant and instant.replace(microsecond=instant.microsecond // 1000 * 1000)


async def test_mirrored_payments_are_the_booked_ones(seeded: Stores) -> None:
    booked = {
        str(row["transaction_id"]): (row["user_id"], row["amount"], row["status"], row["payment_method"])
        for row in await seeded.postgres.fetch(
            "SELECT * FROM finance.transactions WHERE transaction_type IN ('charge', 'manual_payment')"
        )
    }
    mirrored = {
        payment["transactionId"]: (
            str(document["userId"]),
            payment["amount"].to_decimal(),
            payment["status"],
            payment["method"],
        )
        for document in await _documents(seeded, "member_subscriptions")
        for payment in document["paymentHistory"]
    }
    assert mirrored == booked


async def test_invoices_payments_and_refunds_add_up(seeded: Stores) -> None:
    wrong = await seeded.postgres.fetch(
        """
        SELECT i.invoice_number, i.status, t.status AS payment, t.amount, i.total_amount
        FROM finance.invoices i LEFT JOIN finance.transactions t USING (transaction_id)
        WHERE (i.status = 'paid') IS DISTINCT FROM (t.status = 'succeeded' AND t.amount = i.total_amount
            AND t.user_id = i.user_id AND (t.created_at AT TIME ZONE 'Europe/Istanbul')::date = i.payment_date)
          AND NOT (i.status <> 'paid' AND t.transaction_id IS NULL)
        """
    )
    assert not wrong
    totals = (
        await seeded.postgres.fetch(
            """
            SELECT (SELECT sum(total_amount) FROM finance.invoices WHERE status = 'paid') AS invoiced,
              (SELECT sum(amount) FROM finance.transactions
                WHERE status = 'succeeded' AND transaction_type <> 'refund') AS paid,
              (SELECT sum(amount) FROM finance.transactions WHERE transaction_type = 'refund') AS given_back,
              (SELECT sum(amount) FROM finance.refunds WHERE status = 'succeeded') AS refunded,
              (SELECT sum(total_amount) FROM finance.credit_notes) AS credited,
              (SELECT sum(total_amount) FROM finance.invoice_lines) AS lines,
              (SELECT sum(total_amount) FROM finance.invoices) AS everything
            """
        )
    )[0]
    assert totals["invoiced"] == totals["paid"] > 1_000_000
    assert totals["given_back"] == totals["refunded"] == totals["credited"] > 0
    assert totals["lines"] == totals["everything"]


async def test_tax_is_a_fifth_of_the_net(seeded: Stores) -> None:
    for row in await seeded.postgres.fetch("SELECT net_amount, tax_amount, total_amount FROM finance.invoices"):
        net = (row["total_amount"] / Decimal("1.20")).quantize(Decimal("0.01"), ROUND_HALF_UP)
        assert (row["net_amount"], row["tax_amount"]) == (net, row["total_amount"] - net)


async def test_numbers_have_no_gap_and_follow_the_day_of_issue(seeded: Stores) -> None:
    for table, number in (("invoices", "invoice_sequence"), ("credit_notes", "credit_note_sequence")):
        series = defaultdict(list)
        for row in await seeded.postgres.fetch(f"SELECT business_id, issued_on, {number} AS n FROM finance.{table}"):
            series[row["business_id"], row["issued_on"].year].append((row["n"], row["issued_on"]))
        assert series
        for issued in series.values():
            issued.sort()
            assert [n for n, _ in issued] == list(range(1, len(issued) + 1))
            assert [day for _, day in issued] == sorted(day for _, day in issued)
    assert len({year for _, year in series}) == 2, "a year of history spans two calendar years"


async def test_each_period_is_billed_once_and_none_is_left_out(seeded: Stores) -> None:
    periods = defaultdict(list)
    for row in await seeded.postgres.fetch("SELECT subscription_id, period_start FROM finance.invoices"):
        periods[row["subscription_id"]].append(row["period_start"])
    for row in await seeded.postgres.fetch(
        "SELECT * FROM finance.subscriptions WHERE status NOT IN ('incomplete', 'incomplete_expired')"
    ):
        months = row["billing_interval"] * (12 if row["billing_cycle"] == "year" else 1)
        starts = sorted(periods[row["subscription_id"]])
        assert starts[0] == row["start_date"]
        assert starts[-1] == row["current_period_start"]
        assert len(set(starts)) == len(starts)
        gaps = [(b.year - a.year) * 12 + b.month - a.month for a, b in pairwise(starts)]
        assert all(gap == months for gap in gaps)


async def test_there_are_paid_open_overdue_and_lost_invoices(seeded: Stores) -> None:
    rows = await seeded.postgres.fetch(
        "SELECT status, due_date < $1 AS late, count(*) FROM finance.invoices GROUP BY 1, 2", TODAY
    )
    found = Counter({(row["status"], row["late"]): row["count"] for row in rows})
    assert found["paid", True] > 800
    assert found["open", False] >= 3
    assert found["open", True] >= 10
    assert found["uncollectible", True] >= 3
    assert (
        sum(found.values())
        == found["paid", True]
        + found["paid", False]
        + found["open", True]
        + found["open", False]
        + found["uncollectible", True]
    )


async def test_a_live_subscription_owes_what_its_status_says(seeded: Stores) -> None:
    rows = await seeded.postgres.fetch(
        """
        SELECT s.status, count(i.invoice_id) AS open, max(i.due_date) AS due
        FROM finance.subscriptions s
          LEFT JOIN finance.invoices i ON i.subscription_id = s.subscription_id AND i.status = 'open'
        GROUP BY s.subscription_id
        """
    )
    for row in rows:
        if row["status"] in ("past_due", "suspended"):
            assert row["open"] == 1
        elif row["status"] == "active":
            assert row["due"] is None or row["due"] >= TODAY
        else:
            assert row["open"] == 0
    statuses = Counter(row["status"] for row in rows)
    assert {"active", "past_due", "suspended", "frozen", "cancelled", "expired"} <= statuses.keys()


@pytest.fixture(scope="module")
async def recomputed(seeded: Stores) -> dict[tuple[str, date], tuple[Any, ...]]:
    """Daily figures from the stores' own rows, by (business, day)."""
    figures: dict[tuple[str, date], dict[str, Any]] = defaultdict(lambda: defaultdict(Decimal))
    day = "(%s AT TIME ZONE 'Europe/Istanbul')::date"
    for row in await seeded.postgres.fetch(
        f"""
        SELECT facility_id, {day % "created_at"} AS day,
          sum(CASE transaction_type WHEN 'refund' THEN -amount ELSE amount END) AS revenue
        FROM finance.transactions WHERE status = 'succeeded' GROUP BY 1, 2
        """
    ):
        figures[row["facility_id"], row["day"]]["revenue"] = row["revenue"]
    for row in await seeded.postgres.fetch(
        """
        SELECT i.facility_id, i.payment_date AS day, count(*)
        FROM finance.invoices i JOIN finance.subscriptions s USING (subscription_id)
        WHERE i.status = 'paid' AND i.period_start > s.start_date GROUP BY 1, 2
        """
    ):
        figures[row["facility_id"], row["day"]]["renewals"] = row["count"]
    for row in await seeded.postgres.fetch(
        f"""
        SELECT facility_id, {day % "cancelled_at"} AS day, count(*) FROM finance.subscriptions
        WHERE cancelled_at IS NOT NULL GROUP BY 1, 2
        """
    ):
        figures[row["facility_id"], row["day"]]["cancellations"] = row["count"]
    paid_for = "status NOT IN ('incomplete', 'incomplete_expired')"
    for row in await seeded.postgres.fetch(
        f"""
        SELECT facility_id, {day % "joined"} AS day, count(*) FROM (
          SELECT facility_id, user_id, min(created_at) AS joined FROM finance.subscriptions
          WHERE {paid_for} GROUP BY 1, 2) j
        GROUP BY 1, 2
        """
    ):
        figures[row["facility_id"], row["day"]]["new"] = row["count"]
    for row in await seeded.postgres.fetch(
        f"""
        SELECT s.facility_id, d.day::date AS day, count(DISTINCT s.user_id)
        FROM finance.subscriptions s
          CROSS JOIN LATERAL generate_series(s.start_date::timestamp, s.current_period_end - 1, '1 day') AS d(day)
        WHERE {paid_for} AND (s.cancelled_at IS NULL OR d.day::date <= {day % "s.cancelled_at"}) GROUP BY 1, 2
        """
    ):
        figures[row["facility_id"], row["day"]]["active"] = row["count"]
    for booking in await seeded.mongo.database["class_bookings"].find({"status": "attended"}).to_list():
        figures[str(booking["facilityId"]), booking["date"].astimezone(ZONE).date()]["attended"] += 1
    names = ("new", "active", "revenue", "attended", "renewals", "cancellations")
    return {key: tuple(found[name] for name in names) for key, found in figures.items()}


async def test_daily_figures_equal_their_recomputation(
    seeded: Stores, recomputed: dict[tuple[str, date], tuple[Any, ...]]
) -> None:
    stored = {
        (row["business_id"], row["date"]): (
            row["new_members"],
            row["active_members"],
            row["total_revenue"],
            row["class_attendance"],
            row["subscription_renewals"],
            row["subscription_cancellations"],
        )
        for row in await seeded.postgres.fetch("TABLE finance.analytics_daily")
    }
    first, last = min(day for _, day in stored), max(day for _, day in stored)
    assert last == TODAY - timedelta(days=1)
    assert len(stored) == 5 * ((last - first).days + 1)
    expected = {key: value for key, value in recomputed.items() if key[1] <= last}
    nothing = (0, 0, 0, 0, 0, 0)
    assert expected.keys() <= stored.keys()
    for key, figures in stored.items():
        assert figures == expected.get(key, nothing), key


async def test_member_facts_say_what_both_stores_say(seeded: Stores) -> None:
    facts = {
        (row["facility_id"], row["user_id"]): row for row in await seeded.postgres.fetch("TABLE platform.member_facts")
    }
    people = {document["_id"]: document for document in await _documents(seeded, "users")}
    held = defaultdict(list)
    for document in await _documents(seeded, "member_subscriptions"):
        held[str(document["facilityId"]), str(document["userId"])].append(document)
    assert facts.keys() == held.keys()
    visits: dict[tuple[str, str], Any] = {}
    for document in await _documents(seeded, "visits"):
        key = (str(document["facilityId"]), str(document["userId"]))
        visits[key] = max(document["at"], visits.get(key, document["at"]))
    bookings: dict[tuple[str, str], Any] = {}
    for document in await _documents(seeded, "class_bookings"):
        if document["status"] == "booked":
            key = (str(document["facilityId"]), str(document["userId"]))
            bookings[key] = min(document["date"], bookings.get(key, document["date"]))
    owed = {
        (row["facility_id"], row["user_id"]): (row["sum"], row["count"], row["due"])
        for row in await seeded.postgres.fetch(
            """
            SELECT facility_id, user_id, sum(total_amount), count(*), min(due_date) AS due
            FROM finance.invoices WHERE status = 'open' GROUP BY 1, 2
            """
        )
    }
    for key, row in facts.items():
        person = people[held[key][0]["userId"]]
        live = [one for one in held[key] if one["status"] in ("active", "past_due", "frozen", "suspended")]
        assert len(live) <= 1
        speaks = (
            live[0]
            if live
            else max(held[key], key=lambda one: (one["status"] != "incomplete_expired", one["startDate"]))
        )
        assert (row["status"], row["plan_id"]) == (speaks["status"], str(speaks["membershipId"]))
        joined = [one["createdAt"] for one in held[key] if not one["status"].startswith("incomplete")]
        assert row["joined_at"] == min(joined, default=None)
        assert row["name_folded"] == person["nameFolded"]
        born = person["roleSpecificData"]["client"]["dateOfBirth"]
        assert row["birthday"] == born.month * 100 + born.day
        assert row["last_visit_at"] == visits.get(key)
        assert row["next_booking_at"] == bookings.get(key)
        assert (row["balance"], row["open_invoices"], row["oldest_open_due"]) == owed.get(key, (0, 0, None))


async def test_rebuilding_true_facts_changes_nothing_and_repairs_false_ones(seeded: Stores) -> None:
    now = await _seed_moment(seeded)
    assert await rebuild_member_facts(seeded, now=now) == 0
    before = await seeded.postgres.fetch("SELECT * FROM platform.member_facts ORDER BY facility_id, user_id")
    victim = before[0]
    async with seeded.postgres.connection() as connection:
        await connection.execute(
            "UPDATE platform.member_facts SET name_folded = 'nobody', status = 'none', last_visit_at = NULL "
            "WHERE facility_id = $1 AND user_id = $2",
            victim["facility_id"],
            victim["user_id"],
        )
        await connection.execute(
            "INSERT INTO platform.member_facts (facility_id, user_id, status) VALUES ($1, $2, 'active')",
            victim["facility_id"],
            "f" * 24,
        )
    assert await rebuild_member_facts(seeded, now=now) == 2
    after = await seeded.postgres.fetch(
        "SELECT * FROM platform.member_facts WHERE status <> 'none' ORDER BY facility_id, user_id"
    )
    async with seeded.postgres.connection() as connection:
        await connection.execute("DELETE FROM platform.member_facts WHERE user_id = $1", "f" * 24)
    assert [_but_updated(row) for row in after] == [_but_updated(row) for row in before]


async def _seed_moment(stores: Stores) -> Any:
    """An instant between the newest visit and the next class, which is what the demo calls now."""
    newest = await stores.mongo.database["visits"].find_one(sort=[("at", -1)])
    assert newest is not None
    return newest["at"] + timedelta(minutes=1)


def _but_updated(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "updated_at"}


async def test_default_partitions_stay_empty(seeded: Stores) -> None:
    async with seeded.postgres.connection() as connection:
        found = await partitions.report(connection)
    assert {one.table: one.stray_rows for one in found} == {
        "finance.transactions": 0,
        "finance.audit_logs": 0,
        "finance.analytics_daily": 0,
    }


async def test_package_credits_match_the_sessions(seeded: Stores) -> None:
    sessions = Counter()
    for document in await _documents(seeded, "pt_sessions"):
        by_coach = document["status"] == "cancelled" and document["cancelledBy"] == document["coachId"]
        kind = "released" if by_coach else "reserved" if document["status"] == "scheduled" else "used"
        sessions[str(document["coachId"]), str(document["clientId"]), kind] += 1
    relations = {str(document["_id"]): document for document in await _documents(seeded, "coach_clients")}
    balances = await seeded.postgres.fetch("TABLE finance.package_balances")
    assert len(balances) == sum(document["relationship"]["status"] == "active" for document in relations.values()) > 30
    for balance in balances:
        relation = relations[balance["package_id"]]
        pair = (str(relation["coachId"]), str(relation["clientId"]))
        assert (balance["used"], balance["reserved"]) == (sessions[*pair, "used"], sessions[*pair, "reserved"])
        assert balance["remaining"] == balance["total"] - balance["used"] - balance["reserved"] >= 0

"""Every hot query uses its index on a filled database, and every index has a query that uses it."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from bson import ObjectId
from ledger_rows import NOON, object_id
from pydantic import SecretStr

from nexfit.domains.classes import notices
from nexfit.domains.coaching import earnings
from nexfit.domains.coaching.earnings import Earner
from nexfit.domains.finance import ledger
from nexfit.domains.memberships import members
from nexfit.domains.memberships.members import MemberFilter, MemberOrder
from nexfit.hybrid.paging import PageRequest
from nexfit.hybrid.postgres_feed import mark_now, read_on
from nexfit.operations.feeds.documents import PASSED_BOOKINGS
from nexfit.settings import PostgresSettings
from nexfit.stores.postgres import Postgres
from nexfit.stores.sql import load_sql

FACILITIES = [object_id(number) for number in range(1, 41)]
USERS = [object_id(100_000 + number) for number in range(1, 501)]
PLANS = [object_id(900_000 + number) for number in range(1, 161)]
TODAY = date(2026, 4, 1)

# 40 facilities with 500 members each; per member a payment, an invoice (one in ten open) and a subscription.
FILL = """
CREATE TEMPORARY TABLE f AS SELECT n, lpad(to_hex(n), 24, '0') AS id FROM generate_series(1, 40) n;
CREATE TEMPORARY TABLE u AS SELECT n, lpad(to_hex(100000 + n), 24, '0') AS id FROM generate_series(1, 500) n;
INSERT INTO finance.facility_accounts (facility_id, business_id, currency) SELECT id, id, 'TRY' FROM f;
INSERT INTO platform.member_facts
    (facility_id, user_id, name_folded, status, joined_at, last_visit_at, next_booking_at, birthday)
  SELECT f.id, u.id, md5(u.n::text) || ' ' || md5(f.n::text), 'active',
    '2025-01-01'::timestamptz + u.n * interval '1 h',
    CASE WHEN u.n % 3 > 0 THEN '2026-01-01'::timestamptz + u.n * interval '1 h' END,
    CASE WHEN u.n % 20 = 0 THEN '2026-03-01'::timestamptz + (f.n * 500 + u.n) * interval '10 min' END,
    (1 + u.n % 12) * 100 + 1 + u.n % 28
  FROM f, u;
INSERT INTO platform.member_tags (facility_id, user_id, tag_folded, tag, tagged_by)
  SELECT f.id, u.id, 'tag ' || u.n % 50, 'Tag', f.id FROM f, u;
INSERT INTO platform.member_notes (facility_id, user_id, author_id, text, created_at)
  SELECT f.id, u.id, f.id, 'x', '2026-01-01'::timestamptz + u.n * interval '1 h' FROM f, u;
INSERT INTO finance.transactions
    (business_id, facility_id, user_id, amount, currency, payment_method, transaction_type, status, created_at)
  SELECT f.id, f.id, u.id, 100, 'TRY', 'card', 'charge', CASE WHEN u.n % 50 = 0 THEN 'pending' ELSE 'succeeded' END,
    '2026-01-01'::timestamptz + (u.n * 0.2 + f.n * 0.001) * interval '1 day'
  FROM f, u;
INSERT INTO finance.subscriptions (business_id, facility_id, user_id, plan_id, status, start_date, current_period_start,
    current_period_end, billing_cycle, amount, currency, payment_method, created_at, cancelled_at)
  SELECT f.id, f.id, u.id, lpad(to_hex(900000 + (f.n - 1) * 4 + u.n % 4 + 1), 24, '0'),
    CASE WHEN u.n % 5 = 0 THEN 'expired' WHEN u.n % 250 = 1 THEN 'past_due' WHEN u.n % 100 = 2 THEN 'incomplete'
      ELSE 'active' END, '2026-01-01', '2026-01-01',
    '2026-02-01'::date + u.n % 300, 'month', 100, 'TRY', 'card', '2026-01-01'::timestamptz + u.n * interval '1 min',
    CASE WHEN u.n % 5 = 0 THEN '2026-01-10'::timestamptz + u.n * interval '1 h' END
  FROM f, u;
INSERT INTO finance.invoices (business_id, facility_id, user_id, subscription_id, period_start, transaction_id,
    net_amount, tax_amount, total_amount, currency, status, issued_on, due_date, payment_date, invoice_sequence,
    created_at)
  SELECT f.id, f.id, u.id, s.subscription_id, '2026-01-01', CASE WHEN u.n % 10 > 0 THEN t.transaction_id END,
    80, 20, 100, 'TRY', CASE WHEN u.n % 10 = 0 THEN 'open' ELSE 'paid' END, '2026-01-01',
    '2026-01-01'::date + u.n % 200, CASE WHEN u.n % 10 > 0 THEN '2026-01-05'::date END, u.n,
    '2026-01-01'::timestamptz + u.n * interval '1 min'
  FROM f, u, finance.subscriptions s, finance.transactions t
  WHERE s.facility_id = f.id AND s.user_id = u.id AND t.facility_id = f.id AND t.user_id = u.id;
INSERT INTO finance.invoice_lines
    (invoice_id, line_no, description, quantity, tax_rate, net_amount, tax_amount, total_amount)
  SELECT invoice_id, 1, 'membership', 1, 0.25, 80, 20, 100 FROM finance.invoices;
INSERT INTO finance.refunds (original_transaction_id, business_id, facility_id, user_id, amount, currency, status)
  SELECT transaction_id, facility_id, facility_id, user_id, 1, 'TRY', 'pending' FROM finance.transactions
  WHERE status = 'succeeded' AND facility_id IN (SELECT id FROM f WHERE n <= 4);
INSERT INTO finance.credit_notes (invoice_id, user_id, business_id, facility_id, net_amount, tax_amount, total_amount,
    currency, issued_on, credit_note_sequence)
  SELECT invoice_id, user_id, business_id, facility_id, 1, 0, 1, 'TRY', '2026-02-01',
    row_number() OVER (PARTITION BY business_id)
  FROM finance.invoices WHERE status = 'paid' AND facility_id IN (SELECT id FROM f WHERE n <= 4);
INSERT INTO finance.analytics_daily (business_id, date, currency)
  SELECT f.id, '2025-06-01'::date + d, 'TRY' FROM f, generate_series(0, 500) d;
INSERT INTO finance.audit_logs
    (facility_id, entity_type, entity_id, user_id, action, created_at, entry_hash, chain, chain_position)
  SELECT f.id, 'invoice', f.n || '-' || u.n, u.id, 'issue', '2026-01-01'::timestamptz + u.n * interval '10 min',
    CASE WHEN u.n > 5 THEN sha256('x') END, CASE WHEN u.n > 5 THEN f.id END, CASE WHEN u.n > 5 THEN u.n - 5 END
  FROM f, u;
INSERT INTO finance.outbox (aggregate_type, aggregate_id, event_type, published_at)
  SELECT 'invoice', n::text, 'issued', CASE WHEN n < 9900 THEN now() END FROM generate_series(1, 10000) n;
INSERT INTO platform.copied_audits (entry_id, copied_at)
  SELECT uuidv7(), '2026-01-01'::timestamptz + n * interval '1 min' FROM generate_series(1, 10000) n;
INSERT INTO platform.consumers (name, entry) VALUES ('notices', 0);
INSERT INTO platform.consumed_events (consumer, event_id, consumed_at)
  SELECT 'notices', uuidv7(), '2026-01-01'::timestamptz + n * interval '1 min' FROM generate_series(1, 10000) n;
INSERT INTO platform.notices (notice_id, user_id, facility_id, occurrence_id, kind, at)
  SELECT uuidv7(), u.id, f.id, u.id, 'called_off', '2026-01-01'::timestamptz + u.n * interval '1 min' FROM f, u;
INSERT INTO finance.idempotency_keys (actor_id, operation, idempotency_key, request_hash, created_at, expires_at)
  SELECT u.id, 'pay', g::text, sha256('x'), '2026-01-01'::timestamptz + u.n * interval '1 h',
    '2026-01-03'::timestamptz + u.n * interval '1 h'
  FROM u, generate_series(1, 20) g;
INSERT INTO finance.package_credit_ledger (package_id, coach_id, client_id, entry_type, credits)
  SELECT lpad(to_hex(700000 + p), 24, '0'), u.id, u.id, 'grant', 10
  FROM generate_series(1, 5000) p, u, generate_series(1, 2) entry WHERE u.n = 1 + p % 500;
INSERT INTO finance.coaching_packages (package_id, relation_id, coach_id, client_id, starts_on, ends_on, price,
    currency, facility_id, created_at)
  SELECT lpad(to_hex(700000 + p), 24, '0'), lpad(to_hex(800000 + p % 100), 24, '0'), u.id, u.id, '2026-01-01',
    '2026-01-02'::date + p % 700, 100, 'TRY', CASE WHEN p % 5 = 0 THEN lpad(to_hex(p % 250), 24, '0') END, '2026-01-01'
  FROM generate_series(1, 5000) p, u WHERE u.n = 1 + p % 500;
INSERT INTO finance.purchases (business_id, facility_id, user_id, plan_id, plan_name, duration_value,
    duration_unit, amount, currency, tax_rate, renews, auto_renew, status, provider, refund_id,
    created_at, expires_at, checked_at)
  SELECT f.id, f.id, u.id, lpad(to_hex(900001), 24, '0'), 'a month', 1, 'month', 100, 'TRY', 0.2, false, false,
    CASE WHEN u.n % 100 = 0 THEN 'awaiting_payment' ELSE 'expired' END, 'local',
    (SELECT refund_id FROM finance.refunds r WHERE r.facility_id = f.id AND r.user_id = u.id AND u.n < 20),
    '2026-01-01', '2026-01-02', '2026-01-01'::timestamptz + u.n * interval '1 min'
  FROM f, u;
INSERT INTO finance.purchases (business_id, facility_id, user_id, program_id, author_id, plan_name, amount, currency,
    tax_rate, renews, auto_renew, status, provider, created_at, expires_at, checked_at)
  SELECT f.id, f.id, u.id, lpad(to_hex(900002), 24, '0'), u.id, 'a program', 100, 'TRY', 0.2, false, false, 'expired',
    'local', '2026-01-01', '2026-01-02', '2026-01-01'
  FROM f, u;
INSERT INTO finance.provider_events (provider, event_id, kind, received_at)
  SELECT 'local', n::text, 'paid', '2026-01-01'::timestamptz + n * interval '1 min' FROM generate_series(1, 10000) n;
INSERT INTO finance.billing_attempts (subscription_id, invoice_id, number, status, decline, created_at)
  SELECT subscription_id, invoice_id, 0, CASE WHEN status = 'open' THEN 'pending' ELSE 'failed' END,
    CASE WHEN status = 'open' THEN NULL ELSE 'soft' END, created_at
  FROM finance.invoices WHERE subscription_id IS NOT NULL;
INSERT INTO finance.freezes (subscription_id, facility_id, user_id, starts_on, ends_on, is_over, created_at)
  SELECT s.subscription_id, s.facility_id, s.user_id, '2026-01-01'::date + n, '2026-01-10'::date + n, n > 1,
    '2026-01-01'
  FROM finance.subscriptions s, generate_series(1, 2) n;
INSERT INTO platform.data_requests (user_id, kind, status, requested_at, due_at, finished_at, file_key, file_bytes,
    file_until)
  SELECT u.id, 'export', CASE WHEN g = 1 AND u.n % 10 = 0 THEN 'waiting' ELSE 'done' END, at, at,
    CASE WHEN NOT (g = 1 AND u.n % 10 = 0) THEN at END, CASE WHEN g = 2 THEN 'x' END, CASE WHEN g = 2 THEN 1 END,
    CASE WHEN g = 2 THEN at END
  FROM u, generate_series(1, 20) g,
    LATERAL (SELECT '2026-01-01'::timestamptz + (u.n * 20 + g) * interval '1 min') t (at);
INSERT INTO finance.plan_changes (subscription_id, business_id, facility_id, user_id, plan_id, plan_name,
    duration_value, duration_unit, price, currency, tax_rate, credit, period_start, status, created_at,
    made_subscription_id, starts_on)
  SELECT s.subscription_id, s.business_id, s.facility_id, s.user_id, s.plan_id, 'a month', 1, 'month', 100, 'TRY', 0.2,
    0, s.start_date, CASE WHEN s.n % 50 = 0 THEN 'initiated' ELSE 'done' END,
    '2026-01-01'::timestamptz + s.n * interval '1 min', CASE WHEN s.n % 50 > 0 THEN s.subscription_id END,
    CASE WHEN s.n % 50 > 0 THEN s.start_date END
  FROM (SELECT *, row_number() OVER (ORDER BY subscription_id) AS n FROM finance.subscriptions) s;
INSERT INTO platform.entity_attributes (entity_type, entity_id, attribute_name, attribute_value)
  SELECT 'facility', f.n || '-' || u.n, 'parking', jsonb_build_object('spaces', u.n) FROM f, u;
"""

sql = load_sql("nexfit.domains.finance")
figure_sql = load_sql("nexfit.domains.analytics")
remark_sql = load_sql("nexfit.domains.memberships", "remarks.sql")
import_sql = load_sql("nexfit.domains.memberships", "import.sql")
request_sql = load_sql("nexfit.domains.privacy", "requests.sql")
billing = load_sql("nexfit.domains.memberships", "billing.sql")
plan_changes = load_sql("nexfit.domains.memberships", "plan_changes.sql")
leaving = load_sql("nexfit.domains.memberships", "leaving.sql")
refunding = load_sql("nexfit.domains.finance", "refunding.sql")
coaching = load_sql("nexfit.domains.coaching", "packages.sql")
_EARNINGS = {"package_balances_pkey", "idx_package_credit_ledger_package_id"}


@dataclass
class Explained:
    """A Postgres that explains each statement before it runs it."""

    postgres: Postgres
    filled: set[str]
    index_of: dict[str, str]
    indexes: set[str] = field(default_factory=set)
    """Indexes the statements so far read, by the name of the partitioned index where there is one."""
    read_whole: set[str] = field(default_factory=set)
    """Tables with rows that were read from end to end."""
    partitions: set[str] = field(default_factory=set)
    """Partitions of the transactions that were opened."""

    async def fetch(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        (row,) = await self.postgres.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *arguments)
        self._note(row[0][0]["Plan"])
        return await self.postgres.fetch(statement, *arguments)

    def _note(self, node: dict[str, Any]) -> None:
        relation = node.get("Relation Name", "")
        if node["Actual Loops"] and relation.startswith("transactions_2"):
            self.partitions.add(relation)
        if node["Node Type"].endswith("Seq Scan") and relation in self.filled and node["Actual Loops"]:
            self.read_whole.add(re.sub(r"_(\d{4}(_\d\d)?|default)$", "", relation))
        if "Index Name" in node and node["Actual Loops"]:
            self.indexes.add(self.index_of.get(node["Index Name"], node["Index Name"]))
        for child in node.get("Plans", []):
            self._note(child)


@pytest.fixture(scope="module")
async def filled(database: str) -> AsyncIterator[Postgres]:
    """The stores' own pool on a database with rows, analysed."""
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(FILL)
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()
    postgres = await Postgres.connect(PostgresSettings(url=SecretStr(database), statement_timeout=20))
    yield postgres
    await postgres.close()


@pytest.fixture
async def explained(filled: Postgres) -> Explained:
    rows = await filled.fetch("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples >= 100")
    parents = await filled.fetch(
        "SELECT c.relname AS child, p.relname AS parent FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid"
        " JOIN pg_class p ON p.oid = inhparent WHERE c.relkind = 'i'"
    )
    return Explained(filled, {row[0] for row in rows}, {row["child"]: row["parent"] for row in parents})


def plain(statement: str, *arguments: object) -> Callable[[Any], Awaitable[Any]]:
    """A statement that has no function of its own yet: what a job or a guard of a later workflow asks."""
    return lambda explained: explained.fetch(statement, *arguments)


async def changes_since_a_mark(explained: Any) -> None:
    """What the feeds ask ten times a second."""
    await read_on(explained, await mark_now(explained))


def listed(rows: ledger.LedgerList, parent: str, **page: Any) -> Callable[[Any], Awaitable[Any]]:
    """A page of transactions, subscriptions or invoices for ten parents."""
    if parent == "facility":
        return lambda explained: ledger.pages_of_facilities(
            explained, rows, FACILITIES[:10], PageRequest(20, **page), ["currency"]
        )
    return lambda explained: ledger.pages_of_users(explained, rows, USERS[:10], PageRequest(20, **page), ["currency"])


EVERYBODY = MemberFilter()


def member_list(
    order: MemberOrder, *, descending: bool, filter: MemberFilter = EVERYBODY, **page: Any
) -> Callable[[Any], Awaitable[Any]]:
    """A page of the members of two facilities."""
    return lambda explained: members.pages_of_facilities(
        explained,
        dict.fromkeys(FACILITIES[:2], TODAY),
        filter,
        members.list_of(order, descending=descending),
        PageRequest(20, **page),
        ["balance"],
    )


PLACE = ("2026-03-01T00:00:00+00:00", "00000000-0000-7000-8000-000000000000")
MEMBER = ("2026-01-10T00:00:00+00:00", object_id(100_200))
PERIOD = (date(2026, 2, 1), date(2026, 3, 31))

CASES: dict[str, tuple[Callable[[Any], Awaitable[Any]], set[str]]] = {
    "revenue": (
        plain(sql.revenue_by_period, FACILITIES[:2], ["Europe/Istanbul"] * 2, *PERIOD, "month"),
        {"idx_transactions_created_at"},
    ),
    "revenue, as far as it is stored": (
        plain(sql.revenue, FACILITIES[:2], ["Europe/Istanbul"] * 2, *PERIOD, "month"),
        {"idx_transactions_created_at", "analytics_daily_pkey", "idx_analytics_marks_facility"},
    ),
    "outstanding": (plain(sql.outstanding, FACILITIES[:5], [TODAY] * 5), {"idx_invoices_status"}),
    "subscribers of plans": (plain(sql.active_subscribers, PLANS[:8]), {"idx_subscriptions_status"}),
    "analytics": (plain(sql.analytics_by_day, FACILITIES[:2], *PERIOD), {"analytics_daily_pkey"}),
    "transactions of facilities": (listed(ledger.TRANSACTIONS, "facility"), {"idx_transactions_created_at"}),
    "transactions of facilities, on": (
        listed(ledger.TRANSACTIONS, "facility", after=PLACE),
        {"idx_transactions_created_at"},
    ),
    "transactions of facilities, back": (
        listed(ledger.TRANSACTIONS, "facility", before=PLACE, backwards=True),
        {"idx_transactions_created_at"},
    ),
    "transactions of users": (listed(ledger.TRANSACTIONS, "user", after=PLACE), {"idx_transactions_user_id"}),
    "invoices of facilities": (listed(ledger.INVOICES, "facility", after=PLACE), {"idx_invoices_business_id"}),
    "invoices of users": (listed(ledger.INVOICES, "user", after=PLACE), {"idx_invoices_user_id"}),
    "subscriptions of facilities": (
        listed(ledger.SUBSCRIPTIONS, "facility", after=PLACE),
        {"idx_subscriptions_facility_id"},
    ),
    "subscriptions of users": (listed(ledger.SUBSCRIPTIONS, "user", after=PLACE), {"idx_subscriptions_user_id"}),
    "debtors by last payment": (
        member_list(MemberOrder.LAST_PAYMENT, descending=True, filter=MemberFilter(overdue=True)),
        {"idx_member_facts_debtors"},
    ),
    "debtors by last payment, on": (
        member_list(MemberOrder.LAST_PAYMENT, descending=True, filter=MemberFilter(overdue=True), after=MEMBER),
        {"idx_member_facts_debtors"},
    ),
    "members by last payment": (
        member_list(MemberOrder.LAST_PAYMENT, descending=True, after=MEMBER),
        {"idx_member_facts_last_payment"},
    ),
    "members by last payment, earliest first": (
        member_list(MemberOrder.LAST_PAYMENT, descending=False, after=MEMBER),
        {"idx_member_facts_last_payment"},
    ),
    "members by last visit": (
        member_list(MemberOrder.LAST_VISIT, descending=True, after=MEMBER),
        {"idx_member_facts_last_visit"},
    ),
    "members by joining": (member_list(MemberOrder.JOINED, descending=False), {"idx_member_facts_joined"}),
    "members by name": (
        member_list(MemberOrder.NAME, descending=False, after=("8", MEMBER[1])),
        {"idx_member_facts_name"},
    ),
    "members with a part of a name": (
        member_list(MemberOrder.NAME, descending=False, filter=MemberFilter(name="c4ca4238a0b9")),
        {"idx_member_facts_name_search"},
    ),
    "members by next booking": (
        member_list(MemberOrder.NEXT_BOOKING, descending=True),
        {"idx_member_facts_next_booking_order"},
    ),
    "members by birthday": (
        member_list(MemberOrder.BIRTHDAY, descending=True, after=(615, MEMBER[1])),
        {"idx_member_facts_birthday"},
    ),
    "members with a tag": (
        plain(
            "SELECT user_id FROM platform.member_tags WHERE facility_id = $1 AND tag_folded = $2",
            FACILITIES[0],
            "tag 7",
        ),
        {"idx_member_tags_tag"},
    ),
    "notes of members": (
        plain(remark_sql.notes_of_members, [FACILITIES[0]] * 5, USERS[:5], 100),
        {"idx_member_notes_member"},
    ),
    "which people of a file are members": (plain(import_sql.members, FACILITIES[0], USERS[:3]), {"member_facts_pkey"}),
    "requests of a person": (plain(request_sql.newest, USERS[3], 20), {"idx_data_requests_user_id"}),
    "requests that are due": (
        plain(request_sql.due, datetime(2026, 1, 2, tzinfo=UTC), 50),
        {"idx_data_requests_due_at"},
    ),
    "copies to delete": (
        plain(request_sql.outdated, datetime(2026, 1, 1, 1, tzinfo=UTC)),
        {"idx_data_requests_file_until"},
    ),
    "memberships of days": (
        plain(figure_sql.held, FACILITIES[0], date(2026, 11, 1), date(2026, 11, 2)),
        {"idx_subscriptions_cover"},
    ),
    "cancellations of days": (
        plain(
            figure_sql.cancelled,
            FACILITIES[0],
            datetime.fromisoformat("2026-01-12T00:00:00+00:00"),
            datetime.fromisoformat("2026-01-13T00:00:00+00:00"),
        ),
        {"idx_subscriptions_cancelled_at"},
    ),
    "payments of terms on days": (
        plain(
            "SELECT invoice_id FROM finance.invoices WHERE facility_id = $1 AND status = 'paid'"
            " AND subscription_id IS NOT NULL AND payment_date BETWEEN $2::date AND $3::date",
            FACILITIES[0],
            date(2026, 1, 1),
            date(2026, 1, 2),
        ),
        {"idx_invoices_payment_date"},
    ),
    "members of a person": (
        plain("SELECT facility_id FROM platform.member_facts WHERE user_id = $1", USERS[0]),
        {"idx_member_facts_user_id"},
    ),
    "members by ids": (
        lambda explained: members.by_ids(explained, [(FACILITIES[0], USERS[0]), (FACILITIES[1], USERS[1])], ["status"]),
        {"member_facts_pkey"},
    ),
    "transactions to settle": (
        plain(
            "SELECT transaction_id FROM finance.transactions WHERE status = ANY ('{pending,unknown}')"
            " AND status = 'pending' AND created_at BETWEEN $1 AND $2",
            NOON,
            datetime.fromisoformat("2026-03-11T00:00:00+00:00"),
        ),
        {"idx_transactions_status"},
    ),
    "invoices due": (
        plain(
            "SELECT invoice_id FROM finance.invoices WHERE facility_id = $1 AND status = 'open' AND due_date < $2"
            " ORDER BY due_date, invoice_id LIMIT 20",
            FACILITIES[0],
            TODAY,
        ),
        {"idx_invoices_due_date"},
    ),
    "subscriptions to renew": (
        plain(
            "SELECT subscription_id FROM finance.subscriptions WHERE status IN ('active', 'past_due', 'frozen')"
            " AND current_period_end <= $1 ORDER BY current_period_end LIMIT 100",
            TODAY,
        ),
        {"idx_subscriptions_end_date"},
    ),
    "live subscription of a member": (
        plain(
            "SELECT subscription_id FROM finance.subscriptions WHERE facility_id = $1 AND user_id = $2 AND plan_id = $3"
            " AND status IN ('incomplete', 'active', 'past_due', 'suspended', 'frozen')",
            FACILITIES[0],
            USERS[0],
            PLANS[1],
        ),
        {"subscriptions_live_key"},
    ),
    "subscriptions to bill": (
        plain(billing.due, date(2026, 2, 2), "local", UUID(int=0), 100),
        {"idx_subscriptions_end_date", "idx_subscriptions_debt"},
    ),
    "first payments that have not come": (
        plain(billing.incomplete, datetime.fromisoformat("2026-01-02T00:00:00+00:00"), 100),
        {"idx_subscriptions_incomplete"},
    ),
    "subscriptions that end": (
        lambda explained: ledger.expiring_pages(
            explained, dict.fromkeys(FACILITIES[:2], TODAY), PageRequest(20), ["status"]
        ),
        {"idx_subscriptions_expiring"},
    ),
    "subscriptions that ended": (
        lambda explained: ledger.lapsed_pages(
            explained, dict.fromkeys(FACILITIES[:2], TODAY), PageRequest(20), ["status"]
        ),
        {"idx_subscriptions_lapsed", "subscriptions_live_key"},
    ),
    "tries to charge that nobody has settled": (
        plain(billing.open_tries, datetime.fromisoformat("2026-01-01T01:00:00+00:00"), 20),
        {"idx_billing_attempts_open"},
    ),
    "freezes that have ended": (
        plain(leaving.freezes_to_end, date(2026, 1, 12), 20),
        {"idx_freezes_ends_on"},
    ),
    "freezes of a subscription": (
        plain(leaving.freezes_since, UUID(int=1), TODAY),
        {"idx_freezes_subscription_id"},
    ),
    "changes of plan to ask about": (
        plain(plan_changes.open, datetime.fromisoformat("2026-01-01T06:00:00+00:00"), 20),
        {"idx_plan_changes_open"},
    ),
    "the open change of a subscription": (
        plain(leaving.is_changing, UUID(int=1)),
        {"plan_changes_open_key"},
    ),
    "where a subscription's credit came from": (
        plain(
            "SELECT credit FROM finance.plan_changes WHERE made_subscription_id = $1 AND starts_on = $2",
            UUID(int=1),
            TODAY,
        ),
        {"idx_plan_changes_made"},
    ),
    "purchases to look at": (
        plain(
            "SELECT purchase_id FROM finance.purchases WHERE status IN ('initiated', 'awaiting_payment', 'paid')"
            " AND checked_at < $1 ORDER BY checked_at LIMIT $2",
            NOON,
            20,
        ),
        {"idx_purchases_open"},
    ),
    "the purchase of a refund": (
        plain("SELECT purchase_id FROM finance.purchases WHERE refund_id = $1 AND status = 'paid'", UUID(int=1)),
        {"idx_purchases_refund_id"},
    ),
    "what an author's programs sold": (
        plain(
            "SELECT purchase_id FROM finance.purchases WHERE author_id = $1"
            " ORDER BY created_at DESC, purchase_id DESC LIMIT 20",
            object_id(100_001),
        ),
        {"idx_purchases_author"},
    ),
    "webhooks to forget": (
        plain("SELECT event_id FROM finance.provider_events WHERE received_at < $1", NOON.replace(month=1, day=2)),
        {"idx_provider_events_received_at"},
    ),
    "refunds that nobody has settled": (
        plain(refunding.open_refunds, NOON, 20),
        {"idx_refunds_open"},
    ),
    "refunds of a transaction": (
        plain(
            "SELECT r.amount FROM finance.refunds r WHERE original_transaction_id = ANY ($1::uuid[])", [UUID(int=1)] * 2
        ),
        {"idx_refunds_original_transaction_id"},
    ),
    "credit notes of an invoice": (
        plain("SELECT total_amount FROM finance.credit_notes WHERE invoice_id = ANY ($1::uuid[])", [UUID(int=1)] * 2),
        {"idx_credit_notes_invoice_id"},
    ),
    "invoices of a transaction": (
        plain("SELECT invoice_id FROM finance.invoices WHERE transaction_id = ANY ($1::uuid[])", [UUID(int=1)] * 2),
        {"idx_invoices_transaction_id"},
    ),
    "invoice of a period": (
        plain(
            "SELECT invoice_id FROM finance.invoices WHERE subscription_id = $1 AND period_start = $2"
            " AND status <> 'void'",
            UUID(int=1),
            TODAY,
        ),
        {"invoices_period_key"},
    ),
    "audit of an entity": (
        plain(
            "SELECT audit_id FROM finance.audit_logs WHERE entity_type = 'invoice' AND entity_id = $1"
            " ORDER BY created_at DESC, audit_id DESC LIMIT 20",
            "1-1",
        ),
        {"idx_audit_logs_entity"},
    ),
    "audit of a person": (
        plain(
            "SELECT audit_id FROM finance.audit_logs WHERE user_id = $1"
            " ORDER BY created_at DESC, audit_id DESC LIMIT 20",
            USERS[0],
        ),
        {"idx_audit_logs_user_id"},
    ),
    "audit of a facility": (
        plain(
            "SELECT audit_id FROM finance.audit_logs WHERE facility_id = $1"
            " ORDER BY created_at DESC, audit_id DESC LIMIT 20",
            FACILITIES[0],
        ),
        {"idx_audit_logs_created_at"},
    ),
    "audit chain to verify": (
        plain(
            "SELECT audit_id FROM finance.audit_logs WHERE chain = $1 AND chain_position > $2"
            " ORDER BY chain_position, audit_id LIMIT 20",
            *(FACILITIES[0], 5),
        ),
        {"idx_audit_logs_chain"},
    ),
    "audit entries to seal": (
        plain(
            "SELECT audit_id FROM finance.audit_logs WHERE entry_hash IS NULL AND created_at >= $1"
            " ORDER BY audit_id LIMIT 20",
            datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
        ),
        {"idx_audit_logs_unsealed"},
    ),
    "events to publish": (
        plain("SELECT event_id FROM finance.outbox WHERE published_at IS NULL ORDER BY position LIMIT 50"),
        {"idx_outbox_unpublished"},
    ),
    "published events to forget": (
        plain(
            "SELECT position FROM finance.outbox WHERE published_at < now() - interval '1 day'"
            " ORDER BY published_at LIMIT 20000"
        ),
        {"idx_outbox_published_at"},
    ),
    "copied audit entries to forget": (
        plain("SELECT entry_id FROM platform.copied_audits WHERE copied_at < $1", NOON.replace(month=1, day=2)),
        {"idx_copied_audits_copied_at"},
    ),
    "consumed events to forget": (
        plain(
            "SELECT event_id FROM platform.consumed_events WHERE consumed_at < $1 ORDER BY consumed_at LIMIT 5000",
            NOON.replace(month=1, day=2),
        ),
        {"idx_consumed_events_consumed_at"},
    ),
    "notices of a person": (
        lambda explained: notices.of_person(explained, ObjectId(USERS[0]), ["kind"]),
        {"idx_notices_user_id"},
    ),
    "idempotency keys to forget": (
        plain(
            "SELECT idempotency_key FROM finance.idempotency_keys WHERE expires_at < $1", NOON.replace(month=1, day=4)
        ),
        {"idx_idempotency_keys_expires_at"},
    ),
    "ledger of a package": (
        plain(
            "SELECT credits FROM finance.package_credit_ledger WHERE package_id = $1 ORDER BY created_at, entry_id",
            object_id(700_001),
        ),
        {"idx_package_credit_ledger_package_id"},
    ),
    "the package a session takes its credit from": (
        plain(coaching.usable, object_id(800_001), NOON.date()),
        {"idx_coaching_packages_relation_id", "package_balances_pkey"},
    ),
    "packages that have ended": (
        plain(coaching.ended, NOON.date().replace(month=1, day=4), 20),
        {"idx_coaching_packages_ends_on", "package_balances_pkey"},
    ),
    "what a coach earned": (
        lambda explained: earnings.by_period(
            explained, [Earner(USERS[0], None, "UTC")], NOON.date().replace(month=1, day=1), NOON.date(), "month"
        ),
        {
            "idx_coaching_packages_coach_id",
            "idx_coaching_packages_facility_id",
            *_EARNINGS,
        },  # the second has no facility
    ),
    "what coaches earned at facilities": (
        lambda explained: earnings.by_period(
            explained,
            [Earner(None, object_id(number), "Europe/Istanbul") for number in (5, 10)],
            NOON.date().replace(month=1, day=1),
            NOON.date(),
            "day",
        ),
        {"idx_coaching_packages_facility_id", *_EARNINGS},
    ),
    "members whose next booking has passed": (
        plain(PASSED_BOOKINGS, datetime.fromisoformat("2026-03-03T00:00:00+00:00")),
        {"idx_member_facts_next_booking"},
    ),
    "changes since a mark": (changes_since_a_mark, {"idx_changes_xid"}),
    "entities with an attribute": (
        plain(
            "SELECT entity_id FROM platform.entity_attributes WHERE entity_type = 'facility'"
            " AND attribute_name = 'parking' AND attribute_value @> $1",
            {"spaces": 7},
        ),
        {"idx_entity_attributes_value"},
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_a_query_reads_its_index_and_no_whole_table(explained: Explained, name: str) -> None:
    run, indexes = CASES[name]
    await run(explained)
    assert explained.indexes - {"facility_accounts_pkey"} == indexes
    assert explained.read_whole == set()


async def test_revenue_opens_only_the_months_asked_for(explained: Explained) -> None:
    await CASES["revenue"][0](explained)
    # Local midnight lies in the month before, in UTC.
    assert explained.partitions == {"transactions_2026_01", "transactions_2026_02", "transactions_2026_03"}


async def test_rows_are_found_by_id_through_primary_keys(explained: Explained) -> None:
    for rows, key in (
        (ledger.TRANSACTIONS, "transactions_pkey"),
        (ledger.INVOICES, "invoices_pkey"),
        (ledger.SUBSCRIPTIONS, "subscriptions_pkey"),
    ):
        ids = [row[0] for row in await explained.postgres.fetch(f"SELECT {rows.id} FROM {rows.table} LIMIT 20")]
        explained.indexes.clear()
        assert len(await ledger.by_ids(explained, rows, ids, ["currency"])) == 20
        assert explained.indexes == {key}
    explained.indexes.clear()
    invoices = [row[0] for row in await explained.postgres.fetch("SELECT invoice_id FROM finance.invoices LIMIT 20")]
    assert len(await ledger.invoice_lines(explained, invoices, ["total_amount"])) == 20
    assert explained.indexes == {"invoice_lines_pkey"}
    assert explained.read_whole == set()


async def test_every_index_that_enforces_nothing_has_a_query_and_none_repeats_another(filled: Postgres) -> None:
    rows = await filled.fetch(
        """SELECT c.relname AS name, i.indrelid::regclass::text AS on_table, i.indisunique AS unique,
             i.indkey::int2[] AS columns, pg_get_expr(i.indpred, i.indrelid) AS predicate, a.amname AS method
           FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
           WHERE c.relnamespace IN ('finance'::regnamespace, 'platform'::regnamespace) AND NOT c.relispartition
             AND c.relname NOT LIKE 'pgqueuer%'  -- its library's own"""
    )
    proven = set().union(*(indexes for _, indexes in CASES.values()))
    assert {row["name"] for row in rows if not row["unique"]} - proven == set()
    repeated = {
        (one["name"], other["name"])
        for one in rows
        for other in rows
        if one["name"] != other["name"]
        and not one["unique"]
        and (one["on_table"], one["method"], one["predicate"])
        == (other["on_table"], other["method"], other["predicate"])
        and list(one["columns"]) == list(other["columns"])[: len(one["columns"])]
    }
    assert repeated == set()

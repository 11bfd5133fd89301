"""Member facts compared with what they are made of: MongoDB's documents, and PostgreSQL's own ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from nexfit.domains.memberships.projection import COLUMNS, Difference, Pair, differences, stored
from nexfit.operations.member_facts import (
    Stores,
    pairs_with_membership,
    project_all,
    repair_money,
    rows_by_key,
)
from nexfit.operations.reconcile.report import Finding

BATCH = 500

_MONEY = ("balance", "open_invoices", "oldest_open_due", "last_payment_at", "currency")
_WRONG_MONEY = f"""
SELECT f.facility_id, f.user_id, {", ".join(f"f.{column}" for column in _MONEY)},
  {", ".join(f"m.{column} AS true_{column}" for column in _MONEY[:-1])},
  coalesce(m.currency, f.currency) AS true_currency
FROM finance.member_money($1::text[], $2::text[]) m JOIN platform.member_facts f USING (facility_id, user_id)
WHERE (f.balance, f.open_invoices, f.oldest_open_due, f.currency, f.last_payment_at)
  IS DISTINCT FROM (m.balance, m.open_invoices, m.oldest_open_due, coalesce(m.currency, f.currency), m.last_payment_at)
"""  # noqa: S608 - our own names
# Money without a row. Both tables are read once, so this has no time limit.
_WITHOUT_ROW = """
SELECT facility_id, user_id FROM (
  SELECT facility_id, user_id FROM finance.invoices WHERE status = 'open'
  UNION SELECT facility_id, user_id FROM finance.transactions
    WHERE status = 'succeeded' AND transaction_type IN ('charge', 'manual_payment')) AS moved
WHERE NOT EXISTS (
  SELECT FROM platform.member_facts f WHERE f.facility_id = moved.facility_id AND f.user_id = moved.user_id)
"""
_MISSING_MONEY = """
SELECT m.facility_id, m.user_id FROM finance.member_money($1::text[], $2::text[]) m
WHERE (m.open_invoices > 0 OR m.last_payment_at IS NOT NULL) AND NOT EXISTS (
  SELECT FROM platform.member_facts f WHERE f.facility_id = m.facility_id AND f.user_id = m.user_id)
"""


class FactsComparison:
    """The columns of member facts that MongoDB decides. MongoDB wins."""

    name = "member facts"

    async def suspects(self, stores: Stores, now: datetime) -> AsyncIterator[tuple[int, Sequence[Pair]]]:
        """Everybody with a row, then everybody with a membership and none."""
        async for pairs in rows_by_key(stores.postgres, BATCH):
            wrong = await differences(stores.postgres, stores.mongo, pairs, now)
            yield len(pairs), [one.pair for one in wrong]
        async for held in pairs_with_membership(stores.mongo, BATCH):
            rows = await stored(stores.postgres, held)
            yield 0, [pair for pair in held if pair not in rows]

    async def confirm(self, stores: Stores, keys: Sequence[Pair], now: datetime) -> list[Finding]:
        """The rows that still differ; a booking that has just passed is the sweep's, and no drift."""
        found = await differences(stores.postgres, stores.mongo, keys, now)
        return [_finding(one) for one in found if not _has_just_passed(one, now)]

    async def repair(self, stores: Stores, findings: Sequence[Finding], now: datetime) -> int:
        """Project these members."""
        done = await project_all(stores, [finding.case for finding in findings], now)
        return len(findings) - len(done.busy)


class MoneyComparison:
    """The columns of member facts that triggers keep, against the ledger."""

    name = "member money"

    async def suspects(self, stores: Stores, now: datetime) -> AsyncIterator[tuple[int, Sequence[Pair]]]:
        """Everybody with a row, then everybody whose money was moved without one."""
        async for pairs in rows_by_key(stores.postgres, BATCH):
            yield len(pairs), [finding.case for finding in await _wrong_money(stores, pairs)]
        async with stores.postgres.connection() as connection:
            await connection.execute("SET statement_timeout = 0")
            rows = await connection.fetch(_WITHOUT_ROW, timeout=3600)
        yield 0, [(row["facility_id"], row["user_id"]) for row in rows]

    async def confirm(self, stores: Stores, keys: Sequence[Pair], now: datetime) -> list[Finding]:
        """The rows that still differ."""
        missing = await stores.postgres.fetch(_MISSING_MONEY, *_columns(keys))
        return await _wrong_money(stores, keys) + [
            Finding("money.missing", _subject(pair), "the ledger has money, the facts have no row", pair)
            for pair in ((row["facility_id"], row["user_id"]) for row in missing)
        ]

    async def repair(self, stores: Stores, findings: Sequence[Finding], now: datetime) -> int:
        """Add up the ledger again, and name whoever got a row by that."""
        pairs = [finding.case for finding in findings]
        await repair_money(stores.postgres, pairs)
        await project_all(stores, pairs, now)
        return len(findings)


async def _wrong_money(stores: Stores, pairs: Sequence[Pair]) -> list[Finding]:
    rows = await stores.postgres.fetch(_WRONG_MONEY, *_columns(pairs))
    found = []
    for row in rows:
        wrong = [column for column in _MONEY if row[column] != row[f"true_{column}"]]
        said = ", ".join(f"{column} is {row[column]} and not {row[f'true_{column}']}" for column in wrong)
        pair = (row["facility_id"], row["user_id"])
        found.append(Finding("money.differs", _subject(pair), said, pair))
    return found


def _finding(one: Difference) -> Finding:
    if one.stored is None:
        return Finding("facts.missing", _subject(one.pair), "a member has no row", one.pair)
    if one.true is None:
        return Finding("facts.surplus", _subject(one.pair), "nobody is behind the row", one.pair)
    # Names are people's: which column differs is said, not what it says.
    wrong = [column for column in COLUMNS if getattr(one.stored, column) != getattr(one.true, column)]
    said = ", ".join(
        column
        if column in ("name_folded", "birthday")
        else f"{column} is {getattr(one.stored, column)} and not {getattr(one.true, column)}"
        for column in wrong
    )
    return Finding("facts.differ", _subject(one.pair), said, one.pair)


def _has_just_passed(one: Difference, now: datetime) -> bool:
    if one.stored is None or one.true is None or one.stored.next_booking_at is None:
        return False
    others = all(
        getattr(one.stored, column) == getattr(one.true, column) for column in COLUMNS if column != "next_booking_at"
    )
    return others and one.stored.next_booking_at <= now


def _subject(pair: Pair) -> str:
    return f"member {pair[1]} of facility {pair[0]}"


def _columns(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    return [facility for facility, _ in pairs], [user for _, user in pairs]

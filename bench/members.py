"""`python -m bench members`: the members' list with filters and orders, and how its time grows with the facility.

Two facilities of one database, the second ten times the first. A page of 20 is asked for in every way owners ask, from
the start and from the middle of the list; both facilities take turns within a round. What MongoDB adds (names and last
visits of the 20) does not depend on the size of the facility and is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median

from bson import ObjectId
from rich.console import Console
from rich.table import Table

from bench.crashes.servers import stores_on
from bench.crashes.worker import Where
from nexfit.domains.memberships import members
from nexfit.domains.memberships.members import MemberFilter, MemberOrder, MemberStatus
from nexfit.embedded import EmbeddedServers
from nexfit.hybrid.paging import PageRequest, Place
from nexfit.stores.connections import open_stores
from nexfit.stores.postgres import Postgres

SIZES = (10_000, 100_000)
PAGE = 20
TODAY = date(2026, 6, 15)

_FILL = """
INSERT INTO platform.member_facts (facility_id, user_id, name_folded, status, joined_at, last_visit_at, next_booking_at,
    birthday, balance, open_invoices, oldest_open_due, last_payment_at)
  SELECT $1, lpad(to_hex(n), 24, '0'),
    (ARRAY['ada', 'ayse', 'deniz', 'emre', 'mehmet', 'selin', 'yilmaz', 'zeynep'])[1 + h % 8] || ' '
      || (ARRAY['aksoy', 'demir', 'isik', 'kaya', 'ozturk', 'sahin', 'yildiz'])[1 + h / 8 % 7] || ' ' || n,
    CASE WHEN h % 100 < 60 THEN 'active' WHEN h % 100 < 62 THEN 'frozen' ELSE 'expired' END,
    '2024-01-01'::timestamptz + h % 800 * interval '1 day' + n * interval '1 second',
    CASE WHEN h % 10 > 0 THEN '2026-06-15'::timestamptz - h % 500 * interval '1 hour' END,
    CASE WHEN h % 4 = 0 THEN '2026-06-15'::timestamptz + h % 300 * interval '1 hour' END,
    (1 + h % 12) * 100 + 1 + h / 12 % 28,
    CASE WHEN h % 20 = 0 THEN 100 ELSE 0 END, CASE WHEN h % 20 = 0 THEN 1 ELSE 0 END,
    CASE WHEN h % 20 = 0 THEN '2026-06-15'::date + (h / 20 % 40)::integer - 30 END,
    '2026-06-15'::timestamptz - h % 90 * interval '1 day' - n * interval '1 millisecond'
  FROM (SELECT n, abs(hashint4(n::integer))::bigint AS h FROM generate_series(1, $2::integer) AS n) AS made
"""
_TAG = """
INSERT INTO platform.member_tags (facility_id, user_id, tag_folded, tag, tagged_by)
  SELECT $1, lpad(to_hex(n), 24, '0'), 'vip', 'VIP', $1 FROM generate_series(1, $2::integer, 100) AS n
"""


@dataclass(frozen=True, slots=True)
class Ask:
    """A way to ask for the list."""

    name: str
    order: MemberOrder
    filter: MemberFilter = field(default_factory=MemberFilter)
    descending: bool = False
    middle: bool = False
    """Whether from the middle of the list on."""


ASKS = (
    Ask("by name", MemberOrder.NAME),
    Ask("by name, from the middle", MemberOrder.NAME, middle=True),
    Ask("by last payment, down", MemberOrder.LAST_PAYMENT, descending=True),
    Ask("by last visit, from the middle", MemberOrder.LAST_VISIT, descending=True, middle=True),
    Ask("by next booking", MemberOrder.NEXT_BOOKING, MemberFilter(booked=True)),
    Ask("active, by name", MemberOrder.NAME, MemberFilter(status=(MemberStatus.ACTIVE,))),
    Ask("frozen (2%), by name", MemberOrder.NAME, MemberFilter(status=(MemberStatus.FROZEN,))),
    Ask("overdue (4%), by last payment", MemberOrder.LAST_PAYMENT, MemberFilter(overdue=True), descending=True),
    Ask("born in May, by birthday", MemberOrder.BIRTHDAY, MemberFilter(born_in_month=5)),
    Ask("tagged (1%), by name", MemberOrder.NAME, MemberFilter(tag="VIP")),
    Ask("part of a name (14%), by name", MemberOrder.NAME, MemberFilter(name="yıldız")),
)


async def page(postgres: Postgres, facility: str, ask: Ask, after: Place | None = None) -> list[str]:
    """The people of one page."""
    rows = members.list_of(ask.order, descending=ask.descending)
    request = PageRequest(size=PAGE, after=after)
    columns = ("status", "plan_id", "balance", "currency", "joined_at", "last_payment_at")
    [found] = await members.pages_of_facilities(postgres, {facility: TODAY}, ask.filter, rows, request, columns)
    return [row["user_id"] for row in found.rows]


async def measure(postgres: Postgres, sizes: Sequence[int], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each ask by size. The database holds nobody else."""
    facilities = [str(ObjectId()) for _ in sizes]
    for facility, size in zip(facilities, sizes, strict=True):
        await postgres.fetch(_FILL, facility, size)
        await postgres.fetch(_TAG, facility, size)
    await postgres.fetch("ANALYZE platform.member_facts")
    await postgres.fetch("ANALYZE platform.member_tags")
    middles = {
        (facility, ask.name): await _middle(postgres, facility, size, ask) if ask.middle else None
        for facility, size in zip(facilities, sizes, strict=True)
        for ask in ASKS
    }
    spent: dict[tuple[str, str], list[float]] = {key: [] for key in middles}
    for turn in range(rounds + 2):
        for ask in ASKS:
            for facility in facilities:
                started = time.perf_counter()
                found = await page(postgres, facility, ask, middles[facility, ask.name])
                took = time.perf_counter() - started
                assert found, ask.name
                if turn > 1:  # the first ones warm up
                    spent[facility, ask.name].append(took * 1000)
    return {ask.name: [median(spent[facility, ask.name]) for facility in facilities] for ask in ASKS}


async def _middle(postgres: Postgres, facility: str, size: int, ask: Ask) -> Place:
    """The place of the member in the middle."""
    first = members.list_of(ask.order, descending=ask.descending).keys[0].column
    way = "DESC NULLS LAST" if ask.descending else "ASC"
    [row] = await postgres.fetch(
        f"SELECT {first} AS value, user_id FROM platform.member_facts WHERE facility_id = $1"
        f" ORDER BY {first} {way}, user_id {way} OFFSET $2 LIMIT 1",
        facility,
        size // 2,
    )
    value = row["value"]
    return (value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value, row["user_id"])


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench members", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="rounds in which every ask is sent to both (15)")
    given = parser.parse_args(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=120)
    with (
        tempfile.TemporaryDirectory(prefix="nexfit-members-") as folder,
        EmbeddedServers(Path(folder) / "servers", durable=False) as servers,
        stores_on(servers.urls) as where,
    ):
        found = asyncio.run(_run(where, given.rounds))
    table = Table("page of 20", *(f"{size:,} members, ms" for size in SIZES), "growth")
    for name, (small, large) in found.items():
        table.add_row(name, f"{small:.2f}", f"{large:.2f}", f"{large / small:.1f}×")
    console.print(table)
    return 0


async def _run(where: Where, rounds: int) -> dict[str, list[float]]:
    settings = where.settings()
    patient = settings.postgres.model_copy(update={"statement_timeout": 120.0})
    async with open_stores(settings.model_copy(update={"postgres": patient})) as stores:
        return await measure(stores.postgres, SIZES, rounds)

"""Reading audit entries, and proving that none of a business's was changed, added or taken out since it was sealed.

A chain is a business's (or `platform`: what belongs to no facility). Sealing is `operations.audit_sealing`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nexfit.hybrid.paging import Key, Page, PageRequest, instant, integer
from nexfit.hybrid.rows_paging import RowList, pages_by_parent
from nexfit.stores.postgres import Postgres, Row

BATCH = 5_000
"""Entries checked by one statement: well inside a statement's time limit."""

ORDER = "audit:CREATED_AT:DESC"
_ENTRIES = RowList(
    "finance.audit_logs",
    "facility_id",
    (Key("created_at", instant, descending=True), Key("audit_id", integer, descending=True)),
)

# $1 chain, $2 the position before the first to check, $3 its hash, $4 how many.
# One row: what is sound before the first fault, and that.
_CHECK = """
WITH part AS MATERIALIZED (
  SELECT e.audit_id, e.created_at, e.chain_position, e.previous_hash, e.entry_hash,
      lag(e.chain_position, 1, $2::bigint) OVER w AS before, lag(e.entry_hash, 1, $3::bytea) OVER w AS before_hash
    FROM (SELECT * FROM finance.audit_logs WHERE chain = $1 AND chain_position > $2
          ORDER BY chain_position, audit_id LIMIT $4) AS e
    WINDOW w AS (ORDER BY e.chain_position, e.audit_id)
), judged AS (
  SELECT p.audit_id, p.chain_position, p.entry_hash, CASE
      WHEN p.chain_position <> p.before + 1 THEN 'missing'
      WHEN p.previous_hash IS DISTINCT FROM p.before_hash THEN 'unlinked'
      WHEN p.entry_hash IS DISTINCT FROM finance.audit_entry_hash(a, $1, p.chain_position, p.previous_hash)
        THEN 'changed'
      END AS fault
    FROM part p JOIN finance.audit_logs a ON a.audit_id = p.audit_id AND a.created_at = p.created_at
)
SELECT count(*) FILTER (WHERE sound) AS entries, max(chain_position) FILTER (WHERE sound) AS last_position,
    (array_agg(entry_hash ORDER BY chain_position DESC) FILTER (WHERE sound))[1] AS last_hash,
    min(chain_position) FILTER (WHERE fault IS NOT NULL) AS broken_at,
    (array_agg(fault ORDER BY chain_position) FILTER (WHERE fault IS NOT NULL))[1] AS fault,
    (array_agg(audit_id ORDER BY chain_position) FILTER (WHERE fault IS NOT NULL))[1] AS broken_id
  FROM (SELECT *, bool_and(fault IS NULL) OVER (ORDER BY chain_position, audit_id) AS sound FROM judged) AS told
"""

_END = "SELECT last_position, last_hash FROM finance.audit_chains WHERE chain = $1"
_AT = "SELECT audit_id, entry_hash FROM finance.audit_logs WHERE chain = $1 AND chain_position = $2"
_CHAINS = """
SELECT chain FROM finance.audit_chains
UNION SELECT DISTINCT chain FROM finance.audit_logs WHERE chain IS NOT NULL ORDER BY 1
"""
_LOOSE = "SELECT min(audit_id) AS audit_id FROM finance.audit_logs WHERE entry_hash IS NOT NULL AND chain IS NULL"

FAULTS = {
    "missing": "entries before it are missing",
    "unlinked": "it does not follow the entry before it",
    "changed": "it was changed after it was sealed",
    "cut": "the chain's end is missing",
    "loose": "it has a hash and stands in no chain",
}


@dataclass(frozen=True, slots=True)
class Break:
    """The first place that is not as it was sealed; `audit_id` is None where the entry is gone."""

    position: int
    audit_id: int | None
    fault: str

    def __str__(self) -> str:
        entry = "" if self.audit_id is None else f" (entry {self.audit_id})"
        return f"position {self.position}{entry}: {FAULTS[self.fault]}"


@dataclass(frozen=True, slots=True)
class Checked:
    """How far a chain was checked: a position, and the hash of the entry there. None at all is its beginning."""

    position: int = 0
    hash: bytes | None = None


_BEGINNING = Checked()


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found of a chain: entries that are right, up to where, the chain's length, and the first break.

    `complete` when its end was reached and is right.
    """

    chain: str
    entries: int
    until: Checked
    length: int
    complete: bool
    broken: Break | None


async def pages_of_facilities(
    postgres: Postgres, facilities: Sequence[str], request: PageRequest, columns: Iterable[str]
) -> list[Page]:
    """A page of audit entries per facility, newest first, in one statement."""
    return await pages_by_parent(postgres, _ENTRIES, facilities, request, columns)


async def by_ids(
    postgres: Postgres, ids: Iterable[int], columns: Iterable[str], *, entity_type: str | None = None
) -> dict[int, Row]:
    """Entries by number, in one statement, of one kind of entity if it is named; unknown numbers are absent."""
    selected = ", ".join(sorted({*columns, "audit_id"}))
    rows = await postgres.fetch(
        f"SELECT {selected} FROM finance.audit_logs"  # noqa: S608 - our own names
        " WHERE audit_id = ANY ($1::bigint[]) AND ($2::text IS NULL OR entity_type = $2)",
        list(set(ids)),
        entity_type,
    )
    return {row["audit_id"]: row for row in rows}


async def chains(postgres: Postgres) -> list[str]:
    """Every chain there is."""
    return [row["chain"] for row in await postgres.fetch(_CHAINS)]


async def chain_of(postgres: Postgres, facility: str) -> str:
    """The chain a facility's entries are sealed in: its business's."""
    found = await postgres.fetch("SELECT business_id FROM finance.facility_accounts WHERE facility_id = $1", facility)
    return found[0]["business_id"] if found else facility


async def loose(postgres: Postgres) -> Break | None:
    """An entry that claims to be sealed and stands in no chain."""
    [row] = await postgres.fetch(_LOOSE)
    return None if row["audit_id"] is None else Break(0, row["audit_id"], "loose")


async def verify(
    postgres: Postgres,
    chain: str,
    *,
    after: Checked = _BEGINNING,
    most: int | None = None,
    progress: Callable[[Verified], None] = lambda _: None,
) -> Verified:
    """Check a chain behind what was checked before, at most so many entries; ends at the first break.

    A batch at a time, of which nothing but one row comes here: however long the chain, memory and statements stay
    small. `progress` is told after each. Raises StoreError.
    """
    # Read first: what is sealed from now on lies behind this end.
    ends = await postgres.fetch(_END, chain)
    end = ends[0] if ends else None
    length = end["last_position"] if end else 0
    entries, until = 0, after
    if after.position and (moved := await _moved(postgres, chain, after)):
        return Verified(chain, entries, until, length, False, moved)
    while most is None or entries < most:
        size = BATCH if most is None else min(BATCH, most - entries)
        [found] = await postgres.fetch(_CHECK, chain, until.position, until.hash, size)
        if found["entries"]:
            entries, until = entries + found["entries"], Checked(found["last_position"], found["last_hash"])
        if found["broken_at"] is not None:
            broken = Break(found["broken_at"], found["broken_id"], found["fault"])
            return Verified(chain, entries, until, length, False, broken)
        length = max(length, until.position)
        if not found["entries"]:
            missing = _missing_end(end, until)
            return Verified(chain, entries, until, length, missing is None, missing)
        progress(Verified(chain, entries, until, length, False, None))
    return Verified(chain, entries, until, length, False, None)


async def _moved(postgres: Postgres, chain: str, after: Checked) -> Break | None:
    """Why a chain cannot be gone on with: where the last part ended is no longer what it was."""
    rows = await postgres.fetch(_AT, chain, after.position)
    if not rows:
        return Break(after.position, None, "cut")
    if [row["entry_hash"] for row in rows] != [after.hash]:
        return Break(after.position, rows[0]["audit_id"], "changed")
    return None


def _missing_end(end: Any, until: Checked) -> Break | None:
    position, hash_ = until.position, until.hash
    if end is None:
        return Break(position, None, "cut") if position else None
    if end["last_position"] > position:
        return Break(position + 1, None, "cut")
    if end["last_position"] == position and end["last_hash"] != hash_:
        return Break(position, None, "cut")
    return None

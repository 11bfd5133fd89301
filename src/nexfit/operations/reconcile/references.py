"""References from PostgreSQL's rows to MongoDB's documents. Nobody can make up who was meant, so none is repaired."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from bson import ObjectId

from nexfit.operations.member_facts import Stores
from nexfit.operations.reconcile.report import Finding

BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Reference:
    """A column of ObjectIds as text, and the collection they are of."""

    table: str
    column: str
    collection: str


REFERENCES = (
    Reference("finance.facility_accounts", "facility_id", "facilities"),
    Reference("finance.facility_accounts", "business_id", "facilities"),
    Reference("finance.transactions", "user_id", "users"),
    Reference("finance.subscriptions", "user_id", "users"),
    Reference("finance.subscriptions", "plan_id", "memberships"),
    Reference("finance.invoices", "user_id", "users"),
    Reference("finance.refunds", "user_id", "users"),
    Reference("finance.refunds", "requested_by", "users"),
    Reference("finance.credit_notes", "user_id", "users"),
    Reference("finance.analytics_daily", "business_id", "facilities"),
    Reference("finance.coaching_packages", "relation_id", "coach_clients"),
    Reference("finance.coaching_packages", "coach_id", "users"),
    Reference("finance.coaching_packages", "client_id", "users"),
    Reference("finance.coaching_packages", "sold_by", "users"),
    Reference("finance.coaching_packages", "facility_id", "facilities"),
    Reference("finance.package_credit_ledger", "coach_id", "users"),
    Reference("finance.package_credit_ledger", "client_id", "users"),
    Reference("finance.package_credit_ledger", "session_id", "pt_sessions"),
    Reference("platform.data_requests", "user_id", "users"),
    Reference("platform.data_requests", "requested_by", "users"),
    Reference("platform.member_facts", "facility_id", "facilities"),
    Reference("platform.member_facts", "user_id", "users"),
    Reference("platform.member_notes", "facility_id", "facilities"),
    Reference("platform.member_notes", "user_id", "users"),
    Reference("platform.member_tags", "facility_id", "facilities"),
    Reference("platform.member_tags", "user_id", "users"),
    Reference("finance.purchases", "user_id", "users"),
    Reference("finance.purchases", "plan_id", "memberships"),
    Reference("finance.purchases", "program_id", "workout_programs"),
    Reference("finance.purchases", "author_id", "users"),
    Reference("finance.plan_changes", "user_id", "users"),
    Reference("finance.plan_changes", "plan_id", "memberships"),
    Reference("finance.freezes", "facility_id", "facilities"),
    Reference("finance.freezes", "user_id", "users"),
    Reference("finance.analytics_marks", "facility_id", "facilities"),
)
"""The facility of every other row is one with an account: PostgreSQL sees to that itself. Records of what was done, by
whom and where, may outlive people and places."""


class ReferencesComparison:
    """Every id that PostgreSQL holds is of a document that exists."""

    name = "references"

    async def suspects(
        self, stores: Stores, now: datetime
    ) -> AsyncIterator[tuple[int, Sequence[tuple[Reference, str]]]]:
        """The distinct ids of each column, looked up."""
        for reference in REFERENCES:
            ids = await _ids(stores, reference)
            for start in range(0, len(ids), BATCH):
                some = ids[start : start + BATCH]
                yield len(some), [(reference, id_) for id_ in await _dangling(stores, reference, some)]

    async def confirm(self, stores: Stores, keys: Sequence[tuple[Reference, str]], now: datetime) -> list[Finding]:
        """Those that still lead nowhere and are still held."""
        found = []
        for reference in dict.fromkeys(reference for reference, _ in keys):
            ids = [id_ for of, id_ in keys if of == reference]
            for id_ in await _dangling(stores, reference, ids):
                rows = await stores.postgres.fetch(
                    f"SELECT count(*) AS rows FROM {reference.table} WHERE {reference.column} = $1",  # noqa: S608
                    id_,
                )
                if rows[0]["rows"]:
                    kind = f"references.{reference.table}.{reference.column}"
                    said = f"{reference.collection} has no such document; {rows[0]['rows']} rows name it"
                    found.append(Finding(kind, id_, said))
        return found

    async def repair(self, stores: Stores, findings: Sequence[Finding], now: datetime) -> int:
        """Nothing: a person has to decide."""
        return 0


async def _ids(stores: Stores, reference: Reference) -> list[str]:
    """The distinct ids of the column."""
    column, table = reference.column, reference.table
    rows = await stores.postgres.fetch(
        f"SELECT DISTINCT {column} AS id FROM {table} WHERE {column} IS NOT NULL ORDER BY 1"  # noqa: S608
    )
    return [row["id"] for row in rows]


async def _dangling(stores: Stores, reference: Reference, ids: Sequence[str]) -> list[str]:
    wanted = [ObjectId(id_) for id_ in ids]
    found = await stores.mongo.find(reference.collection, {"_id": {"$in": wanted}}, ())
    known = {str(document["_id"]) for document in found}
    return [id_ for id_ in ids if id_ not in known]

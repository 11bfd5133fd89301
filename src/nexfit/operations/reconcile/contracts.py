"""Contracts in MongoDB compared with the subscriptions they repeat. PostgreSQL wins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from bson import ObjectId

from nexfit.domains.memberships import mirror
from nexfit.domains.memberships.contracts import COLLECTION
from nexfit.domains.memberships.mirror import Discrepancy
from nexfit.domains.memberships.projection import Pair
from nexfit.operations.member_facts import Stores
from nexfit.operations.reconcile.report import Finding
from nexfit.stores.postgres_transactions import prepared_transactions

BATCH = 500

IN_DOUBT = timedelta(minutes=1)
"""How long before its PostgreSQL half was prepared a contract may have been written, clocks included."""

_NEXT = """
SELECT subscription_id, facility_id, user_id FROM finance.subscriptions WHERE subscription_id > $1
ORDER BY subscription_id LIMIT $2
"""
_KNOWN = "SELECT subscription_id FROM finance.subscriptions WHERE subscription_id = ANY ($1::uuid[])"

log = structlog.get_logger(__name__)


class ContractsComparison:
    """Every subscription has one contract that repeats it, and every contract a subscription."""

    name = "contracts"

    async def suspects(self, stores: Stores, now: datetime) -> AsyncIterator[tuple[int, Sequence[Pair]]]:
        """Whose subscriptions are not repeated, then whose contracts repeat none."""
        last = UUID(int=0)
        while rows := await stores.postgres.fetch(_NEXT, last, BATCH):
            pairs = {(row["facility_id"], row["user_id"]) for row in rows}
            wrong = await mirror.discrepancies(stores.postgres, stores.mongo, pairs)
            yield len(rows), sorted(pairs) if wrong else ()
            last = rows[-1]["subscription_id"]
        async for count, orphans in self._orphans(stores):
            yield count, orphans

    async def _orphans(self, stores: Stores) -> AsyncIterator[tuple[int, Sequence[Pair]]]:
        last = ObjectId("0" * 24)
        columns = ("subscriptionId", "facilityId", "userId")
        while found := await stores.mongo.find(
            COLLECTION, {"_id": {"$gt": last}}, columns, sort=[("_id", 1)], limit=BATCH
        ):
            ids = [UUID(contract["subscriptionId"]) for contract in found]
            known = {row["subscription_id"] for row in await stores.postgres.fetch(_KNOWN, ids)}
            yield (
                len(found),
                [
                    (str(contract["facilityId"]), str(contract["userId"]))
                    for contract, id_ in zip(found, ids, strict=True)
                    if id_ not in known
                ],
            )
            last = found[-1]["_id"]

    async def confirm(self, stores: Stores, keys: Sequence[Pair], now: datetime) -> list[Finding]:
        """What still differs, but for contracts whose commit in PostgreSQL may still be on its way."""
        undecided = await prepared_transactions(stores.postgres, "")
        wrong = await mirror.discrepancies(stores.postgres, stores.mongo, keys)
        since = min((one.prepared_at for one in undecided), default=None)
        found = []
        for one in wrong:
            if one.true is None and one.mirrored is not None and since is not None:
                contract = await stores.mongo.find(COLLECTION, {"_id": one.mirrored["_id"]}, ("updatedAt",))
                if not contract or contract[0]["updatedAt"] > since - IN_DOUBT:
                    continue
            found.append(_finding(one))
        return found

    async def repair(self, stores: Stores, findings: Sequence[Finding], now: datetime) -> int:
        """Repeat the subscriptions; what a deleted contract said goes to the log."""
        wrong = [finding.case for finding in findings]
        done = await mirror.repair(stores.mongo, wrong)
        for one in done:
            if one.true is None:
                log.warning("a contract without a subscription was deleted", contract=one.mirrored)
        return len(done)


def _finding(one: Discrepancy) -> Finding:
    subject = f"subscription {one.subscription_id}"
    if one.mirrored is None:
        return Finding("contracts.missing", subject, "no contract repeats it", one)
    if one.true is None:
        return Finding("contracts.orphaned", subject, "a contract repeats it and PostgreSQL does not know it", one)
    said = ", ".join(
        "paymentHistory"
        if name == "paymentHistory"
        else f"{name} is {one.mirrored.get(name)} and not {one.true.get(name)}"
        for name in one.fields
    )
    kind = "contracts.status" if "status" in one.fields else "contracts.differ"
    return Finding(kind, subject, said, one)

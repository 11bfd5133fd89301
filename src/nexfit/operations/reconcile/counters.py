"""The seat counters of dates compared with their bookings, both in MongoDB. The bookings win."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from bson import ObjectId

from nexfit.domains.classes import counters
from nexfit.domains.classes.counters import WrongCounters
from nexfit.domains.classes.places import OCCURRENCES
from nexfit.operations.member_facts import Stores
from nexfit.operations.reconcile.report import Finding

BATCH = 500


class CountersComparison:
    """Seats taken, members waiting, and the last place given on the waitlist, of every date."""

    name = "seat counters"

    async def suspects(self, stores: Stores, now: datetime) -> AsyncIterator[tuple[int, Sequence[ObjectId]]]:
        """Every date, in the order of ids."""
        last = ObjectId("0" * 24)
        while found := await stores.mongo.find(OCCURRENCES, {"_id": {"$gt": last}}, (), sort=[("_id", 1)], limit=BATCH):
            wrong = await counters.wrong_counters(stores.mongo, [date["_id"] for date in found])
            yield len(found), [one.date for one in wrong]
            last = found[-1]["_id"]

    async def confirm(self, stores: Stores, keys: Sequence[ObjectId], now: datetime) -> list[Finding]:
        """The counters that are still wrong."""
        return [_finding(one) for one in await counters.wrong_counters(stores.mongo, keys)]

    async def repair(self, stores: Stores, findings: Sequence[Finding], now: datetime) -> int:
        """Count anew. Where more seats are given than there are, people have to decide."""
        return sum([await counters.repair(stores.mongo, finding.case.date, now) for finding in findings])


def _finding(one: WrongCounters) -> Finding:
    said = ", ".join(f"{name} is {one.said[name]} and not {count}" for name, count in one.true.items())
    return Finding("counters.oversold" if one.is_oversold else "counters.seats", f"date {one.date}", said, one)

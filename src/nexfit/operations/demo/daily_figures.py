"""A facility's days: `finance.analytics_daily` as a fold over its contracts, payments, refunds, bookings and visits.

Every event counts on the facility's local day. A member is active on the days a subscription that was ever paid for
covers (from `start_date` up to `current_period_end`, which is exclusive); a renewal counts when its invoice is paid.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal

import orjson
from bson import ObjectId

from nexfit.operations.demo.businesses import Branch
from nexfit.operations.demo.calendar import Calendar
from nexfit.operations.demo.content.places import CURRENCY
from nexfit.operations.demo.contracts import Contract
from nexfit.operations.demo.ledger import Record

COLUMNS = (
    *("business_id", "date", "new_members", "active_members", "total_revenue", "currency", "class_attendance"),
    *("subscription_renewals", "subscription_cancellations", "metrics", "created_at"),
)

NO_MONEY = Decimal("0.00")


class DailyFigures:
    """Collects one branch's events by local day."""

    def __init__(self, calendar: Calendar, branch: Branch, contracts: Iterable[Contract]) -> None:
        self._calendar = calendar
        self._branch = branch
        self._new: defaultdict[date, int] = defaultdict(int)
        self._change: defaultdict[date, int] = defaultdict(int)
        self._revenue: defaultdict[date, Decimal] = defaultdict(lambda: NO_MONEY)
        self._payments: defaultdict[date, int] = defaultdict(int)
        self._refunded: defaultdict[date, Decimal] = defaultdict(lambda: NO_MONEY)
        self._renewals: defaultdict[date, int] = defaultdict(int)
        self._cancellations: defaultdict[date, int] = defaultdict(int)
        joined: dict[ObjectId, datetime] = {}
        for contract in contracts:
            if contract.status.startswith("incomplete"):
                continue
            person = contract.person.id
            joined[person] = min(joined.get(person, contract.created_at), contract.created_at)
            self._change[contract.start] += 1
            self._change[contract.period_end] -= 1
            if contract.cancelled_at is not None:
                self._cancellations[calendar.day_of(contract.cancelled_at)] += 1
            self._money(contract)
        for moment in joined.values():
            self._new[calendar.day_of(moment)] += 1

    def _money(self, contract: Contract) -> None:
        for bill in contract.bills:
            paid = bill.paid
            if paid is not None:
                day = self._calendar.day_of(paid.at)
                self._revenue[day] += contract.plan.price
                self._payments[day] += 1
                self._renewals[day] += bill.period_start > contract.start
            if bill.refund is not None:
                day = self._calendar.day_of(bill.refund.at)
                amount = bill.refund.net + bill.refund.tax
                self._revenue[day] -= amount
                self._refunded[day] += amount

    def rows(self, attended: Mapping[date, int], visited: Mapping[date, int]) -> Iterator[Record]:
        """One row per day from the opening to yesterday."""
        active = 0
        day = self._calendar.opening
        while day < self._calendar.today:
            active += self._change.get(day, 0)
            metrics = {
                "visits": visited.get(day, 0),
                "payments": self._payments.get(day, 0),
                "refunded": str(self._refunded.get(day, NO_MONEY)),
            }
            yield (
                *(self._branch.key, day, self._new.get(day, 0), active, self._revenue.get(day, NO_MONEY), CURRENCY),
                *(attended.get(day, 0), self._renewals.get(day, 0), self._cancellations.get(day, 0)),
                *(orjson.dumps(metrics).decode(), self._calendar.at(day + timedelta(days=1), 60)),
            )
            day += timedelta(days=1)

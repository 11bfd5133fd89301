"""What happens to a membership: it is sold, billed each period, paid late or not at all, cancelled, frozen, renewed.

Plain records in, plain records out; both stores' rows are made from them elsewhere. Periods are local days with an
exclusive end. A declined card is tried again after 2, 5, 7 and 7 days, then the contract is suspended, then given up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

from bson import ObjectId

from nexfit.operations.demo.businesses import Branch, OfferedPlan
from nexfit.operations.demo.calendar import Calendar, add_months
from nexfit.operations.demo.chance import Chance, weighted
from nexfit.operations.demo.content.people import CANCEL_REASONS
from nexfit.operations.demo.content.places import KDV_PERCENT
from nexfit.operations.demo.people import Person

CENT = Decimal("0.01")
KDV = Decimal(KDV_PERCENT) / 100

PAYMENT_DAYS = 7
RETRY_AFTER = (0, 2, 7, 14, 21)
"""Days after the issue on which a card is tried."""

GIVEN_UP_AFTER = 45
HARD_TIMES = 32
"""Bills younger than this many days are paid worse, so that a demo always has debtors to look at."""

METHODS = (("card", 62.0), ("direct_debit", 10.0), ("bank_transfer", 16.0), ("cash", 12.0))


@dataclass(slots=True)
class Payment:
    """An attempt to pay a bill: succeeded, failed, pending or cancelled."""

    id: UUID
    at: datetime
    status: str


@dataclass(slots=True)
class Refund:
    """Money given back for the unused days of a bill, with its exact share of tax."""

    id: UUID
    transaction_id: UUID
    credit_note_id: UUID
    at: datetime
    net: Decimal
    tax: Decimal


@dataclass(slots=True)
class Bill:
    """One period's invoice and the attempts to pay it."""

    id: UUID
    period_start: date
    period_end: date
    issued_at: datetime
    issued_on: date
    due_on: date
    net: Decimal
    tax: Decimal
    status: str = "open"
    payments: list[Payment] = field(default_factory=list)
    refund: Refund | None = None

    @property
    def paid(self) -> Payment | None:
        """The payment that settled it."""
        return self.payments[-1] if self.status == "paid" else None


@dataclass(slots=True)
class Contract:
    """A subscription: one row in PostgreSQL and its mirror in MongoDB."""

    id: UUID
    mirror_id: ObjectId
    person: Person
    plan: OfferedPlan
    start: date
    period_start: date
    period_end: date
    created_at: datetime
    updated_at: datetime
    method: str
    status: str = "active"
    auto_renew: bool = True
    cancel_at_period_end: bool = False
    cancelled_at: datetime | None = None
    cancellation_reason: str | None = None
    no_entry_from: date | None = None
    frozen_until: date | None = None
    bills: list[Bill] = field(default_factory=list)
    attempts: list[Payment] = field(default_factory=list)
    """Payments without a bill: purchases that were not finished."""

    @property
    def ends_on(self) -> date | None:
        """The last day, once it is known."""
        return self.period_end - timedelta(days=1) if not self.auto_renew else None

    def admits(self, day: date) -> bool:
        """Whether the member may come in on the local day."""
        return self.start <= day < (self.no_entry_from or self.period_end)


def split_tax(total: Decimal) -> tuple[Decimal, Decimal]:
    """Net and tax of an amount that includes the tax."""
    net = (total / (1 + KDV)).quantize(CENT, ROUND_HALF_UP)
    return net, total - net


class Histories:
    """Writes the histories of one branch's members up to the calendar's present."""

    def __init__(self, chance: Chance, calendar: Calendar, branch: Branch) -> None:
        self._chance = chance
        self._calendar = calendar
        self._branch = branch
        self._random = chance.stream(f"contracts:{branch.content.key}")

    def of(self, person: Person, joined: date) -> Iterator[Contract]:
        """A member's contracts at the branch, one after the other, never two at a time."""
        start = joined
        plan = self._choose_plan()
        while start < self._calendar.today:
            contract = self._contract(person, plan, start)
            if person.is_client_login:
                self._client(contract)
            elif self._random.random() < 0.012:
                self._abandoned(contract)
            else:
                self._live(contract)
            yield contract
            if contract.status in ("incomplete", "incomplete_expired", "cancelled") or contract.status in LIVE:
                return
            if self._random.random() > 0.8:
                return
            pause = self._random.choice((0, 0, 0, 0, 3, 12, 40))
            start = contract.period_end + timedelta(days=pause)
            if self._random.random() < 0.25:
                plan = self._choose_plan()

    def _choose_plan(self) -> OfferedPlan:
        return weighted(self._random, [(plan, float(plan.content.share)) for plan in self._branch.plans])

    def _contract(self, person: Person, plan: OfferedPlan, start: date) -> Contract:
        created = self._calendar.at(start, 17 * 60 + 5 + self._random.randrange(170), self._random.randrange(60))
        method = weighted(self._random, METHODS)
        return Contract(
            self._chance.uuid("subscription", created),
            self._chance.object_id("member_subscription"),
            person,
            plan,
            start,
            start,
            add_months(start, plan.content.months),
            created,
            created,
            method,
            auto_renew=method != "cash" and self._random.random() < 0.93,
        )

    def _client(self, contract: Contract) -> None:
        """The demo client: loyal, paying by card, and one declined charge nine days ago."""
        monthly = self._branch.plans[0]
        start = add_months(self._calendar.today - timedelta(days=9), -8)
        created = self._calendar.at(start, 18 * 60)
        contract.plan, contract.start, contract.method, contract.auto_renew = monthly, start, "card", True
        contract.period_start, contract.period_end = start, add_months(start, 1)
        contract.created_at = contract.updated_at = created
        self._bill(contract, created, never_paid=False)
        while contract.period_end <= self._calendar.today:
            self._renew(contract, never_paid=contract.period_end >= self._calendar.today - timedelta(days=12))

    def _abandoned(self, contract: Contract) -> None:
        """A purchase whose payment never came; it is still open for 23 hours."""
        open_still = contract.created_at > self._calendar.now - timedelta(hours=23)
        contract.status = "incomplete" if open_still else "incomplete_expired"
        status = "pending" if open_still else "cancelled"
        contract.attempts.append(
            Payment(self._chance.uuid("payment", contract.created_at), contract.created_at, status)
        )
        contract.auto_renew = True
        contract.updated_at = contract.created_at if open_still else contract.created_at + timedelta(hours=23)

    def _live(self, contract: Contract) -> None:
        self._bill(contract, contract.created_at, never_paid=False)
        while contract.status == "active":
            if self._leaves(contract) or contract.period_end > self._calendar.today:
                break
            if not contract.auto_renew:
                contract.status = "cancelled" if contract.cancel_at_period_end else "expired"
                contract.updated_at = self._calendar.at(contract.period_end, 30)
                break
            self._renew(contract, never_paid=None)
        if contract.status == "active" and contract.auto_renew and self._random.random() < 0.02:
            self._freeze(contract)

    def _leaves(self, contract: Contract) -> bool:
        """Perhaps the member cancels during this period; whether at once, so that nothing follows."""
        if not contract.auto_renew or self._random.random() > 0.02 + 0.02 * contract.plan.content.months:
            return False
        length = (contract.period_end - contract.period_start).days
        day = contract.period_start + timedelta(days=self._random.randrange(1, max(length - 1, 2)))
        moment = self._calendar.at(day, 600 + self._random.randrange(500))
        if moment >= self._calendar.now:
            return False
        contract.cancelled_at = contract.updated_at = moment
        contract.cancellation_reason = self._random.choice(CANCEL_REASONS)
        contract.auto_renew = False
        bill = contract.bills[-1]
        if bill.paid is None or bill.paid.at >= moment or self._random.random() > 0.3:
            contract.cancel_at_period_end = True
            return False
        contract.status = "cancelled"
        unused = Decimal((contract.period_end - day).days - 1) / length
        contract.period_end = day + timedelta(days=1)
        self._refund(bill, moment, unused)
        return True

    def _refund(self, bill: Bill, at: datetime, unused: Decimal) -> None:
        net = (bill.net * unused).quantize(CENT, ROUND_HALF_UP)
        tax = (bill.tax * unused).quantize(CENT, ROUND_HALF_UP)
        if net <= 0:
            return
        moment = at + timedelta(minutes=5)
        bill.refund = Refund(
            self._chance.uuid("refund", at),
            self._chance.uuid("payment", moment),
            self._chance.uuid("credit_note", moment),
            moment,
            net,
            tax,
        )

    def _freeze(self, contract: Contract) -> None:
        """Frozen since a few days, for up to a month; the end moves by exactly the frozen days."""
        since = self._calendar.today - timedelta(days=self._random.randrange(1, 8))
        if contract.bills[-1].status != "paid" or since <= contract.period_start:
            return
        days = self._random.randrange(10, 31)
        contract.status = "frozen"
        contract.no_entry_from = since
        contract.frozen_until = since + timedelta(days=days)
        contract.period_end += timedelta(days=days)
        contract.updated_at = self._calendar.at(since, 11 * 60)

    def _renew(self, contract: Contract, *, never_paid: bool | None) -> None:
        number = len(contract.bills)
        contract.period_start = contract.period_end
        contract.period_end = add_months(contract.start, contract.plan.content.months * (number + 1))
        issued = self._calendar.at(contract.period_start, 180 + self._random.randrange(60), self._random.randrange(60))
        self._bill(contract, issued, never_paid=never_paid)

    def _bill(self, contract: Contract, issued_at: datetime, *, never_paid: bool | None) -> None:
        """Issue the invoice of the contract's current period and let time decide over its payment."""
        net, tax = split_tax(contract.plan.price)
        issued_on = contract.period_start
        bill = Bill(
            self._chance.uuid("invoice", issued_at),
            issued_on,
            contract.period_end,
            issued_at,
            issued_on,
            issued_on + timedelta(days=PAYMENT_DAYS),
            net,
            tax,
        )
        contract.bills.append(bill)
        contract.updated_at = issued_at
        for at, succeeded in self._attempts(contract, bill, never_paid):
            if at > self._calendar.now:
                break
            status = "succeeded" if succeeded else "failed"
            bill.payments.append(Payment(self._chance.uuid("payment", at), at, status))
            contract.updated_at = at
            if succeeded:
                bill.status = "paid"
                return
        self._dun(contract, bill)

    def _attempts(self, contract: Contract, bill: Bill, never_paid: bool | None) -> Iterator[tuple[datetime, bool]]:
        """When the bill is tried, in order, and whether that succeeds."""
        random = self._random
        recent = bill.issued_on > self._calendar.today - timedelta(days=HARD_TIMES)
        first = len(contract.bills) == 1
        if never_paid is None:
            never_paid = not first and random.random() < (0.2 if recent else 0.012)
        if contract.method in ("card", "direct_debit"):
            tries = 1 if first or random.random() < 0.95 else random.randint(2, 4)
            for number, days in enumerate(RETRY_AFTER, 1):
                moment = bill.issued_at + timedelta(days=days, seconds=40)
                yield moment, number == tries and not never_paid
            return
        if not never_paid:
            days = 0 if first or contract.method == "cash" else random.choice((0, 1, 2, 2, 3, 5, 6, 9))
            after = timedelta(seconds=90) if days == 0 and first else timedelta(days=days, hours=random.randint(6, 14))
            yield bill.issued_at + after, True

    def _dun(self, contract: Contract, bill: Bill) -> None:
        """What an unpaid bill has done to the contract by now."""
        age = (self._calendar.today - bill.issued_on).days
        declined = bool(bill.payments)
        if age >= GIVEN_UP_AFTER:
            bill.status = "uncollectible"
            contract.status = "cancelled"
            contract.auto_renew = False
            contract.cancelled_at = self._calendar.at(bill.issued_on + timedelta(days=GIVEN_UP_AFTER), 240)
            contract.cancellation_reason = "Ödenmeyen fatura"
            contract.updated_at = contract.cancelled_at
        elif age >= RETRY_AFTER[-1]:
            contract.status = "suspended"
            contract.updated_at = self._calendar.at(bill.issued_on + timedelta(days=RETRY_AFTER[-1]), 240)
        elif declined or age > PAYMENT_DAYS:
            contract.status = "past_due"
        if age >= RETRY_AFTER[-1]:
            contract.no_entry_from = bill.issued_on + timedelta(days=RETRY_AFTER[-1])


LIVE = ("active", "past_due", "suspended", "frozen")

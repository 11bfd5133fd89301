"""What a facility's year comes to, by rules written apart from the code under test: pure, no store, nothing of nexfit.

Written from the workflows' rules: money, invoices, credit notes, memberships and daily figures, from what members did
and when. Instants are UTC; days are the facility's own, by its zone.
"""

from __future__ import annotations

import calendar
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
GRACE = (2, 5, 7, 7)
"""Days from each declined charge of a period to the next one."""

Answer = Literal["paid", "soft", "hard"]
"""What the bank says of a charge."""

Status = Literal["active", "past_due", "suspended", "frozen", "cancelled", "expired"]


def cents(amount: Decimal) -> Decimal:
    """In whole hundredths, half up."""
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def months_later(day: date, months: int, anchor: int) -> date:
    """The anchor's day of a later month, or that month's last."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(anchor, calendar.monthrange(year, month + 1)[1]))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sold: so many weeks or months for a price with tax."""

    name: str
    price: Decimal
    weeks: int = 0
    months: int = 0

    def end(self, start: date, anchor: int) -> date:
        """The first day no longer covered by a term from `start`."""
        return start + timedelta(weeks=self.weeks) if self.weeks else months_later(start, self.months, anchor)


@dataclass(slots=True)
class Movement:
    """Money that moved; a refund names the payment it is of."""

    person: str
    at: datetime
    amount: Decimal
    kind: Literal["charge", "manual_payment", "refund"]
    of: Movement | None = None
    paper: Invoice | None = None
    returned: Decimal = Decimal(0)


@dataclass(slots=True)
class Invoice:
    """An invoice of one period; `credited` is the tax that credit notes gave back."""

    person: str
    period: date
    total: Decimal
    tax: Decimal
    issued: date
    made_at: datetime
    paid_on: date | None = None
    payment: Movement | None = None
    credited: Decimal = Decimal(0)


@dataclass(slots=True)
class Credit:
    """A credit note."""

    invoice: Invoice
    total: Decimal
    tax: Decimal
    issued: date
    made_at: datetime


@dataclass(slots=True)
class Membership:
    """One subscription, as it stands."""

    person: str
    plan: Plan
    price: Decimal
    since: datetime
    starts: date
    period: date
    ends: date
    anchor: int
    online: bool
    renews: bool
    status: Status = "active"
    leaves: bool = False
    failed: int = 0
    next_try: date | None = None
    left_at: datetime | None = None
    unanswered: Answer | None = None
    pauses: list[tuple[date, date]] = field(default_factory=list)
    papers: dict[date, Invoice] = field(default_factory=dict)

    @property
    def is_live(self) -> bool:
        """Not over."""
        return self.status not in ("cancelled", "expired")


class Refused(Exception):
    """The rules do not allow it."""


class Books:
    """One facility: what happened there so far, and what follows from it."""

    def __init__(self, zone: str, rate: Decimal, bank: Callable[[str, datetime], tuple[Answer, bool]]) -> None:
        self.zone = ZoneInfo(zone)
        self.rate = rate
        self.bank = bank
        self.memberships: list[Membership] = []
        self.movements: list[Movement] = []
        self.invoices: list[Invoice] = []
        self.credits: list[Credit] = []

    def day(self, at: datetime) -> date:
        """The facility's day."""
        return at.astimezone(self.zone).date()

    def held(self, person: str) -> Membership | None:
        """The person's live membership."""
        return next((one for one in reversed(self.memberships) if one.person == person and one.is_live), None)

    # --- what people do

    def join(self, person: str, plan: Plan, at: datetime, *, online: bool) -> Membership:
        """Buy a plan: online, to be renewed by the saved card; or at the desk, for cash."""
        today = self.day(at)
        made = Membership(
            person, plan, plan.price, at, today, today, plan.end(today, today.day), today.day, online, renews=online
        )
        self.memberships.append(made)
        self._paid_at_once(made, at)
        return made

    def renew_at_desk(self, one: Membership, price: Decimal, at: datetime) -> None:
        """One more term for cash, after the present one."""
        if one.status != "active":
            raise Refused
        one.price = price
        one.period, one.ends = one.ends, one.plan.end(one.ends, one.anchor)
        self._paid_at_once(one, at)

    def freeze(self, one: Membership, days: int, at: datetime) -> None:
        """Pause from today on."""
        today = self.day(at)
        lately = [pause for pause in one.pauses if pause[0] >= today - timedelta(days=365)]
        if one.status != "active" or one.ends <= today or len(lately) >= 2 or self._open(one):
            raise Refused
        one.pauses.append((today, today + timedelta(days=days)))
        self._move_end(one, days)
        one.status = "frozen"

    def thaw(self, one: Membership, at: datetime) -> None:
        """Come back early."""
        if one.status != "frozen":
            raise Refused
        began, until = one.pauses[-1]
        back = min(max(self.day(at), began), until)
        one.pauses[-1] = (began, back)
        self._move_end(one, (back - until).days)
        one.status = "active"

    def leave_now(self, one: Membership, at: datetime) -> None:
        """End it; what is not used is given back."""
        if not one.is_live:
            raise Refused
        back = self.unused(one, self.day(at), withdrawing=True)
        if back > 0:
            self._give_back(one.papers[one.period].payment, back, at)
        one.status, one.left_at, one.next_try, one.failed = "cancelled", at, None, 0

    def leave_with_period(self, one: Membership) -> None:
        """End it with what is paid for."""
        if not one.is_live:
            raise Refused
        one.leaves, one.renews = True, False

    def refund(self, payment: Movement, amount: Decimal, at: datetime) -> None:
        """Give part of a payment back."""
        if payment.returned + amount > payment.amount:
            raise Refused
        self._give_back(payment, amount, at)

    def switch(self, one: Membership, plan: Plan, at: datetime) -> Membership:
        """Another plan from today, at the desk: the rest of the old one is given back, the new one sold for cash."""
        if one.status != "active":
            raise Refused
        back = self.unused(one, self.day(at), withdrawing=False)
        if back > 0:
            self._give_back(one.papers[one.period].payment, back, at)
        one.status, one.left_at, one.next_try, one.failed = "cancelled", at, None, 0
        return self.join(one.person, plan, at, online=False)

    def pay_debt(self, invoice: Invoice, at: datetime) -> None:
        """Pay an open invoice in cash."""
        if invoice.paid_on is not None:
            raise Refused
        self._settle(invoice, "manual_payment", at)
        for one in self.memberships:
            behind = one.status in ("past_due", "suspended") and invoice is one.papers.get(invoice.period)
            if behind and one.ends > self.day(at) and not self._open(one):
                one.status = "active"

    def unused(self, one: Membership, today: date, *, withdrawing: bool) -> Decimal:
        """What is given back of the present period to who leaves today: its unused days, of those that were not frozen.

        Who bought online gets everything within 14 days of the first one.
        """
        paper = one.papers.get(one.period)
        if paper is None or paper.payment is None:
            return Decimal(0)
        rest = paper.total - paper.payment.returned
        within = today <= one.starts + timedelta(days=14)
        if withdrawing and within and one.period == one.starts and paper.payment.kind == "charge":
            return rest
        bought = [day for day in _days(one.period, one.ends) if not any(a <= day < b for a, b in one.pauses)]
        left = [day for day in bought if day > today]
        return min(cents(paper.total * len(left) / len(bought)), rest)

    # --- what the night brings

    def night(self, at: datetime) -> None:
        """Pauses end, periods are billed and charged, debts are tried again, and what is over is over."""
        today = self.day(at)
        for one in self.memberships:
            if one.status == "frozen" and one.pauses[-1][1] <= today:
                one.status = "active"
        for one in self.memberships:
            if one.unanswered is not None:
                answer, one.unanswered = one.unanswered, None
                self._answered(one, answer, at)
        for one in self.memberships:
            if one.status == "active" and one.ends <= today:
                self._period_is_over(one, at)
            elif one.status in ("past_due", "suspended"):
                self._remind(one, at)

    def _period_is_over(self, one: Membership, at: datetime) -> None:
        if one.leaves:
            one.status, one.left_at = "cancelled", at
        elif not one.renews:
            one.status = "expired"
        else:
            one.period, one.ends = one.ends, one.plan.end(one.ends, one.anchor)
            one.failed, one.next_try = 0, None
            self._invoice(one, at)
            self._charge(one, at)

    def _remind(self, one: Membership, at: datetime) -> None:
        today = self.day(at)
        if one.papers[one.period].paid_on is not None:
            if one.status == "suspended" and one.ends < today:
                one.ends, one.anchor = today, today.day
            one.status, one.next_try, one.failed = "active", None, 0
        elif one.status == "past_due" and one.next_try is not None and one.next_try <= today:
            self._charge(one, at)

    def _charge(self, one: Membership, at: datetime) -> None:
        answer, silent = self.bank(one.person, at)
        if silent:
            one.unanswered = answer
        else:
            self._answered(one, answer, at)

    def _answered(self, one: Membership, answer: Answer, at: datetime) -> None:
        if answer == "paid":
            self._settle(one.papers[one.period], "charge", at)
            one.status, one.next_try, one.failed = "active", None, 0
            return
        one.failed += 1
        if answer == "hard" or one.failed > len(GRACE):
            one.status, one.next_try = "suspended", None
        else:
            one.status, one.next_try = "past_due", self.day(at) + timedelta(days=GRACE[one.failed - 1])

    # --- money and papers

    def _open(self, one: Membership) -> bool:
        return any(paper.paid_on is None for paper in one.papers.values())

    def _move_end(self, one: Membership, days: int) -> None:
        one.ends += timedelta(days=days)
        one.anchor = one.ends.day

    def _invoice(self, one: Membership, at: datetime) -> Invoice:
        tax = one.price - cents(one.price / (1 + self.rate))
        made = Invoice(one.person, one.period, one.price, tax, self.day(at), at)
        one.papers[one.period] = made
        self.invoices.append(made)
        return made

    def _paid_at_once(self, one: Membership, at: datetime) -> None:
        first_online = one.online and one.period == one.starts
        self._settle(self._invoice(one, at), "charge" if first_online else "manual_payment", at)

    def _settle(self, invoice: Invoice, kind: Literal["charge", "manual_payment"], at: datetime) -> None:
        paid = Movement(invoice.person, at, invoice.total, kind, paper=invoice)
        self.movements.append(paid)
        invoice.payment, invoice.paid_on = paid, self.day(at)

    def _give_back(self, payment: Movement | None, amount: Decimal, at: datetime) -> None:
        assert payment is not None  # only what was paid is given back
        paper = payment.paper
        assert paper is not None  # every payment here is of an invoice
        payment.returned += amount
        self.movements.append(Movement(payment.person, at, amount, "refund", of=payment))
        tax = cents(paper.tax * payment.returned / paper.total) - paper.credited
        paper.credited += tax
        self.credits.append(Credit(paper, amount, tax, self.day(at), at))

    # --- what is looked at in the end

    def balances(self) -> dict[str, Decimal]:
        """What each person owes."""
        owed: defaultdict[str, Decimal] = defaultdict(Decimal)
        for invoice in self.invoices:
            owed[invoice.person] += invoice.total if invoice.paid_on is None else 0
        return dict(owed)

    def figures(self, first: date, last: date, happened: Sequence[Happening]) -> dict[date, dict[str, object]]:
        """Every day's figures."""
        count: defaultdict[date, Counter[str]] = defaultdict(Counter)
        money: defaultdict[date, Decimal] = defaultdict(Decimal)
        back: defaultdict[date, Decimal] = defaultdict(Decimal)
        for moved in self.movements:
            day = self.day(moved.at)
            if moved.kind == "refund":
                back[day] += moved.amount
                count[day]["refunds"] += 1
            else:
                money[day] += moved.amount
                count[day]["payments"] += 1
        joined: dict[str, datetime] = {}
        covered: defaultdict[date, set[str]] = defaultdict(set)
        for one in self.memberships:
            joined[one.person] = min(one.since, joined.get(one.person, one.since))
            until = one.ends
            if one.left_at is not None:
                count[self.day(one.left_at)]["cancellations"] += 1
                until = min(until, self.day(one.left_at) + DAY)
            for day in _days(one.starts, until):
                covered[day].add(one.person)
            for paper in one.papers.values():
                if paper.paid_on is not None and paper.period > one.starts:
                    count[paper.paid_on]["renewals"] += 1
        for since in joined.values():
            count[self.day(since)]["new"] += 1
        for one_ in happened:
            count[self.day(one_.at)][one_.what] += one_.number
        return {
            day: {
                "new_members": count[day]["new"],
                "active_members": len(covered[day]),
                "total_revenue": money[day] - back[day],
                "class_attendance": count[day]["attended"],
                "subscription_renewals": count[day]["renewals"],
                "subscription_cancellations": count[day]["cancellations"],
                "visits": count[day]["visit"],
                "payments": count[day]["payments"],
                "refunds": count[day]["refunds"],
                "refunded": back[day],
                "classes": count[day]["class"],
                "capacity": count[day]["capacity"],
                "seats": count[day]["booked"] + count[day]["attended"] + count[day]["no_show"],
                "noShows": count[day]["no_show"],
                "lateCancelled": count[day]["late_cancelled"],
            }
            for day in _days(first, last + DAY)
        }


@dataclass(frozen=True, slots=True)
class Happening:
    """Something counted on its day: `visit`, `class`, `capacity`, or what became of a place in a class."""

    at: datetime
    what: str
    number: int = 1


def _days(first: date, after: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((after - first).days)]


def at_local(zone: ZoneInfo, day: date, minute: int) -> datetime:
    """The instant a clock on the wall shows that minute of the day; one that is skipped comes an hour later."""
    return (datetime.combine(day, time(), zone) + timedelta(minutes=minute)).astimezone(UTC)

"""Charging tries: the provider is asked about several at a time, and what it says of a facility's is one commit."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import structlog

from nexfit.domains.finance import refunding
from nexfit.domains.finance.payments import (
    ChargeRequest,
    Decline,
    Payment,
    PaymentProvider,
    PaymentState,
    ProviderRefused,
    ProviderUnavailable,
)
from nexfit.domains.finance.words import PaymentMethod, SubscriptionState
from nexfit.domains.memberships import mirror
from nexfit.domains.memberships.events import MembershipRenewed, RenewalDeclined
from nexfit.domains.memberships.renewing import declined
from nexfit.domains.memberships.states import Change, change_states, sql
from nexfit.hybrid.unit_of_work import BothWork
from nexfit.stores.postgres import Row

ASKED_AT_ONCE = 8
"""Charges a provider is asked for at the same time."""

_ENDED = (SubscriptionState.CANCELLED, SubscriptionState.EXPIRED)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the provider says of a try: the money came with `payment`, or why not."""

    attempt: UUID
    subscription: UUID
    facility: str
    payment: Payment | None
    decline: Decline = Decline.SOFT
    failure: str | None = None


async def ask_all(provider: PaymentProvider, rows: Sequence[Row]) -> tuple[list[Outcome], list[UUID]]:
    """Have the provider charge what tries are about; the outcomes, and the tries nobody knows the outcome of."""
    turns = asyncio.Semaphore(ASKED_AT_ONCE)

    async def asked(row: Row) -> Outcome | None:
        async with turns:
            return await _ask(provider, row)

    outcomes = await asyncio.gather(*(asked(row) for row in rows))
    unknown = [row["attempt_id"] for row, outcome in zip(rows, outcomes, strict=True) if outcome is None]
    return [outcome for outcome in outcomes if outcome is not None], unknown


async def _ask(provider: PaymentProvider, row: Row) -> Outcome | None:
    """None where there is no answer, or the bank takes its time: it is asked again under the key."""
    request = ChargeRequest(
        key=row["attempt_id"],
        amount=row["total_amount"],
        currency=row["currency"],
        description=row["plan_name"] or "",
        customer=row["customer"] or "",
        method=row["method"] or "",
    )
    whose = (row["attempt_id"], row["subscription_id"], row["facility_id"])
    try:
        payment = await provider.charge(request)
    except ProviderUnavailable as error:
        log.warning("a charge is unknown", attempt=str(row["attempt_id"]), error=str(error))
        return None
    except ProviderRefused as error:
        return Outcome(*whose, None, Decline.HARD, error.reason)
    match payment.state:
        case PaymentState.OPEN:
            return None
        case PaymentState.SUCCEEDED:
            return Outcome(*whose, payment)
        case PaymentState.FAILED:
            return Outcome(*whose, None, payment.decline or Decline.SOFT, payment.failure)


async def settle(work: BothWork, outcomes: Sequence[Outcome], today: date, now: datetime) -> list[UUID]:
    """Write outcomes of one facility's tries, of a subscription each; refunds to be made of what is owed no more.

    An outcome that was written before changes nothing. Raises StoreError.
    """
    rows = {
        row["subscription_id"]: row
        for row in await work.postgres.fetch(sql.hold_all, [one.subscription for one in outcomes])
    }
    tried = {
        row["attempt_id"]: row for row in await work.postgres.fetch(sql.hold_tries, [one.attempt for one in outcomes])
    }
    outcomes = [one for one in outcomes if one.attempt in tried and one.subscription in rows]
    failed = [one for one in outcomes if one.payment is None]
    changes: list[Change] = []
    if failed:
        said = [(one.attempt, str(one.decline), one.failure) for one in failed]
        await work.postgres.execute(sql.fail_all, *map(list, zip(*said, strict=True)), now)
        changes = [
            declined(rows[one.subscription], one.decline, today)
            for one in failed
            if rows[one.subscription]["status"] not in _ENDED and tried[one.attempt]["invoice_status"] != "paid"
        ]
    came = [(one, one.payment) for one in outcomes if one.payment is not None]
    paid, refunds = await _book(work, came, rows, tried, today, now) if came else ([], [])
    await change_states(work, changes + paid)
    for change in changes:
        if change.to == change.row["status"]:  # other changes of state tell of themselves
            work.emit(_declined(change.row))
    for change in paid:
        work.emit(_renewed(change.row, tried))
    return refunds


async def _book(
    work: BothWork,
    came: Sequence[tuple[Outcome, Payment]],
    rows: Mapping[UUID, Row],
    tried: Mapping[UUID, Row],
    today: date,
    now: datetime,
) -> tuple[list[Change], list[UUID]]:
    """Book payments that came, for the invoices they were for; refunds of those that are owed no more."""
    first = rows[came[0][0].subscription]
    money = [
        (rows[one.subscription]["user_id"], payment.amount, rows[one.subscription]["plan_name"], payment.reference)
        for one, payment in came
    ]
    made = await work.postgres.fetch(
        sql.take_charges,
        *map(list, zip(*money, strict=True)),
        *(first["business_id"], first["facility_id"], first["currency"], first["provider"], now),
    )
    booked = {row["provider_reference"]: row for row in made}
    settled = [(one.attempt, booked[payment.reference]["transaction_id"]) for one, payment in came]
    await work.postgres.execute(sql.succeed_all, *map(list, zip(*settled, strict=True)), now)
    changes: list[Change] = []
    paid: list[tuple[UUID, UUID]] = []
    refunds: list[UUID] = []
    for one, payment in came:
        row, about, booking = rows[one.subscription], tried[one.attempt], booked[payment.reference]
        if row["status"] in _ENDED or about["invoice_status"] not in ("open", "uncollectible"):
            asked = await refunding.give_back(
                work, booking["transaction_id"], payment.amount, "not owed", None, today=today, now=now
            )
            refunds.append(asked.refund)
            continue
        paid.append((about["invoice_id"], booking["transaction_id"]))
        changes.append(Change(row, SubscriptionState.ACTIVE, payment=_as_repeated(booking, row)))
    if paid:
        await work.postgres.execute(sql.pay_invoices, *map(list, zip(*paid, strict=True)), today)
    for change in changes:
        if change.row["status"] == SubscriptionState.SUSPENDED:
            await work.postgres.execute(sql.begin_again, change.row["subscription_id"], today)
    return changes, refunds


def _as_repeated(payment: Row, row: Row) -> dict[str, object]:
    more = {"currency": row["currency"], "payment_method": str(PaymentMethod.CARD), "status": "succeeded"}
    return mirror.payment_of({**payment, **more})


def _declined(row: Row) -> RenewalDeclined:
    return RenewalDeclined(
        facility_id=row["facility_id"],
        subscription_id=str(row["subscription_id"]),
        plan_id=row["plan_id"],
        user_id=row["user_id"],
    )


def _renewed(row: Row, tried: Mapping[UUID, Row]) -> MembershipRenewed:
    amount = next(one["total_amount"] for one in tried.values() if one["subscription_id"] == row["subscription_id"])
    return MembershipRenewed(
        facility_id=row["facility_id"],
        subscription_id=str(row["subscription_id"]),
        plan_id=row["plan_id"],
        user_id=row["user_id"],
        amount=amount,
        currency=row["currency"],
        starts_on=row["current_period_start"],
        ends_on=row["current_period_end"] - timedelta(days=1),
    )


def apart(outcomes: Sequence[Outcome], most: int) -> list[list[Outcome]]:
    """Those of one facility together, at most so many, and no subscription twice."""
    groups: defaultdict[tuple[str, int], list[Outcome]] = defaultdict(list)
    seen: defaultdict[UUID, int] = defaultdict(int)
    for one in outcomes:
        groups[one.facility, seen[one.subscription]].append(one)
        seen[one.subscription] += 1
    return [group[start : start + most] for group in groups.values() for start in range(0, len(group), most)]

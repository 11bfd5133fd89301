"""Buying a membership or a program online (workflow 2): the promise is written down, the provider asked, and what it
says written down.

`initiated → awaiting_payment → paid → active | refunded`, or `failed` or `expired` where no money came. Each arrow is a
commit of its own and every step may be done again by anybody: the webhook, the member asking again under the same
key, and recovery all come here. What the provider says is asked for, never taken from a webhook, so their order does
not matter.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from bson import ObjectId

from nexfit.domains.errors import ErrorCode, Refusal
from nexfit.domains.finance import refunding
from nexfit.domains.finance.payments import (
    Payment,
    PaymentProvider,
    PaymentRequest,
    PaymentState,
    ProviderRefused,
    ProviderUnavailable,
)
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor
from nexfit.domains.memberships import activation, program_sales
from nexfit.domains.memberships.errors import PriceChanged
from nexfit.domains.memberships.offers import Priced, find_member, find_plan, offer_of
from nexfit.domains.memberships.selling import account_of, check
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.fault_points import reach
from nexfit.hybrid.unit_of_work import PostgresWork, UnitsOfWork
from nexfit.settings import PaymentSettings
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreError
from nexfit.stores.postgres import Postgres, Row
from nexfit.stores.sql import load_sql

sql = load_sql("nexfit.domains.memberships", "purchase.sql")

PATIENCE = timedelta(seconds=30)
"""How long a step that somebody is at is left to them, and between two looks at a payment nobody has told of."""

AT_ONCE = 100
"""Purchases recovery looks at in one go."""

log = structlog.get_logger(__name__)


class NotSoldOnline(Refusal):
    """No payment provider, or nothing to pay: the desk sells it."""

    code = ErrorCode.BAD_USER_INPUT

    def __init__(self) -> None:
        super().__init__("This membership is sold at the desk only.", path=("plan",))


@dataclass(frozen=True, slots=True)
class OnlineSales:
    """What selling online works with; one per process."""

    units: UnitsOfWork
    stores: Stores
    provider: PaymentProvider | None
    checkout: timedelta

    @classmethod
    def of(
        cls, units: UnitsOfWork, stores: Stores, provider: PaymentProvider | None, settings: PaymentSettings
    ) -> OnlineSales:
        """As the settings say."""
        return cls(units, stores, provider, timedelta(minutes=settings.checkout_minutes))


@dataclass(frozen=True, slots=True)
class Begun:
    """A purchase, and the payment as the provider has it; None while the provider does not answer."""

    purchase: UUID
    payment: Payment | None


async def begin(
    sales: OnlineSales,
    actor: Actor,
    *,
    plan: ObjectId,
    expected_total: Decimal,
    renew: bool,
    auto_renew: bool,
    key: str,
    now: datetime,
) -> Begun:
    """Let the viewer buy a plan, or one more term of it: the promise, and how to pay.

    The same `key` and input give the same purchase and its payment again. Raises Unauthenticated, NotFound,
    NotSoldOnline, PriceChanged, NoTaxRate, OtherCurrency, AlreadySubscribed, NothingToRenew, NotRenewable,
    IdempotencyConflict; then nothing was written.
    """
    viewer = actor.require()
    found, facility = await find_plan(sales.stores.mongo, plan, renew=renew)
    if sales.provider is None:
        raise NotSoldOnline
    offer = offer_of(found, facility, await find_member(sales.stores.mongo, viewer), now)

    async def intend(work: PostgresWork, provider: str) -> UUID:
        if offer.price == 0:
            raise NotSoldOnline
        business, _ = await check(work, offer, renew=renew)
        whose = (business, str(offer.facility["_id"]), str(offer.member["_id"]))
        made = await work.postgres.fetch_value(
            sql.intend,
            *(*whose, str(plan), offer.name, offer.value, str(offer.unit), offer.price),
            *(offer.currency, offer.tax_rate, renew, auto_renew, provider, now, now + sales.checkout),
        )
        return UUID(str(made))

    asked = {"plan": str(plan), "renew": renew, "autoRenew": auto_renew}
    return await _promise(sales, offer, "purchaseMembership", asked, expected_total, intend, key=key, now=now)


async def begin_program(
    sales: OnlineSales, actor: Actor, *, program: ObjectId, expected_total: Decimal, key: str, now: datetime
) -> Begun:
    """Let the viewer buy a program: the promise, and how to pay.

    The same `key` and input give the same purchase and its payment again. Raises Unauthenticated, NotFound, NotForSale,
    AlreadyBought, PriceChanged, NoTaxRate, OtherCurrency, IdempotencyConflict; then nothing was written.
    """
    viewer = actor.require()
    if sales.provider is None:
        raise program_sales.NotForSale
    asked = {"program": str(program)}
    offer = await program_sales.offer_for(sales.stores, viewer, program, now)

    async def intend(work: PostgresWork, provider: str) -> UUID:
        await program_sales.check(sales.stores, offer)
        facility = str(offer.facility["_id"])
        business = await account_of(work, facility, offer.currency)
        made = await work.postgres.fetch_value(
            sql.intend_program,
            *(business, facility, str(viewer), str(program), str(offer.program["createdBy"]), offer.name, offer.price),
            *(offer.currency, offer.tax_rate, provider, now, now + sales.checkout),
        )
        return UUID(str(made))

    return await _promise(sales, offer, "purchaseProgram", asked, expected_total, intend, key=key, now=now)


async def _promise(
    sales: OnlineSales,
    offer: Priced,
    operation: str,
    asked: Mapping[str, Any],
    expected_total: Decimal,
    intend: Callable[[PostgresWork, str], Awaitable[UUID]],
    *,
    key: str,
    now: datetime,
) -> Begun:
    """Write the promise down once, then ask the provider for its payment."""
    provider, buyer = sales.provider, offer.member["_id"]
    assert provider is not None  # noqa: S101  # looked at by who calls this

    async def body(work: PostgresWork) -> str:
        if expected_total != offer.price:
            raise PriceChanged(price=f"{offer.price:f} {offer.currency}")
        made = await intend(work, provider.name)
        _audit_promise(work, made, offer, asked)
        return str(made)

    told = {**asked, "expectedTotal": f"{expected_total.normalize():f}"}
    unit = sales.units.postgres("initiate_purchase")
    purchase = UUID(await once(sales.stores.mongo, unit, buyer, operation, key, told, body))
    reach("purchase.initiated")
    return Begun(purchase, await proceed(sales, purchase, now=now))


def _audit_promise(work: PostgresWork, made: UUID, offer: Priced, asked: Mapping[str, Any]) -> None:
    work.audit(
        Audit(
            action="purchase.initiated",
            entity_type="purchase",
            entity_id=str(made),
            facility_id=str(offer.facility["_id"]),
            user_id=str(offer.member["_id"]),
            after={**asked, "amount": f"{offer.price:f} {offer.currency}"},
        )
    )


async def proceed(sales: OnlineSales, purchase: UUID, *, now: datetime) -> Payment | None:
    """Take a purchase as far as it goes now; the payment as the provider has it, None without an answer.

    Raises StoreError.
    """
    provider = sales.provider
    [row] = await sales.stores.postgres.fetch(sql.purchase, purchase)
    if provider is None or row["provider"] != provider.name:
        return None
    if row["status"] == "paid":
        await activation.finish(sales.units, sales.stores, provider, purchase, now=now)
        return None
    if row["status"] not in ("initiated", "awaiting_payment"):
        return None
    try:
        payment = await _ask(provider, row)
        if payment.state is PaymentState.OPEN and now >= row["expires_at"]:
            payment = await provider.cancel(payment.reference)
    except ProviderUnavailable as error:
        log.warning("a purchase waits for its provider", purchase=str(purchase), error=str(error))
        return None
    except ProviderRefused as error:
        fail = partial(_refused, purchase=purchase, reason=error.reason, now=now)
        await sales.units.postgres("fail_purchase").run(fail)
        return None
    reach("purchase.asked")
    await settle(sales, purchase, payment, now=now)
    return payment


async def _ask(provider: PaymentProvider, row: Row) -> Payment:
    if row["provider_reference"] is not None:
        return await provider.payment(row["provider_reference"])
    return await provider.begin(
        PaymentRequest(
            key=row["purchase_id"],
            amount=row["amount"],
            currency=row["currency"],
            description=row["plan_name"],
            user_id=row["user_id"],
            save=row["auto_renew"],
        )
    )


async def settle(sales: OnlineSales, purchase: UUID, payment: Payment, *, now: datetime) -> None:
    """Write down what the provider says of a purchase's payment, and activate what was paid. Raises StoreError."""
    provider = sales.provider
    assert provider is not None  # noqa: S101  # it made the payment

    async def body(work: PostgresWork) -> bool:
        return await _record(work, purchase, payment, now)

    if await sales.units.postgres("settle_purchase").run(body):
        reach("purchase.paid")
        await activation.finish(sales.units, sales.stores, provider, purchase, now=now)


async def _record(work: PostgresWork, purchase: UUID, payment: Payment, now: datetime) -> bool:
    """Whether the purchase is paid and waits to be activated."""
    row = await work.postgres.fetch_one(sql.hold, purchase)
    if row is None or row["status"] in ("active", "refunded"):
        return False
    state = row["status"]
    if state == "initiated":
        await work.postgres.execute(sql.await_payment, purchase, payment.reference)
        state = "awaiting_payment"
    if (payment.key, payment.amount, payment.currency) != (purchase, row["amount"], row["currency"]):
        log.critical("a payment is not what was asked for", purchase=str(purchase), reference=payment.reference)
        return False
    match payment.state:
        case PaymentState.SUCCEEDED if state != "paid":
            await work.postgres.execute(sql.pay, purchase, now, payment.customer, payment.method)
            _audit(work, row, "paid")
            return True
        case PaymentState.FAILED if state == "awaiting_payment":
            ended = "expired" if now >= row["expires_at"] else "failed"
            await work.postgres.execute(sql.close, purchase, ended, payment.failure)
            _audit(work, row, ended)
        case PaymentState.OPEN if state == "awaiting_payment":
            await work.postgres.execute(sql.looked, purchase, now, payment.failure)
        case _:
            return bool(state == "paid")
    return False


async def _refused(work: PostgresWork, *, purchase: UUID, reason: str, now: datetime) -> None:
    """The provider wants nothing to do with it: no payment exists, and none will."""
    row = await work.postgres.fetch_one(sql.hold, purchase)
    if row is None or row["status"] not in ("initiated", "awaiting_payment"):
        return
    if row["status"] == "initiated":
        await work.postgres.execute(sql.await_payment, purchase, None)
    ended = "expired" if now >= row["expires_at"] else "failed"
    await work.postgres.execute(sql.close, purchase, ended, reason)
    _audit(work, row, ended)


def _audit(work: PostgresWork, row: Row, action: str) -> None:
    work.audit(
        Audit(
            action=f"purchase.{action}",
            entity_type="purchase",
            entity_id=str(row["purchase_id"]),
            facility_id=row["facility_id"],
            before={"status": row["status"]},
            after={"status": action},
        )
    )


async def hear(sales: OnlineSales, event_id: str, kind: str, reference: str | None, *, now: datetime) -> None:
    """Act upon a webhook of the provider; one that was acted upon changes nothing more.

    Raises StoreError, ProviderUnavailable: then the provider is to send it again.
    """
    provider = sales.provider
    if provider is None or await sales.stores.postgres.fetch(sql.heard, provider.name, event_id):
        return
    if reference is not None:
        try:
            payment = await provider.payment(reference)
        except ProviderRefused as error:
            log.warning("a webhook tells of a payment that is not there", kind=kind, reason=error.reason)
        else:
            purchase = await _purchase_of(sales, provider, payment)
            if purchase is not None:
                await settle(sales, purchase, payment, now=now)
    await sales.stores.postgres.fetch(sql.hear, provider.name, event_id, kind, reference, now)


async def _purchase_of(sales: OnlineSales, provider: PaymentProvider, payment: Payment) -> UUID | None:
    """Whose payment it is, also before the provider's answer to the request for it was written down."""
    found = await sales.stores.postgres.fetch(sql.of_reference, provider.name, payment.reference)
    if found:
        return UUID(str(found[0]["purchase_id"]))
    if payment.key is None:
        return None
    return payment.key if await sales.stores.postgres.fetch(sql.purchase, payment.key) else None


async def forget_events(postgres: Postgres, *, before: datetime) -> None:
    """Delete webhooks heard before, which nobody sends any more. Raises StoreError."""
    await postgres.fetch(sql.forget_events, before)


async def recover(sales: OnlineSales, *, now: datetime) -> int:
    """Take every purchase that was left somewhere as far as it goes, and settle open refunds; how many were looked at.

    Any number of processes may do this at any time. Raises StoreError where nothing can be read.
    """
    if sales.provider is None:
        return 0
    rows = await sales.stores.postgres.fetch(sql.take_open, now - PATIENCE, AT_ONCE, now)
    for row in rows:
        try:
            await proceed(sales, row["purchase_id"], now=now)
        except StoreError as error:
            log.warning("a purchase waits for a store", purchase=str(row["purchase_id"]), error=str(error))
    return len(rows) + await refunding.settle_open(
        sales.units, sales.stores, sales.provider, now=now, older_than=PATIENCE
    )

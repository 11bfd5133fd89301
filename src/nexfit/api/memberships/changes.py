"""Leaving, pausing and resuming memberships."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.access import PERMITTED
from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column, derived
from nexfit.api.finance.types import Transaction
from nexfit.api.memberships.types import MemberSubscription
from nexfit.api.money import Money, money
from nexfit.api.relay import IDEMPOTENCY_KEY, object_id, short_text
from nexfit.domains.classes.release import release_frozen
from nexfit.domains.errors import BadInput
from nexfit.domains.finance import ledger
from nexfit.domains.finance.invoicing import AT_THE_DESK
from nexfit.domains.finance.words import PaymentMethod
from nexfit.domains.memberships import contracts, freezing, leaving, switching
from nexfit.domains.memberships.freezing import LEAST, MOST, PER_YEAR
from nexfit.domains.memberships.leaving import WITHDRAWAL, CancelAt
from nexfit.engine.fields import Record

MOST_REASON = 300

strawberry.enum(CancelAt, description="When a membership is to end.")

_WHICH = "A `MemberSubscription` of the viewer, or of a member where the viewer has members_write."


@strawberry.type(description="The membership as it is now, or why nothing changed.")
class MembershipChangePayload:
    """Payload of the mutations that pause and resume."""

    member_subscription: MemberSubscription | None = column(description="As it is now; null when nothing was done.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.type(description="The membership as it is now and what is given back, or why nothing changed.")
class CancelMembershipPayload:
    """Payload of `cancelMembership`."""

    member_subscription: MemberSubscription | None = column(description="As it is now; null when nothing was done.")
    refund: Transaction | None = column(description="The movement that gives money back; null where nothing is.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.input(description="Which membership, and when it ends.")
class CancelMembershipInput:
    """Input of `cancelMembership`."""

    membership: strawberry.ID = strawberry.field(description=_WHICH)
    at: CancelAt = strawberry.field(description="Now, or with the period that is paid.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    reason: str | None = strawberry.field(default=None, description=f"At most {MOST_REASON} characters.")


@strawberry.input(description="Which membership, and whether it renews.")
class SetAutoRenewInput:
    """Input of `setMembershipAutoRenew`."""

    membership: strawberry.ID = strawberry.field(description=_WHICH)
    auto_renew: bool = strawberry.field(description="Needs a saved way to pay; false lets it end with its period.")


@strawberry.input(description="Which membership, for how long.")
class FreezeMembershipInput:
    """Input of `freezeMembership`."""

    membership: strawberry.ID = strawberry.field(description=_WHICH)
    days: int = strawberry.field(description=f"From today on, {LEAST} to {MOST}.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@strawberry.type(description="What changing to another plan today comes to.")
class MembershipSwitchPreview:
    """From the rules, nothing is stored."""

    credit: Money = derived(
        lambda switch, _args, _context: money(switch["credit"], switch["currency"]),
        needs=("credit", "currency"),
        description="Given back of the present term: its days after today.",
    )
    price: Money = derived(
        lambda switch, _args, _context: money(switch["price"], switch["currency"]),
        needs=("price", "currency"),
        description="Of the new plan's first term.",
    )
    due: Money = derived(
        lambda switch, _args, _context: money(switch["due"], switch["currency"]),
        needs=("due", "currency"),
        description="The price less the credit; negative where money is given back.",
    )
    starts_on: date = column(description="First day of the new term.")


@strawberry.type(description="The new membership, or why nothing changed.")
class SwitchMembershipPayload:
    """Payload of `switchMembership`."""

    member_subscription: MemberSubscription | None = column(description="The new one; null when nothing was done.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.input(description="Which membership, to which plan, how the difference is settled.")
class SwitchMembershipInput:
    """Input of `switchMembership`."""

    membership: strawberry.ID = strawberry.field(description="A `MemberSubscription` of a member.")
    plan: strawberry.ID = strawberry.field(description="Another `Membership` of the same facility.")
    method: PaymentMethod = strawberry.field(description="CASH, CARD (the desk's own terminal) or BANK_TRANSFER.")
    expected_due: Decimal = strawberry.field(
        description="What the preview said; another difference is refused as PRICE_CHANGED."
    )
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@strawberry.input(description="Which membership.")
class UnfreezeMembershipInput:
    """Input of `unfreezeMembership`."""

    membership: strawberry.ID = strawberry.field(description=_WHICH)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelArgs(Args):
    """Arguments of `cancelMembership`."""

    input: Annotated[CancelMembershipInput, strawberry.argument(description="Which one, and when.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoRenewArgs(Args):
    """Arguments of `setMembershipAutoRenew`."""

    input: Annotated[SetAutoRenewInput, strawberry.argument(description="Which one, and whether.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeArgs(Args):
    """Arguments of `freezeMembership`."""

    input: Annotated[FreezeMembershipInput, strawberry.argument(description="Which one, for how long.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchArgs(Args):
    """Arguments of `switchMembership`."""

    input: Annotated[SwitchMembershipInput, strawberry.argument(description="Which one, to what.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewArgs(Args):
    """Arguments of `membershipSwitchPreview`."""

    membership: Annotated[strawberry.ID, strawberry.argument(description=_WHICH)]
    plan: Annotated[strawberry.ID, strawberry.argument(description="Another `Membership` of the same facility.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfreezeArgs(Args):
    """Arguments of `unfreezeMembership`."""

    input: Annotated[UnfreezeMembershipInput, strawberry.argument(description="Which one.")]


def _contract(value: str) -> ObjectId:
    return object_id(value, "MemberSubscription", "membership")


async def _shown(contract: ObjectId, args: Args, context: Context) -> dict[str, Any]:
    below = args.selection.at("memberSubscription")
    found = await contracts.by_ids(context.stores.mongo, [contract], below.columns) if below else {}
    held = found.get(contract)
    # Whoever may change it is its holder or reads members.
    return {"memberSubscription": held and {**held, PERMITTED: "members_read"}}


async def _cancel(args: CancelArgs, context: Context) -> Mapping[str, Any]:
    asked, services = args.input, context.services
    contract = _contract(asked.membership)
    movement = await leaving.cancel(
        services.units,
        context.stores,
        services.payments,
        context.actor,
        contract,
        at=asked.at,
        reason=short_text(asked.reason, MOST_REASON, "reason"),
        key=asked.idempotency_key,
        now=context.now,
    )
    below = args.selection.at("refund")
    refunds = (
        await ledger.by_ids(context.stores.postgres, ledger.TRANSACTIONS, [movement], below.columns)
        if movement is not None and below
        else {}
    )
    return {**await _shown(contract, args, context), "refund": movement and refunds.get(movement)}


async def _auto_renew(args: AutoRenewArgs, context: Context) -> Mapping[str, Any]:
    contract = _contract(args.input.membership)
    await leaving.set_auto_renew(
        context.services.units,
        context.stores,
        context.actor,
        contract,
        on=args.input.auto_renew,
        now=context.now,
    )
    return await _shown(contract, args, context)


async def _freeze(args: FreezeArgs, context: Context) -> Mapping[str, Any]:
    asked, services = args.input, context.services
    contract = _contract(asked.membership)
    await freezing.freeze(
        services.units,
        context.stores,
        context.actor,
        contract,
        days=asked.days,
        key=asked.idempotency_key,
        now=context.now,
    )
    # Bookings inside are given back now; should this process die here, the job does it.
    await release_frozen(services.classes, context.stores.postgres, now=context.now)
    return await _shown(contract, args, context)


async def _unfreeze(args: UnfreezeArgs, context: Context) -> Mapping[str, Any]:
    contract = _contract(args.input.membership)
    await freezing.thaw(context.services.units, context.stores, context.actor, contract, now=context.now)
    return await _shown(contract, args, context)


async def _preview(parents: Sequence[Record], args: PreviewArgs, context: Context) -> Sequence[Any]:
    found = await switching.preview(
        context.stores,
        context.actor,
        _contract(args.membership),
        object_id(args.plan, "Membership", "plan"),
        now=context.now,
    )
    shown = {
        "credit": found.credit,
        "price": found.price,
        "due": found.due,
        "currency": found.currency,
        "startsOn": found.starts_on,
    }
    return [shown] * len(parents)


async def _switch(args: SwitchArgs, context: Context) -> Mapping[str, Any]:
    asked, services = args.input, context.services
    if asked.method not in AT_THE_DESK:
        raise BadInput("A desk takes cash, cards and bank transfers.", path=("method",))
    made = await switching.switch(
        services.units,
        context.stores,
        services.payments,
        context.actor,
        _contract(asked.membership),
        object_id(asked.plan, "Membership", "plan"),
        method=asked.method,
        expected_due=asked.expected_due,
        key=asked.idempotency_key,
        now=context.now,
    )
    return await _shown(made, args, context)


@strawberry.type
class MembershipChangeQueries:
    """Root fields of this area."""

    membership_switch_preview: MembershipSwitchPreview | None = batch(
        _preview,
        args=PreviewArgs,
        description="What changing a membership to another plan today comes to, for its holder and staff with "
        "members_write. Changes nothing.",
    )


@strawberry.type
class MembershipChangeMutations:
    """Root fields of this area."""

    cancel_membership: CancelMembershipPayload = batch(
        answering(_cancel),
        args=CancelArgs,
        description="End a membership with its period, or now: then the unused days of what was paid are given back, "
        f"and within {WITHDRAWAL.days} days of buying online everything.",
    )
    set_membership_auto_renew: MembershipChangePayload = batch(
        answering(_auto_renew), args=AutoRenewArgs, description="Let a membership renew by itself, or end."
    )
    freeze_membership: MembershipChangePayload = batch(
        answering(_freeze),
        args=FreezeArgs,
        description=f"Pause a membership from today on, at most {PER_YEAR} times a year and without debt: its end "
        "moves by exactly those days, and bookings inside are given back.",
    )
    switch_membership: SwitchMembershipPayload = batch(
        answering(_switch),
        args=SwitchArgs,
        description="Change a membership to another plan at the desk, by staff with members_write: the unused days of "
        "the present term are given back, the new term begins today, all of it or nothing.",
    )
    unfreeze_membership: MembershipChangePayload = batch(
        answering(_unfreeze), args=UnfreezeArgs, description="End a pause today; its unused days come off the end."
    )

"""Buying memberships online."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import strawberry

from nexfit.api.classes.loaders import facilities_of_parents
from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column, row_column
from nexfit.api.identity.types import User, user_field
from nexfit.api.memberships.loaders import contracts_of_subscriptions, plans_of_rows
from nexfit.api.memberships.types import LazyFacility, Membership, MemberSubscription
from nexfit.api.money import Money, money_field
from nexfit.api.relay import IDEMPOTENCY_KEY, Node, id_reader, object_id
from nexfit.domains.finance import ledger
from nexfit.domains.finance.words import PurchaseStatus
from nexfit.domains.memberships import purchase

strawberry.enum(PurchaseStatus, description="How far buying a membership online has come.")


@strawberry.type
class Purchase(Node):
    """What purchases of everything have in common, from PostgreSQL's `finance.purchases`."""

    status: PurchaseStatus = row_column(description="How far it has come.")
    total: Money = money_field("amount", description="What it costs, tax included; fixed when it began.")
    tax_rate: Decimal = row_column(description="Share of tax on the net amount, such as 0.20.")
    failure: str | None = row_column(
        description="Why the last try to pay was declined, in the provider's word; of one that is PAID why its money "
        "could not be given back: `refundPayment` tries again."
    )
    created_at: datetime = row_column(description="When it began.")
    expires_at: datetime = row_column(description="When it ends unless it is paid.")
    paid_at: datetime | None = row_column(description="When the money came.")
    user: User | None = user_field("user_id", description="Who buys.")
    facility: LazyFacility | None = batch(facilities_of_parents, needs=("facility_id",), description="Who sells.")


@strawberry.type(description="Somebody buying a membership online: what was promised, and what became of it.")
class MembershipPurchase(Purchase):
    """Of a plan."""

    id: strawberry.ID = row_column("purchase_id", read=id_reader("MembershipPurchase"), description="The global id.")
    renews: bool = row_column(description="Whether it is one more term of a membership the buyer holds.")
    auto_renew: bool = row_column(description="Whether later terms are to be charged the same way.")
    plan: Membership | None = batch(plans_of_rows, needs=("plan_id",), description="The plan.")
    member_subscription: MemberSubscription | None = batch(
        contracts_of_subscriptions,
        needs=("subscription_id",),
        description="What was bought, once it exists; for the buyer and who has members_read.",
    )


@strawberry.type
class ToPay:
    """How what was begun is paid, for payloads."""

    client_secret: str | None = column(
        description="Lets the buyer's own device pay at the provider. Null while the provider does not answer (send "
        "the same input again), and once it was paid."
    )
    checkout_url: str | None = column(description="The provider's own page to pay at, where it has one.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.type(description="The purchase and how to pay it, or why there is none.")
class PurchaseMembershipPayload(ToPay):
    """Payload of `purchaseMembership`."""

    purchase: MembershipPurchase | None = column(description="The purchase; null when nothing was done.")


@strawberry.input(description="Which plan, at which price.")
class PurchaseMembershipInput:
    """Input of `purchaseMembership`."""

    plan: strawberry.ID = strawberry.field(description="A `Membership` that is on sale.")
    expected_total: Decimal = strawberry.field(
        description="What the buyer was told, in the plan's currency; another price is refused as PRICE_CHANGED."
    )
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    renew: bool = strawberry.field(
        default=False, description="One more term of a membership the buyer holds, from the day after its end."
    )
    auto_renew: bool = strawberry.field(default=False, description="Charge later terms the same way, until cancelled.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseMembershipArgs(Args):
    """Arguments of `purchaseMembership`."""

    input: Annotated[PurchaseMembershipInput, strawberry.argument(description="Which plan, at which price.")]


async def _purchase(args: PurchaseMembershipArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    begun = await purchase.begin(
        context.services.sales,
        context.actor,
        plan=object_id(asked.plan, "Membership", "plan"),
        expected_total=asked.expected_total,
        renew=asked.renew,
        auto_renew=asked.auto_renew,
        key=asked.idempotency_key,
        now=context.now,
    )
    return await shown(begun, args, context)


async def shown(begun: purchase.Begun, args: Args, context: Context) -> Mapping[str, Any]:
    """The payload of a purchase that was begun."""
    below = args.selection.at("purchase")
    postgres = context.stores.postgres
    found = await ledger.by_ids(postgres, ledger.PURCHASES, [begun.purchase], below.columns) if below else {}
    secret = begun.payment and begun.payment.client_secret
    return {
        "purchase": found.get(begun.purchase),
        "clientSecret": secret and secret.get_secret_value(),
        "checkoutUrl": begun.payment and begun.payment.checkout_url,
    }


@strawberry.type
class PurchaseMutations:
    """Root fields of this area."""

    purchase_membership: PurchaseMembershipPayload = batch(
        answering(_purchase),
        args=PurchaseMembershipArgs,
        description="Buy a plan online, by the viewer. The price is fixed here; the membership becomes active when the "
        "provider has the money, whether its message, this call or nobody tells so. Card data goes to the provider "
        "alone.",
    )

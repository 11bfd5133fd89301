"""Selling memberships."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import strawberry

from nexfit.api.access import PERMITTED
from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.finance import types as finance  # noqa: F401  # PaymentMethod becomes an enum of the schema there
from nexfit.api.memberships.types import MemberSubscription
from nexfit.api.relay import IDEMPOTENCY_KEY, object_id
from nexfit.domains.errors import BadInput
from nexfit.domains.finance.invoicing import AT_THE_DESK
from nexfit.domains.finance.words import PaymentMethod
from nexfit.domains.memberships import contracts, sale


@strawberry.type(description="The membership as it is now, or why it was not sold.")
class SellMembershipPayload:
    """Payload of `sellMembership`."""

    member_subscription: MemberSubscription | None = column(description="The membership; null when nothing was done.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.input(description="What is sold to whom, and how it was paid.")
class SellMembershipInput:
    """Input of `sellMembership`."""

    plan: strawberry.ID = strawberry.field(description="A `Membership` that is on sale.")
    user: strawberry.ID = strawberry.field(description="The member.")
    method: PaymentMethod = strawberry.field(description="CASH, CARD (the desk's own terminal) or BANK_TRANSFER.")
    expected_total: Decimal = strawberry.field(
        description="What the member was told, in the plan's currency; another price is refused as PRICE_CHANGED."
    )
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)
    renew: bool = strawberry.field(
        default=False, description="One more term of a membership the member holds, from the day after its end."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SellMembershipArgs(Args):
    """Arguments of `sellMembership`."""

    input: Annotated[SellMembershipInput, strawberry.argument(description="What, to whom, how paid.")]


async def _sell(args: SellMembershipArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    if asked.method not in AT_THE_DESK:
        raise BadInput("A desk takes cash, cards and bank transfers.", path=("method",))
    id_ = await sale.sell(
        context.services.units,
        context.stores.mongo,
        context.actor,
        plan=object_id(asked.plan, "Membership", "plan"),
        member=object_id(asked.user, "User", "user"),
        method=asked.method,
        expected_total=asked.expected_total,
        renew=asked.renew,
        key=asked.idempotency_key,
        now=context.now,
    )
    below = args.selection.at("memberSubscription")
    found = await contracts.by_ids(context.stores.mongo, [id_], below.columns) if below else {}
    sold = found.get(id_)
    return {"memberSubscription": sold and {**sold, PERMITTED: "members_read"}}


@strawberry.type
class MembershipMutations:
    """Root fields of this area."""

    sell_membership: SellMembershipPayload = batch(
        answering(_sell),
        args=SellMembershipArgs,
        description="Sell a plan for money taken at the desk, by staff with members_write: the subscription, its paid "
        "invoice and the membership exist together or not at all.",
    )

"""Packages of a coach's time: what a client holds, selling one, and taking credits back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column, row_column
from nexfit.api.identity.types import User, user_field
from nexfit.api.money import Money, money_field
from nexfit.api.relay import IDEMPOTENCY_KEY, Node, id_reader, object_id
from nexfit.domains.coaching import packages
from nexfit.domains.errors import BadInput
from nexfit.domains.identity.validation import checked


@strawberry.type(description="Sessions a client bought of a coach. Their numbers are sums over a ledger of credits.")
class CoachingPackage(Node):
    """From PostgreSQL's `finance.coaching_packages` and `package_balances`."""

    id: strawberry.ID = row_column("package_id", read=id_reader("CoachingPackage"), description="The global id.")
    name: str | None = row_column(description="What it was sold as; null for one from before packages were kept.")
    price: Money | None = money_field("price", description="What it was sold for.")
    starts_on: date | None = row_column(description="First day of its sessions.")
    ends_on: date | None = row_column(description="Last day of its sessions; null where it does not end.")
    total: int = row_column(description="Sessions bought.")
    used: int = row_column(description="Sessions held, missed or cancelled too late.")
    reserved: int = row_column(description="Sessions scheduled.")
    remaining: int = row_column(description="Sessions that can still be scheduled.")
    expired: int = row_column(description="Sessions that were left when it ended.")
    refunded: int = row_column(description="Sessions that were taken back.")
    created_at: datetime = row_column(description="When it was sold.")
    coach: User | None = user_field("coach_id", description="Whose time.")
    client: User | None = user_field("client_id", description="Who bought it.")


@strawberry.type(description="The package as it is now, or why nothing was changed.")
class CoachingPackagePayload:
    """Payload of the mutations of a package."""

    package: CoachingPackage | None = column(description="The package; null when nothing was done.")
    user_errors: list[UserError] = column(description="Why not, if not.")


@strawberry.input(description="What is sold to whom.")
class SellPackageInput:
    """Input of `sellPackage`."""

    relation: strawberry.ID = strawberry.field(description="The active `CoachClient`.")
    name: str = strawberry.field(description="What it is sold as; 1 to 300 characters.")
    sessions: int = strawberry.field(description=f"How many; 1 to {packages.MOST_SESSIONS}.")
    price: Decimal = strawberry.field(description="For all of them; no finer than the currency's coins.")
    currency: str = strawberry.field(description="ISO 4217.")
    starts_on: date = strawberry.field(description="First day of its sessions.")
    ends_on: date = strawberry.field(description="Last day of its sessions; none is scheduled later.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@strawberry.input(description="What is taken back.")
class RefundPackageInput:
    """Input of `refundPackage`."""

    package: strawberry.ID = strawberry.field(description="A `CoachingPackage`.")
    sessions: int = strawberry.field(description="How many of those that can still be scheduled.")
    idempotency_key: str = strawberry.field(description=IDEMPOTENCY_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class SellPackageArgs(Args):
    """Arguments of `sellPackage`."""

    input: Annotated[SellPackageInput, strawberry.argument(description="What, to whom.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundPackageArgs(Args):
    """Arguments of `refundPackage`."""

    input: Annotated[RefundPackageInput, strawberry.argument(description="What is taken back.")]


async def _shown(id_: ObjectId, args: Args, context: Context) -> Mapping[str, Any]:
    asked = args.selection.at("package")
    found = await packages.by_ids(context.stores.postgres, [str(id_)]) if asked else {}
    return {"package": found.get(str(id_))}


async def _sell(args: SellPackageArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    offer = checked(
        packages.Offer,
        name=asked.name,
        sessions=asked.sessions,
        price=asked.price,
        currency=asked.currency,
        starts_on=asked.starts_on,
        ends_on=asked.ends_on,
    )
    id_ = await packages.sell(
        context.services.units,
        context.stores.mongo,
        context.actor,
        object_id(asked.relation, "CoachClient", "relation"),
        offer,
        key=asked.idempotency_key,
        now=context.now,
    )
    return await _shown(id_, args, context)


async def _refund(args: RefundPackageArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    id_ = object_id(asked.package, "CoachingPackage", "package")
    if not 1 <= asked.sessions <= packages.MOST_SESSIONS:
        raise BadInput(
            "{name} must be between {least} and {most}.",
            path=("sessions",),
            name="sessions",
            least=1,
            most=packages.MOST_SESSIONS,
        )
    await packages.refund(
        context.services.units,
        context.stores.mongo,
        context.actor,
        id_,
        asked.sessions,
        key=asked.idempotency_key,
    )
    return await _shown(id_, args, context)


@strawberry.type
class PackageMutations:
    """Root fields of this area."""

    sell_package: CoachingPackagePayload = batch(
        answering(_sell),
        args=SellPackageArgs,
        description="As a coach, give a client the sessions of a package that was sold. How it is paid is between you; "
        "a facility bills it with `issueInvoice`.",
    )
    refund_package: CoachingPackagePayload = batch(
        answering(_refund),
        args=RefundPackageArgs,
        description="As a coach, take back sessions of a package that can still be scheduled. The money goes back "
        "the way it came.",
    )

"""Packages of a coach's time: what a client holds, selling one, and taking credits back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.access import PERMITTED
from nexfit.api.classes.loaders import facilities_of_parents
from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column, row_column
from nexfit.api.finance import types as finance  # noqa: F401  # PaymentMethod becomes an enum of the schema there
from nexfit.api.identity.types import User, user_field
from nexfit.api.money import Money, money_field
from nexfit.api.relay import IDEMPOTENCY_KEY, Node, id_reader, object_id
from nexfit.domains.coaching import desk_sale, packages
from nexfit.domains.errors import BadInput
from nexfit.domains.finance.words import PaymentMethod
from nexfit.domains.identity.validation import checked

if TYPE_CHECKING:
    from nexfit.api.facilities.types import Facility


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
    payment: packages.PackagePayment = row_column(description="Whether it is paid.")
    created_at: datetime = row_column(description="When it was sold.")
    coach: User | None = user_field("coach_id", description="Whose time.")
    client: User | None = user_field("client_id", description="Who bought it.")
    facility: Annotated[Facility, strawberry.lazy("nexfit.api.facilities.types")] | None = batch(
        facilities_of_parents, needs=("facility_id",), description="At whose desk it was sold; null for others."
    )


@strawberry.type(description="What a coach earned in a calendar period, in one currency.")
class EarningsPeriod:
    """From PostgreSQL's `coaching_packages` and `package_credit_ledger`."""

    coach: User | None = user_field("coach_id", description="Whose.")
    period: date = row_column(description="The period's first day.")
    sessions: int = row_column(description="Sessions that were held, missed or cancelled too late.")
    earned: Money = money_field("earned", description="Their share of the packages' prices.")
    expired: Money = money_field("expired", description="The share of sessions that were left when packages ended.")
    refunded: Money = money_field("refunded", description="The share of sessions that were taken back.")
    sold: Money = money_field("sold", description="Prices of the packages sold in the period.")


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


@strawberry.input(description="What a desk sells to whom, and how it was paid.")
class SellPackageAtDeskInput:
    """Input of `sellPackageAtDesk`."""

    facility: strawberry.ID = strawberry.field(description="Where it is sold, and where the coach works.")
    relation: strawberry.ID = strawberry.field(description="The active `CoachClient`.")
    name: str = strawberry.field(description="What it is sold as; 1 to 300 characters.")
    sessions: int = strawberry.field(description=f"How many; 1 to {packages.MOST_SESSIONS}.")
    price: Decimal = strawberry.field(description="For all of them, the tax included.")
    currency: str = strawberry.field(description="ISO 4217; the one the facility trades in.")
    starts_on: date = strawberry.field(description="First day of its sessions.")
    ends_on: date = strawberry.field(description="Last day of its sessions; none is scheduled later.")
    method: PaymentMethod | None = strawberry.field(
        default=None,
        description="CASH, CARD (the desk's own terminal) or BANK_TRANSFER; null leaves the invoice open for "
        "`recordPayment`.",
    )
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
class SellPackageAtDeskArgs(Args):
    """Arguments of `sellPackageAtDesk`."""

    input: Annotated[SellPackageAtDeskInput, strawberry.argument(description="What, to whom, how paid.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundPackageArgs(Args):
    """Arguments of `refundPackage`."""

    input: Annotated[RefundPackageInput, strawberry.argument(description="What is taken back.")]


async def _shown(id_: ObjectId, args: Args, context: Context) -> Mapping[str, Any]:
    asked = args.selection.at("package")
    found = await packages.by_ids(context.stores.postgres, [str(id_)]) if asked else {}
    return {"package": found.get(str(id_))}


def _offer(asked: SellPackageInput | SellPackageAtDeskInput) -> packages.Offer:
    return checked(
        packages.Offer,
        name=asked.name,
        sessions=asked.sessions,
        price=asked.price,
        currency=asked.currency,
        starts_on=asked.starts_on,
        ends_on=asked.ends_on,
    )


async def _sell_at_desk(args: SellPackageAtDeskArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    id_ = await desk_sale.sell(
        context.services.units,
        context.stores.mongo,
        context.actor,
        object_id(asked.relation, "CoachClient", "relation"),
        _offer(asked),
        desk_sale.DeskSale(object_id(asked.facility, "Facility", "facility"), asked.method),
        key=asked.idempotency_key,
        now=context.now,
    )
    sold = (await _shown(id_, args, context))["package"]
    return {"package": sold and {**sold, PERMITTED: "members_read"}}


async def _sell(args: SellPackageArgs, context: Context) -> Mapping[str, Any]:
    asked = args.input
    offer = _offer(asked)
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
        "a facility sells and bills one with `sellPackageAtDesk`.",
    )
    sell_package_at_desk: CoachingPackagePayload = batch(
        answering(_sell_at_desk),
        args=SellPackageAtDeskArgs,
        description="Sell a package at the desk, by staff with members_write: the invoice, its payment and the "
        "sessions exist together or not at all.",
    )
    refund_package: CoachingPackagePayload = batch(
        answering(_refund),
        args=RefundPackageArgs,
        description="As a coach, take back sessions of a package that can still be scheduled. The money goes back "
        "the way it came.",
    )

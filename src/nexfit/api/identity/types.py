"""People as clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from nexfit.api.caching import Cached, CacheScope
from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity import loaders
from nexfit.api.identity.sessions import Session, sessions_of_viewer
from nexfit.api.relay import Connection, Node, PageArgs, id_reader
from nexfit.api.scalars import EmailAddress, PhoneNumber
from nexfit.domains.identity.documents import Role
from nexfit.engine.fields import Record

if TYPE_CHECKING:
    from nexfit.api.classes.bookings import ClassBooking
    from nexfit.api.facilities.types import Facility
    from nexfit.api.finance.types import Invoice, Subscription, Transaction
    from nexfit.api.memberships.types import MemberSubscription

strawberry.enum(Role, description="What a person is on the platform.")


_OWN = Cached(60, CacheScope.PRIVATE)


@strawberry.type(description="A person. Contact data is null for those who may not see it.")
class User(Node):
    """From MongoDB's `users`."""

    id: strawberry.ID = column("_id", read=id_reader("User"), description="The global id.")
    first_name: str = column(description="Given name.")
    last_name: str = column(description="Family name.")
    profile_image: str | None = column(description="Address of the picture.")
    email: EmailAddress | None = column(description="For the person and the facility's staff.", cache=_OWN)
    phone_number: PhoneNumber | None = column(description="For the person and the facility's staff.", cache=_OWN)
    roles: list[Role] | None = column("role", description="For the person and the facility's staff.", cache=_OWN)
    created_at: datetime | None = column(description="For the person and the facility's staff.", cache=_OWN)
    facilities: Connection[Annotated[Facility, strawberry.lazy("nexfit.api.facilities.types")]] | None = batch(
        loaders.facilities_of_viewer,
        args=PageArgs,
        description="Facilities the person owns or works at, by name; for the person only.",
    )
    member_subscriptions: (
        Connection[Annotated[MemberSubscription, strawberry.lazy("nexfit.api.memberships.types")]] | None
    ) = batch(
        loaders.member_subscriptions_of_viewer,
        args=PageArgs,
        description="Memberships the person holds or held, latest first; for the person only.",
    )
    class_bookings: Connection[Annotated[ClassBooking, strawberry.lazy("nexfit.api.classes.bookings")]] | None = batch(
        loaders.class_bookings_of_viewer,
        args=PageArgs,
        description="The person's places on dates of classes, the latest date first; for the person only.",
    )
    subscriptions: Connection[Annotated[Subscription, strawberry.lazy("nexfit.api.finance.types")]] | None = batch(
        loaders.subscriptions_of_viewer,
        args=PageArgs,
        description="What the person is billed for, latest first; for the person only.",
    )
    invoices: Connection[Annotated[Invoice, strawberry.lazy("nexfit.api.finance.types")]] | None = batch(
        loaders.invoices_of_viewer,
        args=PageArgs,
        description="The person's invoices, latest first; for the person only.",
    )
    transactions: Connection[Annotated[Transaction, strawberry.lazy("nexfit.api.finance.types")]] | None = batch(
        loaders.transactions_of_viewer,
        args=PageArgs,
        description="The person's payments and refunds, latest first; for the person only.",
    )
    sessions: Connection[Session] | None = batch(
        sessions_of_viewer,
        args=PageArgs,
        description="Where the person is signed in, latest first; for the person only.",
    )


def user_field(path: str, *, description: str) -> Any:
    """A `User` found by an ObjectId the parent keeps at a dotted path; null where there is none."""

    async def load(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
        return await loaders.users_at(parents, path, args, context)

    return batch(load, needs=(path,), description=description, cache=Cached(60, shown="user:{_id}"))

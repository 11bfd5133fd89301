"""Coaches and their clients as clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from nexfit.api.coaching import loaders
from nexfit.api.coaching.free_times import FreeTimesArgs, free_times_of_relations, hours_of_relations
from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, column, derived, row_column
from nexfit.api.identity.types import User, user_field
from nexfit.api.relay import Node, global_id, id_reader
from nexfit.domains.coaching import packages
from nexfit.domains.coaching.documents import RelationStatus
from nexfit.domains.coaching.notes import note_id
from nexfit.domains.coaching.packages import PackagePayment
from nexfit.domains.identity.documents import ConsentScope
from nexfit.engine.fields import Record

if TYPE_CHECKING:
    from nexfit.api.coaching.hours import CoachHours, FreeTime
    from nexfit.api.coaching.packages import CoachingPackage
    from nexfit.api.memberships.standings import MembershipStanding

strawberry.enum(ConsentScope, description="A kind of personal data a client may open to a coach.")


def _nested(outer: str, inner: str) -> Any:
    def compute(record: Record, _args: object, _context: object) -> Any:
        return (record.get(outer) or {}).get(inner)

    return derived(compute, needs=(f"{outer}.{inner}",), description=_DESCRIBED[outer, inner])


_DESCRIBED = {
    ("relationship", "status"): "Where it stands.",
    ("relationship", "startDate"): "Since when.",
    ("relationship", "endDate"): "Until when.",
    ("notes", "visible"): "Remarks both read.",
}


def _note_id(record: Record, _args: object, _context: object) -> str:
    return global_id("Note", note_id(record))


@strawberry.type(description="A dated remark of a coach.")
class Note:
    """Embedded in a relation."""

    id: strawberry.ID = derived(_note_id, needs=("id", "date", "text"), description="To change it or take it away by.")
    text: str = column(description="What it says.")
    date: datetime = column(description="When it was made.")
    changed_at: datetime | None = column(description="When its words were changed last; null while they are the first.")


@strawberry.type(description="Sessions of a package a client bought of a coach.")
class PackageCredits:
    """From PostgreSQL's `package_balances`, which the ledger of credits keeps."""

    total: int = row_column(description="Bought.")
    reserved: int = row_column(description="Booked and not yet held.")
    used: int = row_column(description="Held, or forfeited.")
    remaining: int = row_column(description="Still to be booked.")


@strawberry.type(description="What a coach sees of a client first, joined over both stores.")
class ClientOverview:
    """Cached views (`nexfit.domains.coaching.clients`), confirmed by Redis on each read."""

    next_session_at: datetime | None = row_column(description="Start of their next session.")
    credits: PackageCredits | None = row_column(description="What is left of the package; null without one.")
    payment: PackagePayment | None = row_column(
        description="OPEN where one of the packages is still to be paid, else PAID where one was; null without any."
    )
    memberships: list[Annotated[MembershipStanding, strawberry.lazy("nexfit.api.memberships.standings")]] = row_column(
        description="How the client stands at the facilities where the coach works."
    )


async def _packages(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    found = await packages.of_relations(context.stores.postgres, [parent["_id"] for parent in parents])
    return [found.get(parent["_id"], []) for parent in parents]


@strawberry.type(description="A coach's relation to a client; the two alone can find it.")
class CoachClient(Node):
    """From MongoDB's `coach_clients`."""

    id: strawberry.ID = column("_id", read=id_reader("CoachClient"), description="The global id.")
    status: RelationStatus = _nested("relationship", "status")
    start_date: datetime | None = _nested("relationship", "startDate")
    end_date: datetime | None = _nested("relationship", "endDate")
    goals: list[str] | None = column(description="What they work for.")
    notes: list[Note] | None = _nested("notes", "visible")
    private_notes: list[Note] | None = batch(
        loaders.private_notes_of_relations, needs=("_id",), description="The coach's own remarks; for the coach alone."
    )
    shared_scopes: list[ConsentScope] = batch(
        loaders.scopes_of_relations,
        needs=("coachId", "clientId"),
        description="What the coach may see of the client now.",
    )
    overview: ClientOverview | None = batch(
        loaders.overviews_of_relations,
        needs=("_id", "coachId", "clientId", "relationship.status"),
        description="The client at a glance; for the coach alone, while the relation is active.",
    )
    coach_hours: Annotated[CoachHours, strawberry.lazy("nexfit.api.coaching.hours")] | None = batch(
        hours_of_relations, needs=("coachId",), description="When the client may schedule sessions with the coach."
    )
    free_times: list[Annotated[FreeTime, strawberry.lazy("nexfit.api.coaching.hours")]] = batch(
        free_times_of_relations,
        needs=("_id", "coachId", "clientId", "relationship.status"),
        args=FreeTimesArgs,
        description="The coach's hours without the sessions of both.",
    )
    packages: list[Annotated[CoachingPackage, strawberry.lazy("nexfit.api.coaching.packages")]] = batch(
        _packages, needs=("_id",), description="Sessions the client bought, what ends first before the rest."
    )
    created_at: datetime = column(description="When it was asked for.")
    coach: User | None = user_field("coachId", description="The coach.")
    client: User | None = user_field("clientId", description="The client.")


@strawberry.type(description="What a client lets one coach see while their relation is active.")
class Consent:
    """From MongoDB's `consents`."""

    coach: User | None = user_field("granteeId", description="Who may see it.")
    scopes: list[ConsentScope] = column(description="What may be seen.")
    granted_at: datetime = column(description="When the first of it was granted.")
    updated_at: datetime = column(description="When it was changed last.")


def _fields(record: Record, _args: object, _context: object) -> Any:
    return (record.get("new_state") or {}).get("fields", [])


@strawberry.type(description="That somebody read what tells of a person's health.")
class MedicalRead(Node):
    """From PostgreSQL's `finance.audit_logs`, to which nobody can do anything but add."""

    id: strawberry.ID = row_column("audit_id", read=id_reader("MedicalRead"), description="The global id.")
    at: datetime = row_column("created_at", description="When.")
    viewer: User | None = user_field("user_id", description="Who.")
    fields: list[str] = derived(
        _fields,
        needs=("new_state",),
        description="Which fields: `medicalConditions`, `bodyProfile`, or `measurements`, `notes`, `photos` of one.",
    )

"""Loads what a person shares with a coach: relations, consents, measurements, medical conditions and who read them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.fields import Args
from nexfit.api.relay import PageArgs, connection, node_selection, page_request
from nexfit.domains.coaching import clients, consents, directory, medical, relations, sessions
from nexfit.domains.coaching.documents import RelationStatus, SessionStatus
from nexfit.domains.coaching.packages import PackagePayment
from nexfit.domains.identity import people
from nexfit.domains.identity.protected import CLIENT, client_field
from nexfit.domains.training import measurements
from nexfit.engine.fields import Record

strawberry.enum(SessionStatus, name="PtSessionStatus", description="State of a personal training session.")
strawberry.enum(RelationStatus, description="State of a coach and client relation.")
strawberry.enum(PackagePayment, description="Whether a package is paid.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationsArgs(PageArgs):
    """Which relations."""

    status: Annotated[RelationStatus | None, strawberry.argument(description="Only in this state.")] = None


def _relations_of_viewer(side: str) -> Callable[..., Awaitable[Sequence[Any]]]:
    async def load(parents: Sequence[Record], args: RelationsArgs, context: Context) -> Sequence[Any]:
        order = f"coach_clients:{side}:{args.status}"
        page = await relations.page_of(
            context.stores.mongo,
            side,
            context.actor.require(),
            args.status,
            page_request(args, order),
            node_selection(args.selection).columns,
        )
        return [connection(page, order, args.selection)] * len(parents)

    return load


clients_of_viewer = _relations_of_viewer(relations.COACH)
coaches_of_viewer = _relations_of_viewer(relations.CLIENT)


async def coaches_of_people(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """Each person as a coach whom everybody finds; null for others."""
    found = await directory.by_ids(context.stores.mongo, [parent["_id"] for parent in parents], args.selection.columns)
    return [found.get(parent["_id"]) for parent in parents]


@dataclass(frozen=True, slots=True, kw_only=True)
class PtSessionsArgs(PageArgs):
    """Which sessions."""

    status: Annotated[SessionStatus | None, strawberry.argument(description="Only in this state.")] = None
    since: Annotated[datetime | None, strawberry.argument(description="Starting from this instant on.")] = None
    until: Annotated[datetime | None, strawberry.argument(description="Starting before this instant.")] = None


async def pt_sessions_of_viewer(parents: Sequence[Record], args: PtSessionsArgs, context: Context) -> Sequence[Any]:
    """A connection of the sessions the viewer, who is every parent, gives or takes."""
    page = await sessions.page_of(
        context.stores.mongo,
        context.actor.require(),
        status=args.status,
        since=args.since,
        until=args.until,
        request=page_request(args, sessions.ORDER),
        columns=node_selection(args.selection).columns,
    )
    return [connection(page, sessions.ORDER, args.selection)] * len(parents)


async def consents_of_viewer(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """What the viewer lets coaches see."""
    found = await consents.of_client(context.stores.mongo, context.actor.require(), args.selection.columns)
    return [found] * len(parents)


async def private_notes_of_relations(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """The coach's own remarks of each relation; no other read of a relation carries them."""
    ids = [parent["_id"] for parent in parents]
    found = await relations.by_ids(context.stores.mongo, ids, ("notes.private",))
    return [(found.get(id_, {}).get("notes") or {}).get("private") for id_ in ids]


async def scopes_of_relations(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """What each relation's coach may see of its client now."""
    found = await consents.shared(context.stores.mongo, [(parent["coachId"], parent["clientId"]) for parent in parents])
    return [found.get((parent["coachId"], parent["clientId"]), []) for parent in parents]


async def overviews_of_relations(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """What the viewer, who coaches, sees of each client first; null unless the relation is active."""
    stores = context.stores
    found = await clients.at_a_glance(
        stores.mongo, stores.postgres, context.views, context.actor.require(), parents, context.now
    )
    return [asdict(found[parent["_id"]]) if parent["_id"] in found else None for parent in parents]


async def body_profiles(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The client's part of each person's profile, as far as it tells of the body."""
    # One column more, which tells that there is such a part where nothing of it is asked for.
    columns = {f"{CLIENT}.{column}" for column in (*args.selection.columns, "height")}
    found = await people.by_ids(context.stores.mongo, [parent["_id"] for parent in parents], columns)
    return [_body(context, parent["_id"], found.get(parent["_id"], {})) for parent in parents]


def _body(context: Context, person: ObjectId, user: Record) -> Record | None:
    client = (user.get("roleSpecificData") or {}).get("client")
    if client is None:
        return None
    kept = {"height", "weight", "dietaryRestrictions"} & client.keys()
    return {**client, **{name: client_field(context.stores.keys, person, name, client[name]) for name in kept}}


async def measurements_of_people(parents: Sequence[Record], args: PageArgs, context: Context) -> Sequence[Any]:
    """A connection of what each person measured."""
    pages = await measurements.pages_of(
        context.stores.mongo,
        [parent["_id"] for parent in parents],
        page_request(args, measurements.ORDER),
        node_selection(args.selection).columns,
    )
    return [connection(page, measurements.ORDER, args.selection) for page in pages]


async def medical_conditions_of_people(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """The conditions each person told."""
    found = await medical.conditions(context.stores, [parent["_id"] for parent in parents])
    return [found.get(parent["_id"]) for parent in parents]


async def medical_reads_of_viewer(parents: Sequence[Record], args: PageArgs, context: Context) -> Sequence[Any]:
    """A connection of who read what tells of the viewer's health."""
    request = page_request(args, medical.READS_ORDER)
    columns = node_selection(args.selection).columns
    page = await medical.reads_of(context.stores, context.actor.require(), request, columns)
    return [connection(page, medical.READS_ORDER, args.selection)] * len(parents)

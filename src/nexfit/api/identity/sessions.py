"""Where somebody is signed in: the sessions of the viewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, column, derived
from nexfit.api.relay import Node, PageArgs, connection, id_reader, node_selection, page_request
from nexfit.domains.identity import sessions
from nexfit.engine.fields import Record


async def _last_used(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    return await context.services.sessions.last_uses(parents)


@strawberry.type(description="One device the viewer is signed in on.")
class Session(Node):
    """From MongoDB's `sessions`; only ever the viewer's own."""

    id: strawberry.ID = column("_id", read=id_reader("Session"), description="The global id.")
    device_name: str | None = column(description="The name given when signing in.")
    user_agent: str | None = column(description="What the device called itself when signing in.")
    ip_address: str | None = column(description="The address the device signed in from.")
    created_at: datetime = column(description="When the device signed in.")
    last_used_at: datetime = batch(
        _last_used, needs=("rotatedAt",), description="When it was last used, give or take seconds."
    )
    expires_at: datetime = column(description="When it ends, should it not be used before.")
    current: bool = derived(
        lambda record, _, context: record["_id"] == context.actor.session_id,
        needs=(),
        description="Whether this request belongs to it.",
    )


async def sessions_of_viewer(parents: Sequence[Record], args: PageArgs, context: Context) -> Sequence[Any]:
    """A connection of the viewer's sessions, who is every parent."""
    request = page_request(args, sessions.ORDER)
    columns = node_selection(args.selection).columns
    page = await sessions.of_user(context.stores.mongo, context.actor.require(), request, columns, context.now)
    return [connection(page, sessions.ORDER, args.selection)] * len(parents)


async def sessions_by_ids(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    """The viewer's live sessions by local id."""
    if context.actor.user_id is None:
        return {}
    wanted = [ObjectId(id_) for id_ in ids if ObjectId.is_valid(id_)]
    found = await sessions.live_by_ids(context.stores.mongo, context.actor.user_id, wanted, columns, context.now)
    return {str(id_): row for id_, row in found.items()}

"""Loads plans, contracts and their counts."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from bson import ObjectId

from nexfit.api.access import PERMITTED
from nexfit.api.context import Context
from nexfit.api.fields import Args
from nexfit.api.relay import PageArgs, connection, node_selection, page_request
from nexfit.domains.finance import ledger, overview
from nexfit.domains.identity.access import may
from nexfit.domains.memberships import contracts, plans
from nexfit.engine.fields import Record
from nexfit.hybrid.ids import object_id


async def plans_of_facilities(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The plans each facility sells now; each remembers whether the viewer may see its subscribers."""
    columns = args.selection.columns
    landed: asyncio.Future[Mapping[ObjectId, Record]] = asyncio.get_running_loop().create_future()
    context.plans.append((columns, landed))
    loaded: dict[ObjectId, Record] = {}
    try:
        found = await plans.of_facilities(context.stores.mongo, [parent["_id"] for parent in parents], columns)
        # Copies: what is permitted for these records is not for those that are reached by another way.
        loaded = {plan["_id"]: {**plan} for some in found.values() for plan in some}
    finally:
        landed.set_result(loaded)
    # Only the subscribers depend on who asks: a price list is the same for everybody, and is cached for all.
    guarded = parents if "activeSubscribers" in args.selection.fields else ()
    for parent in guarded:
        if may(context.actor, parent, "members_read"):
            for plan in found[parent["_id"]]:
                plan[PERMITTED] = "members_read"
    return [found[parent["_id"]] for parent in parents]


async def active_subscribers_of_plans(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """Subscribers with access now, of each plan."""
    ids = [str(parent["_id"]) for parent in parents]
    counts = await overview.active_subscribers(context.stores.postgres, context.views, ids)
    return [counts.get(id_, 0) for id_ in ids]


async def plans_of_contracts(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The plan of each contract."""
    found = await plans.by_ids(
        context.stores.mongo, (parent["membershipId"] for parent in parents), args.selection.columns
    )
    return [found.get(parent["membershipId"]) for parent in parents]


async def plans_of_rows(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The plan each row names in `plan_id`."""
    ids = [object_id(parent["plan_id"]) if parent["plan_id"] else None for parent in parents]
    found = await _plans_by_ids({id_ for id_ in ids if id_}, args.selection.columns, context)
    return [found.get(id_) if id_ else None for id_ in ids]


async def _plans_by_ids(
    ids: Collection[ObjectId], columns: frozenset[str], context: Context
) -> Mapping[ObjectId, Record]:
    """Plans by id: from another field of the request that has loaded them, or is about to; the rest in one command."""
    found: dict[ObjectId, Record] = {}
    for held, landed in context.plans:
        if columns <= held:
            # Shielded: who leaves must not take from the others what they wait for.
            known = landed.result() if landed.done() else await asyncio.shield(landed)
            found |= {id_: known[id_] for id_ in ids if id_ in known}
    if missing := [id_ for id_ in ids if id_ not in found]:
        found |= await plans.by_ids(context.stores.mongo, missing, columns)
    return found


async def subscriptions_of_contracts(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The billing of each contract, from PostgreSQL."""
    ids = [UUID(parent["subscriptionId"]) for parent in parents]
    found = await ledger.by_ids(context.stores.postgres, ledger.SUBSCRIPTIONS, ids, args.selection.columns)
    return [found.get(id_) for id_ in ids]


async def contracts_of_subscriptions(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    """The contract each billing belongs to, from MongoDB."""
    ids = [str(parent["subscription_id"]) for parent in parents]  # a purchase may have none yet, which finds none
    found = await contracts.by_subscription_ids(
        context.stores.mongo, (id_ for id_ in ids if id_ != "None"), args.selection.columns
    )
    return [found.get(id_) for id_ in ids]


async def contracts_of_facilities(parents: Sequence[Record], args: PageArgs, context: Context) -> Sequence[Any]:
    """A connection of the memberships held at each facility."""
    request = page_request(args, contracts.ORDER)
    pages = await contracts.pages_of(
        context.stores.mongo,
        "facilityId",
        [parent["_id"] for parent in parents],
        request,
        node_selection(args.selection).columns,
    )
    for page in pages:
        for row in page.rows:
            row[PERMITTED] = "members_read"
    return [connection(page, contracts.ORDER, args.selection) for page in pages]

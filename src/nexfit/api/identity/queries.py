"""The viewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import strawberry

from nexfit.api.caching import Cached, CacheScope
from nexfit.api.context import Context
from nexfit.api.fields import Args, batch
from nexfit.api.identity.types import User
from nexfit.domains.identity import people
from nexfit.engine.fields import Record


async def _viewer(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    user_id = context.actor.user_id
    if user_id is None:
        return [None] * len(parents)
    found = await people.by_ids(context.stores.mongo, [user_id], args.selection.columns)
    return [found.get(user_id)] * len(parents)


@strawberry.type
class IdentityQueries:
    """Root fields of this area."""

    viewer: User | None = batch(
        _viewer,
        description="Who is asking; null for a guest.",
        cache=Cached(60, CacheScope.PRIVATE, shown="user:{_id}"),
    )

"""Rights at the schema's edge: which parents of a batch the viewer may see more of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

from bson import ObjectId

from nexfit.api.context import Context
from nexfit.domains.facilities import directory
from nexfit.domains.identity.access import may, refusal
from nexfit.engine.fields import Record

Load = TypeVar("Load", bound=Callable[..., Awaitable[Sequence[Any]]])

PERMITTED = "__permitted"
"""Key under which a record names the permission that was proven when it was loaded."""


def requires(permission: str) -> Callable[[Load], Load]:
    """Guard a batch whose parents are facility records carrying `RIGHTS_COLUMNS`.

    Facilities at which the viewer lacks the permission answer with an error; the others are loaded together.
    """

    def decorate(load: Load) -> Load:
        @wraps(load)
        async def guarded(parents: Sequence[Record], args: Any, context: Context) -> Sequence[Any]:
            permitted = [may(context.actor, parent, permission) for parent in parents]
            if all(permitted):
                return await load(parents, args, context)
            allowed = [parent for parent, yes in zip(parents, permitted, strict=True) if yes]
            loaded = iter(await load(allowed, args, context) if allowed else ())
            return [next(loaded) if yes else refusal(context.actor) for yes in permitted]

        return cast("Load", guarded)

    return decorate


async def permitted_by_facility(
    parents: Sequence[Record], permission: str, context: Context, *, facility: str, person: str | None = None
) -> list[bool]:
    """Whether the viewer has a permission at each parent's facility or is the person it is about.

    `facility` and `person` name the columns that hold their ids. Sends one command, or none where nothing is open.
    """
    known = [
        parent.get(PERMITTED) == permission or (person is not None and context.actor.is_user(parent.get(person)))
        for parent in parents
    ]
    if all(known):
        return known
    managed = await directory.managed(context.stores.mongo, context.actor, permission)
    return [yes or ObjectId(parent.get(facility)) in managed for parent, yes in zip(parents, known, strict=True)]

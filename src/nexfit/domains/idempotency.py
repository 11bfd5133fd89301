"""Mutations that take an `idempotencyKey`: the first result is given again for the same key and input.

    booked = await once(stores.mongo, units.both("buy"), actor, "buyMembership", key, input, body)

`body(work)` writes in the unit and answers what is JSON-like: ids, from which the payload is loaded each time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from bson import ObjectId

from nexfit.domains.errors import BadInput, IdempotencyConflict
from nexfit.hybrid import idempotency
from nexfit.hybrid.unit_of_work import BothWork, MongoWork, PostgresWork, Unit
from nexfit.stores.mongo import Mongo

W = TypeVar("W", PostgresWork, MongoWork, BothWork)


async def once(
    mongo: Mongo,
    unit: Unit[W],
    user_id: ObjectId,
    operation: str,
    key: str,
    input: Mapping[str, Any],
    body: Callable[[W], Awaitable[Any]],
) -> Any:
    """What `body` answered the first time this user sent this input under the key.

    Raises IdempotencyConflict when the input was another one, BadInput for an impossible key, what `body` raises
    (nothing is kept then), StoreError.
    """
    try:
        request = idempotency.Request.of(str(user_id), operation, key, input)
    except ValueError:
        raise BadInput(
            "An idempotency key has 1 to {most} characters.", path=("idempotencyKey",), most=idempotency.LONGEST
        ) from None
    try:
        return await idempotency.once(mongo, unit, request, body)
    except idempotency.KeyReused:
        raise IdempotencyConflict(
            "This idempotency key was used with another input.", path=("idempotencyKey",)
        ) from None

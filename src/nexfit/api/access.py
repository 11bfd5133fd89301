"""Rights where data is loaded: which records of a batch the viewer has a right on, asked once for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.right_entries import Scope
from nexfit.domains.coaching import consents
from nexfit.domains.facilities import directory
from nexfit.domains.identity.access import Actor, Right, may
from nexfit.engine.fields import Record

PERMITTED = "__permitted"
"""Key under which a record names the permission that was proven when it was loaded."""


async def permitted(right: Right, scope: Scope, records: Sequence[Record], context: Context) -> list[bool]:
    """Whether the viewer has the right on each record; `scope` names the columns that say whose it is.

    Sends one command to a store at most for each way of the right, and none for what the records tell themselves.
    """
    if all(right.anyone or record.get(PERMITTED) in right.permissions for record in records):
        return [True] * len(records)  # whoever asks: what was proven for these records is enough
    actor = context.actor
    known = [_known(right, scope, record, actor) for record in records]
    if all(known) or actor.user_id is None:
        return known
    if right.permissions and scope.facility and not scope.facility_record:
        managed = await directory.managed(context.stores.mongo, actor, right.permissions)
        if context.touched is not None:  # an answer that is kept ends when the staff of one of them changes
            context.touched.update(f"facility:{record.get(scope.facility)}" for record in records)
        known = [
            yes or ObjectId(record.get(scope.facility)) in managed for yes, record in zip(known, records, strict=True)
        ]
    if right.scopes and scope.person and not all(known):
        clients = {ObjectId(record.get(scope.person)) for yes, record in zip(known, records, strict=True) if not yes}
        opened = await consents.open_to(context.stores.mongo, actor.user_id, right.scopes, clients)
        known = [
            yes or ObjectId(record.get(scope.person)) in opened for yes, record in zip(known, records, strict=True)
        ]
    return known


def _known(right: Right, scope: Scope, record: Record, actor: Actor) -> bool:
    if right.signed_in and actor.user_id is not None:
        return True
    if right.anyone or (right.own and scope.is_of(actor, record)) or (right.author and scope.is_by(actor, record)):
        return True
    return bool(right.permissions) and (
        record.get(PERMITTED) in right.permissions
        or (scope.facility_record and any(may(actor, record, permission) for permission in right.permissions))
    )

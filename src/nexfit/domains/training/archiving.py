"""Archiving templates and programs: nobody begins, copies or buys one any more, and who goes by it goes on."""

from __future__ import annotations

from datetime import datetime

from bson import ObjectId

from nexfit.domains.identity.access import Actor
from nexfit.domains.training.library import version_of
from nexfit.domains.training.library_editing import NAMES, LibraryChanged, own
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork


async def archive(
    units: UnitsOfWork, actor: Actor, collection: str, id_: ObjectId, *, archived: bool, now: datetime
) -> None:
    """Archive a template or program of the viewer's own, or take that back. Repeating it changes nothing.

    Workouts, enrolments and purchases that name it, and its versions, stay. Raises Unauthenticated, NotFound,
    Forbidden.
    """
    viewer = actor.require()

    async def body(work: MongoWork) -> None:
        kept = await own(work, viewer, collection, id_)
        if ("archivedAt" in kept) == archived:
            return
        written = {"updatedAt": now, **({"archivedAt": now} if archived else {})}
        forgotten = {} if archived else {"$unset": {"archivedAt": ""}}
        await work.mongo.update(collection, {"_id": id_}, {"$set": written, **forgotten})
        work.emit(LibraryChanged(collection=collection, entry_id=str(id_), version=version_of(kept)))
        action = f"{NAMES[collection]}.{'archived' if archived else 'taken_back'}"
        work.audit(Audit(action, collection.removesuffix("s"), str(id_), user_id=str(viewer)))

    await units.mongo(f"archive_{NAMES[collection]}").run(body)

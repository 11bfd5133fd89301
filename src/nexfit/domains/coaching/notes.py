"""What a coach writes down of a client: notes, for both to read or for the coach alone, and what the client works for.

Notes stand in the relation's document, so of two changes at once one is run again and sees what the other left.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from bson import ObjectId

from nexfit.domains.coaching.documents import LIVE_RELATION_STATUSES, MOST_NOTES, RelationStatus
from nexfit.domains.coaching.errors import InvalidTransition, NoRelation
from nexfit.domains.coaching.relations import COLLECTION
from nexfit.domains.errors import BadInput, NotFound
from nexfit.domains.identity.access import Actor
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import MongoWork, UnitsOfWork
from nexfit.stores.mongo import Document

VISIBLE, PRIVATE = "visible", "private"
ACTIVE = (RelationStatus.ACTIVE,)


def note_id(note: Mapping[str, Any]) -> ObjectId:
    """What a note is named by; one of a release that gave them no id is named by what it says, and keeps the name."""
    if "id" in note:
        return ObjectId(note["id"])
    said = f"{note['date'].timestamp():.3f} {note['text']}"
    return ObjectId(sha256(said.encode()).digest()[:12])


async def add_note(
    units: UnitsOfWork, actor: Actor, relation: ObjectId, text: str, *, private: bool, now: datetime
) -> None:
    """The coach writes a remark, for both to read or for the coach alone.

    Raises Unauthenticated, NotFound, InvalidTransition, BadInput when there is no room.
    """
    coach = actor.require()
    kind = PRIVATE if private else VISIBLE

    async def body(work: MongoWork) -> None:
        found = await _own(work, relation, coach, ACTIVE, (f"notes.{kind}",))
        if len((found.get("notes") or {}).get(kind, ())) >= MOST_NOTES:
            raise BadInput("There is room for {most} notes.", path=("text",), most=MOST_NOTES)
        note = {"id": ObjectId(), "text": text, "date": now}
        await _write(work, relation, now, {"$push": {f"notes.{kind}": note}})
        _tell(work, "coach_client.noted", relation, coach, {"private": private})

    await units.mongo("add_coach_note").run(body)


async def change_note(
    units: UnitsOfWork, actor: Actor, relation: ObjectId, note: ObjectId, text: str, *, now: datetime
) -> None:
    """The coach puts other words for a note: its id, date and place stay, and it says when it was changed.

    The same words again change nothing. Raises Unauthenticated, NotFound, InvalidTransition.
    """
    coach = actor.require()

    async def body(work: MongoWork) -> None:
        found = await _own(work, relation, coach, ACTIVE, ("notes",))
        place = _place(found, note)
        if place is None:
            raise NotFound("There is no such note.", path=("note",))
        kind, index = place
        kept = found["notes"][kind][index]
        if kept["text"] != text:
            changed = {**kept, "id": note, "text": text, "changedAt": now}
            await _write(work, relation, now, {"$set": {f"notes.{kind}.{index}": changed}})
            _tell(work, "coach_client.note_changed", relation, coach, {"private": kind == PRIVATE})

    await units.mongo("change_coach_note").run(body)


async def remove_note(units: UnitsOfWork, actor: Actor, relation: ObjectId, note: ObjectId, *, now: datetime) -> None:
    """The coach takes a note away. One that is not there, or not any more, changes nothing.

    Raises Unauthenticated, NotFound, InvalidTransition.
    """
    coach = actor.require()

    async def body(work: MongoWork) -> None:
        found = await _own(work, relation, coach, ACTIVE, ("notes",))
        place = _place(found, note)
        if place is not None:
            kind, index = place
            await _write(work, relation, now, {"$pull": {f"notes.{kind}": found["notes"][kind][index]}})
            _tell(work, "coach_client.note_removed", relation, coach, {"private": kind == PRIVATE})

    await units.mongo("remove_coach_note").run(body)


async def set_goals(
    units: UnitsOfWork, actor: Actor, relation: ObjectId, goals: Sequence[str], *, now: datetime
) -> None:
    """The coach says what the client is to work for, in place of what was said; also before the client has accepted.

    The same again changes nothing. Raises Unauthenticated, NotFound, InvalidTransition.
    """
    coach = actor.require()

    async def body(work: MongoWork) -> None:
        found = await _own(work, relation, coach, LIVE_RELATION_STATUSES, ("goals",))
        if list(goals) != found.get("goals", []):
            await _write(work, relation, now, {"$set": {"goals": list(goals)}})
            _tell(work, "coach_client.goals_set", relation, coach, {"goals": len(goals)})

    await units.mongo("set_coaching_goals").run(body)


async def _own(
    work: MongoWork, relation: ObjectId, coach: ObjectId, states: Collection[RelationStatus], columns: Sequence[str]
) -> Document:
    """The coach's own relation in one of the states. Raises NoRelation, InvalidTransition."""
    query = {"_id": relation, "coachId": coach}
    found = await work.mongo.find_one(COLLECTION, query, ("relationship", *columns))
    if found is None:
        raise NoRelation
    if found["relationship"]["status"] not in states:
        raise InvalidTransition(state=found["relationship"]["status"])
    return found


def _place(relation: Document, note: ObjectId) -> tuple[str, int] | None:
    """Kind of a note, and which of that kind it is."""
    for kind in (VISIBLE, PRIVATE):
        for index, kept in enumerate((relation.get("notes") or {}).get(kind, ())):
            if note_id(kept) == note:
                return kind, index
    return None


async def _write(work: MongoWork, relation: ObjectId, now: datetime, change: Mapping[str, Any]) -> None:
    set_ = {**change.get("$set", {}), "updatedAt": now}
    await work.mongo.update(COLLECTION, {"_id": relation}, {**change, "$set": set_})


def _tell(work: MongoWork, action: str, relation: ObjectId, coach: ObjectId, after: Mapping[str, Any]) -> None:
    # What is said is for those two; that it was, for everybody who audits.
    work.audit(Audit(action, "coach_client", str(relation), user_id=str(coach), after=dict(after)))

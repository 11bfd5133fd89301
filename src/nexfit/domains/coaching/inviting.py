"""A coach and a client come together and part: `pending → active | declined`, `active → ended`.

A pair has one live relation at most: MongoDB's unique index decides between invitations made at the same time. Whoever
changes a relation writes its document, so of two changes at once one is run again and sees what the other made of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from bson import ObjectId

from nexfit.domains.coaching import consents
from nexfit.domains.coaching.documents import LIVE_RELATION_STATUSES, RelationStatus
from nexfit.domains.coaching.errors import InvalidTransition, NoRelation
from nexfit.domains.coaching.relations import COLLECTION
from nexfit.domains.coaching.scheduling import release_future, take_turns
from nexfit.domains.errors import BadInput, Forbidden, NotFound
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.documents import ConsentScope
from nexfit.domains.identity.people import COACHES
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.unit_of_work import BothWork, MongoWork, UnitsOfWork
from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.mongo import Document

COLUMNS = ("coachId", "clientId", "relationship", "createdAt")

UNLESS_SAID = (ConsentScope.MEASUREMENTS, ConsentScope.WORKOUTS, ConsentScope.NUTRITION, ConsentScope.NOTES)
"""What accepting a coach opens by itself: photos and medical conditions are opened one by one."""


class RelationChanged(Event):
    """A coach and a client came together, or parted."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "coach_client"

    relation_id: str
    coach_id: str
    client_id: str
    status: RelationStatus

    @property
    def aggregate_id(self) -> str:
        """The relation."""
        return self.relation_id

    def tags(self) -> Sequence[str]:
        """What is kept of the relations on both sides."""
        return (f"user:{self.coach_id}:coaching", f"user:{self.client_id}:coaching")


async def invite(
    units: UnitsOfWork, actor: Actor, client: ObjectId, *, goals: Sequence[str], now: datetime
) -> ObjectId:
    """Ask a person to become the viewer's client; the relation's id. Asked again before an answer it is the same one.

    Raises Unauthenticated, Forbidden, BadInput, NotFound, and InvalidTransition where they are together already.
    """
    coach = actor.require()
    if client == coach:
        raise BadInput("You cannot coach yourself.", path=("client",))

    async def body(work: MongoWork) -> ObjectId:
        if await work.mongo.find_one("users", {"_id": coach, "role": {"$in": COACHES}}, ()) is None:
            raise Forbidden("Only a coach invites clients.")
        if await work.mongo.find_one("users", {"_id": client, "isActive": True}, ()) is None:
            raise NotFound("There is no such {name}.", path=("client",), name="client")
        live = {"$in": [str(status) for status in LIVE_RELATION_STATUSES]}
        pair = {"coachId": coach, "clientId": client}
        known = await work.mongo.find_one(COLLECTION, {**pair, "relationship.status": live}, COLUMNS)
        if known is not None:
            if known["relationship"]["status"] != RelationStatus.PENDING:
                raise InvalidTransition(state=known["relationship"]["status"])
            return ObjectId(known["_id"])
        made: Document = {
            "_id": ObjectId(),
            **pair,
            "relationship": {"status": str(RelationStatus.PENDING)},
            "goals": list(goals),
            "notes": {"visible": [], "private": []},
            "createdAt": now,
            "updatedAt": now,
        }
        try:
            await work.mongo.insert(COLLECTION, made)
        except ConstraintViolated as error:  # invited at the same moment by another request
            raise WriteConflict("mongo", str(error)) from error
        tell(work, made, coach, before=None)
        return ObjectId(made["_id"])

    return await units.mongo("invite_client").run(body)


async def accept(
    units: UnitsOfWork, actor: Actor, relation: ObjectId, scopes: Collection[ConsentScope], *, now: datetime
) -> None:
    """The invited client agrees and opens scopes to the coach. Repeating it changes nothing.

    Raises Unauthenticated, NotFound, InvalidTransition.
    """
    client = actor.require()

    async def body(work: MongoWork) -> None:
        found = await work.mongo.find_one(COLLECTION, {"_id": relation, "clientId": client}, COLUMNS)
        if found is None:
            raise NoRelation
        if found["relationship"]["status"] == RelationStatus.ACTIVE:
            return
        await move(work, found, RelationStatus.PENDING, RelationStatus.ACTIVE, client, now, startDate=now)
        await consents.open_scopes(work, found, scopes, now)

    await units.mongo("accept_coach").run(body)


async def decline(units: UnitsOfWork, actor: Actor, relation: ObjectId, *, now: datetime) -> None:
    """The client says no to an invitation, or the coach takes it back. Repeating it changes nothing.

    Raises Unauthenticated, NotFound, InvalidTransition.
    """
    person = actor.require()

    async def body(work: MongoWork) -> None:
        found = await of_either(work, relation, person)
        if found["relationship"]["status"] != RelationStatus.DECLINED:
            await move(work, found, RelationStatus.PENDING, RelationStatus.DECLINED, person, now)

    await units.mongo("decline_coach").run(body)


async def end(units: UnitsOfWork, actor: Actor, relation: ObjectId, *, now: datetime) -> None:
    """Either side ends it at once: from the commit on the coach sees nothing, and sessions that have not begun are
    cancelled with their credits released. Repeating it changes nothing.

    Raises Unauthenticated, NotFound, InvalidTransition.
    """
    person = actor.require()

    async def body(work: BothWork) -> None:
        found = await of_either(work, relation, person)
        if found["relationship"]["status"] == RelationStatus.ENDED:
            return
        await move(work, found, RelationStatus.ACTIVE, RelationStatus.ENDED, person, now, endDate=now)
        await take_turns(work, found)
        await consents.close_all(work, found, now)
        await release_future(work, found, person, now)

    await units.both("end_coaching").run(body)


async def of_either(work: MongoWork | BothWork, relation: ObjectId, person: ObjectId) -> Document:
    """A relation the person is in, as it is now. Raises NoRelation."""
    either = {"$or": [{"coachId": person}, {"clientId": person}]}
    found = await work.mongo.find_one(COLLECTION, {"_id": relation, **either}, COLUMNS)
    if found is None:
        raise NoRelation
    return found


async def move(
    work: MongoWork | BothWork,
    relation: Mapping[str, Any],
    before: RelationStatus,
    after: RelationStatus,
    by: ObjectId,
    now: datetime,
    **dates: datetime,
) -> None:
    """The relation in its next state. Raises InvalidTransition when it is in another one than `before`."""
    if relation["relationship"]["status"] != before:
        raise InvalidTransition(state=relation["relationship"]["status"])
    relationship = {**relation["relationship"], "status": str(after), **dates}
    change = {"$set": {"relationship": relationship, "updatedAt": now}}
    await work.mongo.update(COLLECTION, {"_id": relation["_id"]}, change)
    tell(work, {**relation, "relationship": relationship}, by, before=before)


def tell(
    work: MongoWork | BothWork, relation: Mapping[str, Any], by: ObjectId, *, before: RelationStatus | None
) -> None:
    """The event and the audit entry of a relation's new state."""
    status = RelationStatus(relation["relationship"]["status"])
    pair = {"coachId": str(relation["coachId"]), "clientId": str(relation["clientId"])}
    work.emit(
        RelationChanged(
            relation_id=str(relation["_id"]), coach_id=pair["coachId"], client_id=pair["clientId"], status=status
        )
    )
    work.audit(
        Audit(
            f"coach_client.{status}",
            "coach_client",
            str(relation["_id"]),
            user_id=str(by),
            before=None if before is None else {"status": str(before)},
            after={"status": str(status), **pair},
        )
    )

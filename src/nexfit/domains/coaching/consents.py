"""What clients let their coaches see, in MongoDB's `consents`: the one place that answers for it.

A scope counts while the relation is active and only if it was granted in that relation: what was granted in an earlier
one ended with it. Nothing here is cached, so the next question after a change is answered by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from bson import ObjectId

from nexfit.domains.coaching.documents import RelationStatus
from nexfit.domains.errors import NotFound
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.documents import ConsentScope
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.unit_of_work import BothWork, MongoWork, UnitsOfWork
from nexfit.stores.mongo import Document, Mongo

RELATIONS, CONSENTS = "coach_clients", "consents"


class ConsentChanged(Event):
    """A client opened or closed something to a coach; `scopes` is what is open now."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "consent"

    client_id: str
    coach_id: str
    scopes: list[str]

    @property
    def aggregate_id(self) -> str:
        """The pair."""
        return f"{self.client_id}:{self.coach_id}"

    def tags(self) -> list[str]:
        """What is kept of the consents on both sides."""
        return [f"user:{self.client_id}:consents", f"user:{self.coach_id}:consents"]


async def open_to(
    mongo: Mongo, coach: ObjectId, scopes: Collection[str], clients: Collection[ObjectId]
) -> set[ObjectId]:
    """Which of the people let the coach see one of the scopes now, in one command."""
    found = await mongo.aggregate(
        RELATIONS,
        [
            {
                "$match": {
                    "coachId": coach,
                    "clientId": {"$in": list(clients)},
                    "relationship.status": str(RelationStatus.ACTIVE),
                }
            },
            _consents({"scopes": {"$in": [str(scope) for scope in scopes]}}),
            {"$match": {"consents": {"$ne": []}}},
            {"$project": {"clientId": 1}},
        ],
    )
    return {row["clientId"] for row in found}


async def shared(
    mongo: Mongo, pairs: Collection[tuple[ObjectId, ObjectId]]
) -> dict[tuple[ObjectId, ObjectId], list[str]]:
    """What is open now of each (coach, client), in one command; absent where nothing is."""
    found = await mongo.aggregate(
        RELATIONS,
        [
            {
                "$match": {
                    "$or": [{"coachId": coach, "clientId": client} for coach, client in pairs],
                    "relationship.status": str(RelationStatus.ACTIVE),
                }
            },
            _consents({"scopes": {"$ne": []}}),
            {"$match": {"consents": {"$ne": []}}},
        ],
    )
    return {(row["coachId"], row["clientId"]): _ordered(row["consents"][0]["scopes"]) for row in found}


def _consents(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """The stage that finds the consent which counts in a relation."""
    return {
        "$lookup": {
            "from": CONSENTS,
            "localField": "clientId",
            "foreignField": "userId",
            "let": {"coach": "$coachId", "since": "$createdAt"},
            "pipeline": [
                {
                    "$match": {
                        **conditions,
                        "endedAt": {"$exists": False},
                        "$expr": {
                            "$and": [{"$eq": ["$granteeId", "$$coach"]}, {"$gte": ["$grantedAt", "$$since"]}],
                        },
                    }
                },
                {"$project": {"scopes": 1}},
            ],
            "as": "consents",
        }
    }


async def of_client(mongo: Mongo, client: ObjectId, columns: Iterable[str]) -> list[Document]:
    """What a person has granted and not taken back, by coach."""
    query = {"userId": client, "endedAt": {"$exists": False}}
    return await mongo.find(CONSENTS, query, columns, sort=[("granteeId", 1)])


async def grant(
    units: UnitsOfWork, actor: Actor, coach: ObjectId, scopes: Collection[ConsentScope], *, now: datetime
) -> None:
    """Open scopes to the viewer's coach, besides what is open. Repeating it changes nothing.

    Raises Unauthenticated, and NotFound where the coach has no active relation with the viewer.
    """
    client = actor.require()

    async def body(work: MongoWork) -> None:
        await open_scopes(work, await _active(work, client, coach), scopes, now)

    await units.mongo("grant_consent").run(body)


async def open_scopes(
    work: MongoWork, relation: Mapping[str, Any], scopes: Collection[ConsentScope], now: datetime
) -> None:
    """Open scopes to the coach of a relation that is active, or becomes so in this unit."""
    client, coach = relation["clientId"], relation["coachId"]
    known = await _kept(work, client, coach)
    # What an earlier relation was granted does not come back with the next one.
    holds = known is not None and "endedAt" not in known and known["grantedAt"] >= relation["createdAt"]
    before = set(known["scopes"]) if known is not None and holds else set()
    after = before | {str(scope) for scope in scopes}
    if after == before:
        return
    change: dict[str, Any] = {"$set": {"scopes": _ordered(after), "updatedAt": now}, "$unset": {"endedAt": ""}}
    if not holds:
        change["$set"]["grantedAt"] = now
    pair = {"userId": client, "granteeId": coach}
    await work.mongo.update(CONSENTS, pair, change, upsert=True)
    _tell(work, client, coach, before, after, "grant_consent")


async def close_all(work: MongoWork | BothWork, relation: Mapping[str, Any], now: datetime) -> None:
    """Close everything to the coach of a relation that ends in this unit."""
    client, coach = relation["clientId"], relation["coachId"]
    known = await _kept(work, client, coach)
    if known is None or "endedAt" in known:
        return
    change = {"$set": {"scopes": [], "endedAt": now, "updatedAt": now}}
    await work.mongo.update(CONSENTS, {"_id": known["_id"]}, change)
    _tell(work, client, coach, known["scopes"], [], "withdraw_consent")


async def withdraw(
    units: UnitsOfWork, actor: Actor, coach: ObjectId, scopes: Collection[ConsentScope], *, now: datetime
) -> None:
    """Close scopes to a coach, whatever the relation; at the latest with the commit nothing of them is shown.

    Repeating it changes nothing. Raises Unauthenticated, and NotFound where nothing was ever granted to the coach.
    """
    client = actor.require()

    async def body(work: MongoWork) -> None:
        known = await _kept(work, client, coach)
        if known is None:
            raise NotFound("There is no such {name}.", path=("coach",), name="coach")
        before = set(known["scopes"])
        after = before - {str(scope) for scope in scopes}
        if after == before:
            return
        ended = {} if after else {"endedAt": now}
        change = {"$set": {"scopes": _ordered(after), "updatedAt": now, **ended}}
        await work.mongo.update(CONSENTS, {"_id": known["_id"]}, change)
        _tell(work, client, coach, before, after, "withdraw_consent")

    await units.mongo("withdraw_consent").run(body)


async def _active(work: MongoWork, client: ObjectId, coach: ObjectId) -> Mapping[str, Any]:
    query = {"coachId": coach, "clientId": client, "relationship.status": str(RelationStatus.ACTIVE)}
    relation = await work.mongo.find_one(RELATIONS, query, ("clientId", "coachId", "createdAt"))
    if relation is None:
        raise NotFound("There is no such {name}.", path=("coach",), name="coach")
    return relation


async def _kept(work: MongoWork | BothWork, client: ObjectId, coach: ObjectId) -> Document | None:
    return await work.mongo.find_one(
        CONSENTS, {"userId": client, "granteeId": coach}, ("scopes", "grantedAt", "endedAt")
    )


def _ordered(scopes: Collection[str]) -> list[str]:
    return [str(scope) for scope in ConsentScope if scope in scopes]


def _tell(
    work: MongoWork | BothWork,
    client: ObjectId,
    coach: ObjectId,
    before: Collection[str],
    after: Collection[str],
    action: str,
) -> None:
    work.emit(ConsentChanged(client_id=str(client), coach_id=str(coach), scopes=_ordered(after)))
    work.audit(
        Audit(
            action,
            "consent",
            str(client),
            user_id=str(client),
            before={"coachId": str(coach), "scopes": _ordered(before)},
            after={"coachId": str(coach), "scopes": _ordered(after)},
        )
    )

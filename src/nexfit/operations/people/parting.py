"""The first steps of an erasure: the account closes, and what the person has under way ends by its own rules."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from nexfit.domains.classes import cancellation
from nexfit.domains.classes.documents import BookingStatus
from nexfit.domains.classes.errors import InvalidTransition
from nexfit.domains.coaching import errors as coaching_errors
from nexfit.domains.coaching import inviting
from nexfit.domains.coaching.documents import LIVE_RELATION_STATUSES, RelationStatus
from nexfit.domains.errors import NotFound
from nexfit.domains.facilities import staffing
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.documents import SessionEnd
from nexfit.domains.identity.events import AccountDeactivated, SessionsEnded
from nexfit.domains.memberships import leaving
from nexfit.domains.memberships.documents import LIVE_SUBSCRIPTION_STATUSES
from nexfit.domains.memberships.leaving import AtTheDesk, CancelAt, NotPossibleNow
from nexfit.domains.privacy.blockers import sql
from nexfit.hybrid.unit_of_work import MongoWork
from nexfit.operations.people.desk import Case

SECRETS = ("credentials", "second_factors")


async def close(case: Case) -> dict[str, int]:
    """Nobody signs in any more, every session ends, and no copy is made of what is erased."""
    user_id, now = case.person.id, case.now

    async def body(work: MongoWork) -> int:
        await work.mongo.update(
            "users",
            {"_id": user_id, "erasedAt": {"$exists": False}},
            {"$set": {"isActive": False, "updatedAt": now}, "$unset": {"deactivatedAt": ""}},
        )
        for collection in SECRETS:
            await work.mongo.delete(collection, {"_id": user_id})
        live = {"userId": user_id, "revokedAt": {"$exists": False}}
        ids = [session["_id"] for session in await work.mongo.find("sessions", live, ())]
        if ids:
            ended = {"revokedAt": datetime.now(UTC), "revokedBecause": str(SessionEnd.ACCOUNT_DEACTIVATED)}
            await work.mongo.update("sessions", {"_id": {"$in": ids}}, {"$set": ended})
            texts = [str(id_) for id_ in ids]
            because = SessionEnd.ACCOUNT_DEACTIVATED
            work.emit(SessionsEnded(user_id=str(user_id), session_ids=texts, because=because))
        work.emit(AccountDeactivated(user_id=str(user_id)))
        return len(ids)

    await case.desk.stores.postgres.fetch(sql.give_up_exports, case.person.text, now)
    return {"sessions": await case.desk.units.mongo("close_account").run(body)}


async def bookings(case: Case) -> dict[str, int]:
    """Places in classes to come are given up, and who waits moves up."""
    given_up = 0
    waiting = [str(BookingStatus.BOOKED), str(BookingStatus.WAITLISTED)]
    query = {"userId": case.person.id, "date": {"$gt": case.now}, "status": {"$in": waiting}}
    for booking in await case.desk.stores.mongo.find("class_bookings", query, ()):
        try:
            await cancellation.cancel(case.desk.classes, Actor(case.person.id), booking["_id"], now=case.now)
        except (InvalidTransition, NotFound):  # it began, or somebody else gave it up
            continue
        given_up += 1
    return {"bookings": given_up}


async def coaching(case: Case) -> dict[str, int]:
    """Relations end on either side: sessions to come are cancelled and their credits released, consents close."""
    ended = 0
    person, live = case.person.id, [str(status) for status in LIVE_RELATION_STATUSES]
    either = {"$or": [{"coachId": person}, {"clientId": person}], "relationship.status": {"$in": live}}
    for relation in await case.desk.stores.mongo.find("coach_clients", either, ("relationship.status",)):
        part = inviting.decline if relation["relationship"]["status"] == RelationStatus.PENDING else inviting.end
        try:
            await part(case.desk.units, Actor(person), relation["_id"], now=case.now)
        except (coaching_errors.InvalidTransition, NotFound):
            continue
        ended += 1
    return {"relations": ended}


async def memberships(case: Case) -> dict[str, int]:
    """Memberships end: what was paid online and is not used goes back; money of a desk was to be asked for there."""
    ended = 0
    desk, actor = case.desk, Actor(case.person.id)
    live = [str(status) for status in LIVE_SUBSCRIPTION_STATUSES]
    query = {"userId": case.person.id, "status": {"$in": live}}
    for contract in await desk.stores.mongo.find("member_subscriptions", query, ()):
        id_, key = contract["_id"], f"erasure {case.request} {contract['_id']}"
        try:
            cancel = partial(leaving.cancel, desk.units, desk.stores, desk.provider, actor, id_)
            await cancel(at=CancelAt.NOW, reason=None, key=key, now=case.now)
        except AtTheDesk:
            await leaving.end_without_return(desk.units, desk.stores, actor, id_, now=case.now)
        except (NotPossibleNow, NotFound):  # it ended meanwhile
            continue
        ended += 1
    return {"memberships": ended}


async def staff(case: Case) -> dict[str, int]:
    """The person works nowhere any more."""
    found = await case.desk.stores.mongo.find("facilities", {"staff.userId": case.person.id}, ())
    for facility in found:
        await staffing.leave(case.desk.units, facility["_id"], case.person.id, now=case.now)
    return {"facilities": len(found)}

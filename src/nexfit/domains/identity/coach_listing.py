"""What coaches are searched by, kept in the person's document: words, places, languages, and what people think of them.

Derived from the person's own parts, the facilities where they work and the reviews. A change of a profile or a review
writes it in the same commit; the change feed follows facilities and whoever else writes, and a job compares everybody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bson import ObjectId

from nexfit.domains.identity.people import COACHES
from nexfit.domains.identity.review_documents import ReviewSubject
from nexfit.domains.text import fold
from nexfit.domains.vocabulary import search
from nexfit.domains.vocabulary.documents import Kind
from nexfit.domains.vocabulary.words import found_by
from nexfit.stores.errors import WriteConflict
from nexfit.stores.mongo import Document, Mongo
from nexfit.stores.mongo_transactions import MongoTransaction

USERS, FACILITIES, REVIEWS = "users", "facilities", "reviews"
LISTED: Mapping[str, Any] = {"coachListing": {"$exists": True}, "isActive": True}
"""Whom a search finds; the indexes of the search hold nobody else."""

MOST_FACILITIES = 50
AT_ONCE = 200
PATIENCE = 2.0
"""Seconds for a commit."""

TRIES = 5
"""Of writing one listing; what is given up then is left to the job."""

_USER = ("firstName", "lastName", "role", "isActive", "roleSpecificData", "coachListing")
_FACILITY = ("ownerId", "staff.userId", "address.city", "address.coordinates")


async def refresh(tx: MongoTransaction, person: ObjectId) -> None:
    """List a person anew, or no longer, in the transaction that changed something of them. Raises StoreError."""
    user = await tx.find_one(USERS, {"_id": person}, _USER)
    if user is None:
        return
    facilities = [] if not _is_coach(user) else await tx.find(FACILITIES, _works([person]), _FACILITY)
    await _write(tx, user, facilities, await ratings_of(tx, person))


async def refresh_people(mongo: Mongo, people: Collection[ObjectId]) -> int:
    """The same for several, each in a transaction of its own; how many were listed otherwise. Raises StoreError."""
    if not people:
        return 0
    # First without transactions: nearly always nothing is to be written.
    users = await mongo.find(USERS, {"_id": {"$in": list(people)}}, _USER)
    coaches = [user["_id"] for user in users if _is_coach(user)]
    facilities = await mongo.find(FACILITIES, _works(coaches), _FACILITY) if coaches else []
    stars = await _ratings(mongo, coaches)
    changed = 0
    for user in users:
        theirs = [one for one in facilities if _works_at(user["_id"], one)]
        if user.get("coachListing") != made(user, theirs, stars.get(user["_id"], ())):
            changed += await _again(mongo, user["_id"])
    return changed


async def refresh_all(mongo: Mongo) -> int:
    """The same for every coach and everybody who is listed, some hundred at a time."""
    done, last = 0, ObjectId(bytes(12))
    wanted = {"$or": [{"role": {"$in": COACHES}}, {"coachListing": {"$exists": True}}]}
    while True:
        rows = await mongo.find(USERS, {"_id": {"$gt": last}, **wanted}, (), sort=[("_id", 1)], limit=AT_ONCE)
        if not rows:
            return done
        ids = [row["_id"] for row in rows]
        done, last = done + await refresh_people(mongo, ids), ids[-1]


async def working_at(mongo: Mongo, facilities: Collection[ObjectId]) -> set[ObjectId]:
    """Who works at the facilities now, and whoever is listed as if they did; in two commands."""
    rows = await mongo.find(FACILITIES, {"_id": {"$in": list(facilities)}}, ("ownerId", "staff.userId"))
    there = {person for row in rows for person in _staff(row)}
    listed = await mongo.find(USERS, {"coachListing.facilityIds": {"$in": list(facilities)}}, ())
    return there | {row["_id"] for row in listed}


async def ratings_of(tx: MongoTransaction, coach: ObjectId) -> list[int]:
    """Every rating of a coach, as the transaction sees them."""
    rows = await tx.find(REVIEWS, {"subjectType": str(ReviewSubject.COACH), "subjectId": coach}, ("rating",))
    return [row["rating"] for row in rows]


def made(user: Mapping[str, Any], facilities: Sequence[Mapping[str, Any]], ratings: Sequence[int]) -> Document | None:
    """A person's listing; None for who is no coach or has put the account to sleep."""
    if not _is_coach(user):
        return None
    parts = [part for role, part in (user.get("roleSpecificData") or {}).items() if role in user["role"]]
    parts = [part for part in parts if part is not None]
    there = sorted(facilities, key=lambda one: one["_id"])[:MOST_FACILITIES]
    addresses = [one.get("address") or {} for one in there]
    texts = [user["firstName"], user["lastName"], *(address["city"] for address in addresses if address.get("city"))]
    texts += [line for part in parts for name in ("specializations", "certifications") for line in part.get(name) or ()]
    points = [address["coordinates"] for address in addresses if address.get("coordinates")]
    points += [part["workplace"] for part in parts if part.get("workplace")]
    return {
        "words": found_by(texts),
        "specializations": sorted({fold(line) for part in parts for line in part.get("specializations") or ()}),
        "languages": sorted({code for part in parts for code in part.get("languages") or ()}),
        "facilityIds": [one["_id"] for one in there],
        "places": [{"point": point} for point in points],
        **_summary(ratings),
    }


def _summary(ratings: Sequence[int]) -> Document:
    """Not rounded: MongoDB takes a change to the same value for none, which would conflict with nobody."""
    return {"rating": sum(ratings) / len(ratings) if ratings else 0.0, "reviews": len(ratings)}


async def _write(
    tx: MongoTransaction, user: Mapping[str, Any], facilities: Sequence[Mapping[str, Any]], ratings: Sequence[int]
) -> None:
    listing = made(user, facilities, ratings)
    if listing is None:
        if "coachListing" in user:
            await tx.update(USERS, {"_id": user["_id"]}, {"$unset": {"coachListing": ""}})
        return
    parts = [
        f"roleSpecificData.{role}"
        for role in set(user["role"]) & set(COACHES) & (user.get("roleSpecificData") or {}).keys()
    ]
    stars = {"ratings": listing["rating"], "reviewCount": listing["reviews"]}
    repeated = {f"{part}.{name}": value for part in parts for name, value in stars.items()}
    change: Document = {"$set": {"coachListing": listing}}
    if ratings:
        change["$set"] |= repeated
    elif repeated:
        change["$unset"] = dict.fromkeys(repeated, "")
    await tx.update(USERS, {"_id": user["_id"]}, change)
    await search.learn(tx, Kind.COACHES, None, listing["words"])


async def _again(mongo: Mongo, person: ObjectId) -> int:
    for _ in range(TRIES):
        transaction = MongoTransaction(mongo)
        try:
            await refresh(transaction, person)
            await transaction.commit(PATIENCE)
        except WriteConflict:  # somebody changes the person right now, or taught the same word
            continue
        else:
            return 1
        finally:
            await transaction.close()
    return 0


async def _ratings(mongo: Mongo, coaches: Sequence[ObjectId]) -> dict[ObjectId, list[int]]:
    if not coaches:
        return {}
    rows = await mongo.aggregate(
        REVIEWS,
        [
            {"$match": {"subjectType": str(ReviewSubject.COACH), "subjectId": {"$in": list(coaches)}}},
            {"$group": {"_id": "$subjectId", "ratings": {"$push": "$rating"}}},
        ],
    )
    return {row["_id"]: row["ratings"] for row in rows}


def _is_coach(user: Mapping[str, Any]) -> bool:
    return bool(user["isActive"]) and not set(user["role"]).isdisjoint(COACHES)


def _works(people: Sequence[ObjectId]) -> dict[str, Any]:
    return {"$or": [{"ownerId": {"$in": list(people)}}, {"staff.userId": {"$in": list(people)}}]}


def _works_at(person: ObjectId, facility: Mapping[str, Any]) -> bool:
    return person in _staff(facility)


def _staff(facility: Mapping[str, Any]) -> set[ObjectId]:
    owner = facility.get("ownerId")
    return {entry["userId"] for entry in facility.get("staff") or ()} | ({owner} if owner is not None else set())

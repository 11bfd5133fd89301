"""What follows from changed documents of MongoDB: member facts, instructors' names, marks of days, cache tags."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from nexfit.domains import tags
from nexfit.domains.classes import instructors
from nexfit.domains.facilities import listing
from nexfit.domains.identity import coach_listing
from nexfit.domains.memberships.projection import Pair, project
from nexfit.hybrid import feed_positions
from nexfit.hybrid.freshness import Freshness
from nexfit.hybrid.mongo_feed import Pending, Save
from nexfit.operations import daily_figures
from nexfit.operations.member_facts import project_all
from nexfit.stores.change_stream import DocumentChange, HistoryLost
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreUnavailable, WriteConflict
from nexfit.stores.mongo import Document
from nexfit.stores.postgres_transactions import PostgresTransaction

MEMBERSHIP = frozenset({"member_subscriptions", "visits", "class_bookings"})
"""Documents a member's facts are read from, besides the person's own. They keep pre-images."""

NAME = frozenset({"firstName", "lastName"})
SHOWN = NAME | {"nameFolded", "roleSpecificData", "roleSpecificData.client", "roleSpecificData.client.dateOfBirth"}
"""What of a person member facts show: the paths an update may name."""

LISTED_BY = NAME | {"role", "isActive", "roleSpecificData"}
WORKED_AT = frozenset({"ownerId", "staff", "address"})
"""What of a person and of a facility coaches are listed by; a change of the listing alone is none."""

_FACTS_OF_USERS = "SELECT facility_id, user_id FROM platform.member_facts WHERE user_id = ANY ($1::text[])"
PASSED_BOOKINGS = "SELECT facility_id, user_id FROM platform.member_facts WHERE next_booking_at <= $1 LIMIT 500"


class DocumentEffect:
    """The effect of a batch of changes. Views of documents are given up first, views of facts once those are there."""

    def __init__(self, stores: Stores, freshness: Freshness) -> None:
        self._stores = stores
        self._freshness = freshness

    async def __call__(self, changes: Sequence[DocumentChange], pending: Pending, save: Save) -> None:
        await self._freshness.raise_tags(await self._tags(changes))
        await self._rename([change.id for change in changes if change.collection == "users" and _tells(change, NAME)])
        await listing.refresh(self._stores.mongo, await self._sellers(changes))
        await coach_listing.refresh_people(self._stores.mongo, await self._listed(changes))
        pairs = {(facility, user) for facility, user in pending} | _members(changes)
        pairs |= await self._rows_of([one.id for one in changes if one.collection == "users" and _tells(one, SHOWN)])
        marks = await daily_figures.marks_of(self._stores.mongo, changes)

        async def save_all(transaction: PostgresTransaction, pending: Pending) -> None:
            await daily_figures.mark(transaction, marks)
            await save(transaction, pending)

        written = await self._project(sorted(pairs), save_all)
        await self._freshness.raise_tags(_tags_of(written))

    async def pass_bookings(self) -> None:
        """Look again at the members whose next booking has passed. Raises StoreError."""
        while True:
            now = datetime.now(UTC)
            rows = await self._stores.postgres.fetch(PASSED_BOOKINGS, now)
            if not rows:
                return
            pairs = [(row["facility_id"], row["user_id"]) for row in rows]
            async with feed_positions.transaction(self._stores.postgres) as transaction:
                done = await project(transaction, self._stores.mongo, pairs, now)
            await self._freshness.raise_tags(_tags_of(done.written))
            if not done.written:
                return

    async def _tags(self, changes: Sequence[DocumentChange]) -> set[str]:
        raised: set[str] = set()
        unknown: defaultdict[str, set[Any]] = defaultdict(set)
        for change in changes:
            templates = tags.DOCUMENTS[change.collection]
            for side in change.sides():
                raised |= tags.filled(templates, {**side, "_id": change.id})
            if not any(change.sides()):
                raised |= tags.filled(templates, {"_id": change.id})
                if tags.fields_of(templates) != {"_id"}:
                    unknown[change.collection].add(change.id)
        for collection, ids in unknown.items():
            raised |= await self._tags_by_id(collection, ids)
        return raised

    async def _tags_by_id(self, collection: str, ids: Collection[Any]) -> set[str]:
        """The tags of documents of which a change told the id alone."""
        templates = tags.DOCUMENTS[collection]
        found = await self._stores.mongo.find(collection, {"_id": {"$in": [*ids]}}, tags.fields_of(templates))
        if len(found) < len(ids):
            # Deleted: nobody can say any more which views showed it.
            self._freshness.give_up_everything()
        return set().union(*(tags.filled(templates, document) for document in found))

    async def _sellers(self, changes: Sequence[DocumentChange]) -> set[ObjectId]:
        """The facilities whose plans changed; one that is gone with its plan is left to the job that looks at all."""
        plans = [change for change in changes if change.collection == "memberships"]
        known = [side for change in plans for side in change.sides()]
        unknown = [change.id for change in plans if not any(change.sides())]
        if unknown:
            known += await self._stores.mongo.find("memberships", {"_id": {"$in": unknown}}, ("facilityId",))
        return {plan["facilityId"] for plan in known if "facilityId" in plan}

    async def _listed(self, changes: Sequence[DocumentChange]) -> set[ObjectId]:
        """The people whose listings as coaches may have changed: by themselves, or by where they work."""
        people = {one.id for one in changes if one.collection == "users" and _within(one, LISTED_BY)}
        places = [one.id for one in changes if one.collection == "facilities" and _within(one, WORKED_AT)]
        return people | (await coach_listing.working_at(self._stores.mongo, places) if places else set())

    async def _rename(self, users: Collection[ObjectId]) -> None:
        if users:
            wrong = await instructors.wrong_names(self._stores.mongo, users)
            await instructors.refresh(self._stores.mongo, wrong)

    async def _rows_of(self, users: Collection[ObjectId]) -> set[Pair]:
        if not users:
            return set()
        rows = await self._stores.postgres.fetch(_FACTS_OF_USERS, [str(user) for user in users])
        return {(row["facility_id"], row["user_id"]) for row in rows}

    async def _project(self, pairs: Sequence[Pair], save: Save) -> list[Pair]:
        """Project the members and save the position: at once, or around the rows that somebody holds."""
        try:
            async with feed_positions.transaction(self._stores.postgres) as transaction:
                done = await project(transaction, self._stores.mongo, pairs, datetime.now(UTC))
                await save(transaction, done.busy)
        except (StoreUnavailable, WriteConflict) as error:
            if error.store != "postgres" or not pairs:
                raise
            done = await project_all(self._stores, pairs, datetime.now(UTC))
            async with feed_positions.transaction(self._stores.postgres) as transaction:
                await save(transaction, done.busy)
        return done.written


def _members(changes: Iterable[DocumentChange]) -> set[Pair]:
    """Whose facts changed memberships, visits and bookings are about. Raises HistoryLost where one does not tell."""
    pairs = set()
    for change in changes:
        if change.collection not in MEMBERSHIP:
            continue
        if change.before is None and change.operation != "insert":
            raise HistoryLost("mongo", f"{change.collection} keeps no pre-images: run `nexfit migrate up`")
        pairs |= {pair for side in change.sides() if (pair := _pair(side)) is not None}
    return pairs


def _pair(document: Document) -> Pair | None:
    facility, user = document.get("facilityId"), document.get("userId")
    return (str(facility), str(user)) if isinstance(facility, ObjectId) and isinstance(user, ObjectId) else None


def _tells(change: DocumentChange, paths: Collection[str]) -> bool:
    """Whether the change may be about one of the paths."""
    return change.operation != "update" or not change.changed.isdisjoint(paths)


def _within(change: DocumentChange, fields: Collection[str]) -> bool:
    """Whether the change may be about one of the fields, or what lies in one."""
    return change.operation != "update" or not {path.partition(".")[0] for path in change.changed}.isdisjoint(fields)


def _tags_of(written: Iterable[Pair]) -> set[str]:
    return {tag for facility, _ in written for tag in tags.filled(tags.MEMBER_FACTS, {"facility_id": facility})}

"""The names of instructors that classes and their dates repeat, compared with the people's own. The person wins."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from bson import ObjectId

from nexfit.domains.classes import instructors
from nexfit.operations.member_facts import Stores
from nexfit.operations.reconcile.report import Finding


class NamesComparison:
    """Instructors' names in classes and dates."""

    name = "instructors' names"

    async def suspects(self, stores: Stores, now: datetime) -> AsyncIterator[tuple[int, Sequence[ObjectId]]]:
        """Everybody who teaches: there are few, so all of them at once."""
        teaching: set[ObjectId] = set()
        for collection in instructors.COLLECTIONS:
            with stores.mongo.unhurried() as database:
                teaching |= {*await database[collection].distinct("instructor.userId")}
        wrong = await instructors.wrong_names(stores.mongo, teaching)
        yield len(teaching), [*{one.user_id for one in wrong}]

    async def confirm(self, stores: Stores, keys: Sequence[ObjectId], now: datetime) -> list[Finding]:
        """The names that are still wrong."""
        return [
            Finding(
                "names.instructor", f"user {one.user_id}", f"{one.documents} {one.collection} name them wrongly", one
            )
            for one in await instructors.wrong_names(stores.mongo, keys)
        ]

    async def repair(self, stores: Stores, findings: Sequence[Finding], now: datetime) -> int:
        """Repeat the right names."""
        await instructors.refresh(stores.mongo, [finding.case for finding in findings])
        return len(findings)

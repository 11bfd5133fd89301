"""The floor of the works on real stores, everything loaded each time: `python -m bench.peers.floor PORT`.

The overview is `bench.stores`' own without its joined views; the timetable is added.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import uvicorn
from bson import ObjectId

from bench.stores.floor import App, Floor, Receive, Send
from bench.stores.floor_stores import Json, Load, Reads, StoreLayer, Views
from bench.stores.http import HOST
from nexfit.api.relay import local_id
from nexfit.settings import Settings

CLASSES, DATES = 50, 10


class NoViews(Views):
    """Joined views that are loaded whenever they are asked for."""

    async def get(self, keys: Sequence[tuple[str, str]], items: Sequence[str], load: Load) -> Mapping[str, Any]:
        """The values of a view."""
        return await load()


class UncachedFloor(Floor):
    """Handlers that never ask Redis."""

    def __init__(self, reads: Reads) -> None:
        super().__init__(reads)
        self._views = NoViews(reads)
        self.routes = {"/overview": self.overview, "/timetable": self.timetable}

    async def timetable(self, variables: Json, _: str) -> Json:
        """`Timetable`: a level of classes, then a level of their instructors and dates."""
        now = datetime.now(UTC)
        id_ = ObjectId(local_id(variables["facility"], "Facility"))
        await self._reads.find("facilities", {"_id": {"$in": [id_]}}, ())
        found = await self._reads.find(
            "classes",
            {"facilityId": id_, "isActive": True},
            ("instructor.userId", "name"),
            sort=[("name", 1), ("_id", 1)],
            limit=CLASSES + 1,
        )
        shown = found[:CLASSES]
        instructors = [row["instructor"]["userId"] if row.get("instructor") else None for row in shown]
        people, dates = await asyncio.gather(
            self._people({instructor for instructor in instructors if instructor}),
            self._dates([row["_id"] for row in shown], now),
        )
        nodes = [
            {"name": row["name"], "instructor": people.get(instructor), "occurrences": held}
            for row, instructor, held in zip(shown, instructors, dates, strict=True)
        ]
        return {"facility": {"classes": {"nodes": nodes}}}

    async def _dates(self, classes: list[ObjectId], now: datetime) -> list[list[Json]]:
        """The next dates of each class, as they are shown."""
        shown = ("startsAt", "capacity", "seatsTaken")
        steps = [
            {"$match": {"startsAt": {"$gte": now}}},
            {"$sort": {"startsAt": 1, "_id": 1}},
            {"$limit": DATES},
            {"$project": {"_id": 0, **dict.fromkeys(sorted(shown), 1)}},
        ]
        joined = {
            "from": "class_occurrences",
            "localField": "parent",
            "foreignField": "classId",
            "pipeline": steps,
            "as": "rows",
        }
        found = await self._reads.aggregate(
            [
                {"$documents": [{"_id": place, "parent": id_} for place, id_ in enumerate(classes)]},
                {"$lookup": joined},
                {"$project": {"rows": 1}},
            ]
        )
        return [[{key: date[key] for key in shown} for date in row["rows"]] for row in found]


class UncachedApp(App):
    """The ASGI application around it."""

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        reads = await StoreLayer.open(Settings())
        self._floor = UncachedFloor(reads)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await reads.close()
        await send({"type": "lifespan.shutdown.complete"})


if __name__ == "__main__":
    uvicorn.run(UncachedApp(plain=False), host=HOST, port=int(sys.argv[1]), access_log=False)

"""Figures of workouts that were stored before workouts kept any."""

from __future__ import annotations

from pymongo import UpdateOne

from nexfit.domains.training import exercises, figures
from nexfit.domains.training.workouts import COLLECTION, KEPT
from nexfit.stores.mongo import Mongo

BATCH = 1_000


async def fill(mongo: Mongo) -> int:
    """Write the figures of workouts that have none; how many. Raises StoreError.

    May be run again after dying half-way. A later change of an exercise changes no figures of what was done before.
    """
    count = 0
    with mongo.unhurried() as database:
        logs = database[COLLECTION].find({"figures": {"$exists": False}, **KEPT}, {"exercises": 1})
        while batch := await logs.to_list(BATCH):
            named = {one["exerciseId"] for log in batch for one in log.get("exercises") or ()}
            known = await exercises.by_ids(mongo, named, ("metadata",))
            await database[COLLECTION].bulk_write(
                [
                    UpdateOne(
                        {"_id": log["_id"], "figures": {"$exists": False}},
                        {"$set": {"figures": figures.of_workout(log.get("exercises") or (), known)}},
                    )
                    for log in batch
                ]
            )
            count += len(batch)
    return count

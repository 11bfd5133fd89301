"""Documents from before the search by words are given theirs when its index is made."""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from nexfit.domains.training import exercises
from nexfit.domains.vocabulary import search
from nexfit.domains.vocabulary.documents import Kind
from nexfit.operations.vocabulary import fill
from nexfit.stores.connections import Stores


def _row(name: str, **more: Any) -> dict[str, Any]:
    return {"_id": ObjectId(), "name": name, "nameFolded": name.lower(), "isPublic": True, **more}


async def test_older_documents_become_findable(stores: Stores) -> None:
    owner = ObjectId()
    database = stores.mongo.database
    rows = [_row("Bench Press"), _row("Overhead Press"), _row("Secret Lift", isPublic=False, createdBy=owner)]
    await database["exercises"].insert_many(rows)
    assert await fill(stores.mongo, {"users"}) == 0
    assert await fill(stores.mongo, {"exercises"}) == 3
    assert await fill(stores.mongo, {"exercises"}) == 0
    stored = await database["exercises"].find().sort("_id", 1).to_list()
    assert [(row["words"], row["nameWords"]) for row in stored] == [
        (["bench", "press"], 2),
        (["overhead", "press"], 2),
        (["lift", "secret"], 2),
    ]
    assert stored == [{**row, **exercises.searched(row)} for row in rows]
    # Somebody's own words are nobody else's: to others they are as unknown as any.
    assert await search.condition(stores.mongo, Kind.EXERCISES, None, "secret") is None
    assert await search.condition(stores.mongo, Kind.EXERCISES, owner, "secert") == {"words": "secret"}
    assert await search.condition(stores.mongo, Kind.EXERCISES, None, "bnech pr") == {
        "$and": [{"words": "bench"}, {"words": "press"}]
    }
    await database["exercises"].delete_many({})
    await database["vocabulary"].delete_many({})

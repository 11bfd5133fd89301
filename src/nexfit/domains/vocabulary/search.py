"""Search by words in MongoDB, forgiving slips: first which known words are meant, then what has all of them.

What is searched keeps its `words` (all it is found by), `nameWords` (how many its name has) and `nameFolded`; an index
over the three gives pages with the shortest, hence most exact, names first. Only the vocabulary, which grows with the
language and not with the documents, is looked into by trigrams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from bson import ObjectId

from nexfit.domains.vocabulary import words
from nexfit.domains.vocabulary.documents import Kind, VocabularyWord
from nexfit.hybrid.paging import Key, integer, object_id, text
from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.mongo import Document, Mongo
from nexfit.stores.mongo_transactions import MongoTransaction

COLLECTION = VocabularyWord.Settings.name
KEYS = (Key("nameWords", integer), Key("nameFolded", text), Key("_id", object_id))
"""The order of what a search finds."""

MOST_ENDINGS = 100
"""Words that the last word of a search may be the beginning of."""

MOST_CANDIDATES = 60


def entry(kind: Kind, owner: ObjectId | None, word: str) -> Document:
    """A word as it is stored."""
    row: Document = {"_id": _id(kind, owner, word), "kind": str(kind), "word": word, "grams": words.grams(word)}
    return row if owner is None else {**row, "owner": owner}


def _id(kind: Kind, owner: ObjectId | None, word: str) -> str:
    return f"{kind}:{owner or ''}:{word}"


async def learn(tx: MongoTransaction, kind: Kind, owner: ObjectId | None, found_by: Collection[str]) -> None:
    """Add the words that are not known yet, in the transaction of what has them. Raises StoreError."""
    rows = {row["_id"]: row for row in (entry(kind, owner, word) for word in found_by)}
    known = await tx.find(COLLECTION, {"_id": {"$in": list(rows)}}, ())
    for one in known:
        del rows[one["_id"]]
    try:
        await tx.insert(COLLECTION, *rows.values())
    except ConstraintViolated as violated:  # somebody else taught one of them meanwhile
        raise WriteConflict("mongo", f"the vocabulary grew: {violated}") from violated


async def condition(
    mongo: Mongo, kind: Kind, viewer: ObjectId | None, asked: str, *, loosely: bool = False
) -> Mapping[str, Any] | None:
    """What a document found by the text matches; None where nothing can be. An empty text matches everything.

    Each word is meant as it is written, the last one also as a beginning; a word nobody knows is taken for those with
    the fewest slips, and `loosely` every word for all that are near, known or not. Two commands and one more for each
    word with slips, whatever the number of documents. Raises StoreError.
    """
    said = list(dict.fromkeys(words.split(asked)))[: words.MOST_WORDS]
    if not said:
        return {}
    owners = [None] if viewer is None else [None, viewer]
    *whole, last = said
    known, endings = await asyncio.gather(_known(mongo, kind, owners, whole), _endings(mongo, kind, owners, last))
    meant = {word: [word] for word in known} | ({last: endings} if endings else {})
    slipped = [word for word in said if words.forgiven(word) and (loosely or word not in meant)]
    for word, candidates in zip(slipped, await _candidates(mongo, kind, owners, slipped), strict=True):
        near = words.near(word, candidates) if loosely else words.nearest(word, candidates)
        meant[word] = sorted({*meant.get(word, ()), *near})
    if not all(meant.get(word) for word in said):
        return None
    each = [{"words": found[0] if len(found) == 1 else {"$in": found}} for found in (meant[word] for word in said)]
    return each[0] if len(each) == 1 else {"$and": each}


async def _known(mongo: Mongo, kind: Kind, owners: Sequence[ObjectId | None], asked: Sequence[str]) -> set[str]:
    if not asked:
        return set()
    ids = [_id(kind, owner, word) for owner in owners for word in asked]
    return {row["word"] for row in await mongo.find(COLLECTION, {"_id": {"$in": ids}}, ("word",))}


async def _endings(mongo: Mongo, kind: Kind, owners: Iterable[ObjectId | None], start: str) -> list[str]:
    ranges = [{"_id": {"$gte": id_, "$lt": id_ + "\U0010ffff"}} for id_ in (_id(kind, one, start) for one in owners)]
    found = await mongo.find(COLLECTION, {"$or": ranges}, ("word",), sort=[("_id", 1)], limit=MOST_ENDINGS)
    return sorted({row["word"] for row in found})


async def _candidates(
    mongo: Mongo, kind: Kind, owners: Sequence[ObjectId | None], asked: Sequence[str]
) -> list[list[str]]:
    """Known words that share enough trigrams with each word, in one command for each: slips are rare."""
    return await asyncio.gather(*(_sharing(mongo, kind, owners, word) for word in asked))


async def _sharing(mongo: Mongo, kind: Kind, owners: Sequence[ObjectId | None], word: str) -> list[str]:
    cut = words.grams(word)
    found = await mongo.aggregate(
        COLLECTION,
        [
            {"$match": {"kind": str(kind), "owner": {"$in": list(owners)}, "grams": {"$in": cut}}},
            {"$project": {"word": 1, "common": {"$size": {"$setIntersection": ["$grams", cut]}}}},
            {"$match": {"common": {"$gte": words.least_common(word)}}},
            {"$sort": {"common": -1, "_id": 1}},
            {"$limit": MOST_CANDIDATES},
        ],
    )
    return sorted({row["word"] for row in found})

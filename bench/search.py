"""`python -m bench search`: foods and exercises found by words, and how the time grows with the number of foods.

The names are made of a language of 20,000 words, of which few are in most names and most in few, as in any language;
texts are the commonest and rare words, beginnings, slips and combinations of them. The API is called as its server
calls it, in this process; so are its floors, in turn. What MongoDB reads for a page is what it says itself.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from argon2 import PasswordHasher
from pymongo.write_concern import WriteConcern
from rich.console import Console
from rich.table import Table

from bench import replay
from bench.crashes.servers import stores_on
from bench.guard import posted
from bench.replay import Line
from bench.stores.data import bars
from bench.stores.errors import CannotMeasure
from bench.training import patient, served, signed_in
from bench.training_data import PASSWORD, person
from nexfit.app import create_app
from nexfit.domains.nutrition.foods import searched as searched_food
from nexfit.domains.training.exercises import searched as searched_exercise
from nexfit.domains.vocabulary import search
from nexfit.domains.vocabulary.documents import Kind
from nexfit.embedded import EmbeddedError, EmbeddedServers
from nexfit.local_servers import set_encryption_keys
from nexfit.operations import mongo_schema
from nexfit.settings import Settings
from nexfit.stores.connections import Stores, open_stores

ROWS, EXERCISES, WORDS = 1_000_000, 10_000, 20_000
BATCH, MANY = 5_000, 50_000
NOW = datetime(2026, 6, 15, 9, tzinfo=UTC)

FOODS = """query Foods($first: Int, $after: String, $filter: FoodsFilter) { foods(first: $first, after: $after,
  filter: $filter) { nodes { id name category nutrients { calories protein carbs fat } } pageInfo { endCursor } } }"""
COUNTED = FOODS.replace("nodes {", "totalCount nodes {")
FOUND = FOODS.replace("Foods", "Exercises").replace("foods", "exercises")
FOUND = FOUND.replace("category nutrients { calories protein carbs fat }", "bodyAreas equipment")

Filled = Callable[[int], None]


def language(words: int, seed: int = 7) -> list[str]:
    """So many different words that can be spoken, the commonest first."""
    chance = random.Random(seed)
    made: dict[str, None] = {}
    while len(made) < words:
        syllables = chance.choice((2, 2, 3, 3, 4))
        made["".join(chance.choice("bcdfghklmnprstvyz") + chance.choice("aeiou") for _ in range(syllables))] = None
    return list(made)


class Names:
    """Names of two to five words; the n-th word of the language is in about one of n + 10 of them."""

    def __init__(self, words: Sequence[str], seed: int) -> None:
        self._words = words
        self._chance = random.Random(seed)
        self._weights = list(itertools.accumulate(1 / (rank + 10) for rank in range(len(words))))

    def make(self) -> str:
        """Another one."""
        return " ".join(self._chance.choices(self._words, cum_weights=self._weights, k=self._chance.randint(2, 5)))


async def fill(stores: Stores, kind: Kind, rows: Iterator[Mapping[str, Any]], count: int, on_rows: Filled) -> None:
    """Insert so many more of the rows, several batches at once; of many, indexes are built anew, which is quicker."""
    with stores.mongo.unhurried() as database:
        if count >= MANY:
            await database[str(kind)].drop_indexes()
        target = database[str(kind)].with_options(write_concern=WriteConcern(1))
        batches = iter([min(BATCH, count - done) for done in range(0, count, BATCH)])

        async def insert() -> None:
            for size in batches:
                batch = [dict(row) for row in itertools.islice(rows, size)]
                await target.insert_many(batch, ordered=False, bypass_document_validation=True)
                on_rows(size)

        await asyncio.gather(*(insert() for _ in range(3)))
        if count >= MANY:
            await mongo_schema.up(database)
        await database[str(kind)].delete_one({"_id": None})  # waits for the majority, without which nobody reads it
        await database.client.admin.command("fsync")  # what is measured next shall not wait for it


async def learn(stores: Stores, kind: Kind, words: Sequence[str]) -> None:
    """Let the words be known."""
    rows = [search.entry(kind, None, word) for word in words]
    await stores.mongo.database[search.COLLECTION].insert_many(rows, ordered=False)


def foods(words: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Verified foods without end."""
    names, chance = Names(words, 11), random.Random(13)
    for number in itertools.count():
        name = names.make()
        nutrients = {"calories": 50 + number % 400, "protein": number % 30, "carbs": number % 60, "fat": number % 10}
        row = {"name": name, "nameFolded": name, "isVerified": True, "verification": "verified", "createdAt": NOW}
        row |= {"category": f"category {chance.randrange(40)}", "nutrients": nutrients, "updatedAt": NOW}
        yield row | searched_food(row)


def exercises(words: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Public exercises without end."""
    names = Names(words, 11)  # the same as of the first foods
    for number in itertools.count():
        name, areas = names.make(), [f"area {number % 12}"]
        row = {"name": name, "nameFolded": name, "isPublic": True, "createdAt": NOW, "updatedAt": NOW}
        row |= {"metadata": {"bodyAreas": areas, "primaryBodyAreas": areas, "equipment": ["bar"]}}
        yield row | searched_exercise(row)


@dataclass(frozen=True, slots=True)
class Search:
    """A way to look for something. `none` where nothing is found, `page` the one that is measured."""

    name: str
    filter: Mapping[str, Any]
    query: str = FOODS
    page: int = 1
    none: bool = False


def searches(words: Sequence[str]) -> list[Search]:
    """Of foods: the commonest words are the worst, because they find the most."""
    rank = {word: place for place, word in enumerate(words)}
    some = list(itertools.islice(foods(words), 200))
    first = [sorted(food["words"], key=rank.__getitem__) for food in some]
    category = next(food["category"] for food in some if words[0] in food["words"])
    common, *_, rare = max(first, key=lambda found: rank[found[-1]])
    long, beside = next((one, found[0]) for found in first for one in found[1:] if len(one) == 8)
    slip = long[:2] + long[3] + long[2] + long[4:]
    return [
        Search("the commonest word", {"text": words[0]}),
        Search("the commonest word, page 3", {"text": words[0]}, page=3),
        Search("the commonest word, counted", {"text": words[0]}, COUNTED),
        Search("a rare word", {"text": rare}),
        Search("the two commonest words", {"text": f"{words[0]} {words[1]}"}),
        Search("a common and a rare word", {"text": f"{common} {rare}"}),
        Search("one letter", {"text": words[0][0]}),
        Search("one letter, page 3", {"text": words[0][0]}, page=3),
        Search("three letters", {"text": words[0][:3]}),
        Search("three letters, page 3", {"text": words[0][:3]}, page=3),
        Search("a slip", {"text": slip}),
        Search("a common word, and one with a slip", {"text": f"{beside} {slip}"}),
        Search("the commonest word, of a category", {"text": words[0], "category": category}),
        Search("what nothing has", {"text": "qqqqwwwwxxxx"}, none=True),
        Search("a category, by name", {"category": category}),
        Search("no text: all, by name", {}),
    ]


@dataclass(slots=True)
class Found:
    """A search at every size, and what MongoDB read of the collection for it at the last one."""

    lines: list[Line] = field(default_factory=list)
    keys: int = 0
    documents: int = 0


async def measure(
    settings: Settings,
    sizes: Sequence[int],
    rounds: int,
    requests: int,
    *,
    words: int = WORDS,
    exercises_: int = EXERCISES,
    on_rows: Filled = lambda _: None,
) -> dict[str, Found]:
    """All searches of foods at each size, and the first of exercises. Raises CannotMeasure where no index serves."""
    known, found = language(words), dict[str, Found]()
    app = create_app(served(settings))
    async with (
        app.router.lifespan_context(app),
        open_stores(settings) as stores,
        replay.bare_drivers(settings) as drivers,
    ):
        somebody = person(0, NOW)
        await stores.mongo.database["users"].insert_one(somebody)
        hashed = PasswordHasher().hash(PASSWORD)
        await stores.mongo.database["credentials"].insert_one(
            {"_id": somebody["_id"], "passwordHash": hashed, "updatedAt": NOW}
        )
        token = await signed_in(app.state.endpoint, somebody["email"], PASSWORD)
        ask = _Asking(app.state.endpoint, token)
        for kind in (Kind.FOODS, Kind.EXERCISES):
            await learn(stores, kind, known)
        await fill(stores, Kind.EXERCISES, exercises(known), exercises_, on_rows)
        rows, there = foods(known), 0
        for size in sizes:
            await fill(stores, Kind.FOODS, rows, size - there, on_rows)
            there = size
            for one in searches(known):
                again = await ask.of(one)
                known_of = found.setdefault(one.name, Found())
                known_of.lines.append(await replay.compare(one.name, again, drivers, rounds, requests))
                known_of.keys, known_of.documents = await _read(stores, Kind.FOODS, again)
        for one in searches(known)[:1] + searches(known)[6:9] + searches(known)[10:12]:
            again = await ask.of(Search(one.name, one.filter, FOUND, one.page))
            made = Found([await replay.compare(one.name, again, drivers, rounds, requests)])
            made.keys, made.documents = await _read(stores, Kind.EXERCISES, again)
            found[f"exercises: {one.name}"] = made
    return found


@dataclass(frozen=True, slots=True)
class _Asking:
    endpoint: Any
    token: str

    async def of(self, search_: Search) -> replay.Ask:
        """The request of the page that is measured, or of the last one there is.

        Raises CannotMeasure where nothing is found that should be.
        """
        after = None
        for _ in range(search_.page):
            given = {"first": 20, "after": after, "filter": search_.filter}
            body = orjson.dumps({"query": search_.query, "variables": given})
            answer = orjson.loads(await posted(self.endpoint, body, self.token))
            if "errors" in answer:
                raise CannotMeasure(f"{search_.name}: {answer['errors']}")
            [page] = answer["data"].values()
            if after is None and bool(page["nodes"]) == search_.none:
                raise CannotMeasure(f"{search_.name} finds {len(page['nodes'])}")
            if len(page["nodes"]) < 20:
                break
            after = page["pageInfo"]["endCursor"]
        return lambda: posted(self.endpoint, body, self.token)


async def _read(stores: Stores, kind: Kind, ask: replay.Ask) -> tuple[int, int]:
    """Index keys and documents that MongoDB looked at in the collection. Raises CannotMeasure for a scan of it all."""
    keys = documents = 0
    for command in (await replay.record(ask)).mongo():
        if str(kind) not in (command.get("find"), command.get("aggregate")):
            continue
        explained = {name: value for name, value in command.items() if name != "batchSize"}
        with stores.mongo.unhurried() as database:
            told = await database.command("explain", explained, verbosity="executionStats")
        if "COLLSCAN" in str(told["queryPlanner" if "queryPlanner" in told else "stages"]):
            raise CannotMeasure(f"no index serves {explained}")
        stats = told.get("executionStats") or told["stages"][0]["$cursor"]["executionStats"]
        keys += stats["totalKeysExamined"]
        documents += stats["totalDocsExamined"]
    return keys, documents


def main(arguments: Sequence[str]) -> int:
    """Print the table; the exit code is 1 where something could not be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m bench search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=ROWS, help="foods; also a tenth and a hundredth of them (1000000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds in which API and floors take turns (5)")
    parser.add_argument("--requests", type=int, default=10, help="requests of a turn (10)")
    given = parser.parse_args(arguments)
    if given.rows < 10_000 or given.rounds < 1 or given.requests < 1:
        parser.error("--rows is at least 10000, --rounds and --requests at least 1")
    sizes = [given.rows // 100, given.rows // 10, given.rows]
    console = Console() if sys.stdout.isatty() else Console(width=150)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="nexfit-search-") as folder,
            bars(console) as shown,
            EmbeddedServers(Path(folder) / "servers", durable=False) as servers,
            stores_on(servers.urls) as where,
        ):
            set_encryption_keys(Path(folder))
            task = shown.add_task("foods and exercises", total=given.rows + EXERCISES)
            found = asyncio.run(
                measure(
                    patient(where), sizes, given.rounds, given.requests, on_rows=lambda rows: shown.advance(task, rows)
                )
            )
    except (CannotMeasure, EmbeddedError) as error:
        console.print(f"bench: {error}", style="bold red", markup=False, highlight=False)
        return 1
    show(console, sizes, found)
    return 0


def show(console: Console, sizes: Sequence[int], found: Mapping[str, Found]) -> None:
    """One table: growth with the size, and what it took at the largest."""
    caption = "20 of a page; commands, ratios, keys and documents read: at the largest size"
    table = Table(title=f"Search among foods, and among {EXERCISES:,} exercises", caption=caption)
    table.add_column("text")
    for name in (*(f"{size:,}, ms" for size in sizes), "growth", "commands", "÷ bare", "÷ layer", "keys", "documents"):
        table.add_column(name, justify="right")
    for name, one in found.items():
        times = [f"{line.ms:.1f}" for line in one.lines]
        last = one.lines[-1]
        growth = f"{last.ms / one.lines[0].ms:.1f}×" if len(times) > 1 else ""
        numbers = str(last.commands["mongo"]), f"{last.to_bare:.2f}", f"{last.to_layer or 0:.2f}"
        cells = [""] * (len(sizes) - len(times)) + times
        table.add_row(name, *cells, growth, *numbers, f"{one.keys:,}", f"{one.documents:,}")
    console.print(table)

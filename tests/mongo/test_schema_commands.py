"""Applying the files: up, down, up, again and half-way; drift found; data never lost."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pymongo.errors import WriteError

from nexfit.operations.mongo_files import MongoFileError, default_folder, read_folder
from nexfit.operations.mongo_schema import (
    ALL_DOCUMENTS,
    Action,
    Change,
    SchemaNotApplied,
    down,
    refused_documents,
    status,
    up,
    verify,
)
from nexfit.operations.mongo_validators import collection_name
from nexfit.stores.mongo_ddl import Database

from .samples import sample

FILES = read_folder(default_folder())
MODELS = {collection_name(model): model for model in ALL_DOCUMENTS}


@pytest.fixture
async def empty(bare_database: Database) -> AsyncIterator[Database]:
    yield bare_database
    await bare_database.client.drop_database(bare_database.name)


async def shape(database: Database) -> dict[str, Any]:
    """What the server says of every collection."""
    return {
        described["name"]: (
            described["options"],
            [dict(index) async for index in await database[described["name"]].list_indexes()],
        )
        async for described in await database.list_collections()
    }


async def test_up_down_up_ends_where_up_ended(empty: Database) -> None:
    assert {change.action for change in await up(empty)} == {Action.CREATE_COLLECTION, Action.CREATE_INDEX}
    first = await shape(empty)
    assert set(first) == set(MODELS)
    assert await verify(empty) == []
    assert await up(empty) == []
    await down(empty)
    assert await shape(empty) == {}
    assert await down(empty) == []
    await up(empty)
    assert await shape(empty) == first


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.collection)
async def test_each_file_goes_up_and_down_over_data(empty: Database, tmp_path: Path, file: Any) -> None:
    shutil.copy(default_folder() / f"{file.collection}.yaml", tmp_path)
    document = sample(MODELS[file.collection])
    await up(empty, folder=tmp_path)
    await empty[file.collection].insert_one(document)
    undone = await down(empty, folder=tmp_path)
    expected = [Action.DROP_INDEX] * len(file.indexes) + [Action.DROP_VALIDATOR]
    assert [change.action for change in undone] == expected + [Action.SET_PRE_IMAGES] * file.pre_images
    assert [index["name"] async for index in await empty[file.collection].list_indexes()] == ["_id_"]
    assert await empty[file.collection].find_one() == document
    await empty[file.collection].insert_one({"_id": "anything goes now"})
    await empty[file.collection].delete_one({"_id": "anything goes now"})
    assert await up(empty, folder=tmp_path)
    assert await verify(empty, folder=tmp_path) == []
    assert await empty[file.collection].find_one() == document


async def test_every_kind_of_drift_is_found_and_repaired(empty: Database) -> None:
    await up(empty)
    await empty.command({"collMod": "visits", "validator": {}})
    await empty.command({"collMod": "users", "validationAction": "warn"})
    await empty.command({"collMod": "visits", "changeStreamPreAndPostImages": {"enabled": False}})
    await empty.command({"collMod": "foods", "changeStreamPreAndPostImages": {"enabled": True}})
    await empty.reviews.drop()
    await empty.facilities.drop_index("owner_name")
    await empty.devices.drop_index("unseen_ttl")
    await empty.devices.create_index("lastSeenAt", expireAfterSeconds=5, name="unseen_ttl")
    await empty.foods.drop_index("words")
    await empty.foods.create_index([("nameFolded", "text")], name="words", default_language="none")
    await empty.class_bookings.create_index("notes", name="by_hand")
    repair = {
        Change("visits", Action.SET_VALIDATOR),
        Change("users", Action.SET_VALIDATOR),
        Change("visits", Action.SET_PRE_IMAGES),
        Change("foods", Action.SET_PRE_IMAGES),
        Change("reviews", Action.CREATE_COLLECTION),
        Change("reviews", Action.CREATE_INDEX, "author_subject_unique"),
        Change("reviews", Action.CREATE_INDEX, "subject_newest"),
        Change("reviews", Action.CREATE_INDEX, "reported"),
        Change("facilities", Action.CREATE_INDEX, "owner_name"),
        Change("devices", Action.REBUILD_INDEX, "unseen_ttl"),
        Change("foods", Action.REBUILD_INDEX, "words"),
    }
    by_hand = Change("class_bookings", Action.DROP_INDEX, "by_hand")
    assert set(await verify(empty)) == {*repair, by_hand}
    standing = {row.collection: row for row in await status(empty)}
    assert not standing["reviews"].exists
    assert standing["class_bookings"].unknown_indexes == ("by_hand",)
    assert {change for row in standing.values() for change in row.pending} == repair
    assert set(await up(empty)) == repair
    assert await verify(empty) == [by_hand]
    assert await up(empty, prune=True) == [by_hand]
    assert await verify(empty) == []


async def test_two_processes_may_apply_at_once(empty: Database) -> None:
    await asyncio.gather(up(empty), up(empty))
    assert await verify(empty) == []


async def test_a_unique_index_over_duplicates_is_refused_by_name_and_the_old_one_stays(
    empty: Database, tmp_path: Path
) -> None:
    shutil.copy(default_folder() / "visits.yaml", tmp_path)
    await up(empty, folder=tmp_path)
    document = sample(MODELS["visits"])
    await empty.visits.insert_many([document, {**document, "_id": sample(MODELS["visits"])["_id"]}])
    before = await shape(empty)
    content = yaml.safe_load((tmp_path / "visits.yaml").read_text())
    content["indexes"][0]["unique"] = True
    (tmp_path / "visits.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(SchemaNotApplied, match="visits: rebuild index member_newest") as refusal:
        await up(empty, folder=tmp_path)
    assert refusal.value.change == Change("visits", Action.REBUILD_INDEX, "member_newest")
    after = await shape(empty)
    assert sorted(map(str, after["visits"][1])) == sorted(map(str, before["visits"][1]))


async def test_documents_older_than_their_validator_are_counted(empty: Database) -> None:
    await empty.visits.insert_one({"at": "yesterday"})
    await up(empty)
    assert await refused_documents(empty) == {"visits": 1}


async def test_down_drops_no_document_that_was_acknowledged(empty: Database, tmp_path: Path) -> None:
    shutil.copy(default_folder() / "visits.yaml", tmp_path)
    for _ in range(5):
        await up(empty, folder=tmp_path)
        done = asyncio.Event()

        async def write(done: asyncio.Event) -> int:
            count = 0
            while not done.is_set():
                try:
                    await empty.visits.insert_one(sample(MODELS["visits"]))
                except WriteError:
                    continue
                count += 1
            return count

        writing = asyncio.create_task(write(done))
        await down(empty, folder=tmp_path)
        done.set()
        acknowledged = await writing
        assert await empty.visits.count_documents({}) == acknowledged
        await empty.visits.drop()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("collection: visits", "collection: visit"),
        ("indexes:", "indices:"),
        ("    for: a person's visits anywhere, newest first\n", ""),
        ("    keys: {userId: 1, at: -1, _id: -1}\n", "    keys: {userId: 1, at: -1, _id: -1}\n    uniq: true\n"),
        ("name: user_newest", "name: member_newest"),
        ("indexes:", "indexes: {"),
    ],
)
async def test_a_broken_file_changes_nothing(empty: Database, tmp_path: Path, old: str, new: str) -> None:
    shutil.copytree(default_folder(), tmp_path, dirs_exist_ok=True)
    text = (tmp_path / "visits.yaml").read_text()
    assert old in text
    (tmp_path / "visits.yaml").write_text(text.replace(old, new))
    with pytest.raises(MongoFileError, match=r"visits\.yaml"):
        await up(empty, folder=tmp_path)
    assert await shape(empty) == {}


async def test_an_empty_folder_is_an_error(empty: Database, tmp_path: Path) -> None:
    with pytest.raises(MongoFileError, match="no collection files"):
        await up(empty, folder=tmp_path)

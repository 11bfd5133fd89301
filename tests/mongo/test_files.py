"""The `mongo_indexes` files against the models: no drift, nothing redundant, nothing that sharding would forbid."""

from pathlib import Path
from typing import Any

import pytest

from nexfit.operations.mongo_files import CollectionFile, IndexFile, default_folder, read_folder
from nexfit.operations.mongo_schema import ALL_DOCUMENTS
from nexfit.operations.mongo_validators import collection_name, validator, with_validator, write_validators
from nexfit.stores.documents import StoredDocument

FILES = {file.collection: file for file in read_folder(default_folder())}
MODELS = {collection_name(model): model for model in ALL_DOCUMENTS}


def test_one_file_per_model() -> None:
    assert set(FILES) == set(MODELS)


@pytest.mark.parametrize("model", ALL_DOCUMENTS, ids=collection_name)
def test_the_file_holds_the_validator_of_its_model(model: type[StoredDocument]) -> None:
    path = default_folder() / f"{collection_name(model)}.yaml"
    text = path.read_text(encoding="utf-8")
    assert with_validator(text, model) == text, "run the command that writes the validators again"
    assert FILES[collection_name(model)].validator == validator(model)


def test_writing_the_validators_repairs_a_stale_file_and_keeps_what_a_person_wrote(tmp_path: Path) -> None:
    for path in default_folder().glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    stale = tmp_path / "visits.yaml"
    good = stale.read_text(encoding="utf-8")
    stale.write_text(good.replace("enum: [front_desk", "enum: [window, front_desk"), encoding="utf-8")
    assert write_validators(tmp_path, ALL_DOCUMENTS) == [stale]
    assert stale.read_text(encoding="utf-8") == good
    assert write_validators(tmp_path, ALL_DOCUMENTS) == []


def known_paths(schema: dict[str, Any], prefix: str = "") -> set[str]:
    paths = set()
    for name, inner in schema.get("properties", {}).items():
        paths |= {prefix + name} | known_paths(inner, f"{prefix}{name}.")
    if isinstance(schema.get("items"), dict):
        paths |= known_paths(schema["items"], prefix)
    return paths


@pytest.mark.parametrize("file", FILES.values(), ids=lambda file: file.collection)
def test_indexes_are_over_stored_fields(file: CollectionFile) -> None:
    paths = known_paths(file.validator["$jsonSchema"])
    for index in file.indexes:
        wanted = {name for name, _ in index.keys} | set(index.options.get("partialFilterExpression", {}))
        wanted |= set(index.options.get("weights", {}))
        assert wanted <= paths, index.name


def covers(wide: IndexFile, narrow: IndexFile) -> bool:
    """Whether every query the narrow one serves is served by the wide one too."""
    special = {"unique", "expireAfterSeconds"}
    if special & set(narrow.options) or any(isinstance(kind, str) for _, kind in narrow.keys):
        return False
    if wide.options.get("partialFilterExpression") != narrow.options.get("partialFilterExpression"):
        return False
    start = wide.keys[: len(narrow.keys)]
    turned = tuple((name, -int(kind)) for name, kind in narrow.keys)
    return start in (narrow.keys, turned)


@pytest.mark.parametrize("file", FILES.values(), ids=lambda file: file.collection)
def test_no_index_is_redundant(file: CollectionFile) -> None:
    for narrow in file.indexes:
        for wide in file.indexes:
            assert wide is narrow or not covers(wide, narrow), f"{narrow.name} is the beginning of {wide.name}"


@pytest.mark.parametrize("file", FILES.values(), ids=lambda file: file.collection)
def test_shard_keys_could_be_used(file: CollectionFile) -> None:
    """A unique index must begin with the shard key, and some index must begin with it too."""
    assert file.shard_reason
    if file.shard_key is None:
        return
    wanted = tuple(file.shard_key)
    for index in file.indexes:
        if index.options.get("unique"):
            assert tuple(name for name, _ in index.keys)[: len(wanted)] == wanted, index.name
    if wanted != ("_id",):
        starts = [index.keys[: len(wanted)] for index in file.indexes if "partialFilterExpression" not in index.options]
        assert tuple(file.shard_key.items()) in starts


@pytest.mark.parametrize("model", ALL_DOCUMENTS, ids=collection_name)
def test_stored_names_are_camel_case(model: type[StoredDocument]) -> None:
    roles = {"gym_owner", "gym_member", "gym_coach", "studio_owner", "studio_coach", "studio_client"}
    names = {name for path in known_paths(validator(model)["$jsonSchema"]) for name in path.split(".")}
    assert {name for name in names if "_" in name} <= {"_id", *roles}

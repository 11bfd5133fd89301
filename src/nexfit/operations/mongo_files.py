"""The `mongo_indexes` files: one per collection, holding its indexes, its validator and how it would be sharded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import nexfit

_INDEX_OPTIONS = frozenset({"unique", "partialFilterExpression", "expireAfterSeconds", "weights", "default_language"})


class MongoFileError(Exception):
    """A `mongo_indexes` file is missing, unreadable or says something it may not."""


@dataclass(frozen=True)
class IndexFile:
    """An index as written: keys in order (1, -1, text, 2dsphere, hashed), options, and the query it serves."""

    name: str
    keys: tuple[tuple[str, int | str], ...]
    options: Mapping[str, Any]
    serves: str

    def description(self) -> dict[str, Any]:
        """What `createIndexes` takes."""
        return {"name": self.name, "key": dict(self.keys), **self.options}


@dataclass(frozen=True)
class CollectionFile:
    """A collection as written. ``shard_key`` is None where it stays in one place; nothing here shards.

    ``pre_images``: change streams tell what a changed or deleted document was.
    """

    collection: str
    indexes: tuple[IndexFile, ...]
    validator: Mapping[str, Any]
    shard_key: Mapping[str, int | str] | None
    shard_reason: str
    pre_images: bool


def default_folder() -> Path:
    """`mongo_indexes` inside the installed package, or at the root of the checkout. Raises MongoFileError."""
    package = Path(nexfit.__file__).resolve().parent
    for folder in (package / "mongo_indexes", package.parent.parent / "mongo_indexes"):
        if folder.is_dir():
            return folder
    raise MongoFileError("no mongo_indexes folder in the package or in the checkout")


def read_folder(folder: Path) -> list[CollectionFile]:
    """Every file of the folder, in order of its name. Raises MongoFileError."""
    files = [_read(path) for path in sorted(folder.glob("*.yaml"))]
    if not files:
        raise MongoFileError(f"{folder} holds no collection files")
    return files


def _read(path: Path) -> CollectionFile:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MongoFileError(f"{path.name}: {error}") from error
    try:
        return _collection(content, path.stem)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MongoFileError(f"{path.name}: {error!r}") from error


def _collection(content: Mapping[str, Any], name: str) -> CollectionFile:
    _only(content, {"collection", "shard", "indexes", "validator", "pre_images"})
    if content["collection"] != name:
        raise ValueError(f"the file is about {content['collection']}")
    _only(content["shard"], {"key", "reason"})
    indexes = tuple(_index(written) for written in content["indexes"])
    if len({index.name for index in indexes}) != len(indexes):
        raise ValueError("two indexes have one name")
    return CollectionFile(
        collection=name,
        indexes=indexes,
        validator=content["validator"],
        shard_key=content["shard"]["key"],
        shard_reason=content["shard"]["reason"],
        pre_images=bool(content.get("pre_images")),
    )


def _index(written: Mapping[str, Any]) -> IndexFile:
    _only(written, {"name", "keys", "for", *_INDEX_OPTIONS})
    if not written["for"] or not written["keys"]:
        raise ValueError(f"index {written['name']} names no query or no keys")
    return IndexFile(
        name=written["name"],
        keys=tuple(written["keys"].items()),
        options={option: written[option] for option in written if option in _INDEX_OPTIONS},
        serves=written["for"],
    )


def _only(content: Mapping[str, Any], allowed: set[str]) -> None:
    unknown = set(content) - allowed
    if unknown:
        raise ValueError(f"unknown words {sorted(unknown)}")

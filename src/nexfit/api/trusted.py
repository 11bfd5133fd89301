"""Trusted documents: a manifest of the operations that clients were built with, made before they are released.

A manifest is one JSON object from SHA-256 to document, as graphql-codegen and Relay write it. The text counts as the
client sends it, to the byte.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import orjson

from nexfit.api.persisted import hash_of


class ManifestRefused(Exception):
    """A manifest or a document in it cannot be used; the message says which, and why."""


def read_manifest(file: Path) -> dict[str, str]:
    """The documents by hash. Raises ManifestRefused."""
    try:
        documents = orjson.loads(file.read_bytes())
    except OSError as error:
        raise ManifestRefused(f"{file} cannot be read: {error.strerror}") from None
    except orjson.JSONDecodeError:
        raise ManifestRefused(f"{file} is not JSON in UTF-8") from None
    if not isinstance(documents, dict) or not all(isinstance(document, str) for document in documents.values()):
        raise ManifestRefused(f"{file} must be one object from SHA-256 to document")
    for hash_, document in documents.items():
        if hash_of(document) != hash_:
            raise ManifestRefused(f"{file}: {hash_} is not the SHA-256 of its document")
    return documents


def publish(
    files: Sequence[Path], manifest: Path, faults: Callable[[str], Sequence[str]], *, replace: bool = False
) -> Mapping[str, str]:
    """Add documents to a manifest and give back those that are new. Nothing is written unless all are valid.

    A file is one document, or with the suffix `.json` a manifest. What was published before stays, because released
    clients still send it, unless `replace`. `faults` tells what is wrong with a document. Raises ManifestRefused.
    """
    given: dict[str, str] = {}
    for file in files:
        documents = read_manifest(file) if file.suffix == ".json" else _document(file)
        for hash_, document in documents.items():
            if wrong := faults(document):
                raise ManifestRefused("\n".join((f"{file}: {hash_[:12]}… is not valid", *wrong)))
            given[hash_] = document
    before = read_manifest(manifest) if manifest.exists() else {}
    kept = given if replace else {**before, **given}
    # Renamed into place: a server that starts meanwhile reads the old one or the new one.
    written = manifest.with_name(f".{manifest.name}.new")
    written.write_bytes(orjson.dumps(kept, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")
    os.replace(written, manifest)
    return {hash_: document for hash_, document in given.items() if hash_ not in before}


def _document(file: Path) -> dict[str, str]:
    try:
        document = file.read_bytes().decode()
    except OSError as error:
        raise ManifestRefused(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ManifestRefused(f"{file} is not UTF-8") from None
    return {hash_of(document): document}

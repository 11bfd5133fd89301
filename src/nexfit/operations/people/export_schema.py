"""The JSON Schema of an export, made from the registry and the document models."""

from __future__ import annotations

import json
from typing import Any

from nexfit.operations.mongo_schema import ALL_DOCUMENTS
from nexfit.operations.mongo_validators import collection_name, encrypted_fields, validator
from nexfit.operations.people import registry
from nexfit.operations.people.exporting import FORMAT, VERSION

_ID = {"type": "string", "pattern": "^[0-9a-f]{24}$"}
_DATE_TIME = {"type": "string", "format": "date-time"}
_DECIMAL = {"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?$"}

_BSON: dict[str, dict[str, Any]] = {
    "objectId": _ID,
    "date": _DATE_TIME,
    "decimal": _DECIMAL,
    "binData": {"type": "string", "contentEncoding": "base64"},
    "bool": {"type": "boolean"},
    "string": {"type": "string"},
    "timestamp": {"type": "string"},
    "object": {"type": "object"},
    "array": {"type": "array"},
}
_NUMBERS = {"int": "integer", "long": "integer", "double": "number"}

_SQL: dict[str, dict[str, Any]] = {
    "id": _ID,
    "uuid": {"type": "string", "format": "uuid"},
    "text": {"type": "string"},
    "texts": {"type": "array", "items": {"type": "string"}},
    "decimal": _DECIMAL,
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "instant": _DATE_TIME,
    "json": {},
    "bytes": {"type": "string", "contentEncoding": "base64"},
}


def export_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of `export.json`."""
    sections = {**_document_sections(), **_row_sections()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "NexFit: everything about a person",
        "description": "export.json of an export. Times are UTC, amounts decimals as text; kg, cm, m, s, kcal.",
        "type": "object",
        "required": ["format", "version", "person", "madeAt", "files", "sections"],
        "additionalProperties": False,
        "properties": {
            "format": {"const": FORMAT},
            "version": {"const": VERSION},
            "person": {**_ID, "description": "The person's id."},
            "madeAt": _DATE_TIME,
            "files": {"description": "What stands beside this file in the archive.", "type": "array", "items": _FILE},
            "sections": {
                "type": "object",
                "required": list(sections),
                "additionalProperties": False,
                "properties": sections,
            },
        },
    }


_FILE: dict[str, Any] = {
    "type": "object",
    "required": ["key", "path", "bytes", "sha256"],
    "additionalProperties": False,
    "properties": {
        "key": {"type": "string", "description": "What documents call it."},
        "path": {"type": "string", "description": "Where it is in the archive."},
        "bytes": {"type": "integer", "minimum": 0},
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    },
}


def schema_text() -> str:
    """The schema as its file holds it."""
    return json.dumps(export_schema(), indent=1, ensure_ascii=False) + "\n"


def _document_sections() -> dict[str, Any]:
    models = {collection_name(model): model for model in ALL_DOCUMENTS}
    found = {}
    for collection, holding in registry.mongo().items():
        stored = validator(models[collection])["$jsonSchema"]
        hidden = set(encrypted_fields(models[collection]))
        own = {"": holding.rule} if holding.is_somebodys else {}
        for path, rule in {**own, **holding.others}.items():
            if rule.exported:
                properties = _chosen(stored, rule.exported, hidden)
                whose = f" where {path} is the person" if path else ""
                name = f"{collection}.{path}" if path else collection
                found[name] = _list(properties, f"MongoDB {collection}{whose}: {holding.why}.")
    return found


def _row_sections() -> dict[str, Any]:
    found = {}
    for table, holding in registry.postgres().items():
        types = holding.exported
        assert isinstance(types, dict) or not types  # noqa: S101  # tests/api/test_people.py
        own = {"": holding.rule} if holding.is_somebodys else {}
        for column, rule in {**own, **holding.others}.items():
            if rule.exported:
                properties = {name: _nullable(_SQL[types[name]]) for name in rule.exported}  # type: ignore[call-overload]
                whose = f" where {column} is the person" if column else ""
                name = f"{table}.{column}" if column else table
                found[name] = _list(properties, f"PostgreSQL {table}{whose}: {holding.why}.")
    return found


def _list(properties: dict[str, Any], description: str) -> dict[str, Any]:
    item = {"type": "object", "additionalProperties": False, "properties": properties}
    return {"description": description, "type": "array", "items": item}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]} if "type" in schema else schema


def _chosen(stored: dict[str, Any], names: Any, hidden: set[str]) -> dict[str, Any]:
    """The properties of the named fields (dotted paths), in JSON's words."""
    properties: dict[str, Any] = {}
    for name in names:
        outer, _, inner = name.partition(".")
        described = stored["properties"][outer]
        if inner:
            below = {path.partition(".")[2] for path in hidden if path.startswith(f"{outer}.")}
            known = properties.setdefault(outer, {"type": "object", "additionalProperties": False, "properties": {}})
            known["properties"] |= _chosen(described, (inner,), below)
        else:
            properties[outer] = _json(described, outer, hidden)
    return properties


def _json(stored: dict[str, Any], path: str, hidden: set[str]) -> dict[str, Any]:
    if path in hidden:
        return {"description": "Kept encrypted; null if it cannot be read any more."}
    kind = stored.get("bsonType")
    if isinstance(kind, list):
        return {"type": "number" if "double" in kind else "integer"}
    if kind is None:
        return {"enum": stored["enum"]} if "enum" in stored else {}
    made: dict[str, Any] = {"type": _NUMBERS[kind]} if kind in _NUMBERS else dict(_BSON[kind])
    if "enum" in stored:
        made["enum"] = stored["enum"]
    if "properties" in stored:
        inner = {name: _json(value, f"{path}.{name}", hidden) for name, value in stored["properties"].items()}
        made |= {"properties": inner, "additionalProperties": False}
    if isinstance(stored.get("items"), dict):
        made["items"] = _json(stored["items"], path, hidden)
    return made

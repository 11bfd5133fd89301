"""MongoDB validators made from the document models, and their place at the end of the `mongo_indexes` files.

A model says what is stored; its validator holds everybody to it, also whoever writes without the model. An optional
field is one that may be absent: null is refused everywhere.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from nexfit.stores.documents import Encrypted, StoredDocument

GENERATED_MARK = "# Below: generated from the document model. Change the model, then write the validators again."

_BSON_TYPES = {"string": "string", "object": "object", "array": "array", "boolean": "bool"}
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_EXCLUSIVE = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
_KEPT = frozenset(
    {
        *("bsonType", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "allOf"),
        *("minItems", "maxItems", "uniqueItems", "required"),
    }
)


def _bounds(schema: Mapping[str, Any]) -> JsonSchemaValue:
    return {keyword: schema[name] for name, keyword in _BOUNDS.items() if schema.get(name) is not None}


class _BsonSchema(GenerateJsonSchema):
    """Pydantic's generator, answering with BSON types where JSON has none and leaving out null."""

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        return {"bsonType": ["int", "long"], **_bounds(cast("dict[str, Any]", schema))}

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return {"bsonType": ["double", "int", "long"], **_bounds(cast("dict[str, Any]", schema))}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        bounds = {name: int(bound) for name, bound in _bounds(cast("dict[str, Any]", schema)).items()}
        return {"bsonType": "decimal", **bounds}

    def datetime_schema(self, schema: core_schema.DatetimeSchema) -> JsonSchemaValue:
        return {"bsonType": "date"}

    def date_schema(self, schema: core_schema.DateSchema) -> JsonSchemaValue:
        return {"bsonType": "date"}

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        return {"bsonType": "binData"}

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def json_or_python_schema(self, schema: core_schema.JsonOrPythonSchema) -> JsonSchemaValue:
        if schema.get("ref") == "PydanticObjectId":
            return {"bsonType": "objectId"}
        return super().json_or_python_schema(schema)

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        described = super().model_schema(schema)
        rules = getattr(schema["cls"], "stored_rules", ())
        return {**described, "allOf": [dict(rule) for rule in rules]} if rules else described

    def generate(self, schema: core_schema.CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        described = super().generate(schema, mode)
        return _stored(described, described.get("$defs", {}))


def _stored(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The node in MongoDB's dialect: draft 4 bounds and tuples, no references, no unknown fields."""
    if "$ref" in node:
        return _stored(definitions[node["$ref"].rpartition("/")[2]], definitions)
    stored: dict[str, Any] = {}
    if "type" in node:
        stored["bsonType"] = _BSON_TYPES[node["type"]]
    stored |= {keyword: value for keyword, value in node.items() if keyword in _KEPT}
    if "const" in node:
        stored["enum"] = [node["const"]]
    for exclusive, bound in _EXCLUSIVE.items():
        if exclusive in node:
            stored |= {bound: node[exclusive], exclusive: True}
    if "prefixItems" in node:
        stored["items"] = [_stored(item, definitions) for item in node["prefixItems"]]
        stored["additionalItems"] = False
    elif "items" in node:
        stored["items"] = _stored(node["items"], definitions)
    if "properties" in node:
        properties = {name: _stored(value, definitions) for name, value in node["properties"].items()}
        derived = [name for name, value in properties.items() if value.get("required") is True]
        for name in derived:
            del properties[name]["required"]
        required = [name for name in properties if name in {*node.get("required", ()), *derived}]
        stored |= {"required": required} if required else {}
        stored |= {"properties": properties, "additionalProperties": False}
    return stored


def validator(model: type[StoredDocument]) -> dict[str, Any]:
    """The collection's validator: `$jsonSchema`, and `$expr` where the model states checks between fields."""
    made: dict[str, Any] = {"$jsonSchema": model.model_json_schema(schema_generator=_BsonSchema)}
    envelopes = [check for path in encrypted_fields(model) for check in _envelope_checks(path)]
    if model.stored_checks or envelopes:
        made["$expr"] = {"$and": [*(dict(check) for check in model.stored_checks), *envelopes]}
    return made


def encrypted_fields(model: type[BaseModel]) -> list[str]:
    """Dotted stored paths of the model's encrypted fields. Raises TypeError for one inside a list: it has no place."""
    return [path for path, inner in _nested(model) if inner is Encrypted]


def _nested(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Every object below the model, by its dotted stored path."""
    for field in model.model_fields.values():
        path = f"{prefix}{field.alias}"
        for inner, in_list in _models_in(field.annotation):
            below = list(_nested(inner, f"{path}."))
            if in_list and any(found is Encrypted for found in (inner, *(found for _, found in below))):
                raise TypeError(f"{path} holds encrypted fields in a list, where they have no place of their own")
            yield path, inner
            yield from below


def _models_in(annotation: Any, in_list: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, in_list
    for inner in get_args(annotation):
        yield from _models_in(inner, in_list or get_origin(annotation) in {list, tuple, dict})


def _envelope_checks(path: str) -> list[dict[str, Any]]:
    """What $jsonSchema cannot say of binary data: a nonce's exact size, and that no ciphertext lacks its tag."""
    return [
        {"$in": [{"$binarySize": f"${path}.nonce"}, [12, None]]},
        {"$gte": [{"$ifNull": [{"$binarySize": f"${path}.ciphertext"}, 16]}, 16]},
    ]


def collection_name(model: type[StoredDocument]) -> str:
    """The collection a model is stored in."""
    return str(model.Settings.name)  # type: ignore[attr-defined]  # every concrete document names it


class _PlainDumper(yaml.SafeDumper):
    """Repeats equal parts instead of referring to them by anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def with_validator(text: str, model: type[StoredDocument]) -> str:
    """A collection file's text with its generated part made anew; what a person wrote above the mark stays."""
    written = text.partition(GENERATED_MARK)[0].rstrip()
    generated = yaml.dump(
        {"validator": validator(model)},
        Dumper=_PlainDumper,
        sort_keys=False,
        allow_unicode=True,
        width=120,
        default_flow_style=None,
    )
    return f"{written}\n\n{GENERATED_MARK}\n{generated}"


def write_validators(folder: Path, models: list[type[StoredDocument]]) -> list[Path]:
    """Bring every model's file in the folder up to date; the files that changed. A missing file raises OSError."""
    changed = []
    for model in models:
        path = folder / f"{collection_name(model)}.yaml"
        text = path.read_text(encoding="utf-8")
        renewed = with_validator(text, model)
        if renewed != text:
            path.write_text(renewed, encoding="utf-8")
            changed.append(path)
    return changed

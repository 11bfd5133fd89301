"""Documents with every field of their model filled, made from the validators but for what only a person can know."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

from bson import Decimal128, ObjectId, Timestamp

from nexfit.operations.mongo_validators import validator
from nexfit.stores.documents import StoredDocument

START = dt.datetime(2026, 3, 2, 15, 0, tzinfo=dt.UTC)
END = START + dt.timedelta(hours=1)
DAY = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)

# By stored name: values a pattern or a rule between fields asks for.
_KNOWN: dict[str, Any] = {
    "emailNormalized": "ilker@example.org",
    "email": "İlker@Example.org",
    "firstName": "Işıl",
    "lastName": "Öztürk",
    "nameFolded": "isil ozturk",
    "cityFolded": "izmir",
    "city": "İzmir",
    "timezone": "Europe/Istanbul",
    "currency": "TRY",
    "subscriptionId": "0198f1d2-0000-7000-8000-000000000001",
    "purchaseId": "0198f1d2-0000-7000-8000-000000000002",
    "passwordHash": "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA",
    "endTime": END,
    "endsAt": END,
    "startTime": START,
    "startDate": DAY,
    "endDate": DAY,
    "dateOfBirth": DAY,
    "expiresOn": DAY,
    "endsOnDate": DAY,
    "exceptions": [DAY],
    "specialDays": [{"date": DAY, "name": "Bayram", "openings": [{"openTime": "10:00", "closeTime": "02:00"}]}],
    "seatsTaken": 1,
    "capacity": 2,
    "nonce": bytes(12),
    "salt": bytes(16),
    "tokenHash": bytes(32),
    "codeHash": bytes(32),
    "retryKey": bytes(32),
    "ciphertext": bytes(32),
    "taxIdIndex": bytes(32),
    "digest": bytes(32),
    "recoveryHashes": [bytes(32)],
    "token": {"_data": "8263"},
    "tempo": "31X0",
    "by": DAY,
}
_SCHEMAS: dict[type[StoredDocument], dict[str, Any]] = {}
_LOCAL_TIMES = {"openTime": "07:00", "closeTime": "23:00", "time": "12:30", "clock": "18:00"}
_PHONES = {"phoneNumber", "businessPhoneNumber", "emergencyContactPhoneNumber"}


def sample(model: type[StoredDocument]) -> dict[str, Any]:
    """A stored document of the model with every field."""
    if model not in _SCHEMAS:
        _SCHEMAS[model] = validator(model)["$jsonSchema"]
    made: dict[str, Any] = _filled("", _SCHEMAS[model])
    if "firstName" not in made and "nameFolded" in made:
        made |= {"name": "Şınav", "nameFolded": "sinav"}
    if "schedule" in made and "recurrence" in made["schedule"]:
        del made["schedule"]["recurrence"]["maxOccurrences"]
    return made


def _filled(name: str, schema: dict[str, Any]) -> Any:
    if name in _KNOWN:
        return _KNOWN[name]
    if name in _LOCAL_TIMES and "pattern" in schema:
        return _LOCAL_TIMES[name]
    if name in _PHONES:
        return "+905321234567"
    kind = schema["bsonType"]
    match kind:
        case "object":
            return {key: _filled(key, inner) for key, inner in schema["properties"].items()}
        case "array" if isinstance(schema["items"], list):
            return [_filled(name, inner) for inner in schema["items"]]
        case "array":
            return [_filled(f"{name}[]", schema["items"])]
        case "string":
            return schema["enum"][0] if "enum" in schema else "a word"
        case "objectId":
            return ObjectId()
        case "date":
            return DAY if name == "day" else START
        case "binData":
            return b"{}"
        case "timestamp":
            return Timestamp(1, 1)
        case "decimal":
            return Decimal128("12.50")
        case "bool":
            return True
        case ["int", "long"]:
            return max(1, schema["minimum"])
        case ["double", "int", "long"]:
            return 1.5
    raise AssertionError(f"no value for {name}: {schema}")


def places(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any] | list[Any], str | int]]:
    """Every value inside the document, as its dotted path, the container that holds it and its key there."""

    def walk(container: Any, path: str) -> Iterator[tuple[str, Any, str | int]]:
        keys = container.keys() if isinstance(container, dict) else range(len(container))
        for key in list(keys):
            inner = f"{path}.{key}" if path else str(key)
            yield inner, container, key
            if isinstance(container[key], dict | list) and inner != "token":
                yield from walk(container[key], inner)

    yield from walk(document, "")

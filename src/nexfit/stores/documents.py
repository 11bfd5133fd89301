"""How a document is stored in MongoDB: camelCase names, no nulls, and the field types the document models share.

An absent value is an absent field: nothing is ever stored as ``null``. Instants are UTC with millisecond precision,
calendar dates are midnight UTC of that date, money is Decimal128 with an ISO 4217 code beside it, quantities are in
canonical units (kg, cm, m, s, kcal, g). Fields that a later release adds are ignored by an earlier one when it reads.
"""

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision, is_currency
from beanie import Document, PydanticObjectId
from bson import Decimal128
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

MAX_AMOUNT = 10**15


def _stored_name(name: str) -> str:
    return "_id" if name == "id" else to_camel(name)


def _utc_milliseconds(value: dt.datetime) -> dt.datetime:
    if value.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    value = value.astimezone(dt.UTC)
    return value.replace(microsecond=value.microsecond // 1000 * 1000)


def _known_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone {value!r}: use an IANA name such as Europe/Istanbul") from error
    return value


def _known_currency(value: str) -> str:
    if not is_currency(value, locale="en"):
        raise ValueError(f"unknown currency {value!r}: use an ISO 4217 code such as TRY")
    return value


def _from_decimal128(value: object) -> object:
    if isinstance(value, float):
        raise ValueError("money is never a float")  # noqa: TRY004  # pydantic reports ValueError as a refused value
    return value.to_decimal() if isinstance(value, Decimal128) else value


def check_money(amount: Decimal | None, currency: str | None) -> None:
    """Refuse an amount without a currency or with more decimals than the currency has. Raises ValueError."""
    if amount is None:
        return
    if currency is None:
        raise ValueError("an amount needs a currency")
    exponent = amount.normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > get_currency_precision(currency):
        raise ValueError(f"{amount} has more decimals than {currency}")


Id = Annotated[PydanticObjectId, WithJsonSchema({"bsonType": "objectId"})]
"""An ObjectId, the document's own or a reference."""

Instant = Annotated[dt.datetime, AfterValidator(_utc_milliseconds)]
"""A moment: zone required, kept in UTC, cut to milliseconds as BSON stores it."""

CalendarDate = dt.date
"""A day on the facility's (or the person's) calendar; stored as midnight UTC of that day."""

Amount = Annotated[
    Decimal, Field(ge=0, le=MAX_AMOUNT, decimal_places=4, allow_inf_nan=False), BeforeValidator(_from_decimal128)
]
"""Money without its currency; stored as Decimal128."""

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", min_length=3, max_length=3), AfterValidator(_known_currency)]
TimeZone = Annotated[str, Field(pattern=r"^[A-Za-z0-9_+/-]+$", max_length=64), AfterValidator(_known_zone)]
Word = Annotated[str, Field(min_length=1, max_length=80)]
Line = Annotated[str, Field(min_length=1, max_length=300)]
Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Url = Annotated[str, Field(min_length=1, max_length=2048)]
"""An address, or the object store's key of a private file (its signed address is made when it is read)."""

Email = Annotated[str, Field(min_length=3, max_length=320)]
Phone = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}\z")]
"""E.164."""

LocalTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", min_length=5, max_length=5)]
"""HH:MM on the wall clock of the place."""

Rating = Annotated[int, Field(ge=1, le=5)]
Count = Annotated[int, Field(ge=0, le=2_147_483_647)]
Quantity = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
"""A measured amount in its canonical unit."""

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
MeanRating = Annotated[float, Field(ge=0, le=5, allow_inf_nan=False)]
Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]


def is_calendar_date(field: str) -> dict[str, Any]:
    """The stored check that a required top-level field holds a day, not a moment: midnight UTC."""
    return {"$eq": [f"${field}", {"$dateTrunc": {"date": f"${field}", "unit": "day"}}]}


def derived() -> Any:
    """A text field the model computes from others when it is made, and the store requires."""
    return Field(default="", min_length=1, max_length=1000, json_schema_extra={"required": True})


class Embedded(BaseModel):
    """An object inside a document. ``stored_rules`` are extra $jsonSchema clauses the store checks as well."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
    stored_rules: ClassVar[tuple[Mapping[str, Any], ...]] = ()


class StoredDocument(Document):
    """A document of one collection. ``stored_checks`` are aggregation expressions that the store holds it to."""

    model_config = ConfigDict(alias_generator=_stored_name, populate_by_name=True)
    stored_rules: ClassVar[tuple[Mapping[str, Any], ...]] = ()
    stored_checks: ClassVar[tuple[Mapping[str, Any], ...]] = ()

    class Settings:
        keep_nulls = False


class GeoPoint(Embedded):
    """GeoJSON Point; the order is longitude, latitude."""

    type: Literal["Point"] = Field(default="Point", json_schema_extra={"required": True})
    coordinates: tuple[Longitude, Latitude]

    @property
    def longitude(self) -> float:
        """Degrees east."""
        return self.coordinates[0]

    @property
    def latitude(self) -> float:
        """Degrees north."""
        return self.coordinates[1]


class Encrypted(Embedded):
    """AES-256-GCM ciphertext with its tag, the 96-bit nonce and the id of the key; plaintext is never stored."""

    key_id: Word
    nonce: Annotated[bytes, Field(min_length=12, max_length=12)]
    ciphertext: Annotated[bytes, Field(min_length=16, max_length=65_536)]

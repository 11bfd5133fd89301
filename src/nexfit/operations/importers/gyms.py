"""Gyms from a JSON list taken out of OpenStreetMap into `facilities`, for their owners to claim."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bson import ObjectId

from nexfit.domains.tables import FileRow, name_of, parse
from nexfit.domains.text import fold
from nexfit.operations.importers.reading import read_json_list, zone_of
from nexfit.operations.importers.reports import ImportReport, Progress
from nexfit.operations.importers.storing import (
    Candidate,
    MongoHolder,
    Row,
    Target,
    Unusable,
    store_rows,
    user_by_email,
    without_empty,
)
from nexfit.stores.documents import Latitude, Line, Longitude, Url, Word

SOURCE = "OpenStreetMap contributors, ODbL"

_ADDRESS = re.compile(r"^(?P<street>.+), (?P<zip>\d{4}) (?P<city>.+)$")
"""Street, four-digit postal code and city, as Danish addresses are written."""


class GymRow(FileRow):
    """An item of the list; only name and place are always there."""

    id: int
    name: Line
    latitude: Latitude
    longitude: Longitude
    region: Word | None = None
    brand: Word | None = None
    city: Word | None = None
    address: Line | None = None
    website: Url | None = None


async def import_gyms(
    stores: MongoHolder,
    path: Path,
    *,
    timezone: str = "Europe/Copenhagen",
    country: str = "DK",
    owner_email: str | None = None,
    on_progress: Progress | None = None,
) -> ImportReport:
    """Import the list; without an owner the facilities belong to nobody until they are claimed.

    A facility that belongs to somebody else by now is left alone. Raises MalformedFile, UnknownPerson, UnknownZone,
    StoreError.
    """
    zone_of(timezone)
    items = read_json_list(path)
    owner = None if owner_email is None else await user_by_email(stores.mongo, owner_email)
    now = datetime.now(UTC)

    def refuses(stored: Mapping[str, Any]) -> str | None:
        return None if stored.get("ownerId") == owner else "it belongs to another owner by now"

    target = Target(
        collection="facilities",
        identity={"source": SOURCE},
        owned=("name", "nameFolded", "timezone", "address", "contact", "features"),
        only_on_insert=_new(owner, now),
        on_update={"updatedAt": now},
        refuses=refuses,
    )
    rows = [_candidate(item, timezone, country) for item in items]
    return await store_rows(stores.mongo, target, rows, ImportReport(path, SOURCE), on_progress)


def _new(owner: ObjectId | None, now: datetime) -> Row:
    return {
        "type": "gym",
        "operatingHours": [],
        "amenities": [],
        "equipments": [],
        "staff": [],
        "createdAt": now,
        "updatedAt": now,
        **({} if owner is None else {"ownerId": owner}),
    }


def _candidate(item: object, timezone: str, country: str) -> Candidate | Unusable:
    row = parse(GymRow, item)
    if isinstance(row, str):
        return Unusable(name_of(item, "name"), row)
    return Candidate(row.name, str(row.id), _document(row, timezone, country))


def _document(row: GymRow, timezone: str, country: str) -> Row:
    parts = _ADDRESS.match(row.address or "")
    # The list's own `city` is often the chain's name for the branch; the address knows better.
    city = parts["city"] if parts else row.city
    address = {
        "street": parts["street"] if parts else row.address,
        "city": city,
        "cityFolded": fold(city) if city else None,
        "state": row.region,
        "zipCode": parts["zip"] if parts else None,
        "country": country,
        "coordinates": {"type": "Point", "coordinates": [row.longitude, row.latitude]},
    }
    return {
        "name": row.name,
        "nameFolded": fold(row.name),
        "timezone": timezone,
        "address": without_empty(address),
        "contact": without_empty({"website": row.website}),
        "features": [] if row.brand is None else [row.brand],
    }

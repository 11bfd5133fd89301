"""Tables of a facility as CSV: `GET /exports/…`, streamed, by addresses that are signed and end."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import strawberry
from bson import ObjectId
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from nexfit.api.context import Context
from nexfit.api.fields import Args, column
from nexfit.api.files import refused, told
from nexfit.api.finance.facility import EARLIEST, LATEST, DaysArgs
from nexfit.domains.analytics.exports import Export, Table, lines
from nexfit.domains.clock import Clock, system_clock
from nexfit.domains.errors import BadInput
from nexfit.domains.facilities import directory
from nexfit.engine.fields import Record
from nexfit.settings import Settings
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreError
from nexfit.stores.signed_addresses import AddressRefused, SignedAddresses

EXPORTS_PATH = "/exports"


@strawberry.type(description="A file that can be fetched for some minutes by whoever has its address.")
class Download:
    """Made anew by every answer."""

    address: str = column(description="Its path on this server, with a signature.")
    expires_at: datetime = column(description="When the address ends.")


_KEY = re.compile(r"([a-z]+)/([0-9a-f]{24})/([0-9-]{10})_([0-9-]{10})\.csv")


def addresses_of(table: Table) -> Callable[..., Any]:
    """Loads where a table's export of each facility can be fetched."""

    async def load(parents: Sequence[Record], args: DaysArgs, context: Context) -> Sequence[Any]:
        for name, day in (("from", args.from_), ("to", args.to)):
            if not EARLIEST <= day <= LATEST:
                raise BadInput(
                    "{name} must be between {least} and {most}.", path=(name,), name=name, least=EARLIEST, most=LATEST
                )
        if args.to < args.from_:
            raise BadInput("to must not be before from.", path=("to",))
        return _addresses(parents, table, args.from_, args.to, context)

    return load


async def member_addresses(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """The same for the members, who are those of now."""
    return _addresses(parents, Table.MEMBERS, EARLIEST, LATEST, context)


def _addresses(parents: Sequence[Record], table: Table, first: date, last: date, context: Context) -> Sequence[Record]:
    signed = SignedAddresses.of(context.services.settings, EXPORTS_PATH)
    until = signed.expiry(context.now)
    return [
        {
            "address": signed.address(f"{table}/{parent['_id']}/{first}_{last}.csv", context.now),
            "expiresAt": until,
        }
        for parent in parents
    ]


def exports_route(settings: Settings, stores: Callable[[Request], Stores], clock: Clock = system_clock) -> Route:
    """The route; the right was looked at when the address was made, which is good for some minutes."""
    addresses = SignedAddresses.of(settings, EXPORTS_PATH)

    async def serve(request: Request) -> Response:
        key, given = request.path_params["key"], request.query_params
        try:
            addresses.check(key, given.get("expires", ""), given.get("signature", ""), clock())
        except AddressRefused as error:
            return refused(error)
        asked = _asked(key)
        mongo, postgres = stores(request).mongo, stores(request).postgres
        try:
            found = await directory.by_ids(mongo, [asked.facility], ("timezone",))
        except StoreError:
            return told("A store does not answer. Try again in a moment.", 503)
        if asked.facility not in found:
            return told("There is no such document.", 404)
        zone = ZoneInfo(found[asked.facility]["timezone"])
        export = Export(asked.table, asked.facility, zone, asked.first, asked.last)
        headers = {
            "cache-control": "private, no-store",
            "x-content-type-options": "nosniff",
            "content-disposition": f'attachment; filename="{asked.table}.csv"',
        }
        return StreamingResponse(lines(mongo, postgres, export), media_type="text/csv; charset=utf-8", headers=headers)

    return Route(EXPORTS_PATH + "/{key:path}", serve, methods=["GET"])


@dataclass(frozen=True, slots=True)
class _Asked:
    table: Table
    facility: ObjectId
    first: date
    last: date


def _asked(key: str) -> _Asked:
    """What a signed key says."""
    match = _KEY.fullmatch(key)
    assert match is not None  # noqa: S101  # it was signed here
    table, facility, first, last = match.groups()
    return _Asked(Table(table), ObjectId(facility), date.fromisoformat(first), date.fromisoformat(last))

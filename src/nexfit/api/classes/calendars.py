"""Addresses of calendars, and `GET /calendars/{secret}.ics`, which calendar programs follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any

import strawberry
from bson import ObjectId
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity.payloads import USER_ERRORS
from nexfit.api.relay import object_id
from nexfit.domains.classes import calendars
from nexfit.domains.classes.calendar_files import written
from nexfit.domains.classes.documents import CalendarKind
from nexfit.domains.clock import Clock, system_clock
from nexfit.domains.coaching.calendars import sessions_in
from nexfit.domains.identity.one_time import Hashes
from nexfit.settings import Settings
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreError

PATH = "/calendars"
_HEADERS = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}

strawberry.enum(CalendarKind, description="Calendars that can be followed.")


@strawberry.input(description="Which calendar of the viewer's.")
class CalendarFeedInput:
    """Input of `createCalendarFeed` and `revokeCalendarFeed`."""

    kind: CalendarKind = strawberry.field(description="Whose dates it shows.")
    facility: strawberry.ID | None = strawberry.field(default=None, description="For a FACILITY: which one.")


@strawberry.type(description="The address to give to a calendar program, or why there is none.")
class CreateCalendarFeedPayload:
    """Payload of `createCalendarFeed`."""

    address: str | None = column(
        description="A path on this server with a secret in it, shown this once: who has it reads the calendar."
    )
    user_errors: list[UserError] = column(description=USER_ERRORS)


@strawberry.type(description="Whether an address was ended.")
class RevokeCalendarFeedPayload:
    """Payload of `revokeCalendarFeed`."""

    revoked: bool | None = column(description="False when there was none.")
    user_errors: list[UserError] = column(description=USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarFeedArgs(Args):
    """Arguments of `createCalendarFeed` and `revokeCalendarFeed`."""

    input: Annotated[CalendarFeedInput, strawberry.argument(description="Which calendar.")]


def _facility(args: CalendarFeedArgs) -> ObjectId | None:
    given = args.input.facility
    return object_id(given, "Facility", "facility") if given is not None else None


async def _create(args: CalendarFeedArgs, context: Context) -> Mapping[str, Any]:
    secret = await calendars.create(
        context.services.accounts, context.actor, args.input.kind, _facility(args), now=context.now
    )
    return {"address": f"{PATH}/{secret}.ics"}


async def _revoke(args: CalendarFeedArgs, context: Context) -> Mapping[str, Any]:
    ended = await calendars.revoke(context.services.accounts, context.actor, args.input.kind, _facility(args))
    return {"revoked": ended}


@strawberry.type
class CalendarMutations:
    """Root fields of this area."""

    create_calendar_feed: CreateCalendarFeedPayload = batch(
        answering(_create),
        args=CalendarFeedArgs,
        description="An address under which a calendar program follows the viewer's bookings, the classes they teach, "
        "or a facility's timetable (iCalendar). A new one ends the earlier one of the same calendar.",
    )
    revoke_calendar_feed: RevokeCalendarFeedPayload = batch(
        answering(_revoke), args=CalendarFeedArgs, description="End the address of a calendar at once."
    )


def calendars_route(settings: Settings, stores_of: Callable[[Request], Stores], clock: Clock = system_clock) -> Route:
    """The route of calendars; what is not there (any more) is told in no other way."""
    hashes = Hashes(settings.auth)

    async def serve(request: Request) -> Response:
        secret = request.path_params["secret"]
        try:
            found = await calendars.followed(stores_of(request).mongo, hashes, secret, clock(), sessions_in)
        except StoreError:
            return PlainTextResponse("Try again in a moment.", 503, {**_HEADERS, "retry-after": "30"})
        if found is None:
            return PlainTextResponse("There is no such calendar.", 404, {**_HEADERS, "cache-control": "no-store"})
        body = written(found.name, found.timezone, found.entries)
        tag = f'"{sha256(body).hexdigest()[:32]}"'
        headers = {**_HEADERS, "etag": tag, "cache-control": "private, no-cache"}
        if tag in (one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")):
            return Response(status_code=304, headers=headers)
        headers["content-disposition"] = 'inline; filename="nexfit.ics"'
        return Response(body, media_type="text/calendar; charset=utf-8", headers=headers)

    return Route(PATH + "/{secret}.ics", serve, methods=["GET"])

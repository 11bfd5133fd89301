"""`requestExport`, `requestErasure`, `cancelErasure` and `dataRequests`: what people may ask for of their own data."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column, derived, row_column
from nexfit.api.finance.exports import Download
from nexfit.api.identity import payloads
from nexfit.api.relay import object_id
from nexfit.domains.errors import ErrorCode
from nexfit.domains.identity.access import refusal
from nexfit.domains.privacy import requests
from nexfit.domains.privacy.requests import Asking, RequestKind, RequestStatus
from nexfit.engine.fields import Record
from nexfit.stores.signed_files import SignedFiles

strawberry.enum(RequestKind, name="DataRequestKind", description="What is asked for of a person's data.")
strawberry.enum(RequestStatus, name="DataRequestStatus", description="How far a request is.")


def _blocked_by(record: Record, _: Args, context: Context) -> list[str]:
    return [ErrorCode(code) for code in record["blocked_by"]]


def _download(record: Record, _: Args, context: Context) -> dict[str, Any] | None:
    viewer = context.actor
    is_theirs = viewer.is_user(record["user_id"]) or viewer.is_user(record["requested_by"])
    if record["file_key"] is None or record["file_until"] <= context.now or not is_theirs:
        return None
    files = SignedFiles.of(context.services.settings)
    address = files.address(record["file_key"], context.now)
    return None if address is None else {"address": address, "expiresAt": files.expiry(context.now)}


@strawberry.type(description="A person's request for a copy of their data, or for its erasure.")
class DataRequest:
    """From PostgreSQL's `platform.data_requests`."""

    id: strawberry.ID = row_column("request_id", read=str, description="Its number.")
    kind: RequestKind = row_column(description="What was asked for.")
    status: RequestStatus = row_column(description="How far it is.")
    requested_at: datetime = row_column(description="When it was asked for.")
    due_at: datetime = row_column(description="When it is done; an erasure can be cancelled until then.")
    finished_at: datetime | None = row_column(description="When it was done, or cancelled.")
    steps_done: int = row_column(description="How many steps are done.")
    steps: int = row_column(description="How many there are.")
    blocked_by: list[ErrorCode] = derived(
        _blocked_by, needs=("blocked_by",), description="What stands in the way of an erasure that is due."
    )
    download: Download | None = derived(
        _download,
        needs=("file_key", "file_until", "user_id", "requested_by"),
        description="Where the copy, a ZIP file, can be fetched: for some minutes by this address, then by a new one.",
    )
    file_until: datetime | None = row_column(description="When the copy is deleted.")


_USER = "The person; the viewer if not given. Only an operator asks for others."
_REASON = "Why an operator asks for somebody else; kept until the person is erased."
_PASSWORD = "The viewer's password; or give `code`."  # noqa: S105 - a description
_CODE = "A code of the viewer's authenticator app, or a recovery code, in place of the password."


@strawberry.input(description="Whose data is to be copied.")
class RequestExportInput:
    """Input of `requestExport`."""

    user: strawberry.ID | None = strawberry.field(default=None, description=_USER)
    reason: str | None = strawberry.field(default=None, description=_REASON)
    password: str | None = strawberry.field(default=None, description=_PASSWORD)
    code: str | None = strawberry.field(default=None, description=_CODE)


@strawberry.input(description="Who is to be erased.")
class RequestErasureInput:
    """Input of `requestErasure`."""

    user: strawberry.ID | None = strawberry.field(default=None, description=_USER)
    reason: str | None = strawberry.field(default=None, description=_REASON)
    password: str | None = strawberry.field(default=None, description=_PASSWORD)
    code: str | None = strawberry.field(default=None, description=_CODE)


@strawberry.input(description="Who stays.")
class CancelErasureInput:
    """Input of `cancelErasure`."""

    user: strawberry.ID | None = strawberry.field(default=None, description=_USER)


@strawberry.type(description="The request, or why there is none.")
class RequestExportPayload:
    """Payload of `requestExport`."""

    request: DataRequest | None = column(description="The request; the one under way where there is one.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@strawberry.type(description="The request, or why there is none.")
class RequestErasurePayload:
    """Payload of `requestErasure`."""

    request: DataRequest | None = column(description="The request, and until when it can be cancelled.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@strawberry.type(description="The request that was cancelled, or why not.")
class CancelErasurePayload:
    """Payload of `cancelErasure`."""

    request: DataRequest | None = column(description="The request.")
    user_errors: list[UserError] = column(description=payloads.USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestExportArgs(Args):
    """Arguments of `requestExport`."""

    input: Annotated[RequestExportInput, strawberry.argument(description="Whose data.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestErasureArgs(Args):
    """Arguments of `requestErasure`."""

    input: Annotated[RequestErasureInput, strawberry.argument(description="Who.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelErasureArgs(Args):
    """Arguments of `cancelErasure`."""

    input: Annotated[CancelErasureInput, strawberry.argument(description="Who.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRequestsArgs(Args):
    """Arguments of `dataRequests`."""

    user: Annotated[strawberry.ID | None, strawberry.argument(description=_USER)] = None


def _asking(asked: RequestExportInput | RequestErasureInput, context: Context) -> Asking:
    return Asking(
        actor=context.actor,
        person=None if asked.user is None else object_id(asked.user, "User", "user"),
        reason=asked.reason,
        password=asked.password,
        code=asked.code,
        device=payloads.device(context),
        operators=context.services.settings.operators,
    )


async def _shown(user_id: ObjectId, request: UUID, context: Context) -> Mapping[str, Any]:
    found = await requests.of_person(context.stores, user_id)
    return {"request": next((row for row in found if row["request_id"] == request), None)}


async def _export(args: RequestExportArgs, context: Context) -> Mapping[str, Any]:
    asking = _asking(args.input, context)
    made = await requests.export(context.services.accounts, asking, now=context.now)
    return await _shown(asking.whose(), made, context)


async def _erase(args: RequestErasureArgs, context: Context) -> Mapping[str, Any]:
    asking = _asking(args.input, context)
    grace = timedelta(days=context.services.settings.privacy.erasure_days)
    made = await requests.erase(context.services.accounts, asking, grace=grace, now=context.now)
    return await _shown(asking.whose(), made, context)


async def _cancel(args: CancelErasureArgs, context: Context) -> Mapping[str, Any]:
    user = _whose(args.input.user, context)
    made = await requests.cancel_erasure(context.services.units, context.actor, user, now=context.now)
    return await _shown(user, made, context)


def _whose(user: str | None, context: Context) -> ObjectId:
    """The viewer, or for an operator whoever is named."""
    viewer = context.actor.require()
    named = viewer if user is None else object_id(user, "User", "user")
    if named != viewer and str(viewer) not in context.services.settings.operators:
        raise refusal(context.actor)
    return named


async def _requests(parents: Sequence[Record], args: DataRequestsArgs, context: Context) -> Sequence[Any]:
    return [await requests.of_person(context.stores, _whose(args.user, context))] * len(parents)


_Run = Callable[[Any, Context], Awaitable[Mapping[str, Any]]]


def _mutation(run: _Run, args: type[Args], description: str) -> Any:
    return batch(answering(run, {"request": None}), args=args, description=description)


@strawberry.type
class PrivacyQueries:
    """Root fields of this area."""

    data_requests: list[DataRequest] | None = batch(
        _requests,
        args=DataRequestsArgs,
        description="The viewer's newest requests for a copy of their data or its erasure; for operators anybody's.",
    )


@strawberry.type
class PrivacyMutations:
    """Root fields of this area."""

    request_export: RequestExportPayload = _mutation(
        _export,
        RequestExportArgs,
        "Ask for a copy of everything about the viewer, over all stores and files; it is there within minutes.",
    )
    request_erasure: RequestErasurePayload = _mutation(
        _erase,
        RequestErasureArgs,
        "Ask for the viewer to be erased after a fortnight. What tax law asks for stays without the name. Refused while"
        " something stands in the way: `DEBT_OPEN`, `PAYMENT_OPEN`, `OWNS_FACILITY`, `TEACHES_CLASSES`,"
        " `PACKAGES_RUNNING`.",
    )
    cancel_erasure: CancelErasurePayload = _mutation(
        _cancel,
        CancelErasureArgs,
        "Stay after all, as long as the erasure has not begun; an operator for somebody who asks for it.",
    )

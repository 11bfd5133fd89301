"""Members of a file: an address to send it to, a look at what it would change, and the change."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.errors import UserError, answering
from nexfit.api.fields import Args, batch, column, derived
from nexfit.api.finance.exports import Download
from nexfit.api.identity.payloads import USER_ERRORS
from nexfit.api.relay import object_id
from nexfit.domains.analytics.exports import MARK, cell
from nexfit.domains.errors import ErrorCode, NotFound
from nexfit.domains.memberships import member_import
from nexfit.domains.memberships.import_files import MOST_BYTES, MOST_ROWS, Rejected
from nexfit.stores.signed_addresses import SignedAddresses
from nexfit.stores.signed_files import FILES_PATH, SignedFiles

SHOWN = 100
KEPT = timedelta(days=1)
"""How long a file and the report on it are kept at least; the facility's next one takes older ones away."""

_KEY = re.compile(r"members/([0-9a-f]{24})/[0-9a-f]{32}\.csv")


@strawberry.input(description="Whose members a file has.")
class RequestMembersUploadInput:
    """Input of `requestMembersUpload`."""

    facility: strawberry.ID = strawberry.field(description="The facility.")


@strawberry.input(description="Which file, and whether it is only looked at.")
class ImportMembersInput:
    """Input of `importMembers`."""

    facility: strawberry.ID = strawberry.field(description="The facility.")
    upload: str = strawberry.field(description="The key from `requestMembersUpload`, once the file was sent.")
    dry_run: bool = strawberry.field(default=True, description="Tell what would change, and change nothing.")


@strawberry.type(description="Where to send a file of members.")
class MembersUploadPayload:
    """Payload of `requestMembersUpload`."""

    key: str | None = column(description="Names the file for `importMembers`.")
    address: str | None = column(
        description=f"Send it there with PUT, once, at most {MOST_BYTES:,} bytes and {MOST_ROWS:,} rows; the address "
        "ends after some minutes."
    )
    user_errors: list[UserError] = column(description=USER_ERRORS)


@strawberry.type(description="Why a row of a file was left out.")
class RejectedRow:
    """Part of `ImportMembersPayload`."""

    line: int = column(description="Where the row begins in the file, counted from 1.")
    code: ErrorCode = column(description="Stable code.")
    message: str = derived(
        lambda record, _, context: context.speech.refusal(record["refusal"]),
        needs=("refusal",),
        description="For people, in the language `Accept-Language` asks for: en, tr or pl.",
    )
    column: str | None = column(description="The column as the file names it; null for the whole row.")


@strawberry.type(description="What becomes of the rows of a file, or became of them.")
class ImportMembersPayload:
    """Payload of `importMembers`."""

    dry_run: bool | None = column(description="Whether nothing was changed; null when the file was refused.")
    rows: int | None = column(description="Rows of the file, below its first line.")
    created: int | None = column(description="People who were no members before.")
    updated: int | None = column(description="Members of whom the file tells something new.")
    unchanged: int | None = column(description="Members of whom everything was known.")
    rejected: int | None = column(description="Rows that are left out.")
    rejected_rows: list[RejectedRow] = column(description=f"Why, by line; the first {SHOWN}.")
    ignored_columns: list[str] = column(description="Columns that nobody reads.")
    report: Download | None = column(description="All of what was rejected as CSV; null when nothing was.")
    user_errors: list[UserError] = column(description=USER_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMembersUploadArgs(Args):
    """Arguments of `requestMembersUpload`."""

    input: Annotated[RequestMembersUploadInput, strawberry.argument(description="Whose members.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportMembersArgs(Args):
    """Arguments of `importMembers`."""

    input: Annotated[ImportMembersInput, strawberry.argument(description="Which file.")]


async def _request(args: RequestMembersUploadArgs, context: Context) -> Mapping[str, Any]:
    facility = object_id(args.input.facility, "Facility", "facility")
    await member_import.permitted(context.stores.mongo, context.actor, facility)
    files = SignedFiles.of(context.services.settings)
    await asyncio.to_thread(files.remove_older, f"members/{facility}", context.now - KEPT)
    key = f"members/{facility}/{secrets.token_hex(16)}.csv"
    return {"key": key, "address": files.upload_address(key, context.now)}


async def _import(args: ImportMembersArgs, context: Context) -> Mapping[str, Any]:
    asked, settings = args.input, context.services.settings
    facility = object_id(asked.facility, "Facility", "facility")
    place = await member_import.permitted(context.stores.mongo, context.actor, facility)
    files, key = SignedFiles.of(settings), _KEY.fullmatch(asked.upload)
    is_its = key is not None and ObjectId(key[1]) == facility
    content = await asyncio.to_thread(files.read, asked.upload, MOST_BYTES + 1) if is_its else None
    if content is None:
        raise NotFound("There is no such file.", path=("upload",))
    report = await member_import.import_members(
        context.services.units,
        context.stores,
        context.actor,
        place,
        content,
        apply=not asked.dry_run,
        now=context.now,
    )
    download = None
    if report.rejected:
        text = _written(report.rejected, context, ZoneInfo(place["timezone"]))
        name = f"members/{facility}/{secrets.token_hex(16)}-rejected.csv"
        await asyncio.to_thread(files.keep, name, text.encode())
        expires = SignedAddresses.of(settings, FILES_PATH).expiry(context.now)
        download = {"address": files.address(name, context.now), "expiresAt": expires}
    return {
        "dryRun": asked.dry_run,
        "rows": report.rows,
        "created": report.created,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "rejected": len({one.line for one in report.rejected}),
        "rejectedRows": [
            {"line": one.line, "column": one.column, "code": one.refusal.code, "refusal": one.refusal}
            for one in report.rejected[:SHOWN]
        ],
        "ignoredColumns": list(report.ignored),
        "report": download,
    }


def _written(rejected: Sequence[Rejected], context: Context, zone: ZoneInfo) -> str:
    """The report, in which no cell of the file can become a formula."""
    text = io.StringIO()
    rows = [(one.line, one.column, str(one.refusal.code), context.speech.refusal(one.refusal)) for one in rejected]
    header = ("line", "column", "code", "message")
    csv.writer(text).writerows([[cell(value, zone) for value in row] for row in (header, *rows)])
    return MARK + text.getvalue()


_NOTHING = {"rejectedRows": (), "ignoredColumns": ()}


@strawberry.type
class MemberImportMutations:
    """Root fields of this area."""

    request_members_upload: MembersUploadPayload = batch(
        answering(_request),
        args=RequestMembersUploadArgs,
        description="An address to send a file of a facility's members to, by staff with members_write, others are "
        "told FORBIDDEN. It is CSV; the first line names the columns: name (or first and last name), email, phone, "
        "birthday, plan, status, starts on, ends on, tags, note, in English, Turkish or Polish.",
    )
    import_members: ImportMembersPayload = batch(
        answering(_import, _NOTHING),
        args=ImportMembersArgs,
        description="Add the members of a file, or look at what it would change; rights as for `requestMembersUpload`. "
        "It adds and never overwrites: profiles, memberships, tags and notes that are known stay, so that repeating it "
        "changes nothing. A member is known by the e-mail address, without one by the phone. A new one needs a plan on "
        "sale and its last day, costs nothing here and renews by hand. Rows are kept in parts, each in both stores or "
        "in neither; after an error, send it again.",
    )

"""Audit entries of a facility, and the proof of their chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import strawberry
from bson import ObjectId

from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, derived, row_column
from nexfit.api.identity.types import User, user_field
from nexfit.api.relay import (
    Node,
    PageArgs,
    connection,
    id_reader,
    local_id,
    node_selection,
    page_request,
    read_cursor,
    write_cursor,
)
from nexfit.api.scalars import JsonValue
from nexfit.domains.errors import BadInput
from nexfit.domains.facilities import directory
from nexfit.domains.finance import audit_chain
from nexfit.domains.finance.audit_chain import Checked
from nexfit.engine.fields import Record

MOST_VERIFIED = 20_000
"""Entries one request checks."""


@strawberry.type(description="Who did what. Entries are only ever added.")
class AuditEntry(Node):
    """From PostgreSQL's `finance.audit_logs`."""

    id: strawberry.ID = row_column("audit_id", read=id_reader("AuditEntry"), description="The global id.")
    at: datetime = row_column("created_at", description="When.")
    action: str = row_column(description="What was done.")
    entity_type: str = row_column(description="To what kind of thing.")
    entity_id: str = row_column(description="To which, by its stored id.")
    user: User | None = user_field("user_id", description="By whom; null for the platform itself.")
    before: JsonValue | None = row_column("previous_state", description="The state before, without secrets.")
    after: JsonValue | None = row_column("new_state", description="The state after, without secrets.")
    is_sealed: bool = derived(
        lambda record, _, __: record.get("entry_hash") is not None,
        needs=("entry_hash",),
        description="Whether it stands in the hash chain; that takes some seconds.",
    )


@strawberry.type(description="Whether a business's audit entries are as they were written.")
class AuditVerification:
    """Of a part of the chain, as much as one request checks."""

    intact: bool = row_column(description="Whether nothing was changed, added or taken out in what was checked.")
    entries: int = row_column(description=f"Entries found right by this request, at most {MOST_VERIFIED}.")
    checked_until: int = row_column(description="Position of the last of them; those from 1 on, or from `after` on.")
    chain_length: int = row_column(description="Position of the chain's last entry now.")
    is_complete: bool = row_column(
        "complete", description="Whether the end was reached and is right. Only then the whole chain is proven."
    )
    cursor: str | None = row_column(
        description="Where there is more to check: ask again with this as `after`. Each answer is about its own part."
    )
    broken_at: int | None = row_column(description="Position of the first entry that is not as it was sealed.")
    reason: str | None = row_column(description="What is wrong there.")
    last_hash: str | None = row_column(description="Hash of the last entry checked, in hexadecimal.")


async def entries_of_facilities(parents: Sequence[Record], args: PageArgs, context: Context) -> Sequence[Any]:
    """A connection of each facility's entries."""
    pages = await audit_chain.pages_of_facilities(
        context.stores.postgres,
        [str(parent["_id"]) for parent in parents],
        page_request(args, audit_chain.ORDER),
        node_selection(args.selection).columns,
    )
    return [connection(page, audit_chain.ORDER, args.selection) for page in pages]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyArgs(Args):
    """Whose entries."""

    facility: Annotated[strawberry.ID, strawberry.argument(description="A facility of the business.")]
    after: Annotated[
        str | None, strawberry.argument(description="The `cursor` of the answer before; from the beginning without.")
    ] = None


async def _verify(parents: Sequence[Record], args: VerifyArgs, context: Context) -> Sequence[Any]:
    return [await _verified(args, context)] * len(parents)


async def _verified(args: VerifyArgs, context: Context) -> dict[str, Any] | None:
    owner = context.actor.require()
    id_ = local_id(args.facility, "Facility")
    if id_ is None or not ObjectId.is_valid(id_):
        return None
    found = await directory.by_ids(context.stores.mongo, [ObjectId(id_)], ("ownerId",))
    if found.get(ObjectId(id_), {}).get("ownerId") != owner:
        return None
    chain = await audit_chain.chain_of(context.stores.postgres, id_)
    after = _checked(args.after, chain) if args.after is not None else Checked()
    verified = await audit_chain.verify(context.stores.postgres, chain, after=after, most=MOST_VERIFIED)
    broken, until = verified.broken, verified.until
    goes_on = broken is None and not verified.complete
    return {
        "intact": broken is None,
        "entries": verified.entries,
        "complete": verified.complete,
        "checked_until": until.position,
        "chain_length": verified.length,
        "cursor": write_cursor(_order(chain), (until.position, (until.hash or b"").hex())) if goes_on else None,
        "broken_at": broken.position if broken else None,
        "reason": audit_chain.FAULTS[broken.fault] if broken else None,
        "last_hash": until.hash.hex() if until.hash else None,
    }


def _order(chain: str) -> str:
    return f"audit_chain:{chain}"


def _checked(cursor: str, chain: str) -> Checked:
    """How far the chain was checked before; a place that was made up is not in the chain. Raises BadInput."""
    try:
        position, hash_ = read_cursor(cursor, _order(chain), "after")
        if not isinstance(position, int) or not isinstance(hash_, str) or not 0 < position < 2**31:
            raise ValueError
        return Checked(position, bytes.fromhex(hash_))
    except ValueError:
        raise BadInput("{name} is not a cursor of this list in this order.", path=("after",), name="after") from None


@strawberry.type
class AuditQueries:
    """Root fields of this area."""

    verify_audit: AuditVerification | None = batch(
        _verify,
        args=VerifyArgs,
        description="Check the hash chain of a business's audit entries, a part at a time; for the facility's owner, "
        "null for others.",
    )

"""Relay: global ids, connections and the arguments that page through them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import orjson
import strawberry
from bson import ObjectId

from nexfit.api.fields import Args, column
from nexfit.domains.errors import BadInput, NotFound
from nexfit.engine.fields import Record
from nexfit.engine.selection import Selection
from nexfit.hybrid.paging import Page, PageRequest, Place

T = TypeVar("T")

DEFAULT_PAGE = 20
MAX_PAGE = 100

IDEMPOTENCY_KEY = (
    "Chosen by the client, 1 to 255 characters, new for every intention. Sent again with the same input within 48 "
    "hours it gives the first result again; with another input it is refused."
)
"""Description of `idempotencyKey`."""

_GLOBAL_ID = re.compile(r"([A-Z][A-Za-z]{1,40}):([0-9a-f-]{1,40}(?::[0-9A-Za-z:-]{1,60})?)")


def global_id(type_name: str, local_id: object) -> str:
    """The opaque id of an entity, unique over all types."""
    return base64.urlsafe_b64encode(f"{type_name}:{local_id}".encode()).decode().rstrip("=")


def id_reader(type_name: str) -> Callable[[object], str]:
    """A column reader that turns a stored id into a global one."""
    return lambda local_id: global_id(type_name, local_id)


def parse_global_id(value: str) -> tuple[str, str] | None:
    """Type name and local id; None for anything this server did not make."""
    if len(value) > 200:
        return None
    try:
        text = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    match = _GLOBAL_ID.fullmatch(text)
    # Base64 has several spellings of one text; only the one this server writes exists.
    return (match[1], match[2]) if match and global_id(match[1], match[2]) == value else None


def local_id(value: str, type_name: str) -> str | None:
    """The local id when `value` is a global id of that type, else None: another type's id does not exist here."""
    parsed = parse_global_id(value)
    return parsed[1] if parsed and parsed[0] == type_name else None


def object_id(value: str, type_name: str, name: str) -> ObjectId:
    """The stored id of an input's global id; raises NotFound, with the input's name, for what is none of the type."""
    found = local_id(value, type_name)
    if found is None or not ObjectId.is_valid(found):
        raise NotFound("There is no such {name}.", path=(name,), name=name)
    return ObjectId(found)


def short_text(value: str | None, most: int, name: str) -> str | None:
    """An optional line of an input without surrounding space, None when empty; raises BadInput."""
    cleaned = (value or "").strip()
    if len(cleaned) > most or "\x00" in cleaned:
        raise BadInput("{name} must be text of at most {most} characters.", path=(name,), name=name, most=most)
    return cleaned or None


@strawberry.interface(description="Anything with a global id, found again through `node(id:)`.")
class Node:
    """Relay's Node interface."""

    id: strawberry.ID = column("_id", description="The global id.")


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    """Relay's PageInfo."""

    has_next_page: bool = column(description="More items follow the page's end.")
    has_previous_page: bool = column(description="More items precede the page's start.")
    start_cursor: str | None = column(description="The first item's cursor; null on an empty page.")
    end_cursor: str | None = column(description="The last item's cursor; null on an empty page.")


@strawberry.type(description="An item of a list, with its place in it.")
class Edge(Generic[T]):
    """Relay's edge."""

    cursor: str = column(description="Continue a list here with `after` or `before`.")
    node: T = column(description="The item.")


@strawberry.type(description="One page of a list.")
class Connection(Generic[T]):
    """Relay's connection; `nodes` are the edges' nodes without their cursors."""

    edges: list[Edge[T]] = column(description="The page's items with their cursors.")
    nodes: list[T] = column(description="The page's items.")
    page_info: PageInfo = column(description="Where the page lies in its list.")
    total_count: int = column(description="Items in the whole list; counted only when asked for.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageArgs(Args):
    """Arguments of every paged list."""

    first: Annotated[
        int | None, strawberry.argument(description=f"Items after the start, 1 to {MAX_PAGE}; default {DEFAULT_PAGE}.")
    ] = None
    after: Annotated[str | None, strawberry.argument(description="Start behind this cursor.")] = None
    last: Annotated[
        int | None, strawberry.argument(description=f"Items before the end, 1 to {MAX_PAGE}, instead of `first`.")
    ] = None
    before: Annotated[str | None, strawberry.argument(description="End before this cursor.")] = None


def node_selection(selection: Selection) -> Selection:
    """What is asked of a connection's items, by either way to them."""
    return selection.at("nodes") | selection.at("edges", "node")


def page_request(args: PageArgs, order: str) -> PageRequest:
    """The page the arguments ask for; raises BadInput. `order` names the list and the order it is in.

    A cursor belongs to both: continuing another list or order with it is refused, never guessed.
    """
    if args.first is not None and args.last is not None:
        raise BadInput("Ask for first or last, not for both.", path=("last",))
    size = args.first if args.first is not None else args.last
    backwards = args.first is None and args.last is not None
    if size is None:
        size = DEFAULT_PAGE
    if not 1 <= size <= MAX_PAGE:
        name = "last" if backwards else "first"
        raise BadInput("{name} must be between {least} and {most}.", path=(name,), name=name, least=1, most=MAX_PAGE)
    return PageRequest(
        size=size,
        backwards=backwards,
        after=read_cursor(args.after, order, "after") if args.after is not None else None,
        before=read_cursor(args.before, order, "before") if args.before is not None else None,
        counted="totalCount" in args.selection.fields,
    )


def connection(page: Page, order: str, selection: Selection) -> Record:
    """A page as a connection record; cursors are written only where they are asked for."""
    record: dict[str, Any] = {"nodes": page.rows, "totalCount": page.total}
    wanted = selection.fields
    if "edges" in wanted:
        record["edges"] = [{"node": row, "cursor": write_cursor(order, page.place(row))} for row in page.rows]
    if "pageInfo" in wanted:
        record["pageInfo"] = {
            "hasNextPage": page.has_next,
            "hasPreviousPage": page.has_previous,
            "startCursor": write_cursor(order, page.place(page.rows[0])) if page.rows else None,
            "endCursor": write_cursor(order, page.place(page.rows[-1])) if page.rows else None,
        }
    return record


def write_cursor(order: str, place: Place) -> str:
    """A place in a list of that order, as clients give it back."""
    return base64.urlsafe_b64encode(orjson.dumps([order, *place])).decode().rstrip("=")


def read_cursor(cursor: str, order: str, name: str) -> Place:
    """The place; raises BadInput, naming the argument, for a cursor of another list or of nobody's."""
    refused = BadInput("{name} is not a cursor of this list in this order.", path=(name,), name=name)
    if len(cursor) > 1000:
        raise refused
    try:
        place = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise refused from None
    if not isinstance(place, list) or len(place) < 2 or place[0] != order:
        raise refused
    if any(isinstance(part, list | dict | bool) for part in place):
        raise refused
    return tuple(place[1:])

"""What staff write about a member: tags, which lists are filtered by, and notes. In PostgreSQL, beside the facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from bson import ObjectId

from nexfit.domains.errors import BadInput, NotFound
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import RIGHTS_COLUMNS, Actor, may
from nexfit.domains.text import fold
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import PostgresWork, UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.postgres import Postgres, Row
from nexfit.stores.sql import load_sql

MOST_TAGS = 20
"""Tags of one member."""

LONGEST_TAG = 40
LONGEST_NOTE = 2000
SHOWN_NOTES = 100
"""The latest notes that are shown of a member."""

Pair = tuple[str, str]
"""A facility and a person."""

sql = load_sql("nexfit.domains.memberships", "remarks.sql")


async def tags_of(postgres: Postgres, pairs: Sequence[Pair]) -> dict[Pair, list[str]]:
    """The tags of members in the order of the alphabet, in one statement; absent for one without any."""
    found: dict[Pair, list[str]] = {}
    for row in await postgres.fetch(sql.tags_of_members, *map(list, zip(*pairs, strict=True))):
        found.setdefault((row["facility_id"], row["user_id"]), []).append(row["tag"])
    return found


async def notes_of(postgres: Postgres, pairs: Sequence[Pair]) -> dict[Pair, list[Row]]:
    """The latest notes of members, the newest first, in one statement; absent for one without any."""
    found: dict[Pair, list[Row]] = {}
    for row in await postgres.fetch(sql.notes_of_members, *map(list, zip(*pairs, strict=True)), SHOWN_NOTES):
        found.setdefault((row["facility_id"], row["user_id"]), []).append(row)
    return found


def clean_tags(tags: Iterable[str], name: str) -> dict[str, str]:
    """Tags by what they are compared by. Raises BadInput."""
    found: dict[str, str] = {}
    for tag in tags:
        text = " ".join(tag.split())
        if not 1 <= len(text) <= LONGEST_TAG or "\x00" in text or not fold(text):
            raise BadInput("A tag has 1 to {most} characters.", path=(name,), most=LONGEST_TAG)
        found[fold(text)] = text
    return found


async def tag(
    units: UnitsOfWork,
    stores: Stores,
    actor: Actor,
    *,
    facility: ObjectId,
    member: ObjectId,
    add: Sequence[str],
    remove: Sequence[str],
) -> None:
    """Give a member tags and take others away; repeating it changes nothing. By staff with `members_write`.

    Raises Unauthenticated, NotFound, BadInput; then nothing was written.
    """
    by = await _writer(stores, actor, facility, member)
    added, removed = clean_tags(add, "add"), clean_tags(remove, "remove")
    key = (str(facility), str(member))

    async def body(work: PostgresWork) -> None:
        await work.postgres.fetch(sql.hold_member, *key)
        gone = await work.postgres.fetch(sql.remove_tags, *key, list(removed))
        new = await work.postgres.fetch(sql.add_tags, *key, list(added), list(added.values()), str(by))
        [count] = await work.postgres.fetch(sql.count_tags, *key)
        if count["tags"] > MOST_TAGS:
            raise BadInput("A member has at most {most} tags.", path=("add",), most=MOST_TAGS)
        if gone or new:
            after = {"added": [row["tag"] for row in new], "removed": [row["tag"] for row in gone]}
            _tell(work, "member.tagged", key, by, after)

    await units.postgres("tag_member").run(body)


async def add_note(
    units: UnitsOfWork, stores: Stores, actor: Actor, *, facility: ObjectId, member: ObjectId, text: str, key: str
) -> UUID:
    """Write a note about a member; its id. By staff with `members_write`; the same `key` gives the same note.

    Raises Unauthenticated, NotFound, BadInput, IdempotencyConflict; then nothing was written.
    """
    by = await _writer(stores, actor, facility, member)
    if not 1 <= len(text) <= LONGEST_NOTE or "\x00" in text:
        raise BadInput("A note has 1 to {most} characters.", path=("text",), most=LONGEST_NOTE)
    whose = (str(facility), str(member))

    async def body(work: PostgresWork) -> str:
        id_ = await work.postgres.fetch_value(sql.add_note, *whose, str(by), text)
        _tell(work, "member.note_added", whose, by, {"note": str(id_)})
        return str(id_)

    asked = {"member": ":".join(whose), "text": text}
    return UUID(await once(stores.mongo, units.postgres("add_member_note"), by, "addMemberNote", key, asked, body))


async def remove_note(units: UnitsOfWork, stores: Stores, actor: Actor, *, note: UUID) -> Pair:
    """Take a note away; whose it was. By its author, or the facility's owner, with `members_write`.

    Raises Unauthenticated and NotFound, also for a note that is gone already.
    """
    by = actor.require()
    missing = NotFound("There is no such note.", path=("note",))
    rows = await stores.postgres.fetch(sql.note, note)
    if not rows:
        raise missing
    whose = (rows[0]["facility_id"], rows[0]["user_id"])
    places = await stores.mongo.find("facilities", {"_id": ObjectId(whose[0])}, RIGHTS_COLUMNS, limit=1)
    if not places or not may(actor, places[0], "members_write"):
        raise missing
    if not actor.is_user(rows[0]["author_id"]) and not actor.is_user(places[0].get("ownerId")):
        raise missing

    async def body(work: PostgresWork) -> None:
        if not await work.postgres.fetch(sql.remove_note, note):
            raise missing
        _tell(work, "member.note_removed", whose, by, {"note": str(note)})

    await units.postgres("remove_member_note").run(body)
    return whose


async def _writer(stores: Stores, actor: Actor, facility: ObjectId, member: ObjectId) -> ObjectId:
    """Who writes. Raises Unauthenticated, and NotFound for who may not and for who is no member."""
    by = actor.require()
    places = await stores.mongo.find("facilities", {"_id": facility}, RIGHTS_COLUMNS, limit=1)
    if (
        not places
        or not may(actor, places[0], "members_write")
        or not await stores.postgres.fetch(sql.member, str(facility), str(member))
    ):
        raise NotFound("There is no such member.", path=("member",))
    return by


def _tell(work: PostgresWork, action: str, whose: Pair, by: ObjectId, after: Mapping[str, object]) -> None:
    work.invalidates(f"facility:{whose[0]}:members")
    work.audit(Audit(action, "member", whose[1], facility_id=whose[0], user_id=str(by), after=after))

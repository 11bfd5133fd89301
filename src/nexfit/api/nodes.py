"""`node` and `nodes`: any entity by its global id, one batch per type, with the checks its field path has.

What the viewer may not see is null, exactly as if it did not exist.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import strawberry
from bson import ObjectId

from nexfit.api.access import PERMITTED, permitted
from nexfit.api.caching import Cached
from nexfit.api.context import Context
from nexfit.api.fields import Args, batch
from nexfit.api.identity.sessions import sessions_by_ids
from nexfit.api.relay import MAX_PAGE, Node, parse_global_id
from nexfit.api.rights import entry_of
from nexfit.domains.classes import bookings, timetable
from nexfit.domains.coaching import consents, medical, packages, relations, reviews, sessions
from nexfit.domains.coaching import directory as coaches
from nexfit.domains.errors import BadInput
from nexfit.domains.facilities import directory
from nexfit.domains.facilities.documents import StaffPermission
from nexfit.domains.finance import audit_chain, ledger
from nexfit.domains.identity import people
from nexfit.domains.identity.access import staff
from nexfit.domains.identity.documents import ConsentScope
from nexfit.domains.memberships import contracts, members, plans, visits
from nexfit.domains.nutrition import foods
from nexfit.domains.nutrition import plans as nutrition_plans
from nexfit.domains.training import enrolments, exercises, library, measurements, workouts
from nexfit.engine.fields import TYPENAME, Record

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")

Find = Callable[[Context, Sequence[str], frozenset[str]], Awaitable[Mapping[str, Mapping[str, Any]]]]
"""Entities of one type by local id, with the columns asked for and those their rights depend on."""


async def _facilities(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    return _by_text(await directory.by_ids(context.stores.mongo, _object_ids(ids), columns))


async def _memberships(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    return _by_text(await plans.by_ids(context.stores.mongo, _object_ids(ids), columns))


async def _classes(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    return _by_text(await timetable.by_ids(context.stores.mongo, timetable.CLASSES, _object_ids(ids), columns))


async def _occurrences(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    return _by_text(await timetable.by_ids(context.stores.mongo, timetable.OCCURRENCES, _object_ids(ids), columns))


async def _users(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    """The viewer, who is a member or staff where the viewer may read members, the viewer's clients, and coaches."""
    wanted = set(_object_ids(ids))
    others = {id_ for id_ in wanted if id_ != context.actor.user_id}
    permitted: set[ObjectId] = set()
    if others:
        managed = await directory.managed_staff(context.stores.mongo, context.actor, StaffPermission.MEMBERS_READ)
        permitted = others & set().union(*managed.values())
        if managed and others - permitted:
            permitted |= await members.members_among(context.stores.postgres, managed, others - permitted)
    known = wanted - others | permitted
    if wanted - known and context.actor.user_id is not None:
        known |= await relations.clients_among(context.stores.mongo, context.actor.user_id, wanted - known)
    found = await people.visible_by_ids(context.stores.mongo, wanted, known, columns)
    return {
        str(id_): {**user, PERMITTED: StaffPermission.MEMBERS_READ} if id_ in permitted else user
        for id_, user in found.items()
    }


async def _member_subscriptions(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    return _by_text(await contracts.by_ids(context.stores.mongo, _object_ids(ids), columns))


async def _class_bookings(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    return _by_text(await bookings.by_ids(context.stores.mongo, _object_ids(ids), columns))


async def _coach_clients(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    return _by_text(await relations.by_ids(context.stores.mongo, _object_ids(ids), columns))


async def _coaches(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    return _by_text(await coaches.by_ids(context.stores.mongo, _object_ids(ids), columns))


async def _coach_reviews(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    return _by_text(await reviews.by_ids(context.stores.mongo, _object_ids(ids), columns))


async def _measurements(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    return _by_text(await measurements.by_ids(context.stores.mongo, _object_ids(ids), columns))


async def _coaching_packages(context: Context, ids: Sequence[str], _: frozenset[str]) -> Mapping[str, Any]:
    return await packages.by_ids(context.stores.postgres, [str(id_) for id_ in _object_ids(ids)])


async def _pt_sessions(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    return _by_text(await sessions.by_ids(context.stores.mongo, _object_ids(ids), columns))


async def _audit_entries(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    return _by_text(await audit_chain.by_ids(context.stores.postgres, _numbers(ids), columns))


async def _medical_reads(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    found = await audit_chain.by_ids(context.stores.postgres, _numbers(ids), columns, entity_type=medical.RECORD)
    return _by_text(found)


async def _workouts(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    return _by_text(await workouts.by_ids(context.stores.mongo, _object_ids(ids), columns))


async def _exercises(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    viewer = context.actor.user_id
    return _by_text(await exercises.visible_by_ids(context.stores.mongo, viewer, _object_ids(ids), columns))


def _library(collection: str) -> Find:
    async def find(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
        viewer, mongo = context.actor.user_id, context.stores.mongo
        return _by_text(await library.visible_by_ids(mongo, collection, viewer, _object_ids(ids), columns))

    return find


async def _enrolments(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    return _by_text(await enrolments.by_ids(context.stores.mongo, _object_ids(ids), columns))


async def _foods(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    viewer = context.actor.user_id
    return _by_text(await foods.visible_by_ids(context.stores.mongo, viewer, _object_ids(ids), columns))


async def _nutrition_plans(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    """Public templates, what the viewer wrote or is to eat, and plans for clients who let the viewer see them."""
    found = await nutrition_plans.by_ids(context.stores.mongo, _object_ids(ids), columns)
    viewer, mine = context.actor.user_id, {}
    for id_, row in found.items():
        is_public = row["isTemplate"] and row["isPublic"]
        if is_public or (viewer is not None and viewer in (row["createdBy"], row.get("forUserId"))):
            mine[id_] = row
    others = {row["forUserId"] for id_, row in found.items() if id_ not in mine and "forUserId" in row}
    if viewer is not None and others:
        opened = await consents.open_to(context.stores.mongo, viewer, (ConsentScope.NUTRITION,), others)
        mine |= {id_: row for id_, row in found.items() if row.get("forUserId") in opened}
    return _by_text(mine)


async def _members(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    pairs = [(facility, user) for facility, _, user in (id_.partition(":") for id_ in ids)]
    known = [pair for pair in pairs if ObjectId.is_valid(pair[0])]
    found = await members.by_ids(context.stores.postgres, known, columns) if known else {}
    return {f"{facility}:{user}": row for (facility, user), row in found.items()}


async def _visits(context: Context, ids: Sequence[str], _: frozenset[str]) -> Mapping[str, Any]:
    return _by_text(await visits.by_ids(context.stores.mongo, _object_ids(ids)))


def _purchases(thing: str) -> Find:
    """Purchases of one kind: those that name such a thing."""

    async def find(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
        found = await ledger.by_ids(context.stores.postgres, ledger.PURCHASES, _uuids(ids), {*columns, thing})
        return _by_text({id_: row for id_, row in found.items() if row[thing] is not None})

    return find


def _ledger(rows: ledger.LedgerList) -> Find:
    async def find(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
        return _by_text(await ledger.by_ids(context.stores.postgres, rows, _uuids(ids), columns))

    return find


async def _invoices(context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    """Invoices; a draft is the facility's own business, also towards the person it will be sent to."""
    found: Mapping[Any, Any] = await ledger.by_ids(
        context.stores.postgres, ledger.INVOICES, _uuids(ids), columns | {"status"}
    )
    drafts = [row for row in found.values() if row["status"] == "draft"]
    may_see = await permitted(staff(StaffPermission.FINANCE_READ), entry_of("Invoice").scope, drafts, context)
    hidden = {row["invoice_id"] for row, yes in zip(drafts, may_see, strict=True) if not yes}
    return {str(id_): row for id_, row in found.items() if id_ not in hidden}


FINDERS: Mapping[str, Find] = {
    "Facility": _facilities,
    "Membership": _memberships,
    "Class": _classes,
    "ClassOccurrence": _occurrences,
    "Coach": _coaches,
    "CoachReview": _coach_reviews,
    "CoachClient": _coach_clients,
    "CoachingPackage": _coaching_packages,
    "PtSession": _pt_sessions,
    "Measurement": _measurements,
    "Exercise": _exercises,
    "Food": _foods,
    "NutritionPlan": _nutrition_plans,
    "WorkoutLog": _workouts,
    "WorkoutTemplate": _library(library.TEMPLATES),
    "WorkoutProgram": _library(library.PROGRAMS),
    "ProgramEnrolment": _enrolments,
    "ClassBooking": _class_bookings,
    "User": _users,
    "Session": sessions_by_ids,
    "MemberSubscription": _member_subscriptions,
    "Member": _members,
    "Visit": _visits,
    "Transaction": _ledger(ledger.TRANSACTIONS),
    "Subscription": _ledger(ledger.SUBSCRIPTIONS),
    "Invoice": _invoices,
    "AuditEntry": _audit_entries,
    "MedicalRead": _medical_reads,
    "MembershipPurchase": _purchases("plan_id"),
    "ProgramPurchase": _purchases("program_id"),
}


async def _found(name: str, context: Context, ids: Sequence[str], columns: frozenset[str]) -> Mapping[str, Any]:
    """Entities of a type by local id, as far as the rights matrix lets the viewer find them."""
    entry = entry_of(name)
    if entry.found is None or entry.found.anyone or name == "User":  # whom the viewer may find decides that query
        return await FINDERS[name](context, ids, columns)
    found = await FINDERS[name](context, ids, columns.union(entry.scope.columns))
    allowed = await permitted(entry.found, entry.scope, list(found.values()), context)
    proven = {PERMITTED: next(iter(entry.found.permissions), None)}
    return {
        id_: row if proven[PERMITTED] is None or entry.scope.is_of(context.actor, row) else {**row, **proven}
        for (id_, row), yes in zip(found.items(), allowed, strict=True)
        if yes
    }


def _object_ids(ids: Sequence[str]) -> list[ObjectId]:
    return [ObjectId(id_) for id_ in ids if ObjectId.is_valid(id_)]


def _numbers(ids: Sequence[str]) -> list[int]:
    """The 64-bit numbers among the ids, as the server spells them."""
    return [int(id_) for id_ in ids if _NUMBER.fullmatch(id_)]


def _uuids(ids: Sequence[str]) -> list[UUID]:
    # A global id spells a UUID as the server does; other spellings of the same one do not exist.
    found = []
    for id_ in ids:
        try:
            uuid = UUID(id_)
        except ValueError:
            continue
        if str(uuid) == id_:
            found.append(uuid)
    return found


def _by_text(found: Mapping[Any, Any]) -> Mapping[str, Any]:
    return {str(id_): row for id_, row in found.items()}


async def _find(ids: Sequence[str], args: Args, context: Context) -> list[Any]:
    parsed = [parse_global_id(id_) for id_ in ids]
    by_type: dict[str, list[str]] = {}
    for entry in parsed:
        if entry and entry[0] in FINDERS:
            by_type.setdefault(entry[0], []).append(entry[1])
    found = await asyncio.gather(
        *(
            _found(name, context, list(dict.fromkeys(local)), args.selection.columns_of(name))
            for name, local in by_type.items()
        ),
        return_exceptions=True,
    )
    rows = dict(zip(by_type, found, strict=True))
    return [_entity(*entry, rows.get(entry[0], {})) if entry else None for entry in parsed]


def _entity(name: str, local: str, found: Mapping[str, Mapping[str, Any]] | BaseException) -> Any:
    """The record among those found of its type; the failure where they could not be read, so that others stand."""
    if isinstance(found, BaseException):
        return found
    row = found.get(local)
    return None if row is None else {**row, TYPENAME: name}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeArgs(Args):
    """Which entity."""

    id: Annotated[strawberry.ID, strawberry.argument(description="A global id.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesArgs(Args):
    """Which entities."""

    ids: Annotated[list[strawberry.ID], strawberry.argument(description=f"Global ids, at most {MAX_PAGE}.")]


async def _node(parents: Sequence[Record], args: NodeArgs, context: Context) -> Sequence[Any]:
    return (await _find([args.id], args, context)) * len(parents)


async def _nodes(parents: Sequence[Record], args: NodesArgs, context: Context) -> Sequence[Any]:
    if len(args.ids) > MAX_PAGE:
        raise BadInput("Ask for at most {most} ids.", path=("ids",), most=MAX_PAGE)
    return [await _find(args.ids, args, context)] * len(parents)


_PUBLIC_TAGS = {"Facility": "facility", "Membership": "plan", "Class": "class"}


def _tags(_: Sequence[Record], results: Sequence[Any]) -> Iterable[str] | None:
    """What entities that everybody sees alike are tagged by. Others, and unknown ones, are not kept."""
    found = set()
    for record in results:
        kind = _PUBLIC_TAGS.get(record[TYPENAME]) if record else None
        if kind is None:
            return None
        found.add(f"{kind}:{record['_id']}")
    return found


@strawberry.type
class NodeQueries:
    """Root fields of Relay."""

    node: Node | None = batch(
        _node,
        args=NodeArgs,
        description="The entity with this id; null if the viewer sees none.",
        cache=Cached(60, tags=_tags),
    )
    nodes: list[Node | None] = batch(
        _nodes, args=NodesArgs, description="Entities in the order of the ids, null where the viewer sees none."
    )

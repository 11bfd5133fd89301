"""The steps of an erasure that the registry tells: what of the person is deleted, and what becomes a pseudonym.

Every step may be done again, by whoever comes by: it asks for what is left to do.
"""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId

from nexfit.domains.identity.events import ProfileUpdated
from nexfit.domains.tags import DOCUMENTS, filled
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.unit_of_work import MongoWork
from nexfit.operations.member_facts import project_all
from nexfit.operations.people import parting, registry
from nexfit.operations.people.desk import Case
from nexfit.operations.people.places import Documents, Person, Rows, documents_of, is_erased, rows_of
from nexfit.operations.people.registry import Erased
from nexfit.stores.connections import Stores
from nexfit.stores.postgres import maintenance_connection

_REDACT = "SELECT finance.redact_audit_entries($1, $2::text[], $3::text[]) AS entries"
_FACTS = "SELECT facility_id FROM platform.member_facts WHERE user_id = $1"
_BUYERS = "SELECT DISTINCT user_id FROM finance.purchases WHERE author_id = $1 AND status IN ('paid', 'active')"

Step = Callable[[Case], Awaitable[dict[str, int]]]


async def audit(case: Case) -> dict[str, int]:
    """Audit entries lose what they say of the person, while it is known what is theirs and what they are called."""
    person, waiting = case.person, _own("audit_entries", case.person)
    with case.desk.stores.mongo.unhurried() as database:  # what the relay has not taken over yet
        await database["audit_entries"].update_many(waiting.filter, _change(waiting, case))
    entities = [text async for text in _entities(case)]
    words = ["%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%" for word in person.words]
    async with maintenance_connection(case.desk.settings.postgres) as connection:
        entries = await connection.fetchval(_REDACT, person.text, entities, words)
    return {"entries": entries}


async def _entities(case: Case) -> Any:
    """Ids of everything that is the person's, as audit entries name it."""
    stores, person = case.desk.stores, case.person
    with stores.mongo.unhurried() as database:
        for one in await documents_of(stores, person):
            if one.is_own and one.collection != "facilities":
                async for document in database[one.collection].find(one.filter, {"_id": True}):
                    yield str(document["_id"])
    async with maintenance_connection(case.desk.settings.postgres) as connection:
        for rows in rows_of():
            column = next(iter(rows.rule.exported), None)
            if rows.is_own and column is not None and column.endswith("_id") and column != rows.column:
                statement = f"SELECT {column} AS id FROM {rows.table} WHERE {rows.condition}"  # noqa: S608 - our names
                for row in await connection.fetch(statement, person.text):
                    yield str(row["id"])


async def files(case: Case) -> dict[str, int]:
    """Private files are deleted, whole folders at a time."""
    removed = 0
    for pattern in registry.folders():
        folder = case.desk.settings.files.root / pattern.format(id=case.person.text)
        removed += sum(path.is_file() for path in folder.rglob("*")) if folder.is_dir() else 0
        shutil.rmtree(folder, ignore_errors=True)
    return {"files": removed}


async def rows(case: Case) -> dict[str, int]:
    """Rows of PostgreSQL are deleted, or lose their words, in one transaction."""
    counts: dict[str, int] = {}
    async with maintenance_connection(case.desk.settings.postgres) as connection, connection.transaction():
        for one in rows_of():
            if is_erased(one.rule):
                done = await connection.execute(_statement(one), case.person.text)
                counts[one.section] = int(done.rpartition(" ")[2])
    return {name: count for name, count in counts.items() if count}


def _statement(one: Rows) -> str:
    if one.rule.erased is Erased.DELETE:
        return f"DELETE FROM {one.table} WHERE {one.condition}"  # noqa: S608 - names and expressions of the registry
    after = one.rule.set
    changed = " OR ".join(f"{column} IS DISTINCT FROM {value}" for column, value in after.items())
    assigned = ", ".join(f"{column} = {value}" for column, value in after.items())
    return f"UPDATE {one.table} SET {assigned} WHERE ({one.condition}) AND ({changed})"  # noqa: S608


async def documents(case: Case) -> dict[str, int]:
    """Documents of MongoDB are deleted, or lose what they say; all but the account."""
    stores = case.desk.stores
    counts: dict[str, int] = {}
    for one in await documents_of(stores, case.person):
        if not is_erased(one.rule) or one.collection == "users":
            continue
        query = await _doomed(case, one)
        with stores.mongo.unhurried() as database:
            if one.rule.erased is Erased.DELETE:
                count = (await database[one.collection].delete_many(query)).deleted_count
            else:
                count = (await database[one.collection].update_many(query, _change(one, case))).modified_count
        if count:
            counts[one.section] = count
    return counts


async def _doomed(case: Case, one: Documents) -> dict[str, Any]:
    """What of the documents is really erased: not what somebody else still needs."""
    holding = registry.mongo()[one.collection]
    if one.is_own and holding.through:
        [(parent, path)] = holding.through.items()
        of = _own(parent, case.person)
        return {path: {"$in": await _unused(case, of)}}
    if one.rule.unless_used:
        return {"_id": {"$in": await _unused(case, one)}}
    return {**one.filter, **one.rule.only}


async def _unused(case: Case, one: Documents) -> list[ObjectId]:
    """Ids of those documents that nobody refers to who trained with the person or bought of them; nobody else can."""
    mongo, person = case.desk.stores.mongo, case.person.id
    found = await mongo.find(one.collection, {**one.filter, **one.rule.only}, ())
    ids = {document["_id"] for document in found}
    if not ids:
        return []
    clients = [row["clientId"] for row in await mongo.find("coach_clients", {"coachId": person}, ("clientId",))]
    clients += [ObjectId(row["user_id"]) for row in await case.desk.stores.postgres.fetch(_BUYERS, str(person))]
    used: set[ObjectId] = set()
    for collection, path in one.rule.unless_used.items() if clients else ():
        of = registry.mongo()[collection].of or "_id"
        with case.desk.stores.mongo.unhurried() as database:
            used |= {*await database[collection].distinct(path, {of: {"$in": clients}, path: {"$in": list(ids)}})}
    return sorted(ids - used)


def _own(collection: str, person: Person) -> Documents:
    holding = registry.mongo()[collection]
    assert holding.of is not None  # noqa: S101  # tests/api/test_people.py
    return Documents(collection, holding.of, {holding.of: person.id}, holding.rule, True)


def _change(one: Documents, case: Case) -> dict[str, Any]:
    """The update that takes out what is dropped and sets what is set."""
    rule = one.rule
    if rule.erased is Erased.PULL:
        array, _, inner = one.path.partition(".")
        return {"$pull": {array: {inner: one.filter[one.path]}}}
    change: dict[str, Any] = {}
    if rule.dropped:
        change["$unset"] = dict.fromkeys(rule.dropped, "")
    if rule.set:
        change["$set"] = {path: _filled(value, case) for path, value in rule.set.items()}
    return change


def _filled(value: Any, case: Case) -> Any:
    if value == "{now}":
        return case.now
    return value.format(id=case.person.text) if isinstance(value, str) else value


async def account(case: Case) -> dict[str, int]:
    """The account becomes a pseudonym: its id stays, its e-mail address is anybody's again."""
    own = _own("users", case.person)

    async def body(work: MongoWork) -> int:
        query = {"_id": case.person.id, "erasedAt": {"$exists": False}}
        changed = await work.mongo.update("users", query, _change(own, case))
        if changed:
            work.emit(ProfileUpdated(user_id=case.person.text))
            told = {"request": str(case.request)}
            work.audit(Audit("data.erased", "user", case.person.text, after=told))
        return int(changed)

    return {"users": await case.desk.units.mongo("erase_account").run(body)}


async def caches(case: Case) -> dict[str, int]:
    """Lists are written anew, and what is kept of the person counts no more."""
    stores, person = case.desk.stores, case.person
    facilities = [row["facility_id"] for row in await stores.postgres.fetch(_FACTS, person.text)]
    projected = await project_all(
        stores, {(facility, person.text) for facility in facilities}, datetime.now(case.now.tzinfo)
    )
    sessions = await stores.mongo.find("sessions", {"userId": person.id}, ())
    if sessions:
        await stores.redis.send([("DEL", f"session:{session['_id']}") for session in sessions])
    await JoinedViews(stores.redis).invalidate(_tags(person.text, facilities))
    return {"platform.member_facts": len(projected.written), "sessions": len(sessions)}


def _tags(user: str, facilities: Sequence[str]) -> set[str]:
    about = {"_id": user, **dict.fromkeys(("userId", "coachId", "clientId", "granteeId"), user)}
    tags = {tag for templates in DOCUMENTS.values() for tag in filled(templates, about) if tag.startswith("user:")}
    return tags | {f"user:{user}:money"} | {f"facility:{facility}:{area}" for facility in facilities for area in _AREAS}


_AREAS = ("members", "classes", "visits")


async def key(case: Case) -> dict[str, int]:
    """The key of what told of health is destroyed: no copy of it, in whatever backup, can be read any more."""
    people = case.desk.stores.keys.people
    return {"keys": 0 if people is None else int(people.destroy(case.person.id))}


async def last_look(case: Case) -> dict[str, int]:
    """What came in while the account was closing, and has its words by the person's id."""
    async with maintenance_connection(case.desk.settings.postgres) as connection:
        entries = await connection.fetchval(_REDACT, case.person.text, [], [])
    return {"entries": entries, **{f"again {name}": count for name, count in (await documents(case)).items()}}


STEPS: Sequence[tuple[str, Step]] = (
    ("close", parting.close),
    ("bookings", parting.bookings),
    ("coaching", parting.coaching),
    ("memberships", parting.memberships),
    ("staff", parting.staff),
    ("audit", audit),
    ("files", files),
    ("rows", rows),
    ("documents", documents),
    ("account", account),
    ("caches", caches),
    ("key", key),
    ("last look", last_look),
)
"""In their order: nothing that a later step asks for is gone by then."""


async def count(stores: Stores, person: Person) -> list[tuple[str, str, int]]:
    """What an erasure would do: section, what becomes of it, and how many. Changes nothing. Raises StoreError."""
    found = []
    for one in await documents_of(stores, person):
        held = await stores.mongo.count(one.collection, one.filter)
        found.append((one.section, str(one.rule.erased), held))
    for row in rows_of():
        [counted] = await stores.postgres.fetch(
            f"SELECT count(*) AS n FROM {row.table} WHERE {row.condition}",  # noqa: S608 - names of the registry
            person.text,
        )
        found.append((row.section, str(row.rule.erased), counted["n"]))
    return [one for one in found if one[2]]

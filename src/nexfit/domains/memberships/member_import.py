"""Members a facility brings along in a file: looked at first, then added, a batch at a time in both stores or neither.

A file adds and never overwrites: what people say of themselves, memberships that are known here, tags and notes stay
as they are. So the same file changes nothing the second time, and after a failure sending it again does the rest.

Who has no account gets one without a password: whoever owns the address sets one by `requestPasswordReset`. Nobody is
told who had one; the answer says only what becomes of the facility's members.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bson import ObjectId

from nexfit.domains.errors import BadInput, Forbidden, NotFound, Refusal
from nexfit.domains.finance.words import BillingCycle
from nexfit.domains.identity.access import Actor, may
from nexfit.domains.memberships import contracts, mirror
from nexfit.domains.memberships.documents import LIVE_SUBSCRIPTION_STATUSES, DurationUnit
from nexfit.domains.memberships.events import MembershipImported
from nexfit.domains.memberships.import_files import ImportedState, MemberRow, Rejected, read
from nexfit.domains.memberships.import_rules import Addition, Held, Known, Plan, Term, addition
from nexfit.domains.memberships.offers import FACILITY_COLUMNS
from nexfit.domains.memberships.selling import account_of
from nexfit.domains.memberships.selling import sql as sale_sql
from nexfit.domains.text import fold, normalize_email
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import BothWork, UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.mongo import Document, Mongo
from nexfit.stores.mongo_transactions import MongoTransaction
from nexfit.stores.postgres import Postgres
from nexfit.stores.postgres_transactions import PostgresTransaction
from nexfit.stores.sql import load_sql

TOGETHER = 100
"""Rows of one commit."""

sql = load_sql("nexfit.domains.memberships", "import.sql")

_PLAN = ("name", "duration", "currency", "isActive", "lineId")
_LIVE = frozenset(map(str, LIVE_SUBSCRIPTION_STATUSES))
_ROLES = {"gym": "gym_member", "studio": "studio_client"}


@dataclass(slots=True)
class Report:
    """What becomes, or became, of a file's rows."""

    rows: int = 0
    created: int = 0
    """People who were no members."""
    updated: int = 0
    """Members of whom something new was told."""
    unchanged: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    ignored: Sequence[str] = ()
    """Columns that nobody reads."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file is imported."""

    id: ObjectId
    facility: Document
    plans: Mapping[str, Sequence[Plan]]
    lines: Mapping[str, ObjectId]
    """The line of every version of a plan."""
    currency: str | None
    by: ObjectId
    today: date
    now: datetime


@dataclass(frozen=True, slots=True)
class _Step:
    """A row that adds something, or nothing: to whom, who has an account already or gets one."""

    line: int
    user: ObjectId
    is_new: bool
    is_member: bool
    row: MemberRow
    adds: Addition


async def permitted(mongo: Mongo, actor: Actor, facility: ObjectId) -> Document:
    """A facility whose members the viewer may bring along, by `members_write`. Raises Unauthenticated, NotFound,
    Forbidden."""
    actor.require()
    found = await mongo.find("facilities", {"_id": facility}, (*FACILITY_COLUMNS, "type"), limit=1)
    if not found:
        raise NotFound("There is no such facility.", path=("facility",))
    if not may(actor, found[0], "members_write"):
        raise Forbidden("You do not have the right to change this.")
    return found[0]


async def import_members(
    units: UnitsOfWork, stores: Stores, actor: Actor, facility: Document, content: bytes, *, apply: bool, now: datetime
) -> Report:
    """What a file would change of the members of a `permitted` facility, or with `apply` what it did.

    Raises BadInput for what is no such file, StoreError; of a row that is rejected nothing is written.
    """
    place = await _place(stores, actor, facility, now)
    table = read(content, place.facility.get("address", {}).get("country"))
    report = Report(len(table.rows), rejected=list(table.rejected), ignored=table.ignored)
    report.rows += len({one.line for one in table.rejected})
    seen: dict[ObjectId | str, int] = {}
    unit = units.both("import_members")
    for start in range(0, len(table.rows), TOGETHER):
        rows = table.rows[start : start + TOGETHER]

        async def body(work: BothWork, rows: Sequence[tuple[int, MemberRow]] = rows) -> tuple[list[_Step], list[Any]]:
            if not await work.postgres.fetch_value(sql.take_turn, str(place.id)):
                raise WriteConflict("postgres", "another import of this facility is writing")
            return await _write(work, place, *await _steps(work.postgres, work.mongo, place, rows, seen))

        steps, refused = await _steps(stores.postgres, stores.mongo, place, rows, seen)
        if apply and not all(step.adds.is_empty for step in steps):
            steps, refused = await unit.run(body)
        for step in steps:
            seen.update({step.user: step.line, _key(step.row): step.line})
            report.unchanged += step.adds.is_empty
            report.created += not step.is_member and not step.adds.is_empty
            report.updated += step.is_member and not step.adds.is_empty
        report.rejected += [Rejected(line, table.column_of(refusal), refusal) for line, refusal in refused]
    report.rejected.sort(key=lambda one: one.line)
    return report


async def _place(stores: Stores, actor: Actor, facility: Document, now: datetime) -> _Place:
    id_ = facility["_id"]
    plans: defaultdict[str, list[Plan]] = defaultdict(list)
    lines = {}
    for one in await stores.mongo.find("memberships", {"facilityId": id_}, _PLAN):
        lines[str(one["_id"])] = line = one.get("lineId") or one["_id"]
        if one["isActive"]:
            length = one["duration"]
            plans[fold(one["name"])].append(
                Plan(one["_id"], line, one["name"], DurationUnit(length["unit"]), length["value"], one["currency"])
            )
    accounts = await stores.postgres.fetch(sale_sql.account, str(id_))
    currency = accounts[0]["currency"] if accounts else None
    today = now.astimezone(ZoneInfo(facility["timezone"])).date()
    return _Place(id_, facility, plans, lines, currency, actor.require(), today, now)


def _key(row: MemberRow) -> str:
    """What nobody else's row may say: the address; without one, the phone."""
    return normalize_email(row.email) if row.email else str(row.phone_number)


async def _steps(
    postgres: Postgres | PostgresTransaction,
    mongo: Mongo | MongoTransaction,
    place: _Place,
    rows: Sequence[tuple[int, MemberRow]],
    seen: Mapping[ObjectId | str, int],
) -> tuple[list[_Step], list[tuple[int, Refusal]]]:
    """What each row adds, or why it is left out, in a fixed number of commands."""
    people = await _people(postgres, mongo, place, rows)
    known = await _known(postgres, place, {user for users in people.values() for user in users}, rows)
    steps: list[_Step] = []
    refused: list[tuple[int, Refusal]] = []
    before: dict[ObjectId | str, int] = dict(seen)
    currency = place.currency
    for line, row in rows:
        key = _key(row)
        users = people.get(key, ())
        name = "email" if row.email else "phoneNumber"
        try:
            earlier = before.get(key) or before.get(users[0] if users else "")
            if earlier:
                raise BadInput("Line {line} is about the same person.", path=(name,), line=earlier)
            if len(users) > 1:
                raise BadInput("Several members have this phone: give the e-mail address.", path=(name,))
            if not users:
                _check_new(row)
            about = known.get(users[0], Known()) if users else Known()
            adds = addition(row, about, place.plans, currency, place.today)
        except Refusal as refusal:
            refused.append((line, refusal))
            continue
        if adds.term is not None:
            currency = currency or adds.term.plan.currency  # the facility's first sale decides
        steps.append(_Step(line, users[0] if users else ObjectId(), not users, about.is_member, row, adds))
        before |= {key: line, steps[-1].user: line}
    return steps, refused


def _check_new(row: MemberRow) -> None:
    """Raises BadInput where the row does not say enough for an account."""
    if row.email is None:
        raise BadInput("No member has this phone, and a new one needs an e-mail address.", path=("phoneNumber",))
    for name, value in (("firstName", row.first_name), ("lastName", row.last_name)):
        if value is None:
            raise BadInput("A new member needs a first and a last name.", path=(name,))


async def _people(
    postgres: Postgres | PostgresTransaction,
    mongo: Mongo | MongoTransaction,
    place: _Place,
    rows: Sequence[tuple[int, MemberRow]],
) -> dict[str, list[ObjectId]]:
    """Accounts by address, and the facility's members by phone for rows without an address."""
    found: defaultdict[str, list[ObjectId]] = defaultdict(list)
    emails = [normalize_email(row.email) for _, row in rows if row.email]
    if emails:
        for one in await mongo.find("users", {"emailNormalized": {"$in": emails}}, ("emailNormalized",)):
            found[one["emailNormalized"]].append(one["_id"])
    phones = [row.phone_number for _, row in rows if not row.email]
    if phones:
        callers = await mongo.find("users", {"phoneNumber": {"$in": phones}}, ("phoneNumber",))
        members = await _members(postgres, place, [str(one["_id"]) for one in callers])
        for one in callers:
            if str(one["_id"]) in members:
                found[one["phoneNumber"]].append(one["_id"])
    return found


async def _members(postgres: Postgres | PostgresTransaction, place: _Place, users: list[str]) -> set[str]:
    rows = [
        *await postgres.fetch(sql.held, str(place.id), users),
        *await postgres.fetch(sql.members, str(place.id), users),
    ]
    return {row["user_id"] for row in rows}


async def _known(
    postgres: Postgres | PostgresTransaction,
    place: _Place,
    users: set[ObjectId],
    rows: Sequence[tuple[int, MemberRow]],
) -> dict[ObjectId, Known]:
    if not users:
        return {}
    facility, ids = str(place.id), [str(user) for user in sorted(users)]
    known: defaultdict[ObjectId, Known] = defaultdict(Known)
    for row in await postgres.fetch(sql.held, facility, ids):
        one = known[ObjectId(row["user_id"])]
        one.is_member = True
        line = place.lines.get(row["plan_id"], ObjectId(row["plan_id"]))
        held = Held(row["current_period_end"] - timedelta(days=1), row["status"] in _LIVE)
        other = one.held.get(line)
        if other is None or (held.is_live, held.last) > (other.is_live, other.last):
            one.held[line] = held
    for row in await postgres.fetch(sql.members, facility, ids):
        known[ObjectId(row["user_id"])].is_member = True
    if any(row.tags for _, row in rows):
        for row in await postgres.fetch(sql.tags, facility, ids):
            known[ObjectId(row["user_id"])].tags.add(row["tag_folded"])
    notes = [row.note for _, row in rows if row.note]
    if notes:
        for row in await postgres.fetch(sql.notes, facility, ids, notes):
            known[ObjectId(row["user_id"])].notes.add(row["text"])
    return known


async def _write(
    work: BothWork, place: _Place, steps: list[_Step], refused: list[tuple[int, Refusal]]
) -> tuple[list[_Step], list[tuple[int, Refusal]]]:
    """Raises WriteConflict where somebody made the same account or sold the same plan meanwhile."""
    adding = [step for step in steps if not step.adds.is_empty]
    try:
        await _write_accounts(work, place, [step for step in adding if step.is_new])
        await _write_terms(work, place, [(step, step.adds.term) for step in adding if step.adds.term is not None])
    except ConstraintViolated as error:
        raise WriteConflict(error.store, str(error)) from error
    facility, by = str(place.id), str(place.by)
    tags = [(str(step.user), *tag) for step in adding for tag in step.adds.tags.items()]
    if tags:
        await work.postgres.execute(sql.tag_all, facility, by, *map(list, zip(*tags, strict=True)))
    notes = [(str(step.user), step.adds.note) for step in adding if step.adds.note is not None]
    if notes:
        await work.postgres.execute(sql.note_all, facility, by, *map(list, zip(*notes, strict=True)))
    for step in adding:
        if step.adds.tags or step.adds.note is not None:
            after = {"tags": list(step.adds.tags.values()), "noted": step.adds.note is not None}
            work.audit(Audit("member.imported", "member", str(step.user), facility, by, after=after))
    if adding:
        work.invalidates(f"facility:{facility}:members")
    return steps, refused


async def _write_accounts(work: BothWork, place: _Place, steps: Sequence[_Step]) -> None:
    role = _ROLES[place.facility["type"]]
    made = [_account(step, role, place.now) for step in steps]
    if made:
        await work.mongo.insert("users", *made)
    for step in steps:
        facility, by = str(place.id), str(place.by)
        work.audit(Audit("account.imported", "user", str(step.user), facility, by, after={"role": role}))


def _account(step: _Step, role: str, now: datetime) -> Document:
    row = step.row
    born = None if row.birthday is None else datetime.combine(row.birthday, time(), UTC)
    account = {
        "_id": step.user,
        "email": row.email,
        "emailNormalized": normalize_email(row.email or ""),
        "firstName": row.first_name,
        "lastName": row.last_name,
        "nameFolded": fold(f"{row.first_name} {row.last_name}"),
        "phoneNumber": row.phone_number,
        "role": ["client", role],
        "isActive": True,
        "userType": "individual",
        "roleSpecificData": {"client": {"dateOfBirth": born}} if born else {},
        "createdAt": now,
        "updatedAt": now,
    }
    return {name: value for name, value in account.items() if value is not None}


async def _write_terms(work: BothWork, place: _Place, terms: Sequence[tuple[_Step, Term]]) -> None:
    if not terms:
        return
    facility = str(place.id)
    business = await account_of(work, facility, terms[0][1].plan.currency)
    zone = ZoneInfo(place.facility["timezone"])
    values = [_columns(step, term, zone) for step, term in terms]
    currency = terms[0][1].plan.currency
    rows = await work.postgres.fetch(sql.begin_all, business, facility, currency, *map(list, zip(*values, strict=True)))
    ids = {row["user_id"]: ObjectId() for row in rows}
    made = (
        {"_id": ids[row["user_id"]], "subscriptionId": str(row["subscription_id"]), **mirror.contract_of(row, [])}
        for row in rows
    )
    await work.mongo.insert(contracts.COLLECTION, *made)
    for row in rows:
        last = row["current_period_end"] - timedelta(days=1)
        work.emit(
            MembershipImported(
                facility_id=facility,
                subscription_id=str(row["subscription_id"]),
                plan_id=row["plan_id"],
                user_id=row["user_id"],
                starts_on=row["start_date"],
                ends_on=last,
            )
        )
        work.audit(
            Audit(
                "membership.imported",
                "member_subscription",
                str(ids[row["user_id"]]),
                facility,
                str(place.by),
                after={"status": row["status"], "plan": row["plan_id"], "endDate": str(last)},
            )
        )


def _columns(step: _Step, term: Term, zone: ZoneInfo) -> tuple[Any, ...]:
    """A membership as `begin_all` takes it. The day after its last one is the day later terms are counted from."""
    after = term.last + timedelta(days=1)
    plan = term.plan
    ended = datetime.combine(after, time(), zone).astimezone(UTC) if term.state is ImportedState.CANCELLED else None
    return (
        *(str(step.user), str(plan.id), plan.name, str(BillingCycle(plan.unit)), plan.value, str(term.state)),
        *(term.first, term.last, datetime.combine(term.first, time(), zone).astimezone(UTC)),
        after.day if plan.unit in (DurationUnit.MONTH, DurationUnit.YEAR) else None,
        ended,
    )

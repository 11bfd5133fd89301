"""Packages of a coach's time: sold, used by sessions, given back, and over. Credits are a ledger in PostgreSQL.

`total = used + reserved + remaining + expired + refunded`, each at least 0: the ledger's trigger keeps the sums in the
statement that adds an entry, and its checks refuse what is not there. Nobody else writes them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from babel.numbers import get_currency_precision
from bson import Decimal128, ObjectId
from pydantic import Field

from nexfit.domains.coaching.documents import RelationStatus
from nexfit.domains.coaching.errors import InvalidTransition, NoCredits, NoPackage, NoRelation
from nexfit.domains.coaching.relations import COLLECTION
from nexfit.domains.errors import BadInput
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.validation import Input, LineText
from nexfit.domains.memberships.turns import take_turn
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.unit_of_work import BothWork, PostgresWork, UnitsOfWork
from nexfit.stores.documents import Currency
from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.mongo import Document, Mongo
from nexfit.stores.postgres import Postgres, Row
from nexfit.stores.sql import load_sql

REMAINING = "package_balances_remaining"
"""The check that refuses a credit which is not there."""

MOST_SESSIONS, MOST_PRICE = 1_000, Decimal(10_000_000)
LONGEST = timedelta(days=5 * 366)

AT_ONCE = 200
"""Packages of which credits expire in one go."""

sql = load_sql("nexfit.domains.coaching", "packages.sql")


class PackagePayment(StrEnum):
    """Whether a package is paid, as far as its invoice tells."""

    UNBILLED = "unbilled"
    OPEN = "open"
    PAID = "paid"
    REFUNDED = "refunded"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


class CreditsChanged(Event):
    """Credits of a package were granted, expired or were given back."""

    home: ClassVar[Home] = "postgres"
    aggregate: ClassVar[str] = "coaching_package"

    package_id: str
    coach_id: str
    client_id: str
    entry: str
    credits: int

    @property
    def aggregate_id(self) -> str:
        """The package."""
        return self.package_id

    def tags(self) -> Sequence[str]:
        """What is kept of the package on both sides."""
        return (f"user:{self.coach_id}:coaching", f"user:{self.client_id}:coaching")


class Offer(Input):
    """What is sold: so many sessions, on days from `starts_on` to `ends_on`, both included."""

    name: LineText
    sessions: Annotated[int, Field(ge=1, le=MOST_SESSIONS)]
    price: Annotated[Decimal, Field(ge=0, le=MOST_PRICE, allow_inf_nan=False)]
    currency: Currency
    starts_on: date
    ends_on: date

    def check(self) -> None:
        """Raises BadInput for days and prices that cannot be."""
        decimals = get_currency_precision(self.currency)
        if self.price != self.price.quantize(Decimal(1).scaleb(-decimals)):
            raise BadInput(
                "A price in {currency} has {most} decimals.", path=("price",), currency=self.currency, most=decimals
            )
        if not self.starts_on <= self.ends_on <= self.starts_on + LONGEST:
            raise BadInput("A package ends within five years of its start.", path=("endsOn",))


@dataclass(frozen=True, slots=True)
class Bill:
    """At which facility a package was sold, and its invoice; None for what costs nothing."""

    facility: ObjectId
    invoice: UUID | None


async def sell(
    units: UnitsOfWork, mongo: Mongo, actor: Actor, relation: ObjectId, offer: Offer, *, key: str, now: datetime
) -> ObjectId:
    """A coach sells a client a package; its id. The same `key` and input give the first sale again.

    Raises Unauthenticated, BadInput, NotFound, InvalidTransition unless the relation is active, IdempotencyConflict;
    then nothing was written in either store.
    """
    coach = actor.require()
    offer.check()

    async def body(work: BothWork) -> str:
        found = await active_relation(work, {"_id": relation, "coachId": coach})
        return str(await grant(work, found, offer, by=coach, now=now))

    asked = {"relation": str(relation), **offer.model_dump(mode="json")}
    return ObjectId(await once(mongo, units.both("sell_package"), coach, "sellPackage", key, asked, body))


async def active_relation(work: BothWork, query: Document) -> Document:
    """The relation that is asked for, which nobody ends before this unit does. Raises NotFound, InvalidTransition."""
    found = await work.mongo.find_one(COLLECTION, query, ("coachId", "clientId", "relationship.status"))
    if found is None:
        raise NoRelation
    if found["relationship"]["status"] != RelationStatus.ACTIVE:
        raise InvalidTransition(state=found["relationship"]["status"])
    await take_turn(work.mongo, found["clientId"])  # who ends the relation meanwhile is run again, or this is
    return found


async def grant(
    work: BothWork, relation: Document, offer: Offer, *, by: ObjectId, now: datetime, bill: Bill | None = None
) -> ObjectId:
    """A package with its credits in both stores, in the caller's unit; its id."""
    package, pair = ObjectId(), (str(relation["coachId"]), str(relation["clientId"]))
    await work.postgres.execute(
        sql.add,
        *(str(package), str(relation["_id"]), *pair, offer.name, offer.price, offer.currency),
        *(offer.starts_on, offer.ends_on, str(by)),
        *((None, None) if bill is None else (str(bill.facility), bill.invoice)),
        now,
    )
    await work.postgres.execute(sql.enter, str(package), *pair, "grant", offer.sessions)
    latest = {
        "name": offer.name,
        "price": Decimal128(offer.price),
        "currency": offer.currency,
        "startDate": datetime.combine(offer.starts_on, time(0), UTC),
        "endDate": datetime.combine(offer.ends_on, time(0), UTC),
    }
    await work.mongo.update(COLLECTION, {"_id": relation["_id"]}, {"$set": {"package": latest, "updatedAt": now}})
    _tell(work, str(package), *pair, "grant", offer.sessions, by=str(by))
    return package


async def refund(units: UnitsOfWork, mongo: Mongo, actor: Actor, package: ObjectId, sessions: int, *, key: str) -> None:
    """The coach takes back credits that nobody has used or reserved; the money is given back elsewhere.

    The same `key` and input do it once. Raises Unauthenticated, NotFound, NoCredits, IdempotencyConflict.
    """
    coach = actor.require()

    async def body(work: PostgresWork) -> str:
        rows = await work.postgres.fetch(sql.by_ids, [str(package)])
        if not rows or rows[0]["coach_id"] != str(coach):
            raise NoPackage
        [row] = rows
        try:
            await _enter(work, row, "refund", sessions, by=str(coach))
        except ConstraintViolated as error:
            if error.constraint != REMAINING:
                raise
            raise NoCredits from error
        return str(package)

    asked = {"package": str(package), "sessions": sessions}
    await once(mongo, units.postgres("refund_package"), coach, "refundPackage", key, asked, body)


async def expire(units: UnitsOfWork, postgres: Postgres, *, now: datetime) -> int:
    """Let the credits of packages expire whose last day is over wherever on earth one is; of how many packages.

    At most AT_ONCE. What a session has reserved stays reserved. Any number of processes may do it at once.
    """
    over = (now - timedelta(hours=12)).date() - timedelta(days=1)
    found = await postgres.fetch(sql.ended, over, AT_ONCE)
    for one in found:

        async def body(work: PostgresWork, package: str = one["package_id"]) -> None:
            [row] = await work.postgres.fetch(sql.by_ids, [package])
            if row["remaining"] == 0:
                return
            try:
                await _enter(work, row, "expire", row["remaining"], by=None)
            except ConstraintViolated as error:  # somebody took of it, or let it expire, at the same moment
                raise WriteConflict(error.store, str(error)) from error

        await units.postgres("expire_package").run(body)
    return len(found)


async def of_relations(postgres: Postgres, relations: Collection[ObjectId]) -> dict[ObjectId, list[Row]]:
    """The packages of each relation with their credits, in one statement; a relation without any is absent."""
    found: dict[ObjectId, list[Row]] = {}
    for row in await postgres.fetch(sql.of_relations, [str(relation) for relation in relations]):
        found.setdefault(ObjectId(row["relation_id"]), []).append(row)
    return found


async def by_ids(postgres: Postgres, ids: Collection[str]) -> dict[str, Row]:
    """Packages with their credits by id, in one statement; unknown ids are absent."""
    return {row["package_id"]: row for row in await postgres.fetch(sql.by_ids, list(set(ids)))}


async def reserve(work: BothWork, relation: ObjectId, pair: tuple[str, str], session: ObjectId, day: date) -> None:
    """A session on a day takes a credit of the package that ends first. Raises NoCredits."""
    package = await work.postgres.fetch_value(sql.usable, str(relation), day)
    if package is None:
        raise NoCredits
    try:
        await work.postgres.execute(sql.reserve, package, *pair, str(session))
    except ConstraintViolated as error:
        if error.constraint != REMAINING:
            raise
        raise WriteConflict("postgres", str(error)) from error  # the last one was taken meanwhile: look again


async def settle(work: BothWork, session: ObjectId, *, used: bool) -> None:
    """What a session has reserved is consumed, or released."""
    await work.postgres.execute(sql.settle, str(session), "consume" if used else "release")


async def _enter(work: PostgresWork, package: Row, kind: str, credits: int, *, by: str | None) -> None:
    pair = package["coach_id"], package["client_id"]
    await work.postgres.execute(sql.enter, package["package_id"], *pair, kind, credits)
    _tell(work, package["package_id"], *pair, kind, credits, by=by)


def _tell(
    work: PostgresWork | BothWork, package: str, coach: str, client: str, kind: str, credits: int, *, by: str | None
) -> None:
    work.emit(CreditsChanged(package_id=package, coach_id=coach, client_id=client, entry=kind, credits=credits))
    work.audit(
        Audit(
            f"coaching_package.{kind}",
            "coaching_package",
            package,
            user_id=by,
            after={"clientId": client, "coachId": coach, "credits": credits},
        )
    )

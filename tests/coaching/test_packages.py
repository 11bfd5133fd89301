"""Packages and their credits (workflow 4.1): a ledger whose sums always add up, sold in both stores or neither."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId

from nexfit.domains.coaching import desk_sale, earnings, inviting, packages
from nexfit.domains.coaching.earnings import Earner
from nexfit.domains.coaching.errors import InvalidTransition, NoCredits, NoPackage, NoRelation
from nexfit.domains.errors import BadInput, IdempotencyConflict, NotFound, Unauthenticated
from nexfit.domains.finance import invoicing, till
from nexfit.domains.finance.words import PaymentMethod
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.hybrid.recovery import sweep
from tests.writes.conftest import at_point

from .conftest import NOW, Practice


async def test_a_package_is_sold_in_both_stores_once_per_key(practice: Practice) -> None:
    client, relation = await practice.client()
    sold = await asyncio.gather(*(practice.sell(relation, 12, key="tap") for _ in range(20)))
    assert len(set(sold)) == 1
    assert await practice.credits(sold[0]) == (0, 0, 12, 0)
    with pytest.raises(IdempotencyConflict):
        await practice.sell(relation, 13, key="tap")
    second = await practice.sell(relation, 5, name="Sonraki")
    stored = (await practice.relation(relation))["package"]
    assert (stored["name"], stored["price"].to_decimal()) == ("Sonraki", Decimal(1200))
    found = (await packages.of_relations(practice.stores.postgres, [relation]))[relation]
    assert [(row["package_id"], row["client_id"]) for row in found] == [
        (str(sold[0]), str(client.user_id)),
        (str(second), str(client.user_id)),
    ]


async def test_what_is_refused_writes_nothing_in_either_store(practice: Practice) -> None:
    _, relation = await practice.client()
    waiting = await practice.invite(await practice.person())
    package = await practice.sell(relation, 3)
    other = await practice.person("coach")
    before = await practice.written()
    for refused, attempt in (
        (Unauthenticated, lambda: practice.sell(relation, actor=GUEST)),
        (NoRelation, lambda: practice.sell(relation, actor=other)),
        (NoRelation, lambda: practice.sell(ObjectId())),
        (InvalidTransition, lambda: practice.sell(waiting)),
        (BadInput, lambda: practice.sell(relation, price=Decimal("0.001"))),
        (BadInput, lambda: practice.sell(relation, days=-1)),
        (BadInput, lambda: practice.sell(relation, days=6 * 366)),
        (NoPackage, lambda: _refund(practice, package, 1, actor=other)),
        (NoPackage, lambda: _refund(practice, ObjectId(), 1)),
        (NoCredits, lambda: _refund(practice, package, 4)),
    ):
        with pytest.raises(refused):
            await attempt()
        assert await practice.written() == before, refused


async def _refund(
    practice: Practice, package: ObjectId, sessions: int, *, actor: Actor | None = None, key: str = ""
) -> None:
    await packages.refund(
        practice.units, practice.stores.mongo, actor or practice.coach, package, sessions, key=key or str(uuid4())
    )


async def test_refunds_take_back_what_is_left_and_no_more(practice: Practice) -> None:
    _, relation = await practice.client()
    package = await practice.sell(relation, 10)
    await practice.schedule(relation, 48)
    await asyncio.gather(*(_refund(practice, package, 2, key="tap") for _ in range(10)))
    assert await practice.credits(package) == (1, 0, 7, 2)
    results = await asyncio.gather(*(_refund(practice, package, 1) for _ in range(20)), return_exceptions=True)
    assert Counter(type(result) for result in results) == {type(None): 7, NoCredits: 13}
    assert await practice.credits(package) == (1, 0, 0, 9)


async def test_credits_expire_once_the_last_day_is_over_everywhere(practice: Practice) -> None:
    _, relation = await practice.client()
    package, lasting = await practice.sell(relation, 4, days=1), await practice.sell(relation, 4, days=90)
    session = await practice.schedule(relation, 20)
    # 16 June is over on the last island at 12:00 UTC of the 17th.
    last = NOW + timedelta(days=2, hours=2, minutes=59)
    units, postgres = practice.units, practice.stores.postgres
    await packages.expire(units, postgres, now=last)
    assert await practice.credits(package) == (1, 0, 3, 0)
    over = last + timedelta(minutes=1)
    await asyncio.gather(*(packages.expire(units, postgres, now=over) for _ in range(8)))
    assert await practice.credits(package) == (1, 0, 0, 3)  # what is reserved stays reserved
    assert await practice.credits(lasting) == (0, 0, 4, 0)
    # Given back after the end it expires as well.
    await inviting.end(units, practice.coach, relation, now=NOW)
    assert (await practice.database.pt_sessions.find_one({"_id": session}))["status"] == "cancelled"
    await packages.expire(units, postgres, now=over)
    assert await practice.credits(package) == (0, 0, 0, 4)


# --- at the desk


@dataclass(slots=True)
class Desk:
    """A facility where the practice's coach works, with an owner who sells."""

    practice: Practice
    facility: ObjectId
    owner: Actor

    async def sell(
        self, relation: ObjectId, method: PaymentMethod | None = PaymentMethod.CASH, **more: Any
    ) -> ObjectId:
        """Twelve sessions for 1000 lira."""
        offer = packages.Offer(
            name="Desk",
            sessions=more.pop("sessions", 12),
            price=more.pop("price", Decimal("1000.00")),
            currency=more.pop("currency", "TRY"),
            starts_on=NOW.date(),
            ends_on=NOW.date() + timedelta(days=30),
        )
        given = {"actor": self.owner, "facility": self.facility, "key": str(uuid4()), "now": NOW} | more
        return await desk_sale.sell(
            self.practice.units,
            self.practice.stores.mongo,
            given["actor"],
            relation,
            offer,
            desk_sale.DeskSale(given["facility"], method),
            key=given["key"],
            now=given["now"],
        )

    async def money(self) -> dict[str, Any]:
        """What PostgreSQL holds of the facility: packages, invoices by state, payments and credits."""
        postgres, facility = self.practice.stores.postgres, str(self.facility)
        [row] = await postgres.fetch(
            """SELECT (SELECT count(*) FROM finance.coaching_packages WHERE facility_id = $1) AS packages,
                 (SELECT coalesce(jsonb_object_agg(status, n), '{}') FROM
                   (SELECT status, count(*) AS n FROM finance.invoices WHERE facility_id = $1 GROUP BY 1) i)
                   AS invoices,
                 (SELECT coalesce(sum(amount), 0) FROM finance.transactions WHERE facility_id = $1) AS paid,
                 (SELECT coalesce(sum(l.credits), 0) FROM finance.package_credit_ledger l
                   JOIN finance.coaching_packages USING (package_id) WHERE facility_id = $1) AS credits""",
            facility,
        )
        return dict(row)


@pytest.fixture
async def desk(practice: Practice) -> Desk:
    """A facility of its own for every test."""
    owner, id_ = await practice.person("gym_owner"), ObjectId()
    await practice.database.facilities.insert_one(
        {
            "_id": id_,
            "name": "Kule Spor",
            "nameFolded": "kule spor",
            "type": "gym",
            "timezone": "Europe/Istanbul",
            "address": {"country": "TR"},
            "ownerId": owner.require(),
            "staff": [{"userId": practice.coach.require(), "role": "coach", "permissions": [], "joinedAt": NOW}],
            "createdAt": NOW,
            "updatedAt": NOW,
        }
    )
    return Desk(practice, id_, owner)


async def test_a_desk_sells_invoice_payment_and_credits_together_once_per_key(desk: Desk) -> None:
    practice = desk.practice
    _, relation = await practice.client()
    sold = await asyncio.gather(*(desk.sell(relation, key="tap") for _ in range(10)))
    assert len(set(sold)) == 1
    assert await practice.credits(sold[0]) == (0, 0, 12, 0)
    assert await desk.money() == {"packages": 1, "invoices": {"paid": 1}, "paid": Decimal(1000), "credits": 12}
    owed = await desk.sell(relation, None)
    free = await desk.sell(relation, price=Decimal(0))
    rows = (await packages.of_relations(practice.stores.postgres, [relation]))[relation]
    assert {ObjectId(row["package_id"]): row["payment"] for row in rows} == {
        sold[0]: "paid",
        owed: "open",
        free: "unbilled",
    }
    [invoice] = [row["invoice_id"] for row in rows if row["payment"] == "open"]
    await invoicing.pay(
        practice.units,
        practice.stores,
        desk.owner,
        invoice=invoice,
        method=PaymentMethod.CARD,
        giver=None,
        key="later",
        now=NOW,
    )
    [row] = (await packages.by_ids(practice.stores.postgres, [str(owed)])).values()
    assert (row["payment"], row["price"]) == ("paid", Decimal(1000))
    assert (await desk.money())["paid"] == Decimal(2000)
    report = await till.reports(
        practice.stores.postgres, {str(desk.facility): NOW.date()}, {str(desk.facility): "Europe/Istanbul"}
    )
    methods = {one["method"]: one["paid"] for one in (report[str(desk.facility)] or {})["methods"]}
    assert methods == {"cash": Decimal(1000), "card": Decimal(1000)}


async def test_what_a_desk_cannot_sell_is_refused_and_writes_nothing(desk: Desk) -> None:
    practice = desk.practice
    _, relation = await practice.client()
    other = await practice.person("coach")
    strange = await practice.invite(await practice.person(), by=other)
    waiting = await practice.invite(await practice.person())
    await desk.sell(relation)
    before, money = await practice.written(), await desk.money()
    for refused, attempt in (
        (Unauthenticated, lambda: desk.sell(relation, actor=GUEST)),
        (NotFound, lambda: desk.sell(relation, actor=practice.coach)),
        (NotFound, lambda: desk.sell(relation, actor=other)),
        (NotFound, lambda: desk.sell(relation, facility=ObjectId())),
        (NoRelation, lambda: desk.sell(ObjectId())),
        (InvalidTransition, lambda: desk.sell(waiting)),
        (InvalidTransition, lambda: desk.sell(strange)),
        (BadInput, lambda: desk.sell(relation, PaymentMethod.WALLET)),
        (BadInput, lambda: desk.sell(relation, currency="EUR")),
        (BadInput, lambda: desk.sell(relation, price=Decimal("0.001"))),
    ):
        with pytest.raises(refused):
            await attempt()
        assert (await practice.written(), await desk.money()) == (before, money), refused


class Died(BaseException):
    """Stands for the death of the process: nothing after it is run."""


@pytest.mark.parametrize(("point", "there"), [("prepared", False), ("decided", True)])
async def test_a_desk_that_dies_leaves_both_or_neither(desk: Desk, point: str, there: bool) -> None:
    practice = desk.practice
    _, relation = await practice.client()

    def die() -> None:
        raise Died

    with at_point(point, die), pytest.raises(Died):
        await desk.sell(relation)
    await sweep(practice.stores, 0)
    money = await desk.money()
    kept = "package" in await practice.relation(relation)
    assert kept is there
    assert money == (
        {"packages": 1, "invoices": {"paid": 1}, "paid": Decimal(1000), "credits": 12}
        if there
        else {"packages": 0, "invoices": {}, "paid": 0, "credits": 0}
    )


# --- earnings


async def test_earnings_equal_an_independent_recomputation(desk: Desk) -> None:
    practice, chance = desk.practice, Random(11)  # noqa: S311
    zone, moved = ZoneInfo("Europe/Berlin"), []
    other = await practice.person("coach")
    for number in range(6):
        _, relation = await practice.client()
        # Prices that no number of sessions divides; another coach's and another desk's are nobody's business.
        price, sessions = chance.choice((Decimal("1000.00"), Decimal("99.99"), Decimal(10))), chance.choice((3, 7, 12))
        at_desk = number % 2 == 0
        package = await (
            desk.sell(relation, price=price, sessions=sessions)
            if at_desk
            else practice.sell(relation, sessions, price=price)
        )
        [row] = (await packages.by_ids(practice.stores.postgres, [str(package)])).values()
        moved.append((at_desk, "sold", row["created_at"], price, 0))
        left, gone, cents = sessions, 0, Decimal("0.01")
        # Around the nights in which clocks change, and at the ends of months.
        moments = sorted(
            datetime(2026, *chance.choice(((3, 28), (3, 29), (10, 25), (10, 31), (11, 1))), 22, 30, tzinfo=UTC)
            + timedelta(minutes=chance.randrange(180))
            for _ in range(5)
        )
        for moment in moments:
            kind, count = chance.choice((("consume", 1), ("consume", 1), ("refund", 2), ("expire", 2)))
            count = min(count, left)
            if not count:
                break
            session = str(ObjectId()) if kind == "consume" else None
            for entry in ("reserve", kind) if session else (kind,):
                await practice.stores.postgres.fetch(
                    """INSERT INTO finance.package_credit_ledger
                         (package_id, coach_id, client_id, entry_type, credits, session_id, created_at)
                       VALUES ($1, $2, $3, $4, $5, $6, $7)""",
                    *(str(package), str(practice.coach.user_id), row["client_id"], entry, count, session, moment),
                )
            upto = gone + count
            shares = [(price * n / sessions).quantize(cents, ROUND_HALF_UP) for n in (gone, upto)]
            moved.append((at_desk, kind, moment, shares[1] - shares[0], count))
            left, gone = left - count, upto
    since, until = date(2026, 3, 29), date(2026, 10, 31)
    for by, first in (
        ("day", lambda day: day),
        ("week", lambda day: day - timedelta(days=day.weekday())),
        ("month", lambda day: day.replace(day=1)),
    ):
        expected: dict[tuple[bool, date], Counter[str]] = {}
        for at_desk, kind, moment, amount, count in moved:
            day = moment.astimezone(zone).date()
            if since <= day <= until:
                for only_desk in (False, True) if at_desk else (False,):
                    row_ = expected.setdefault((only_desk, first(day)), Counter())
                    row_[kind] += amount
                    row_["sessions"] += count if kind == "consume" else 0
        facility, coach = str(desk.facility), str(practice.coach.user_id)
        earners = [
            Earner(coach, None, str(zone)),
            Earner(coach, facility, str(zone)),
            Earner(None, facility, str(zone)),
            Earner(str(other.user_id), None, str(zone)),
            Earner(coach, str(ObjectId()), str(zone)),
        ]
        whole, here, owners, *nothing = await earnings.by_period(practice.stores.postgres, earners, since, until, by)
        assert nothing == [[], []]
        for only_desk, rows in ((False, whole), (True, here), (True, owners)):
            found = {
                row["period"]: (row["sold"], row["earned"], row["expired"], row["refunded"], row["sessions"])
                for row in rows
            }
            assert {(row["coach_id"], row["currency"]) for row in rows} == {(coach, "TRY")}
            assert found == {
                period: (one["sold"], one["consume"], one["expire"], one["refund"], one["sessions"])
                for (desk_only, period), one in expected.items()
                if desk_only is only_desk
            }
            assert [row["period"] for row in rows] == sorted(found)
    assert len(expected) > 3

"""Programs that are sold: through the purchases of memberships, with an enrolment beside the money or neither.

Who may begin what has a price, what a price can be, what is given back; a buyer killed at every step.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from bson import Decimal128, ObjectId

from nexfit.domains.errors import BadInput, Forbidden, NotFound, Unauthenticated
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.memberships import program_sales, purchase
from nexfit.domains.memberships.errors import OtherCurrency, PriceChanged
from nexfit.domains.memberships.program_sales import AlreadyBought, NotForSale, NotReturnable
from nexfit.domains.memberships.purchase import Begun
from nexfit.domains.training import archiving, enrolments, library_editing, pricing
from nexfit.domains.training.enrolment_documents import DayState
from nexfit.domains.training.enrolments import NotThisDay, PurchaseRequired
from nexfit.domains.training.library import PROGRAMS

from .conftest import NOW, Shop
from .online import Online, selling_online
from .test_purchase import BUYING, RETURNING, killing

TOTAL = Decimal("690.00")


@dataclass(slots=True)
class Studio:
    """A shop that sells programs of its owner's."""

    online: Online

    @property
    def shop(self) -> Shop:
        return self.online.shop

    async def program(self, total: Decimal | None = TOTAL, **more: Any) -> ObjectId:
        """A public program of a workout and a rest, sold at a discount."""
        id_, template, author = ObjectId(), ObjectId(), self.shop.owner.require()
        common = {"createdBy": author, "isPublic": True, "metadata": {}, "createdAt": NOW, "updatedAt": NOW}
        common |= {"version": 1, "reviews": {"averageRating": 0, "count": 0}}
        await self.shop.database.workout_templates.insert_one(
            {"_id": template, "name": "Legs", "nameFolded": "legs", "exercises": [], **common}
        )
        days = [{"day": 1, "isRestDay": False, "workoutTemplateId": template}, {"day": 2, "isRestDay": True}]
        row = {"_id": id_, "name": "Two days", "nameFolded": "two days", "schedule": days, **common, **more}
        await self.shop.database.workout_programs.insert_one(row)
        if total is not None:
            price = pricing.Price(
                price=total + 100, discount_price=total, currency="TRY", facility_id=self.shop.facility
            )
            await pricing.set_price(self.shop.units, self.shop.owner, id_, price, now=NOW)
        return id_

    async def buy(self, program: ObjectId, buyer: ObjectId, **more: Any) -> Begun:
        """Begin a purchase now."""
        given = {"expected_total": TOTAL, "key": uuid4().hex, "now": self.online.now} | more
        return await purchase.begin_program(self.online.sales, Actor(buyer), program=program, **given)

    async def bought(self, program: ObjectId, buyer: ObjectId) -> UUID:
        """A purchase that was paid and became an enrolment."""
        begun = await self.buy(program, buyer)
        assert begun.payment is not None
        await self.online.provider.pay(begun.payment.reference)
        await self.online.provider.settled()
        assert await self.online.status(begun.purchase) == "active"
        return begun.purchase

    async def give_back(self, id_: UUID, buyer: ObjectId) -> None:
        sales = self.online.sales
        await program_sales.give_back(
            self.shop.units, self.shop.stores, sales.provider, Actor(buyer), id_, now=self.online.now
        )

    async def begin(self, program: ObjectId, viewer: Actor, person: ObjectId | None = None) -> ObjectId:
        units, today = self.shop.units, self.online.now.date()
        return await enrolments.enrol(units, viewer, program, user=person, start=today, now=self.online.now)

    async def enrolled(self, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.shop.database.program_enrolments.find(query).to_list()
        return found

    async def taken(self) -> dict[str, int]:
        """Check both stores and the provider against each other; purchases by state, given back ones apart.

        What is active has its payment, its paid invoice and its enrolment; what was given or paid back has all its
        money back and no enrolment; the rest has neither.
        """
        await self.online.provider.settled()
        rows = await self.shop.stores.postgres.fetch(
            """SELECT p.*, t.amount AS taken, i.total_amount AS invoiced, i.status AS invoice, r.amount AS returned,
                 r.status AS refund, c.total_amount AS credited
               FROM finance.purchases p
               LEFT JOIN finance.transactions t ON t.transaction_id = p.transaction_id
               LEFT JOIN finance.invoices i ON i.transaction_id = p.transaction_id
               LEFT JOIN finance.refunds r ON r.refund_id = p.refund_id
               LEFT JOIN finance.credit_notes c ON c.refund_id = p.refund_id
               WHERE p.facility_id = $1""",
            str(self.shop.facility),
        )
        states: Counter[str] = Counter()
        for row in rows:
            state = "given back" if row["status"] == "active" and row["refund_id"] else row["status"]
            states[state] += 1
            enrolled = await self.enrolled(purchaseId=str(row["purchase_id"]))
            assert len(enrolled) == (state == "active"), row
            if state == "active":
                assert (row["taken"], row["invoiced"], row["invoice"]) == (row["amount"], row["amount"], "paid")
                assert (enrolled[0]["userId"], str(enrolled[0]["_id"])) == (
                    ObjectId(row["user_id"]),
                    row["enrolment_id"],
                )
            elif state in ("given back", "refunded"):
                assert (row["taken"], row["returned"], row["refund"]) == (row["amount"], row["amount"], "succeeded")
                assert row["credited"] == row["invoiced"]  # both null where nothing was ever given
            else:
                assert (state in ("failed", "expired"), row["taken"]) == (True, None)
        [ledger] = await self.shop.stores.postgres.fetch(
            """SELECT coalesce(sum(amount) FILTER (WHERE transaction_type = 'charge'), 0) AS taken,
                 coalesce(sum(amount) FILTER (WHERE transaction_type = 'refund'), 0) AS returned
               FROM finance.transactions WHERE facility_id = $1 AND status = 'succeeded'""",
            str(self.shop.facility),
        )
        assert {name: value / 100 for name, value in self.online.provider.money().items()} == {
            name: float(value) for name, value in ledger.items()
        }
        return dict(states)


@pytest.fixture
async def studio(shop: Shop) -> AsyncIterator[Studio]:
    async with selling_online(shop) as online:
        yield Studio(online)


async def test_what_is_paid_for_can_be_begun_and_its_author_sees_the_sale(studio: Studio) -> None:
    program, buyer = await studio.program(), await studio.shop.person()
    with pytest.raises(PurchaseRequired):
        await studio.begin(program, Actor(buyer))
    begun = await studio.buy(program, buyer, key="tap")
    assert begun.payment is not None
    assert (await studio.buy(program, buyer, key="tap")).purchase == begun.purchase
    assert await studio.enrolled(userId=buyer) == []
    await studio.online.provider.pay(begun.payment.reference)
    assert await studio.taken() == {"active": 1}
    # The same tap again after all was done is the same purchase, not another one.
    assert (await studio.buy(program, buyer, key="tap")).purchase == begun.purchase
    [way] = await studio.enrolled(userId=buyer)
    assert (way["status"], way["pointer"], [day["state"] for day in way["days"]]) == ("active", 1, ["pending"] * 2)
    await enrolments.end(studio.shop.units, Actor(buyer), way["_id"], now=studio.online.now)
    assert await studio.begin(program, Actor(buyer)) != way["_id"]  # bought once is enough
    with pytest.raises(AlreadyBought):
        await studio.buy(program, buyer)


async def test_who_needs_not_buy_and_who_must(studio: Studio) -> None:
    shop = studio.shop
    program, free = await studio.program(), await studio.program(None)
    person, other, early = [await shop.person() for _ in range(3)]
    assert await studio.begin(free, Actor(person))
    assert await studio.begin(program, shop.owner)  # made it
    await studio.begin(program, shop.owner, person)  # was assigned it by who made it
    with pytest.raises(PurchaseRequired):
        await studio.begin(program, Actor(person), other)  # not by anybody else
    with pytest.raises(PurchaseRequired):
        await library_editing.copy(
            shop.units, shop.stores.mongo, Actor(other), PROGRAMS, program, key="copy", now=studio.online.now
        )
    way = await studio.begin(free, Actor(early))
    price = pricing.Price(price=TOTAL, currency="TRY", facility_id=shop.facility)
    await pricing.set_price(shop.units, shop.owner, free, price, now=NOW)
    await enrolments.end(shop.units, Actor(early), way, now=NOW)
    assert await studio.begin(free, Actor(early))  # began it while it was free
    await pricing.set_price(shop.units, shop.owner, free, None, now=NOW)
    assert await studio.begin(free, Actor(other))
    assert await studio.enrolled(userId=other, programId=program) == []


async def test_what_is_refused_writes_nothing_and_asks_nobody(studio: Studio) -> None:
    shop, buyer = studio.shop, await studio.shop.person()
    program, free, hidden = await studio.program(), await studio.program(None), await studio.program(isPublic=False)
    unsold = await studio.program(None, pricing={"price": Decimal128("5"), "currency": "TRY", "isDiscounted": False})
    euros, archived = await studio.program(), await studio.program()
    for _ in range(2):
        await archiving.archive(shop.units, shop.owner, PROGRAMS, archived, archived=True, now=NOW)
    await shop.sell(await shop.plan(), await shop.person())  # the facility trades in lira from here on
    await shop.database.workout_programs.update_one({"_id": euros}, {"$set": {"pricing.currency": "EUR"}})
    known = await shop.person()
    await studio.begin(program, shop.owner, known)
    before, calls = await shop.counts(), len(studio.online.provider.calls)
    for refused, id_, who, more in (
        (PriceChanged, program, buyer, {"expected_total": TOTAL + 100}),
        (NotForSale, free, buyer, {}),
        (NotForSale, unsold, buyer, {}),
        (NotFound, hidden, buyer, {}),
        (NotFound, archived, buyer, {}),
        (NotFound, ObjectId(), buyer, {}),
        (OtherCurrency, euros, buyer, {}),
        (AlreadyBought, program, known, {}),
    ):
        with pytest.raises(refused):
            await studio.buy(id_, who, **more)
    with pytest.raises(Unauthenticated):
        await purchase.begin_program(
            studio.online.sales, GUEST, program=program, expected_total=TOTAL, key="k", now=NOW
        )
    author = pricing.Price(price=TOTAL, currency="TRY", facility_id=shop.facility)
    elsewhere = author.model_copy(update={"facility_id": ObjectId()})
    for refused, actor, id_, price in (
        (Forbidden, Actor(buyer), program, author),
        (NotFound, Actor(buyer), hidden, author),
        (NotFound, shop.owner, program, elsewhere),
        (BadInput, shop.owner, program, author.model_copy(update={"discount_price": TOTAL})),
        (BadInput, shop.owner, program, author.model_copy(update={"price": Decimal("1.234")})),
    ):
        with pytest.raises(refused):
            await pricing.set_price(shop.units, actor, id_, price, now=NOW)
    assert await shop.counts() == before
    assert len(studio.online.provider.calls) == calls
    found = await shop.stores.postgres.fetch(
        "SELECT 1 FROM finance.purchases WHERE facility_id = $1", str(shop.facility)
    )
    assert found == []


async def test_of_two_purchases_at_once_one_begins_and_the_other_is_paid_back(studio: Studio) -> None:
    program, buyer = await studio.program(), await studio.shop.person()
    begun = [await studio.buy(program, buyer) for _ in range(2)]
    await asyncio.gather(*(studio.online.provider.pay(one.payment.reference) for one in begun if one.payment))
    await studio.online.passes(minutes=1)
    assert await studio.taken() == {"active": 1, "refunded": 1}


async def test_a_program_is_given_back_within_two_weeks_and_before_a_day_of_it(studio: Studio) -> None:
    program = await studio.program()
    buyer, slow, busy, stranger = [await studio.shop.person() for _ in range(4)]
    [bought, kept, begun] = [await studio.bought(program, who) for who in (buyer, slow, busy)]
    with pytest.raises(NotFound):
        await studio.give_back(bought, stranger)
    for _ in range(2):  # said twice it is given back once
        await studio.give_back(bought, buyer)
    with pytest.raises(PurchaseRequired):
        await studio.begin(program, Actor(buyer))
    [way] = await studio.enrolled(userId=busy)
    await enrolments.settle(
        studio.shop.units, Actor(busy), way["_id"], 1, DayState.DONE, log=None, now=studio.online.now
    )
    with pytest.raises(NotThisDay):
        await studio.give_back(begun, busy)
    studio.online.now += timedelta(days=14, seconds=1)
    with pytest.raises(NotReturnable):
        await studio.give_back(kept, slow)
    assert await studio.taken() == {"active": 2, "given back": 1}
    assert await studio.bought(program, buyer)  # and may be bought again


async def test_fifty_times_given_back_while_a_day_is_done_is_one_of_both(studio: Studio) -> None:
    program, buyer = await studio.program(), await studio.shop.person()
    id_ = await studio.bought(program, buyer)
    [way] = await studio.enrolled(userId=buyer)
    done = enrolments.settle(
        studio.shop.units, Actor(buyer), way["_id"], 1, DayState.DONE, log=None, now=studio.online.now
    )
    outcomes = await asyncio.gather(
        *(studio.give_back(id_, buyer) for _ in range(25)), done, *(studio.give_back(id_, buyer) for _ in range(25)),
        return_exceptions=True,
    )  # fmt: skip
    assert {type(one) for one in outcomes} <= {type(None), NotThisDay, NotFound, NotReturnable}
    [(state, count)] = (await studio.taken()).items()
    assert count == 1
    assert (state == "active") == (outcomes[25] is None)


async def test_a_buyer_killed_at_any_step_has_the_program_and_paid_once_or_the_money_back(studio: Studio) -> None:
    studio.online.provider.faults.delivery = "never"
    studio.online.provider.faults.pay_at_once = True
    program, gone = await studio.program(), await studio.program()
    async with killing(studio.online) as buyers:
        for point in BUYING:
            await buyers.dies_at(point, program=program, member=await studio.shop.person(), total=TOTAL)
        await studio.online.passes(minutes=1)
        studio.online.provider.faults.pay_at_once = False
        returned = [await studio.buy(gone, await studio.shop.person()) for _ in RETURNING]
        await studio.shop.database.workout_programs.update_one({"_id": gone}, {"$set": {"schedule": []}})
        for begun, point in zip(returned, RETURNING, strict=True):
            assert begun.payment is not None
            await studio.online.provider.pay(begun.payment.reference)
            await buyers.dies_at(point, purchase=begun.purchase)
        await studio.online.passes(minutes=1)
        assert await studio.taken() == {"active": len(BUYING), "refunded": len(RETURNING)}
        ways = await studio.enrolled(programId=program)
        steps = ("prepared", "decided", "refund.before_call", "refund.called", "refund.settled")
        for way, point in zip(ways, steps, strict=False):
            await buyers.dies_at(point, give_back=way["purchaseId"], member=way["userId"])
        await studio.online.passes(minutes=1)
    states = await studio.taken()
    # Killed before the decision nothing had happened; from there on the money is on its way back.
    assert states == {"active": len(BUYING) - 4, "given back": 4, "refunded": len(RETURNING)}

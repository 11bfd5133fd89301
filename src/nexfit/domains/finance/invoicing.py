"""Issuing an invoice by hand, being paid for it at the desk, and taking it back, in PostgreSQL alone.

Numbers come from the series of the business and year, whose row makes issuers take turns; a rollback gives its number
back, so there is no gap. What is issued never changes: the database refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision, get_territory_currencies
from bson import ObjectId

from nexfit.domains.errors import BadInput, NotFound
from nexfit.domains.finance import ledger
from nexfit.domains.finance.errors import InvoiceNotOpen
from nexfit.domains.finance.events import InvoiceIssued, InvoicePaid, InvoiceVoided
from nexfit.domains.finance.tax import NoTaxRate, TaxClass, add_tax, rate_on, split_tax
from nexfit.domains.finance.words import InvoiceStatus, PaymentMethod
from nexfit.domains.idempotency import once
from nexfit.domains.identity.access import Actor, may
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import BothWork, PostgresWork, UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.postgres import Row
from nexfit.stores.sql import load_sql

MOST_LINES = 50
MOST_DESCRIPTION = 200
MOST_QUANTITY = 10_000
MOST_PRICE = Decimal(1_000_000_000)
LONGEST_TERM = timedelta(days=366)
"""Between the day of issue and the last day to pay."""

AT_THE_DESK = (PaymentMethod.CASH, PaymentMethod.CARD, PaymentMethod.BANK_TRANSFER)
"""How a desk takes money; a card there is the desk's own terminal."""

SELLER_COLUMNS = ("name", "address", "contact")
"""What `printed` reads of a facility."""

_PLACE = ("ownerId", "staff.userId", "staff.permissions", "timezone", *SELLER_COLUMNS)

sql = load_sql("nexfit.domains.finance", "invoicing.sql")


@dataclass(frozen=True, slots=True)
class Line:
    """What is sold: a price each, with the tax in it or not as the invoice says."""

    description: str
    quantity: Decimal
    price: Decimal
    tax: TaxClass


@dataclass(frozen=True, slots=True)
class PricedLine:
    """A line with its tax."""

    description: str
    quantity: Decimal
    rate: Decimal
    net: Decimal
    tax: Decimal


def priced(line: Line, rate: Decimal, currency: str, *, includes_tax: bool) -> PricedLine:
    """The line's net and tax, each rounded half up to the currency; with the tax included they add up to the price."""
    amount = line.quantity * line.price
    if includes_tax:
        exponent = Decimal(1).scaleb(-get_currency_precision(currency))
        net, tax = split_tax((amount + 0).quantize(exponent), rate, currency)
    else:
        net, tax = add_tax(amount, rate, currency)
    return PricedLine(line.description, line.quantity, rate, net, tax)


def printed(facility: Mapping[str, Any], person: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """What an invoice says of its two sides for good: names and addresses on the day of issue."""
    address, contact = facility.get("address") or {}, facility.get("contact") or {}
    seller = {
        "name": facility["name"],
        **{key: address[key] for key in ("street", "city", "state", "zipCode", "country") if address.get(key)},
        **{key: contact[key] for key in ("phoneNumber", "email") if contact.get(key)},
    }
    buyer = {"name": f"{person['firstName']} {person['lastName']}", "firstName": person["firstName"]}
    return {"seller": seller, "buyer": {**buyer, "lastName": person["lastName"]}, **more}


def check_lines(lines: Sequence[Line], currency: str) -> None:
    """Raises BadInput for what no invoice can say."""
    if not 1 <= len(lines) <= MOST_LINES:
        raise BadInput("An invoice has 1 to {most} lines.", path=("lines",), most=MOST_LINES)
    exponent = Decimal(1).scaleb(-get_currency_precision(currency))
    for place, line in enumerate(lines):
        where = ("lines", str(place))
        if not 1 <= len(line.description) <= MOST_DESCRIPTION:
            raise BadInput(
                "A line needs a description of at most {most} characters.",
                path=(*where, "description"),
                most=MOST_DESCRIPTION,
            )
        if not 0 < line.quantity <= MOST_QUANTITY or line.quantity != line.quantity.quantize(Decimal("0.001")):
            raise BadInput(
                "A quantity is more than 0, at most {most}, and has at most 3 decimals.",
                path=(*where, "quantity"),
                most=MOST_QUANTITY,
            )
        if not 0 <= line.price <= MOST_PRICE or line.price != line.price.quantize(exponent):
            raise BadInput(
                "A price is an amount in {currency}, not below 0.", path=(*where, "unitPrice"), currency=currency
            )
    if all(line.price == 0 for line in lines):
        raise BadInput("An invoice over nothing cannot be issued.", path=("lines",))


async def issue(
    units: UnitsOfWork,
    stores: Stores,
    actor: Actor,
    *,
    facility: ObjectId,
    member: ObjectId,
    lines: Sequence[Line],
    includes_tax: bool,
    due: date | None,
    key: str,
    now: datetime,
) -> UUID:
    """Issue an invoice to a member, to be paid by a day; the invoice's id. By staff with `finance_write`.

    The same `key` and input give the first invoice again. Raises Unauthenticated, NotFound, BadInput, NoTaxRate,
    IdempotencyConflict; then nothing was written.
    """
    issuer = actor.require()
    places = await stores.mongo.find("facilities", {"_id": facility}, _PLACE, limit=1)
    if not places or not may(actor, places[0], "finance_write"):
        raise NotFound("There is no such member.", path=("member",))
    place = places[0]
    if not await stores.postgres.fetch(
        "SELECT FROM platform.member_facts WHERE facility_id = $1 AND user_id = $2", str(facility), str(member)
    ):
        raise NotFound("There is no such member.", path=("member",))
    people = await stores.mongo.find("users", {"_id": member}, ("firstName", "lastName"), limit=1)
    if not people:
        raise NotFound("There is no such member.", path=("member",))
    today = now.astimezone(ZoneInfo(place["timezone"])).date()
    if due is not None and not today <= due <= today + LONGEST_TERM:
        raise BadInput(
            "{name} must be between {least} and {most}.",
            path=("dueDate",),
            name="dueDate",
            least=today,
            most=today + LONGEST_TERM,
        )

    async def body(work: PostgresWork) -> str:
        account = await account_of(work, place)
        check_lines(lines, account["currency"])
        await work.postgres.fetch(sql.hold_member, str(facility), str(member))
        country = (place.get("address") or {}).get("country")
        found = [
            priced(line, rate_on(country, today, line.tax), account["currency"], includes_tax=includes_tax)
            for line in lines
        ]
        document = await write(work, place, people[0], found, account, today=today, due=due or today, by=issuer)
        return str(document["invoice_id"])

    asked = {
        "member": f"{facility}:{member}",
        "lines": [
            [line.description, f"{line.quantity.normalize():f}", f"{line.price.normalize():f}", str(line.tax)]
            for line in lines
        ],
        "includesTax": includes_tax,
        "due": str(due),
    }
    return UUID(await once(stores.mongo, units.postgres("issue_invoice"), issuer, "issueInvoice", key, asked, body))


async def write(
    work: PostgresWork | BothWork,
    place: Mapping[str, Any],
    person: Mapping[str, Any],
    lines: Sequence[PricedLine],
    account: Row,
    *,
    today: date,
    due: date,
    by: ObjectId,
) -> dict[str, Any]:
    """An open invoice of a facility (`SELLER_COLUMNS`) to a person, in the caller's unit; what `settle` takes."""
    net, tax = sum((line.net for line in lines), Decimal(0)), sum((line.tax for line in lines), Decimal(0))
    document = await work.postgres.fetch_one(
        sql.issue,
        *(str(person["_id"]), account["business_id"], str(place["_id"]), net, tax, account["currency"], today, due),
        printed(place, person),
    )
    assert document is not None  # noqa: S101  # returned by the insert
    await work.postgres.execute(
        sql.add_lines,
        document["invoice_id"],
        *map(list, zip(*((one.description, one.quantity, one.rate, one.net, one.tax) for one in lines), strict=True)),
    )
    row = {
        **document,
        "business_id": account["business_id"],
        "facility_id": str(place["_id"]),
        "user_id": str(person["_id"]),
        "currency": account["currency"],
        "total_amount": net + tax,
    }
    _tell(work, InvoiceIssued, row, row["total_amount"], by, "invoice.issued", {"dueDate": str(due)})
    return row


async def settle(
    work: PostgresWork | BothWork,
    invoice: Mapping[str, Any],
    method: PaymentMethod,
    giver: str | None,
    *,
    today: date,
    by: ObjectId,
    now: datetime,
) -> UUID:
    """The whole of an open invoice is taken at the desk, in the caller's unit; the payment's id."""
    payment = await work.postgres.fetch_value(
        sql.take_payment,
        *(invoice["business_id"], invoice["facility_id"], invoice["user_id"], invoice["total_amount"]),
        *(invoice["currency"], str(method), invoice["invoice_number"], {"gift": {"from": giver}} if giver else {}, now),
    )
    await work.postgres.execute(sql.settle, invoice["invoice_id"], payment, today)
    more = {"method": str(method), "payment": str(payment), **({"gift": giver} if giver else {})}
    _tell(work, InvoicePaid, invoice, invoice["total_amount"], by, "invoice.paid", more)
    return UUID(str(payment))


async def account_of(work: PostgresWork | BothWork, place: Mapping[str, Any]) -> Row:
    """The business that issues the facility's invoices, and its currency: by its country for the first one."""
    facility = str(place["_id"])
    account = await work.postgres.fetch_one(sql.account, facility)
    if account is None:
        country = (place.get("address") or {}).get("country")
        currencies = get_territory_currencies(country) if country else []
        if not currencies:
            raise NoTaxRate(country=country)
        await work.postgres.execute(sql.open_account, facility, currencies[0])
        account = await work.postgres.fetch_one(sql.account, facility)
    assert account is not None  # noqa: S101  # accounts are never deleted
    return account


async def _place_of(stores: Stores, actor: Actor, invoice: UUID, *permissions: str) -> ZoneInfo:
    """The calendar of who issued an invoice. Raises NotFound for who has none of the permissions there."""
    found = (await ledger.by_ids(stores.postgres, ledger.INVOICES, [invoice], ())).get(invoice)
    places = (
        await stores.mongo.find("facilities", {"_id": ObjectId(found["facility_id"])}, _PLACE, limit=1)
        if found is not None
        else []
    )
    if not places or not any(may(actor, places[0], permission) for permission in permissions):
        raise NotFound("There is no such invoice.", path=("invoice",))
    return ZoneInfo(places[0]["timezone"])


async def pay(
    units: UnitsOfWork,
    stores: Stores,
    actor: Actor,
    *,
    invoice: UUID,
    method: PaymentMethod,
    giver: str | None,
    key: str,
    now: datetime,
) -> UUID:
    """Take the whole of an open invoice at the desk, from the member or as a gift of `giver`; the payment's id.

    By staff with `finance_write` or `members_write`. A subscription that fell behind and owes nothing any more is
    active again. Raises Unauthenticated, NotFound, BadInput, InvoiceNotOpen, IdempotencyConflict.
    """
    taker = actor.require()
    if method not in AT_THE_DESK:
        raise BadInput("A desk takes cash, cards and bank transfers.", path=("method",))
    zone = await _place_of(stores, actor, invoice, "finance_write", "members_write")
    today = now.astimezone(zone).date()

    async def body(work: PostgresWork) -> str:
        held = await _held(work, invoice)
        payment = await settle(work, dict(held), method, giver, today=today, by=taker, now=now)
        if held["subscription_id"] is not None:
            await work.postgres.execute(sql.reactivate, held["subscription_id"], today)
        return str(payment)

    asked = {"invoice": str(invoice), "method": str(method), "giver": giver}
    return UUID(await once(stores.mongo, units.postgres("record_payment"), taker, "recordPayment", key, asked, body))


async def void(units: UnitsOfWork, stores: Stores, actor: Actor, *, invoice: UUID, reason: str | None) -> UUID:
    """Take back an invoice nobody has paid; it keeps its number. By staff with `finance_write`; twice changes nothing.

    Raises Unauthenticated, NotFound, InvoiceNotOpen.
    """
    by = actor.require()
    await _place_of(stores, actor, invoice, "finance_write")

    async def body(work: PostgresWork) -> UUID:
        held = await work.postgres.fetch_one(sql.hold, invoice)
        if held is None or held["status"] != InvoiceStatus.VOID:
            held = await _held(work, invoice)
            await work.postgres.execute(sql.void, invoice)
            _tell(work, InvoiceVoided, dict(held), held["total_amount"], by, "invoice.voided", {"reason": reason})
        return invoice

    return await units.postgres("void_invoice").run(body)


async def _held(work: PostgresWork, invoice: UUID) -> Row:
    """The open invoice, held. Raises InvoiceNotOpen."""
    held = await work.postgres.fetch_one(sql.hold, invoice)
    if held is None or held["status"] != InvoiceStatus.OPEN:
        raise InvoiceNotOpen(state=held["status"] if held else "gone")
    return held


def _tell(
    work: PostgresWork | BothWork,
    fact: type[InvoiceIssued],
    invoice: Mapping[str, Any],
    total: Decimal,
    by: ObjectId,
    action: str,
    more: Mapping[str, Any],
) -> None:
    work.emit(
        fact(
            facility_id=invoice["facility_id"],
            invoice_id=str(invoice["invoice_id"]),
            number=invoice["invoice_number"],
            user_id=invoice["user_id"],
            amount=total,
            currency=invoice["currency"],
        )
    )
    work.audit(
        Audit(
            action=action,
            entity_type="invoice",
            entity_id=str(invoice["invoice_id"]),
            facility_id=invoice["facility_id"],
            user_id=str(by),
            after={"number": invoice["invoice_number"], "amount": f"{total:f} {invoice['currency']}", **more},
        )
    )

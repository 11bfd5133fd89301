"""Invoices and credit notes as documents: what is printed, read from PostgreSQL alone, where it never changes.

The seller's tax number is the owner's and kept encrypted; it is read when a paper is made and not kept beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from babel.numbers import get_currency_precision
from bson import ObjectId

from nexfit.domains.finance.overview import sql
from nexfit.domains.identity.protected import TAX_ID, tax_id
from nexfit.stores.connections import Stores
from nexfit.stores.postgres import Row


class PaperKind(StrEnum):
    """What a document is; also the folder of its address."""

    INVOICE = "invoices"
    CREDIT_NOTE = "credit-notes"


@dataclass(frozen=True, slots=True)
class PaperLine:
    """One thing that was sold; amounts in the paper's currency."""

    description: str
    quantity: Decimal
    rate: Decimal
    net: Decimal
    tax: Decimal


@dataclass(frozen=True, slots=True)
class Paper:
    """A document with everything that stands on it. `corrects` is the invoice a credit note belongs to."""

    kind: PaperKind
    id: UUID
    number: str
    legal_number: str
    """Three letters, the year and nine digits, as the Turkish revenue administration wants numbers."""
    issued_on: date
    due_date: date
    created_at: datetime
    seller: dict[str, str]
    buyer: dict[str, str]
    lines: Sequence[PaperLine]
    net: Decimal
    tax: Decimal
    currency: str
    is_void: bool
    reason: str | None
    corrects: tuple[str, str, date] | None
    """Number, legal number and day."""

    @property
    def total(self) -> Decimal:
        """Net and tax."""
        return self.net + self.tax

    def by_rate(self) -> list[tuple[Decimal, Decimal, Decimal]]:
        """Rate, net and tax of each rate, the lowest first."""
        rates = sorted({line.rate for line in self.lines})
        return [
            (
                rate,
                sum((line.net for line in self.lines if line.rate == rate), Decimal(0)),
                sum((line.tax for line in self.lines if line.rate == rate), Decimal(0)),
            )
            for rate in rates
        ]


async def load(stores: Stores, kind: PaperKind, id_: UUID) -> Paper | None:
    """The document; None for a draft and for what does not exist."""
    statement = sql.invoice_paper if kind is PaperKind.INVOICE else sql.credit_note_paper
    rows = await stores.postgres.fetch(statement, id_)
    if not rows:
        return None
    row = rows[0]
    seller = {key: str(value) for key, value in row["data"].get("seller", {}).items()}
    number = await _tax_number(stores, row["facility_id"])
    if number is not None:
        seller["taxId"] = number
    return Paper(
        kind,
        row["id"],
        row["number"],
        legal_number(kind, row["issued_on"], row["sequence"]),
        row["issued_on"],
        row["due_date"],
        row["created_at"],
        seller,
        {key: str(value) for key, value in row["data"].get("buyer", {}).items()},
        _lines(kind, row),
        row["net_amount"],
        row["tax_amount"],
        row["currency"],
        row["status"] == "void",
        row["reason"],
        _corrected(row) if kind is PaperKind.CREDIT_NOTE else None,
    )


def legal_number(kind: PaperKind, day: date, sequence: int) -> str:
    """16 characters: the series, the year of issue, the number within both."""
    return f"{'NXF' if kind is PaperKind.INVOICE else 'NXI'}{day.year}{sequence:09d}"


def _corrected(row: Row) -> tuple[str, str, date]:
    legal = legal_number(PaperKind.INVOICE, row["corrects_on"], row["corrects_sequence"])
    return row["corrects"], legal, row["corrects_on"]


def _lines(kind: PaperKind, row: Row) -> list[PaperLine]:
    lines = [
        PaperLine(line["description"], *(Decimal(line[key]) for key in ("quantity", "rate", "net", "tax")))
        for line in row["lines"]
    ]
    if not lines:
        return [_sum(row)]
    if kind is PaperKind.INVOICE:
        return lines
    return shares(lines, row["net_amount"], row["tax_amount"], row["currency"])


def shares(lines: Sequence[PaperLine], net: Decimal, tax: Decimal, currency: str) -> list[PaperLine]:
    """What a credit note gives back of each line of its invoice, in proportion; the parts add up exactly."""
    exponent = Decimal(1).scaleb(-get_currency_precision(currency))
    nets = sum((line.net for line in lines), Decimal(0))
    taxes = sum((line.tax for line in lines), Decimal(0))
    found: list[PaperLine] = []
    so_far = given = [Decimal(0), Decimal(0)]
    for line in lines:
        so_far = [so_far[0] + line.net, so_far[1] + line.tax]
        until = [
            (part * through / whole).quantize(exponent, ROUND_HALF_UP) if whole else Decimal(0)
            for part, through, whole in ((net, so_far[0], nets), (tax, so_far[1], taxes))
        ]
        found.append(PaperLine(line.description, Decimal(1), line.rate, until[0] - given[0], until[1] - given[1]))
        given = until
    return [line for line in found if line.net or line.tax]


def _sum(row: Row) -> PaperLine:
    """One line for an invoice that was imported without any."""
    rate = (row["tax_amount"] / row["net_amount"]).quantize(Decimal("0.01")) if row["net_amount"] else Decimal(0)
    return PaperLine(row["number"], Decimal(1), rate, row["net_amount"], row["tax_amount"])


async def _tax_number(stores: Stores, facility: str) -> str | None:
    """The tax number of who owns the facility; None where the owner has told none."""
    places = await stores.mongo.find("facilities", {"_id": ObjectId(facility)}, ("ownerId", "type"), limit=1)
    owner = places[0].get("ownerId") if places else None
    if owner is None:
        return None
    role = "gym_owner" if places[0]["type"] == "gym" else "studio_owner"
    people = await stores.mongo.find("users", {"_id": owner}, (TAX_ID.format(role=role),), limit=1)
    parts: dict[str, Any] = (people[0].get("roleSpecificData") or {}) if people else {}
    kept = (parts.get(role) or {}).get("taxId")
    return tax_id(stores.keys, owner, role, kept) if kept else None

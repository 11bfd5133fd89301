"""Invoices and credit notes as PDF and UBL-TR: letters, totals and the order of the parts, read independently."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import pytest
from pypdf import PdfReader

from nexfit.domains.finance.papers import Paper, PaperKind, PaperLine, legal_number
from nexfit.domains.finance.pdf import pdf
from nexfit.domains.finance.ubl import ubl

LETTERS = "ÇĞİÖŞÜ çğıöşü"

INVOICE = Paper(
    kind=PaperKind.INVOICE,
    id=UUID(int=7),
    number="2026-000042",
    legal_number="NXF2026000000042",
    issued_on=date(2026, 2, 28),
    due_date=date(2026, 3, 14),
    created_at=datetime(2026, 2, 28, 9, tzinfo=UTC),
    seller={
        "name": "Kuvvet Spor Karşıyaka",
        "street": "Cemal Gürsel Cd. No: 12",
        "city": "İzmir",
        "state": "Karşıyaka",
        "zipCode": "35600",
        "country": "TR",
        "taxId": "1234567890",
        "phoneNumber": "+902321112233",
    },
    buyer={"name": "Çağrı Işık", "firstName": "Çağrı", "lastName": "Işık"},
    lines=[
        PaperLine(f"Aylık üyelik {LETTERS}", Decimal(1), Decimal("0.20"), Decimal("833.25"), Decimal("166.65")),
        PaperLine("*_#$[evil] \\x <b>&", Decimal("1.5"), Decimal("0.01"), Decimal("100.00"), Decimal("1.00")),
        PaperLine("Kitap", Decimal(2), Decimal(0), Decimal("40.00"), Decimal("0.00")),
    ],
    net=Decimal("973.25"),
    tax=Decimal("167.65"),
    currency="TRY",
    is_void=False,
    reason=None,
    corrects=None,
)


def paper(**more: Any) -> Paper:
    return Paper(**{**{name: getattr(INVOICE, name) for name in Paper.__slots__}, **more})


CREDIT_NOTE = paper(
    kind=PaperKind.CREDIT_NOTE,
    number="C2026-000001",
    legal_number="NXI2026000000001",
    reason="Kullanılmayan günlerin iadesi",
    corrects=("2026-000042", "NXF2026000000042", date(2026, 2, 28)),
)


def text_of(document: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(document)).pages)


async def test_a_pdf_says_everything_in_turkish_letters_and_takes_nothing_for_markup() -> None:
    text = text_of(await pdf(INVOICE))
    for part in (
        LETTERS,
        "Çağrı Işık",
        "Kuvvet Spor Karşıyaka",
        "Cemal Gürsel Cd. No: 12",
        "35600 İzmir",
        "VKN/TCKN: 1234567890",
        "2026-000042",
        "28 Şubat 2026",
        "14 Mart 2026",
        "FATURA",
        "*_#$[evil] \\x <b>&",
        "₺1.140,90",
        "₺833,25",
        "%20",
        "%1",
        "NXF2026000000042",
    ):
        assert part in text, (part, text)
    assert "İADE" not in text
    assert "İPTAL" not in text


async def test_a_document_is_the_same_whenever_it_is_made() -> None:
    assert await pdf(INVOICE) == await pdf(INVOICE)
    assert ubl(INVOICE) == ubl(INVOICE)


async def test_credit_notes_void_invoices_and_other_countries_are_told_apart() -> None:
    credit = text_of(await pdf(CREDIT_NOTE))
    assert "İADE FATURASI" in credit
    assert "2026-000042 (28 Şubat 2026)" in credit
    assert "Kullanılmayan günlerin iadesi" in credit
    assert "İPTAL" in text_of(await pdf(paper(is_void=True)))
    abroad = text_of(await pdf(paper(seller={"name": "Siłownia", "country": "PL"}, currency="PLN")))
    assert "INVOICE" in abroad
    assert "Siłownia" in abroad


async def test_many_lines_go_on_over_pages() -> None:
    many = paper(lines=[INVOICE.lines[0]] * 50, net=Decimal("41662.50"), tax=Decimal("8332.50"))
    document = PdfReader(io.BytesIO(await pdf(many)))
    assert len(document.pages) > 1
    assert text_of(await pdf(many)).count(LETTERS) == 50


# --- UBL-TR

NAMES = {
    "": "urn:oasis:names:specification:ubl:schema:xsd:Invoice-2",
    "a": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "b": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
}

ORDER = [
    "UBLVersionID",
    "CustomizationID",
    "ProfileID",
    "ID",
    "CopyIndicator",
    "UUID",
    "IssueDate",
    "InvoiceTypeCode",
    "Note",
    "DocumentCurrencyCode",
    "LineCountNumeric",
    "BillingReference",
    "AccountingSupplierParty",
    "AccountingCustomerParty",
    "PaymentTerms",
    "TaxTotal",
    "LegalMonetaryTotal",
    "InvoiceLine",
]
"""As the sequence of UBL 2.1's Invoice has them."""


@pytest.mark.parametrize("made", [INVOICE, CREDIT_NOTE], ids=["invoice", "credit note"])
def test_ubl_has_its_parts_in_order_and_totals_that_add_up(made: Paper) -> None:
    document = ubl(made)
    assert document.startswith(b"<?xml version='1.0' encoding='utf-8'?>")
    root = ElementTree.fromstring(document)  # noqa: S314  # our own
    assert root.tag == f"{{{NAMES['']}}}Invoice"
    names = [child.tag.partition("}")[2] for child in root]
    assert [ORDER.index(name) for name in names] == sorted(ORDER.index(name) for name in names)

    def value(path: str, of: ElementTree.Element = root) -> str:
        found = of.find(path, NAMES)
        assert found is not None, path
        assert found.text
        return found.text

    def amount(path: str, of: ElementTree.Element = root) -> Decimal:
        found = of.find(path, NAMES)
        assert found is not None
        assert found.get("currencyID") == "TRY"
        return Decimal(found.text or "")

    lines = root.findall("a:InvoiceLine", NAMES)
    assert int(value("b:LineCountNumeric")) == len(lines) == 3
    for line in lines:
        net, quantity = amount("b:LineExtensionAmount", line), Decimal(value("b:InvoicedQuantity", line))
        assert abs(amount("a:Price/b:PriceAmount", line) * quantity - net) < Decimal("0.005")
        percent = Decimal(value("a:TaxTotal/a:TaxSubtotal/b:Percent", line))
        assert abs(net * percent / 100 - amount("a:TaxTotal/b:TaxAmount", line)) <= Decimal("0.01")
    nets = sum(amount("b:LineExtensionAmount", line) for line in lines)
    taxes = sum(amount("a:TaxTotal/b:TaxAmount", line) for line in lines)
    total = root.find("a:LegalMonetaryTotal", NAMES)
    assert total is not None
    assert nets == amount("b:LineExtensionAmount", total) == amount("b:TaxExclusiveAmount", total) == Decimal("973.25")
    assert taxes == amount("a:TaxTotal/b:TaxAmount") == Decimal("167.65")
    assert amount("b:TaxInclusiveAmount", total) == amount("b:PayableAmount", total) == nets + taxes
    rates = root.findall("a:TaxTotal/a:TaxSubtotal", NAMES)
    assert [value("b:Percent", rate) for rate in rates] == ["0", "1", "20"]
    assert sum(amount("b:TaxAmount", rate) for rate in rates) == taxes
    assert sum(amount("b:TaxableAmount", rate) for rate in rates) == nets
    seller = root.find("a:AccountingSupplierParty/a:Party/a:PartyIdentification/b:ID", NAMES)
    assert seller is not None
    assert (seller.get("schemeID"), seller.text) == ("VKN", "1234567890")
    assert value("a:AccountingCustomerParty/a:Party/a:Person/b:FamilyName") == "Işık"
    assert value("a:InvoiceLine/a:Item/b:Name").endswith(LETTERS)
    number = value("b:ID")
    assert len(number) == 16
    assert number == made.legal_number
    if made.kind is PaperKind.CREDIT_NOTE:
        assert value("b:InvoiceTypeCode") == "IADE"
        assert value("a:BillingReference/a:InvoiceDocumentReference/b:ID") == "NXF2026000000042"
    else:
        assert value("b:InvoiceTypeCode") == "SATIS"
        assert root.find("a:BillingReference", NAMES) is None


def test_legal_numbers_are_sixteen_characters() -> None:
    assert legal_number(PaperKind.INVOICE, date(2026, 1, 1), 1) == "NXF2026000000001"
    assert legal_number(PaperKind.CREDIT_NOTE, date(2026, 1, 1), 123) == "NXI2026000000123"

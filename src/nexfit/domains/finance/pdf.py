"""An invoice or credit note as PDF, set by Typst with the font it carries: Turkish letters are in it."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files

import orjson
import typst
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal

from nexfit.domains.finance.papers import Paper, PaperKind

_WORDS = {
    "tr": {
        PaperKind.INVOICE: "FATURA",
        PaperKind.CREDIT_NOTE: "İADE FATURASI",
        "number": "No",
        "issued": "Düzenleme tarihi",
        "due": "Son ödeme tarihi",
        "corrects": "İade edilen fatura",
        "tax_id": "VKN/TCKN",
        "buyer": "Sayın",
        "columns": ["Açıklama", "Miktar", "KDV", "Tutar", "Toplam"],
        "net": "Ara toplam",
        "tax": "KDV",
        "total": "Genel toplam",
        "void": "İPTAL",
        "footer": "e-Arşiv numarası {number} · ETTN {id}",
    },
    "en": {
        PaperKind.INVOICE: "INVOICE",
        PaperKind.CREDIT_NOTE: "CREDIT NOTE",
        "number": "No.",
        "issued": "Date of issue",
        "due": "To be paid by",
        "corrects": "Corrects invoice",
        "tax_id": "Tax number",
        "buyer": "To",
        "columns": ["Description", "Quantity", "VAT", "Net", "Total"],
        "net": "Net",
        "tax": "VAT",
        "total": "Total",
        "void": "VOID",
        "footer": "Number {number} · id {id}",
    },
}


async def pdf(paper: Paper) -> bytes:
    """The document; the same bytes for the same paper. Setting takes some ten milliseconds, in a thread."""
    return await asyncio.to_thread(_set, paper)


@cache
def _template() -> bytes:
    return files("nexfit.domains.finance").joinpath("paper.typ").read_bytes()


def _set(paper: Paper) -> bytes:
    shown = orjson.dumps(_shown(paper)).decode()
    made = typst.compile(_template(), format="pdf", sys_inputs={"paper": shown}, ignore_system_fonts=True)
    assert isinstance(made, bytes)  # noqa: S101  # of one document without an output file
    return made


def _shown(paper: Paper) -> dict[str, object]:
    """What the template prints, as text."""
    lang = "tr" if paper.seller.get("country") == "TR" else "en"
    words = _WORDS[lang]

    def money(amount: Decimal) -> str:
        return format_currency(amount, paper.currency, locale=lang)

    def day(of: date) -> str:
        return format_date(of, "d MMMM y", locale=lang)

    facts = [(words["number"], paper.number), (words["issued"], day(paper.issued_on))]
    if paper.kind is PaperKind.INVOICE:
        facts.append((words["due"], day(paper.due_date)))
    if paper.corrects is not None:
        facts.append((words["corrects"], f"{paper.corrects[0]} ({day(paper.corrects[2])})"))
    seller = paper.seller
    place = " ".join(filter(None, (seller.get("zipCode"), seller.get("city"))))
    tax_id = f"{words['tax_id']}: {seller['taxId']}" if "taxId" in seller else None
    return {
        "lang": lang,
        "title": words[paper.kind],
        "number": paper.number,
        "void": words["void"] if paper.is_void else None,
        "facts": facts,
        "seller": {
            "name": seller.get("name", ""),
            "lines": [
                *filter(None, (seller.get("street"), place, tax_id, seller.get("phoneNumber"), seller.get("email")))
            ],
        },
        "buyer": paper.buyer.get("name", ""),
        "labels": {"buyer": words["buyer"], "columns": words["columns"]},
        "lines": [
            [
                line.description,
                format_decimal(line.quantity, locale=lang),
                _percent(line.rate, lang),
                money(line.net),
                money(line.net + line.tax),
            ]
            for line in paper.lines
        ],
        "sums": [
            [words["net"], money(paper.net)],
            *([f"{words['tax']} {_percent(rate, lang)}", money(tax)] for rate, _, tax in paper.by_rate()),
        ],
        "total": [words["total"], money(paper.total)],
        "note": paper.reason,
        "footer": str(words["footer"]).format(number=paper.legal_number, id=paper.id),
    }


def _percent(rate: Decimal, lang: str) -> str:
    digits = f"{(rate * 100).normalize():f}"
    return f"%{digits}" if lang == "tr" else f"{digits}%"

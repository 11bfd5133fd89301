"""An invoice or credit note as UBL-TR 2.1, the XML of Turkish e-archive invoices (customisation TR1.2).

A credit note is an invoice of type IADE that names the one it corrects, as the revenue administration wants it. A buyer
without a number is the final consumer 11111111111. Signing it, and sending it there, is an integrator's.
"""

from __future__ import annotations

from decimal import Decimal
from xml.etree import ElementTree

from nexfit.domains.finance.papers import Paper, PaperKind, PaperLine

INVOICE = "urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"
CAC = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
CBC = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"

FINAL_CONSUMER = "11111111111"
KDV = "0015"
"""The code of value added tax."""

_COUNTRIES = {"TR": "Türkiye", "PL": "Polonya", "DE": "Almanya"}

for prefix, uri in (("", INVOICE), ("cac", CAC), ("cbc", CBC)):
    ElementTree.register_namespace(prefix, uri)


def ubl(paper: Paper) -> bytes:
    """The document in UTF-8 with its declaration; the same bytes for the same paper."""
    root = ElementTree.Element(f"{{{INVOICE}}}Invoice")
    is_credit = paper.kind is PaperKind.CREDIT_NOTE
    _text(root, "UBLVersionID", "2.1")
    _text(root, "CustomizationID", "TR1.2")
    _text(root, "ProfileID", "EARSIVFATURA")
    _text(root, "ID", paper.legal_number)
    _text(root, "CopyIndicator", "false")
    _text(root, "UUID", str(paper.id))
    _text(root, "IssueDate", paper.issued_on.isoformat())
    _text(root, "InvoiceTypeCode", "IADE" if is_credit else "SATIS")
    _text(root, "Note", f"Belge no: {paper.number}")
    if paper.reason:
        _text(root, "Note", paper.reason)
    _text(root, "DocumentCurrencyCode", paper.currency)
    _text(root, "LineCountNumeric", str(len(paper.lines)))
    if paper.corrects is not None:
        reference = _part(_part(root, "BillingReference"), "InvoiceDocumentReference")
        _text(reference, "ID", paper.corrects[1])
        _text(reference, "IssueDate", paper.corrects[2].isoformat())
        _text(reference, "DocumentTypeCode", "IADE")
    _seller(_part(_part(root, "AccountingSupplierParty"), "Party"), paper.seller)
    _buyer(_part(_part(root, "AccountingCustomerParty"), "Party"), paper.buyer, paper.seller)
    _terms(root, paper)
    _taxes(root, paper.by_rate(), paper.currency)
    total = _part(root, "LegalMonetaryTotal")
    for name, amount in (
        ("LineExtensionAmount", paper.net),
        ("TaxExclusiveAmount", paper.net),
        ("TaxInclusiveAmount", paper.total),
        ("PayableAmount", paper.total),
    ):
        _amount(total, name, amount, paper.currency)
    for place, line in enumerate(paper.lines, 1):
        _line(_part(root, "InvoiceLine"), place, line, paper.currency)
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _seller(party: ElementTree.Element, seller: dict[str, str]) -> None:
    number = seller.get("taxId")
    if number:
        _text(_part(party, "PartyIdentification"), "ID", number, schemeID=_scheme(number))
    _text(_part(party, "PartyName"), "Name", seller.get("name", ""))
    _address(party, seller)
    if seller.get("phoneNumber") or seller.get("email"):
        contact = _part(party, "Contact")
        if seller.get("phoneNumber"):
            _text(contact, "Telephone", seller["phoneNumber"])
        if seller.get("email"):
            _text(contact, "ElectronicMail", seller["email"])


def _buyer(party: ElementTree.Element, buyer: dict[str, str], seller: dict[str, str]) -> None:
    first, last = buyer.get("firstName"), buyer.get("lastName")
    if not first or not last:
        first, _, last = buyer.get("name", "").rpartition(" ")
    _text(_part(party, "PartyIdentification"), "ID", FINAL_CONSUMER, schemeID="TCKN")
    # A final consumer's address is the place of the sale.
    _address(party, {key: seller[key] for key in ("city", "country") if key in seller})
    person = _part(party, "Person")
    _text(person, "FirstName", first or last)
    _text(person, "FamilyName", last)


def _address(party: ElementTree.Element, of: dict[str, str]) -> None:
    address = _part(party, "PostalAddress")
    if of.get("street"):
        _text(address, "StreetName", of["street"])
    # Both are required and may be empty.
    _text(address, "CitySubdivisionName", of.get("state", ""))
    _text(address, "CityName", of.get("city", ""))
    if of.get("zipCode"):
        _text(address, "PostalZone", of["zipCode"])
    country, code = _part(address, "Country"), of.get("country", "")
    if code:
        _text(country, "IdentificationCode", code)
    _text(country, "Name", _COUNTRIES.get(code, code))


def _terms(root: ElementTree.Element, paper: Paper) -> None:
    if paper.kind is PaperKind.INVOICE:
        _text(_part(root, "PaymentTerms"), "PaymentDueDate", paper.due_date.isoformat())


def _line(element: ElementTree.Element, place: int, line: PaperLine, currency: str) -> None:
    _text(element, "ID", str(place))
    _text(element, "InvoicedQuantity", f"{line.quantity.normalize():f}", unitCode="C62")
    _amount(element, "LineExtensionAmount", line.net, currency)
    _taxes(element, [(line.rate, line.net, line.tax)], currency)
    _text(_part(element, "Item"), "Name", line.description)
    _text(_part(element, "Price"), "PriceAmount", _each(line), currencyID=currency)


def _each(line: PaperLine) -> str:
    return f"{(line.net / line.quantity).quantize(Decimal('0.00000001')).normalize():f}"


def _taxes(element: ElementTree.Element, rates: list[tuple[Decimal, Decimal, Decimal]], currency: str) -> None:
    total = _part(element, "TaxTotal")
    _amount(total, "TaxAmount", sum((tax for _, _, tax in rates), Decimal(0)), currency)
    for rate, net, tax in rates:
        subtotal = _part(total, "TaxSubtotal")
        _amount(subtotal, "TaxableAmount", net, currency)
        _amount(subtotal, "TaxAmount", tax, currency)
        _text(subtotal, "Percent", f"{(rate * 100).normalize():f}")
        category = _part(subtotal, "TaxCategory")
        if rate == 0:
            _text(category, "TaxExemptionReasonCode", "351")
            _text(category, "TaxExemptionReason", "KDV - İstisna olmayan diğer")
        scheme = _part(category, "TaxScheme")
        _text(scheme, "Name", "KDV")
        _text(scheme, "TaxTypeCode", KDV)


def _part(parent: ElementTree.Element, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, f"{{{CAC}}}{name}")


def _text(parent: ElementTree.Element, name: str, text: str, **attributes: str) -> None:
    ElementTree.SubElement(parent, f"{{{CBC}}}{name}", attributes).text = text


def _amount(parent: ElementTree.Element, name: str, amount: Decimal, currency: str) -> None:
    _text(parent, name, f"{amount:f}", currencyID=currency)


def _scheme(number: str) -> str:
    """A company's number has ten digits, a person's eleven."""
    return "VKN" if len(number) == 10 else "TCKN"

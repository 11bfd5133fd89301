"""Invoices as an owner works with them: issued, fetched, paid, taken back; the rules are in tests/memberships."""

from __future__ import annotations

import io
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree

import pytest
from bson import ObjectId
from pypdf import PdfReader

from nexfit.domains.identity.protected import encrypt_tax_id
from nexfit.stores.connections import Stores

from .conftest import Client, facility_of, global_id, local, login

INVOICE = """id number status dueDate pdf xml net { amount } tax { amount } total { amount currency }
  lines { description quantity taxRate totalAmount } creditNotes { number total { amount } pdf xml }
  transaction { id paymentMethod giftFrom }"""
ISSUE = f"""mutation ($i: IssueInvoiceInput!) {{ issueInvoice(input: $i) {{
  invoice {{ {INVOICE} }} userErrors {{ code path message }} }} }}"""
PAY = f"""mutation ($i: RecordPaymentInput!) {{ recordPayment(input: $i) {{
  invoice {{ {INVOICE} }} userErrors {{ code path }} }} }}"""
VOID = f"""mutation ($i: VoidInvoiceInput!) {{ voidInvoice(input: $i) {{
  invoice {{ {INVOICE} }} userErrors {{ code path }} }} }}"""
REFUND = "mutation ($i: RefundPaymentInput!) { refundPayment(input: $i) { userErrors { code } } }"

LINES = [
    {"description": "Kilitli dolap, Şubat", "unitPrice": "100.00"},
    {"description": "Su", "unitPrice": "10", "tax": "LOWEST"},
]


async def asked(client: Client, mutation: str, **input_: Any) -> Any:
    """The payload."""
    [payload] = (await client.data(mutation, {"i": input_})).values()
    return payload


@pytest.fixture(scope="module")
async def member_id(small_stores: Stores) -> str:
    """A member of a facility of the chain who owes nothing."""
    facility = await facility_of(small_stores, "karsiyaka")
    [row] = await small_stores.postgres.fetch(
        """SELECT user_id FROM platform.member_facts WHERE facility_id = $1 AND open_invoices = 0
           AND last_payment_at IS NOT NULL ORDER BY user_id LIMIT 1""",
        str(facility),
    )
    return global_id("Member", f"{facility}:{row['user_id']}")


async def issued(client: Client, member: str, **more: Any) -> Any:
    given = {"member": member, "lines": LINES, "idempotencyKey": uuid4().hex, **more}
    payload = await asked(client, ISSUE, **given)
    assert payload["userErrors"] == []
    return payload["invoice"]


async def test_an_invoice_from_its_issue_to_its_credit_note(
    small_owner: Client, small_stores: Stores, member_id: str
) -> None:
    owner_id = ObjectId(local((await small_owner.data("{ viewer { id } }"))["viewer"]["id"]))
    users = small_stores.mongo.database["users"]
    kept = encrypt_tax_id(small_stores.keys, owner_id, "gym_owner", "9876543210")
    before = (await users.find_one({"_id": owner_id}) or {}).get("roleSpecificData", {}).get("gym_owner")
    await users.update_one({"_id": owner_id}, {"$set": {"roleSpecificData.gym_owner.taxId": kept["taxId"]}})
    try:
        invoice = await issued(small_owner, member_id, dueDate=None)
        assert (invoice["status"], invoice["total"]["amount"]) == ("OPEN", "110.00")
        assert (invoice["net"]["amount"], invoice["tax"]["amount"]) == ("93.23", "16.77")
        http = small_owner.http
        fetched = await http.get(invoice["pdf"])
        assert (fetched.status_code, fetched.headers["content-type"]) == (200, "application/pdf")
        assert fetched.headers["content-disposition"] == f'attachment; filename="{invoice["number"]}.pdf"'
        assert fetched.headers["cache-control"] == "private, no-store"
        text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(fetched.content)).pages)
        person = await users.find_one({"_id": ObjectId(local(member_id).partition(":")[2])}) or {}
        for part in (
            "Karşıyaka",
            f"{person['firstName']} {person['lastName']}",
            "Kilitli dolap, Şubat",
            "₺110,00",
            "9876543210",
        ):
            assert part in text, part
        again = await http.get(invoice["pdf"])
        assert again.content == fetched.content
        xml = await http.get(invoice["xml"])
        root = ElementTree.fromstring(xml.content)  # noqa: S314  # our own
        [payable] = [one.text for one in root.iter() if one.tag.endswith("}PayableAmount")]
        assert payable == "110.00"
    finally:
        restore = (
            {"$set": {"roleSpecificData.gym_owner": before}}
            if before
            else {"$unset": {"roleSpecificData.gym_owner": ""}}
        )
        await users.update_one({"_id": owner_id}, restore)

    tap = {"invoice": invoice["id"], "method": "CARD", "giftFrom": " Ayşe ", "idempotencyKey": uuid4().hex}
    paid = await asked(small_owner, PAY, **tap)
    assert paid["userErrors"] == []
    assert paid["invoice"]["status"] == "PAID"
    assert paid["invoice"]["transaction"]["giftFrom"] == "Ayşe"
    repeated = await asked(small_owner, PAY, **tap)
    assert repeated["invoice"]["transaction"] == paid["invoice"]["transaction"]
    more = await asked(small_owner, PAY, **{**tap, "idempotencyKey": uuid4().hex})
    assert [(error["code"], error["path"]) for error in more["userErrors"]] == [("INVALID_TRANSITION", ["invoice"])]
    back = {"transaction": paid["invoice"]["transaction"]["id"], "amount": "55.00", "idempotencyKey": uuid4().hex}
    assert (await asked(small_owner, REFUND, **back))["userErrors"] == []
    found = (await small_owner.data(f'{{ node(id: "{invoice["id"]}") {{ ... on Invoice {{ {INVOICE} }} }} }}'))["node"]
    [note] = found["creditNotes"]
    assert note["total"]["amount"] == "55.00"
    for address, kind in ((note["pdf"], "application/pdf"), (note["xml"], "application/xml")):
        answer = await small_owner.http.get(address)
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)


async def test_addresses_of_documents_hold_for_one_document_and_not_for_ever(
    small_owner: Client, member_id: str
) -> None:
    invoice = await issued(small_owner, member_id)
    http, pdf, xml = small_owner.http, invoice["pdf"], invoice["xml"]
    other = (await issued(small_owner, member_id))["pdf"]
    for address, status in (
        (pdf.partition("?")[0], 403),
        (pdf.replace("signature=", "signature=x"), 403),
        (pdf.partition("?")[0] + "?" + other.partition("?")[2], 403),
        (pdf.partition("?")[0] + "?" + xml.partition("?")[2], 403),
        (pdf.replace("/documents/", "/files/"), 403),
        (pdf.replace("expires=1", "expires=2"), 403),
    ):
        answer = await http.get(address)
        assert answer.status_code == status, address
        assert answer.headers["cache-control"] == "no-store"
    assert (await http.get(pdf)).status_code == 200
    voided = await asked(small_owner, VOID, invoice=invoice["id"], reason="Yanlış")
    assert voided["invoice"]["status"] == "VOID"
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO((await http.get(pdf)).content)).pages)
    assert "İPTAL" in text


async def test_only_staff_with_the_permission_may_and_bad_input_has_its_place(
    small_owner: Client, small_stores: Stores, member_id: str
) -> None:
    invoice = await issued(small_owner, member_id)
    counting = """SELECT (SELECT count(*) FROM finance.invoices) AS i, (SELECT count(*) FROM finance.transactions) AS t,
        (SELECT count(*) FROM finance.outbox) AS o, (SELECT count(*) FROM finance.document_counters) AS d"""
    [before] = await small_stores.postgres.fetch(counting)
    kept = await small_stores.mongo.database["idempotency_keys"].count_documents({})
    for email, code in (
        ("studio", "NOT_FOUND"),
        ("client", "NOT_FOUND"),
        ("coach", "NOT_FOUND"),
    ):
        client = await login(small_owner.http, f"{email}@demo.nexfit.app")
        for mutation, input_ in (
            (ISSUE, {"member": member_id, "lines": LINES, "idempotencyKey": "a"}),
            (PAY, {"invoice": invoice["id"], "method": "CASH", "idempotencyKey": "a"}),
            (VOID, {"invoice": invoice["id"]}),
        ):
            refused = await asked(client, mutation, **input_)
            assert refused["invoice"] is None
            assert [error["code"] for error in refused["userErrors"]] == [code], (email, mutation)
    line = {"description": "x", "unitPrice": "1"}
    for mutation, input_, code, path in (
        (ISSUE, {"member": "x"}, "NOT_FOUND", ["member"]),
        (ISSUE, {"member": global_id("Member", f"{ObjectId()}:{ObjectId()}")}, "NOT_FOUND", ["member"]),
        (ISSUE, {"lines": []}, "BAD_USER_INPUT", ["lines"]),
        (ISSUE, {"lines": [line, {**line, "description": "  "}]}, "BAD_USER_INPUT", ["lines", "1", "description"]),
        (ISSUE, {"lines": [{**line, "unitPrice": "0.001"}]}, "BAD_USER_INPUT", ["lines", "0", "unitPrice"]),
        (ISSUE, {"lines": [{**line, "quantity": "-1"}]}, "BAD_USER_INPUT", ["lines", "0", "quantity"]),
        (ISSUE, {"dueDate": "2001-01-01"}, "BAD_USER_INPUT", ["dueDate"]),
        (PAY, {"invoice": "x"}, "NOT_FOUND", ["invoice"]),
        (PAY, {"invoice": global_id("Invoice", uuid4())}, "NOT_FOUND", ["invoice"]),
        (PAY, {"method": "WALLET"}, "BAD_USER_INPUT", ["method"]),
        (PAY, {"giftFrom": "x" * 201}, "BAD_USER_INPUT", ["giftFrom"]),
        (VOID, {"invoice": "x"}, "NOT_FOUND", ["invoice"]),
        (VOID, {"reason": "x" * 301}, "BAD_USER_INPUT", ["reason"]),
    ):
        given: dict[str, Any] = {
            ISSUE: {"member": member_id, "lines": LINES, "idempotencyKey": "b"},
            PAY: {"invoice": invoice["id"], "method": "CASH", "idempotencyKey": "b"},
            VOID: {"invoice": invoice["id"]},
        }[mutation]
        refused = await asked(small_owner, mutation, **{**given, **input_})
        assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [(code, path)], input_
    [after] = await small_stores.postgres.fetch(counting)
    assert dict(after) == dict(before)
    assert await small_stores.mongo.database["idempotency_keys"].count_documents({}) == kept

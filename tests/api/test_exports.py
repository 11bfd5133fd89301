"""Tables as CSV over HTTP: what is in the stores, safe for spreadsheets, by addresses that end."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import httpx
import pytest

from nexfit.domains.analytics.exports import cell
from nexfit.stores.connections import Stores

from .conftest import Client, facility_of, global_id

ISTANBUL = ZoneInfo("Europe/Istanbul")
FIELDS = """membersCsv { address } transactionsCsv(from: "2026-01-01", to: "2026-06-15") { address }
  invoicesCsv(from: "2026-01-01", to: "2026-06-15") { address }
  figuresCsv(from: "2026-05-01", to: "2026-05-31") { address }"""


@pytest.fixture(scope="module")
async def addresses(owner: Client, stores: Stores) -> dict[str, str]:
    facility = global_id("Facility", await facility_of(stores, "karsiyaka"))
    found = (await owner.data(f'{{ facility(id: "{facility}") {{ {FIELDS} }} }}'))["facility"]
    return {name: download["address"] for name, download in found.items()}


async def read(http: httpx.AsyncClient, address: str) -> list[dict[str, str]]:
    answer = await http.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["cache-control"] == "private, no-store"
    text = answer.content.decode("utf-8")
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text[1:], newline="")))


async def test_every_table_has_what_the_stores_have(
    http: httpx.AsyncClient, stores: Stores, addresses: dict[str, str]
) -> None:
    key = str(await facility_of(stores, "karsiyaka"))
    moved = await read(http, addresses["transactionsCsv"])
    expected = await stores.postgres.fetch(
        """SELECT transaction_id, amount, created_at FROM finance.transactions WHERE facility_id = $1
           AND (created_at AT TIME ZONE 'Europe/Istanbul')::date BETWEEN '2026-01-01' AND '2026-06-15'
           ORDER BY created_at, transaction_id""",
        key,
    )
    assert [row["id"] for row in moved] == [str(row["transaction_id"]) for row in expected]
    assert [Decimal(row["amount"]) for row in moved] == [row["amount"] for row in expected]
    wall = expected[0]["created_at"].astimezone(ISTANBUL)
    assert moved[0]["created_at"] == f"{wall:%Y-%m-%d %H:%M:%S}"
    people = await stores.mongo.find("users", {}, ("firstName", "lastName"))
    names = {f"{person['firstName']} {person['lastName']}" for person in people}
    assert {row["member"] for row in moved} <= names
    members = await read(http, addresses["membersCsv"])
    [count] = await stores.postgres.fetch("SELECT count(*) AS n FROM platform.member_facts WHERE facility_id = $1", key)
    assert len(members) == count["n"] > 10
    assert all(row["email"] and row["first_name"] and row["plan"] for row in members)
    invoices = await read(http, addresses["invoicesCsv"])
    assert all(Decimal(row["net"]) + Decimal(row["tax"]) == Decimal(row["total"]) for row in invoices)
    figures = await read(http, addresses["figuresCsv"])
    assert [row["date"] for row in figures] == [f"2026-05-{n:02d}" for n in range(1, 32)]


async def test_an_address_is_for_one_table_of_one_facility(
    http: httpx.AsyncClient, addresses: dict[str, str], owner: Client, stores: Stores
) -> None:
    members, figures = addresses["membersCsv"], addresses["figuresCsv"]
    for wrong in (
        members.partition("?")[0],
        members.partition("?")[0] + "?" + figures.partition("?")[2],
        members.replace("/members/", "/transactions/"),
        members.replace("/exports/", "/documents/"),
        members.replace("signature=", "signature=A"),
    ):
        assert (await http.get(wrong)).status_code == 403
    facility = global_id("Facility", await facility_of(stores, "karsiyaka"))
    for days in ('from: "2026-02-01", to: "2026-01-01"', 'from: "0001-01-01", to: "2026-01-01"'):
        answer = await owner.run(f'{{ facility(id: "{facility}") {{ transactionsCsv({days}) {{ address }} }} }}')
        assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+90 532", "'+90 532"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-12.50", "-12.50"),
        ("Ada = Işık", "Ada = Işık"),
        ('"x", y', '"x", y'),
        (None, ""),
        (Decimal("-5.10"), "-5.10"),
        (Decimal("1E+3"), "1000"),
        (date(2026, 3, 1), "2026-03-01"),
        (datetime.fromisoformat("2026-03-01T22:30:00+00:00"), "2026-03-02 01:30:00"),
        (7, "7"),
    ],
)
def test_no_cell_is_a_formula(value: object, written: str) -> None:
    assert cell(value, ISTANBUL) == written

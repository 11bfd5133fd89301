"""The till as an owner and a desk see it; the rules are in tests/memberships."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from nexfit.stores.connections import Stores

from .conftest import Client, facility_of, global_id, login

TILL = """till%s { day net { amount currency }
  methods { method payments paid { amount } refunds returned { amount } net { amount } }
  opening { counted { amount } countedBy { firstName } countedAt note expected { amount } }
  closing { counted { amount } expected { amount } } expectedCash { amount } difference { amount } }"""
COUNT = f"mutation ($i: CountTillInput!) {{ countTill(input: $i) {{ {TILL % ''} userErrors {{ code path }} }} }}"


async def test_a_past_day_adds_up_to_what_the_ledger_says(owner: Client, stores: Stores) -> None:
    facility = await facility_of(stores, "karsiyaka")
    rows = await stores.postgres.fetch(
        """SELECT (created_at AT TIME ZONE 'Europe/Istanbul')::date AS day, sum(amount) AS paid, count(*) AS payments
           FROM finance.transactions
           WHERE facility_id = $1 AND status = 'succeeded' AND transaction_type = 'manual_payment'
           GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 1""",
        str(facility),
    )
    day, id_ = rows[0]["day"], global_id("Facility", facility)
    query = "query ($id: ID!, $day: Date) { facility(id: $id) { %s } }" % (TILL % "(day: $day)")
    found = (await owner.data(query, {"id": id_, "day": str(day)}))["facility"]["till"]
    assert found["day"] == str(day)
    assert sum(method["payments"] for method in found["methods"]) == rows[0]["payments"]
    assert sum(float(method["paid"]["amount"]) for method in found["methods"]) == float(rows[0]["paid"])
    refused = await owner.run(query, {"id": id_, "day": "0001-01-01"})
    assert refused["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_count_is_kept_and_strangers_count_nothing(small_owner: Client, small_stores: Stores) -> None:
    facility = global_id("Facility", await facility_of(small_stores, "karsiyaka"))

    async def counts(client: Client, **input_: Any) -> Any:
        given = {"facility": facility, "kind": "OPENING", "counted": "250.00", **input_}
        return (await client.data(COUNT, {"i": given}))["countTill"]

    for email in ("studio", "client", "coach"):
        stranger = await login(small_owner.http, f"{email}@demo.nexfit.app")
        refused = await counts(stranger)
        assert (refused["till"], [error["code"] for error in refused["userErrors"]]) == (None, ["NOT_FOUND"])
    for input_, code, path in (
        ({"kind": "CLOSING"}, "INVALID_TRANSITION", ["kind"]),
        ({"counted": "-1"}, "BAD_USER_INPUT", ["counted"]),
        ({"facility": "x"}, "NOT_FOUND", ["facility"]),
        ({"note": "x" * 301}, "BAD_USER_INPUT", ["note"]),
    ):
        refused = await counts(small_owner, **input_)
        assert [(error["code"], error["path"]) for error in refused["userErrors"]] == [(code, path)], input_
    assert await small_stores.postgres.fetch("SELECT FROM finance.till_counts") == []
    kept = await counts(small_owner, note="Sabah")
    assert kept["userErrors"] == []
    assert kept["till"]["opening"]["counted"]["amount"] == "250.00"
    assert kept["till"]["opening"]["note"] == "Sabah"
    assert abs((datetime.now(UTC) - datetime.fromisoformat(kept["till"]["opening"]["countedAt"])).total_seconds()) < 600

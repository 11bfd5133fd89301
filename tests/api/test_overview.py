"""The owner's overview: one operation over all three stores, in a bounded number of commands."""

from __future__ import annotations

from decimal import Decimal

from nexfit.settings import Settings
from nexfit.stores.connections import open_stores

from .conftest import TODAY, Client

OVERVIEW = """
query OwnerOverview($facility: ID!, $from: Date!, $to: Date!) {
  facility(id: $facility) {
    name type timezone address { city latitude longitude } openNow
    classes(first: 20) { nodes { name category instructor { firstName lastName }
      occurrences(first: 3) { startsAt capacity seatsTaken waitlisted } } }
    memberships { name price { amount currency } activeSubscribers }
    revenue(from: $from, to: $to, by: MONTH) { period total { amount currency } transactions refunds }
    outstanding { invoices total { amount currency } }
    members(first: 20, filter: { overdue: true }, orderBy: { field: LAST_PAYMENT, direction: DESC }) {
      nodes { user { firstName lastName } status plan { name } balance { amount currency } lastPaymentAt lastVisitAt } }
  }
}
"""
FACILITIES = "{ viewer { facilities(first: 10) { nodes { id name } } } }"


async def test_the_overview_joins_all_stores(owner: Client, settings: Settings) -> None:
    facilities = (await owner.data(FACILITIES))["viewer"]["facilities"]["nodes"]
    seen = {"classes": 0, "revenue": Decimal(0), "members": 0}
    for facility in facilities:
        dates = {"from": "2026-01-01", "to": TODAY.isoformat()}
        found = (await owner.data(OVERVIEW, {"facility": facility["id"], **dates}))["facility"]
        assert found["name"] == facility["name"]
        seen["classes"] += len(found["classes"]["nodes"])
        seen["revenue"] += sum(Decimal(period["total"]["amount"]) for period in found["revenue"])
        seen["members"] += len(found["members"]["nodes"])
        paid = [member["lastPaymentAt"] for member in found["members"]["nodes"]]
        known = [at for at in paid if at is not None]
        assert known == sorted(known, reverse=True)
        assert paid[: len(known)] == known  # never paid comes last
        for member in found["members"]["nodes"]:
            assert member["user"]["firstName"]
            assert Decimal(member["balance"]["amount"]) > 0
    assert seen["classes"] > 10
    assert seen["members"] > 0
    async with open_stores(settings) as stores:
        total = await stores.postgres.fetch(
            """SELECT sum(CASE WHEN transaction_type IN ('refund', 'chargeback') THEN -amount ELSE amount END) AS total
               FROM finance.transactions WHERE status = 'succeeded' AND facility_id = ANY ($1::text[])
               AND (created_at AT TIME ZONE 'Europe/Istanbul')::date BETWEEN '2026-01-01' AND $2""",
            [_local(facility["id"]) for facility in facilities],
            TODAY,
        )
    assert seen["revenue"] == total[0]["total"]


def _local(global_id: str) -> str:
    from nexfit.api.relay import parse_global_id

    parsed = parse_global_id(global_id)
    assert parsed is not None
    return parsed[1]

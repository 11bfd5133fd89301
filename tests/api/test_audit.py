"""Audit entries over the API: by permission, paged, and their proof for owners."""

from __future__ import annotations

import pytest

from nexfit.api.relay import write_cursor
from nexfit.operations.audit_sealing import seal
from nexfit.settings import LimitSettings
from nexfit.stores.connections import Stores

from .conftest import Business, Client, facility_of, global_id, local
from .test_limits import cost

LOG = """query ($id: ID!, $after: String) { facility(id: $id) { auditLog(first: 3, after: $after) { totalCount
    nodes { at action entityType entityId user { firstName } before after isSealed }
    pageInfo { hasNextPage endCursor } } } }"""
VERIFY = """query ($id: ID!, $after: String) { verifyAudit(facility: $id, after: $after) {
    intact entries checkedUntil chainLength isComplete cursor brokenAt reason lastHash } }"""


@pytest.fixture(scope="module")
async def facility(small_stores: Stores) -> str:
    """The demo's gym with refunds, whose entries are sealed."""
    await seal(small_stores.postgres)
    [row] = await small_stores.postgres.fetch(
        "SELECT facility_id FROM finance.audit_logs WHERE chain = facility_id GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
    )
    return global_id("Facility", row["facility_id"])


async def test_the_log_is_paged_to_its_end(small_owner: Client, small_stores: Stores, facility: str) -> None:
    seen, after = [], None
    while True:
        log = (await small_owner.data(LOG, {"id": facility, "after": after}))["facility"]["auditLog"]
        seen += log["nodes"]
        if not log["pageInfo"]["hasNextPage"]:
            break
        after = log["pageInfo"]["endCursor"]
    [row] = await small_stores.postgres.fetch(
        "SELECT count(*) FROM finance.audit_logs WHERE facility_id = $1", local(facility)
    )
    assert len(seen) == log["totalCount"] == row["count"] > 0
    assert [node["at"] for node in seen] == sorted((node["at"] for node in seen), reverse=True)
    assert all(node["isSealed"] for node in seen)


async def test_the_owner_verifies_and_others_learn_nothing(
    small_owner: Client, small_http: object, small_stores: Stores, facility: str
) -> None:
    found = (await small_owner.data(VERIFY, {"id": facility}))["verifyAudit"]
    assert found["intact"]
    assert found["isComplete"]
    assert found["entries"] > 0
    assert len(found["lastHash"]) == 64
    foreign = global_id("Facility", await facility_of(small_stores, "alsancak"))
    for id_ in (foreign, "nonsense", global_id("Facility", "0" * 24)):
        assert (await small_owner.data(VERIFY, {"id": id_}))["verifyAudit"] is None
    guest = Client(small_owner.http)
    assert (await guest.run(VERIFY, {"id": facility}))["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_long_chain_is_verified_in_parts(
    small_owner: Client, facility: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (await small_owner.data(VERIFY, {"id": facility}))["verifyAudit"]
    assert whole["isComplete"]
    assert whole["cursor"] is None
    monkeypatch.setattr("nexfit.api.finance.audit.MOST_VERIFIED", 2)
    entries, after = 0, None
    while True:
        part = (await small_owner.data(VERIFY, {"id": facility, "after": after}))["verifyAudit"]
        assert part["intact"]
        entries += part["entries"]
        assert part["checkedUntil"] == entries
        assert part["chainLength"] == whole["chainLength"]
        if part["isComplete"]:
            break
        after = part["cursor"]
    assert entries == whole["entries"] > 2
    assert part["lastHash"] == whole["lastHash"]
    made_up = write_cursor(f"audit_chain:{local(facility)}", (999_999, "00" * 32))
    refused = (await small_owner.data(VERIFY, {"id": facility, "after": made_up}))["verifyAudit"]
    assert (refused["intact"], refused["isComplete"], refused["entries"]) == (False, False, 0)
    for wrong in ("", "x", write_cursor("audit_chain:x", (1, "00")), write_cursor("sessions", (1,))):
        answer = await small_owner.run(VERIFY, {"id": facility, "after": wrong})
        assert answer["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "argument": ["after"]}
    own = f"audit_chain:{local(facility)}"
    for place in ((1,), (2**40, "00"), (-1, "00"), (1, "xx"), ("1", "00"), (1, "00", 1)):
        answer = await small_owner.run(VERIFY, {"id": facility, "after": write_cursor(own, place)})
        assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT", place


def test_verifying_costs_what_it_takes() -> None:
    """Its answer is one object and its work that of thousands: two in one operation are the most."""
    once = 'a{n}: verifyAudit(facility: "x") {{ intact }}'
    assert cost("{ " + once.format(n=1) + " }") == 2_001
    assert cost("{ " + "".join(once.format(n=n) for n in range(3)) + " }") > LimitSettings().cost


async def test_tampering_is_told_to_the_owner(small_owner: Client, small_stores: Stores, facility: str) -> None:
    chain = local(facility)

    async def set_action(action: str) -> None:
        async with small_stores.postgres.connection() as connection, connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(
                "UPDATE finance.audit_logs SET action = $2 WHERE chain = $1 AND chain_position = 1", chain, action
            )

    [row] = await small_stores.postgres.fetch(
        "SELECT action FROM finance.audit_logs WHERE chain = $1 AND chain_position = 1", chain
    )
    await set_action("nothing")
    try:
        found = (await small_owner.data(VERIFY, {"id": facility}))["verifyAudit"]
        assert not found["intact"]
        assert found["brokenAt"] == 1
        assert found["reason"] == "it was changed after it was sealed"
    finally:
        await set_action(row["action"])
    assert (await small_owner.data(VERIFY, {"id": facility}))["verifyAudit"]["intact"]


async def test_staff_without_the_permission_are_refused(desk: Client, chain: Business) -> None:
    answer = await desk.run(LOG, {"id": chain.facility})
    assert answer["data"]["facility"]["auditLog"] is None
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"

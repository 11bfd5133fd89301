"""The members' list is measured in every way it can be asked for, at two sizes."""

from __future__ import annotations

from bench import members
from nexfit.embedded import EmbeddedServers
from nexfit.stores.connections import open_stores
from tests.databases import migrated


async def test_every_way_to_ask_is_measured_at_both_sizes(servers: EmbeddedServers) -> None:
    async with migrated(servers.urls) as settings, open_stores(settings) as stores:
        found = await members.measure(stores.postgres, (400, 1_200), rounds=1)
        assert list(found) == [ask.name for ask in members.ASKS]
        assert all(len(times) == 2 and min(times) > 0 for times in found.values())
        facility = (await stores.postgres.fetch("SELECT facility_id FROM platform.member_facts LIMIT 1"))[0][0]
        by_name = await members.page(stores.postgres, facility, members.ASKS[0])
        expected = await stores.postgres.fetch(
            """SELECT user_id FROM platform.member_facts WHERE facility_id = $1
               ORDER BY name_folded COLLATE "C", user_id LIMIT 20""",
            facility,
        )
        assert by_name == [row["user_id"] for row in expected]

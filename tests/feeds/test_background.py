"""The application does the work beside requests itself, and `nexfit reconcile` does its part at the command line."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

from nexfit.api.relay import global_id
from nexfit.app import create_app
from nexfit.operations.reconcile import COMPARISONS, reconcile
from nexfit.settings import HttpSettings, Settings
from nexfit.stores.connections import Stores

from .conftest import Database, until
from .members import somebody

NEXFIT = Path(sys.executable).with_name("nexfit")


@asynccontextmanager
async def served(settings: Settings, *, background: bool) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application as `nexfit serve` runs it."""
    http = HttpSettings(metrics=True)
    app = create_app(settings.model_copy(update={"http": http, "background": background}))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://nexfit") as client,
    ):
        yield client


async def test_the_application_follows_compares_and_measures(
    settings: Settings, mongo: Database, postgres: asyncpg.Connection
) -> None:
    member = await somebody(mongo, status="active")

    async def is_frozen() -> bool:
        contract = await mongo.member_subscriptions.find_one({"_id": member.contract["_id"]})
        return bool(contract["status"] == "frozen")

    async with served(settings, background=True) as client:

        async def measures(*expected: str) -> bool:
            metrics = (await client.get("/metrics")).text
            return all(one in metrics for one in expected)

        await until(
            lambda: measures(
                *('nexfit_leads{task="feeds"} 1.0', 'nexfit_leads{task="reconcile"} 1.0', "nexfit_executions_total"),
                *(
                    "nexfit_feed_gap_seconds 0.0",
                    "nexfit_reconcile_finished_seconds 1",
                    "nexfit_cache_generations_total",
                ),
            ),
            20,
        )
        await postgres.execute(
            "UPDATE finance.subscriptions SET status = 'frozen' WHERE subscription_id = $1",
            UUID(member.contract["subscriptionId"]),
        )
        await until(is_frozen)
        await until(lambda: measures('nexfit_feed_lag_seconds_count{feed="mirror"}'))
    assert not any(task.get_name().startswith(("background", "leading")) for task in asyncio.all_tasks())


async def test_background_work_can_be_switched_off(settings: Settings) -> None:
    async with served(settings, background=False) as client:
        assert not any(task.get_name().startswith(("background", "leading")) for task in asyncio.all_tasks())
        assert 'nexfit_leads{task="feeds"} 1.0' not in (await client.get("/metrics")).text


SELL = """mutation ($i: SellMembershipInput!) { sellMembership(input: $i) { userErrors { code message } } }"""
REFUND = """mutation ($i: RefundPaymentInput!) { refundPayment(input: $i) { userErrors { code message } } }"""
LOGIN = """mutation { login(input: {email: "owner@demo.nexfit.app", password: "nexfit-demo"}) { accessToken } }"""


async def test_what_the_api_writes_leaves_nothing_to_repair(
    settings: Settings, stores: Stores, mongo: Database, postgres: asyncpg.Connection
) -> None:
    await reconcile(stores, repair=True, settle=0)
    owner = await mongo.users.find_one({"email": "owner@demo.nexfit.app"})
    facility = await mongo.facilities.find_one({"ownerId": owner["_id"]})
    plan = await mongo.memberships.find_one({"facilityId": facility["_id"], "isActive": True})
    holders = await mongo.member_subscriptions.distinct("userId", {"membershipId": plan["_id"]})
    guest = await mongo.users.find_one({"_id": {"$nin": holders}, "role": "gym_member"})

    async with served(settings, background=False) as client:

        async def send(query: str, **given: object) -> Any:
            body = {"query": query, "variables": {"i": {"idempotencyKey": uuid4().hex, **given}}}
            (answer,) = (await client.post("/graphql", json=body)).json()["data"].values()
            assert not answer.get("userErrors"), answer
            return answer

        client.headers["authorization"] = f"Bearer {(await send(LOGIN))['accessToken']}"
        offer = {
            "plan": global_id("Membership", plan["_id"]),
            "user": global_id("User", guest["_id"]),
            "method": "CASH",
            "expectedTotal": str(plan["price"]),
        }
        await send(SELL, **offer)
        await send(SELL, **offer, renew=True)
        payment = await postgres.fetchval(
            "SELECT transaction_id FROM finance.transactions WHERE user_id = $1 AND facility_id = $2"
            " ORDER BY created_at DESC LIMIT 1",
            *(str(guest["_id"]), str(facility["_id"])),
        )
        await send(REFUND, transaction=global_id("Transaction", payment), amount="1", reason="a gift")
    # Nobody followed, so the member's facts are still to be made; everything else is as its owner says.
    drift = (await reconcile(stores, repair=True, settle=0)).drift
    assert {*drift} <= {"facts.missing", "facts.differ"}, drift
    assert (await reconcile(stores, repair=False, settle=0)).drift == {}


async def _reconcile(settings: Settings, *options: str) -> tuple[int, str]:
    """Exit code and output of the command."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEXFIT_")} | {
        "NEXFIT_MONGO_URL": settings.mongo.url.get_secret_value(),
        "NEXFIT_MONGO_DATABASE": settings.mongo.database,
        "NEXFIT_POSTGRES_URL": settings.postgres.url.get_secret_value(),
        "NEXFIT_REDIS_URL": settings.redis.url.get_secret_value(),
    }
    process = await asyncio.create_subprocess_exec(
        *(NEXFIT, "reconcile", *options),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_the_command_tells_repairs_and_rebuilds(
    settings: Settings, mongo: Database, postgres: asyncpg.Connection
) -> None:
    await _reconcile(settings, "--repair")
    code, said = await _reconcile(settings)
    assert (code, "The stores agree" in said) == (0, True), said
    member = await somebody(mongo, status="active")
    wrong = "UPDATE platform.member_facts SET plan_id = NULL WHERE user_id = $1"
    await postgres.execute(wrong, member.pair[1])
    for options in ((), ("--repair", "--rebuild", "--dry-run")):
        code, said = await _reconcile(settings, *options)
        assert code == 1
        assert "facts.differ: 1 found, 0 repaired" in said
        assert f"member {member.pair[1]} of facility {member.pair[0]}: plan_id is None" in said
    code, said = await _reconcile(settings, "--repair")
    assert (code, "facts.differ: 1 found, 1 repaired" in said) == (1, True), said
    await postgres.execute(wrong, member.pair[1])
    code, said = await _reconcile(settings, "--rebuild")
    assert (code, "changed 1 member facts" in said, "The stores agree" in said) == (0, True, True), said


async def test_the_help_names_every_comparison(settings: Settings) -> None:
    code, said = await _reconcile(settings, "--help")
    assert code == 0
    for comparison in COMPARISONS:
        assert comparison.name in said

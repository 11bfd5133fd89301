"""`python -m bench lastseat`: 200 members ask two worker processes for the last seat at once; 50 runs.

Workflow 1.3: exactly one gets the seat, the others the places on the waitlist without a gap up to its limit, then
`CLASS_FULL`. Whether that is so is said by a reader of the database that imports nothing of the product
(`bench/reader.py`), and by the answers. Each request has a connection of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from bson import ObjectId
from pydantic import SecretStr
from pymongo import AsyncMongoClient
from rich.console import Console

from bench import reader
from bench.bookings import APART, opened_gym
from bench.crashes.servers import stores_on
from bench.crashes.worker import Where
from bench.stores import processes, target
from bench.stores.data import bars, environment
from bench.stores.errors import CannotMeasure
from bench.training import patient
from bench.training_data import person
from nexfit.api.relay import global_id
from nexfit.domains.identity.session_watch import SessionWatch
from nexfit.domains.identity.tokens import Tokens
from nexfit.embedded import EmbeddedError, EmbeddedServers
from nexfit.local_servers import set_encryption_keys
from nexfit.settings import AuthSettings

BOOK = """mutation ($i: BookClassInput!) { payload: bookClass(input: $i) {
  booking { status waitlistPosition } userErrors { code } } }"""
SECRET = "a secret of the bench that is long enough"
PATIENCE = 120.0


@dataclass(slots=True)
class Outcome:
    """What the runs showed: seconds of each, and every rule that was broken, by run."""

    seconds: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


async def measure(
    where: Where,
    folder: Path,
    *,
    runs: int,
    clients: int,
    waitlist: int,
    workers: int = 2,
    on_run: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run it on migrated stores. Raises CannotMeasure when the server does not come up or refuses to answer."""
    settings, now, outcome = patient(where), datetime.now(UTC), Outcome()
    variables = environment(settings) | {
        "NEXFIT_MONGO_DATABASE": where.database,
        "NEXFIT_AUTH_SECRET": SECRET,
        "NEXFIT_MONGO_TIMEOUT": "60",  # what is looked at are rules, and a busy machine breaks none
        "NEXFIT_POSTGRES_STATEMENT_TIMEOUT": "60",
        "NEXFIT_REDIS_TIMEOUT": "20",
        "NEXFIT_REDIS_CONNECT_TIMEOUT": "20",
    }
    people = [person(1, now) for _ in range(clients)]
    api = target.start("api", log=folder / "api.log", environment=variables, cores=None, workers=workers)
    try:
        async with AsyncExitStack() as stack:
            gym = await opened_gym(stack, where, [one["_id"] for one in people], now)
            await gym.database["users"].insert_many(people)
            await asyncio.to_thread(api.wait_until_ready)
            limits = httpx.Limits(max_connections=clients, max_keepalive_connections=0)
            http = await stack.enter_async_context(
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", limits=limits, timeout=PATIENCE)
            )
            client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(where.mongo)
            stack.push_async_callback(client.close)
            auth = AuthSettings(secret=SecretStr(SECRET))
            issuer = Tokens(auth, SessionWatch(gym.stores.mongo, gym.stores.redis, auth))
            tokens = [issuer.issue(one["_id"], ObjectId(), now).value for one in people]
            for run in range(runs):
                date = await gym.date(now + timedelta(days=1) + run * APART, capacity=1, waitlist=waitlist)
                started = time.perf_counter()
                asked = (_booked(http, token, global_id("ClassOccurrence", date)) for token in tokens)
                answers = await asyncio.gather(*asked)
                outcome.seconds.append(time.perf_counter() - started)
                wrong = _of_answers(answers, waitlist) + await reader.of_date(client[where.database], date)
                outcome.broken += [f"run {run + 1}: {one}" for one in wrong]
                on_run()
    finally:
        processes.end(api.process)
    return outcome


async def _booked(http: httpx.AsyncClient, token: str, date: str) -> dict[str, Any]:
    body = {"query": BOOK, "variables": {"i": {"occurrence": date, "idempotencyKey": date}}}
    answer = (await http.post("/graphql", json=body, headers={"authorization": f"Bearer {token}"})).json()
    if "errors" in answer:
        raise CannotMeasure(f"the API answers with errors: {answer['errors']}")
    payload: dict[str, Any] = answer["data"]["payload"]
    return payload


def _of_answers(answers: Sequence[dict[str, Any]], waitlist: int) -> list[str]:
    """Whether the clients were told what the rule says."""
    told = Counter(one["booking"]["status"] if one["booking"] else one["userErrors"][0]["code"] for one in answers)
    waiting = min(waitlist, len(answers) - 1)
    wanted = Counter(BOOKED=1, WAITLISTED=waiting, CLASS_FULL=len(answers) - 1 - waiting)
    places = sorted(one["booking"]["waitlistPosition"] or 0 for one in answers if one["booking"])
    found = [] if told == wanted else [f"the answers are {dict(told)}, and should be {dict(wanted)}"]
    return found if places == list(range(waiting + 1)) else [*found, f"the places told are {places}"]


def main(arguments: Sequence[str]) -> int:
    """Print what was found; the exit code is 1 where a rule was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m bench lastseat", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=50, help="how often (50)")
    parser.add_argument("--clients", type=int, default=200, help="members who want it (200)")
    parser.add_argument("--waitlist", type=int, default=50, help="places on the waitlist (50)")
    parser.add_argument("--workers", type=int, default=2, help="processes that serve (2)")
    given = parser.parse_args(arguments)
    if min(given.runs, given.workers) < 1 or given.clients < 2 or given.waitlist < 0:
        parser.error("--runs and --workers are at least 1, --clients at least 2, --waitlist at least 0")
    console = Console() if sys.stdout.isatty() else Console(width=120)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="nexfit-lastseat-") as folder,
            bars(console) as shown,
            EmbeddedServers(Path(folder) / "servers", durable=True) as servers,
            stores_on(servers.urls) as where,
        ):
            set_encryption_keys(Path(folder))
            task = shown.add_task("runs", total=given.runs)
            outcome = asyncio.run(
                measure(
                    where,
                    Path(folder),
                    runs=given.runs,
                    clients=given.clients,
                    waitlist=given.waitlist,
                    workers=given.workers,
                    on_run=lambda: shown.advance(task),
                )
            )
    except (CannotMeasure, EmbeddedError) as error:
        console.print(f"bench: {error}", style="bold red", markup=False, highlight=False)
        return 1
    rate = given.clients / median(outcome.seconds)
    console.print(
        f"{given.runs} runs of {given.clients} clients for one seat and {given.waitlist} places on {given.workers}"
        f" workers: {len(outcome.broken)} rules broken; {median(outcome.seconds):.2f} s a run, {rate:.0f} requests/s",
        highlight=False,
    )
    for one in outcome.broken:
        console.print(one, style="bold red", markup=False, highlight=False)
    return 1 if outcome.broken else 0

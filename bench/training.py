"""`python -m bench training`: what coach and client apps do all day, next to the same store commands without NexFit.

The coach's list of 50 clients with twelve weeks of weight, volume and adherence, the next session, the package and how
they stand (with joined views at hand, and made anew); logging a workout of 6 exercises with 4 sets each; progress over
two years of logs. The API is called as its server calls it, in this process, over real stores; so are the floors.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from bson import ObjectId, Timestamp
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.database import AsyncDatabase
from rich.console import Console

from bench import replay
from bench.crashes.servers import stores_on
from bench.crashes.worker import Where
from bench.guard import posted
from bench.replay import Line
from bench.stores.data import bars
from bench.stores.errors import CannotMeasure
from bench.stores.floor_stores import PlainDrivers
from bench.training_data import DAYS, EXERCISES, SETS, Practice, fill
from nexfit.api.relay import global_id
from nexfit.app import create_app
from nexfit.embedded import EmbeddedError, EmbeddedServers
from nexfit.hybrid.versions import GENERATION
from nexfit.local_servers import set_encryption_keys
from nexfit.settings import HttpSettings, LimitSettings, Settings
from nexfit.stores.commands import command_log
from nexfit.stores.connections import Stores, open_stores

WEEKS = 12

LIST = """query Clients($from: Date!, $to: Date!) { viewer { clients(first: 50) { nodes { id status
  client { firstName lastName
    progress(from: $from, to: $to) { weeks { starts workouts sets volume } adherence { done due rate } }
    bodyTrend(from: $from, to: $to) { latest changePerWeek points { at value mean } } }
  overview { nextSessionAt credits { total reserved used remaining } memberships {
    facility { name } status plan { name } balance { amount currency } openInvoices lastPaymentAt lastVisitAt
    nextBookingAt } } } } } }"""

PROGRESS = """query Progress($from: Date!, $to: Date!) { viewer { progress(from: $from, to: $to) {
  total { workouts sets reps volume areas { area sets volume } }
  weeks { starts workouts sets volume areas { area sets volume } } streak { current longest } adherence { rate }
  records { exercise { name } value weight reps at } heaviest { exercise { name } value reps at } } } }"""

SAVE = """mutation Save($i: SaveWorkoutLogsInput!) { saveWorkoutLogs(input: $i) {
  results { clientId outcome workout { id figures { sets volume } } } userErrors { code } } }"""


def served(settings: Settings) -> Settings:
    """Settings of the API as it is measured: no kept answers, one viewer gets all there is, nobody works beside."""
    return settings.model_copy(
        update={
            "http": HttpSettings(response_cache=False, log_requests=False),
            "limits": LimitSettings(points_per_second=0),
            "background": False,
        }
    )


def patient(where: Where) -> Settings:
    """Settings of stores on a machine that may be busy, and the keys of encrypted fields."""
    made = where.settings()
    return made.model_copy(
        update={
            "mongo": made.mongo.model_copy(update={"timeout": 60.0}),
            "postgres": made.postgres.model_copy(update={"statement_timeout": 60.0, "connect_timeout": 30.0}),
            "redis": made.redis.model_copy(update={"timeout": 20.0, "connect_timeout": 20.0}),
            "encryption": Settings().encryption,
        }
    )


async def signed_in(endpoint: Any, email: str, password: str) -> str:
    """A token."""
    login = "mutation ($i: LoginInput!) { login(input: $i) { accessToken } }"
    body = orjson.dumps({"query": login, "variables": {"i": {"email": email, "password": password}}})
    token: str = orjson.loads(await posted(endpoint, body, None))["data"]["login"]["accessToken"]
    return token


async def measure(
    settings: Settings, practice: Practice, rounds: int, requests: int, on_line: Callable[[], None] = lambda: None
) -> list[Line]:
    """All operations over filled stores. Raises CannotMeasure where an answer is not what was filled in."""
    app, lines = create_app(served(settings)), []
    async with (
        app.router.lifespan_context(app),
        open_stores(settings) as stores,
        replay.bare_drivers(settings) as drivers,
    ):
        endpoint = app.state.endpoint
        coach, client = [await signed_in(endpoint, email, practice.password) for email in practice.emails]

        def asking(query: str, token: str, days: int) -> replay.Ask:
            variables = {"from": practice.today - timedelta(days=days - 1), "to": practice.today}
            body = orjson.dumps({"query": query, "variables": variables})
            return lambda: posted(endpoint, body, token)

        generations = itertools.count(1)

        async def anew() -> None:
            """Give up every joined view, as if the follower of the change feeds were another one."""
            await stores.redis.send([("SET", GENERATION, f"{next(generations)}:1", "EX", 600)])

        clients, progress = asking(LIST, coach, 7 * WEEKS), asking(PROGRESS, client, practice.days)
        _check(orjson.loads(await clients()), orjson.loads(await progress()), practice)
        await anew()  # else views are trusted for two seconds only, because nobody follows the feeds
        for name, ask, before in (
            (f"a coach's {practice.clients} clients, {WEEKS} weeks", clients, None),
            (f"a coach's {practice.clients} clients, {WEEKS} weeks, views anew", clients, anew),
            (f"progress over {practice.days} days, {practice.logs:,} workouts", progress, None),
        ):
            lines.append(await replay.compare(name, ask, drivers, rounds, requests, before))
            on_line()
        save, bare = await _logging(endpoint, client, practice, stores, drivers)
        with command_log() as log:
            await save()
        counts = {store: log.count(store) for store in ("mongo", "postgres", "redis")}
        name = f"logging a workout of {EXERCISES} x {SETS} sets"
        lines.append(await replay.timed(name, counts, [save, bare], rounds, requests))
        on_line()
        await stores.redis.send([("DEL", GENERATION)])
    return lines


async def _logging(
    endpoint: Any, token: str, practice: Practice, stores: Stores, drivers: PlainDrivers
) -> tuple[replay.Ask, replay.Ask]:
    """Logging a new workout each time: by the API, and by bare drivers with the same commands."""
    numbers, database = itertools.count(), stores.mongo.database
    done = [{"reps": 8, "weight": 60}] * SETS
    exercises = practice.exercises[:EXERCISES]
    content = {
        "revision": 1,
        "editedAt": datetime.combine(practice.today - timedelta(days=1), time(11), UTC),
        "startTime": datetime.combine(practice.today - timedelta(days=1), time(9), UTC),
        "endTime": datetime.combine(practice.today - timedelta(days=1), time(10), UTC),
        "exercises": [{"exercise": global_id("Exercise", one), "sets": done} for one in exercises],
    }

    async def save() -> bytes:
        given = {"logs": [{"clientId": f"api{next(numbers)}", **content}]}
        return await posted(endpoint, orjson.dumps({"query": SAVE, "variables": {"i": given}}), token)

    answer = orjson.loads(await save())
    [result] = answer["data"]["saveWorkoutLogs"]["results"]
    if result["outcome"] != "CREATED":
        raise CannotMeasure(f"the workout was not logged: {answer}")
    kept = await database["workout_logs"].find_one({"userId": practice.client, "sourceId": "api0"})
    if kept is None:
        raise CannotMeasure("the workout is not there")
    told = [
        (name, await database[name].find_one({field: str(kept["_id"])}))
        for name, field in (("outbox", "aggregateId"), ("audit_entries", "entityId"))
    ]
    by_source = dict.fromkeys(kept, 1)

    async def bare() -> bytes:
        number = f"bare{next(numbers)}"
        made = {**kept, "_id": ObjectId(), "sourceId": number}

        async def write(bare_database: AsyncDatabase[Any], session: AsyncClientSession) -> None:
            wanted = {"userId": practice.client, "source": "app", "sourceId": {"$in": [number]}}
            await bare_database["workout_logs"].find(wanted, by_source, session=session).to_list()
            found = bare_database["exercises"].find({"_id": {"$in": exercises}}, {"metadata": 1}, session=session)
            await found.to_list()
            await bare_database["workout_logs"].insert_one(made, session=session)
            for name, one in told:
                row = {**(one or {}), "_id": str(uuid4()), "position": Timestamp(0, 0)}
                await bare_database[name].insert_one(row, session=session)

        await drivers.transaction(write)
        await drivers.find("workout_logs", {"_id": made["_id"]}, ("figures", "sourceId", "userId"))
        return orjson.dumps(answer)

    return save, bare


def _check(clients: Any, progress: Any, practice: Practice) -> None:
    if "errors" in clients or "errors" in progress:
        raise CannotMeasure(f"{clients.get('errors')}{progress.get('errors')}")
    whole = [
        one
        for one in clients["data"]["viewer"]["clients"]["nodes"]
        if sum(week["workouts"] for week in one["client"]["progress"]["weeks"])
        and one["client"]["progress"]["adherence"]["due"]
        and one["client"]["bodyTrend"]["points"]
        and one["overview"]["credits"]["remaining"]
        and one["overview"]["nextSessionAt"]
        and one["overview"]["memberships"]
    ]
    if len(whole) != practice.clients or progress["data"]["viewer"]["progress"]["total"]["workouts"] != practice.logs:
        raise CannotMeasure("the API does not answer what was filled in")


def main(arguments: Sequence[str]) -> int:
    """Print the table; the exit code is 1 where something could not be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m bench training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", type=int, default=50, help="clients of the coach, at most 50 on a page (50)")
    parser.add_argument("--rows", type=int, default=DAYS, help="days of which the client has logged 4 of 7 (730)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds in which all have their turn (7)")
    parser.add_argument("--requests", type=int, default=20, help="requests of a turn (20)")
    given = parser.parse_args(arguments)
    if not (1 <= given.members <= 50 and 7 * WEEKS <= given.rows <= 1100 and given.rounds > 0 and given.requests > 0):
        parser.error(f"--members is 1 to 50, --rows {7 * WEEKS} to 1100, --rounds and --requests at least 1")
    console = Console() if sys.stdout.isatty() else Console(width=140)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="nexfit-training-") as folder,
            bars(console) as shown,
            EmbeddedServers(Path(folder) / "servers", durable=True) as servers,
            stores_on(servers.urls) as where,
        ):
            set_encryption_keys(Path(folder))
            task = shown.add_task("operations", total=4)
            lines = asyncio.run(_filled(patient(where), given, lambda: shown.advance(task)))
    except (CannotMeasure, EmbeddedError) as error:
        console.print(f"bench: {error}", style="bold red", markup=False, highlight=False)
        return 1
    console.print(replay.table("A coach and a client", lines))
    return 0


async def _filled(settings: Settings, given: argparse.Namespace, on_line: Callable[[], None]) -> list[Line]:
    async with open_stores(settings) as stores:
        practice = await fill(stores, clients=given.members, days=given.rows)
    return await measure(settings, practice, given.rounds, given.requests, on_line)

"""The benches of bookings, of coach and client, and of search run, and what they measure is what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from bench import bookings, lastseat, reader, search, training
from bench.__main__ import main
from bench.bookings import KINDS
from bench.crashes.servers import stores_on
from bench.crashes.worker import Where
from bench.replay import Line
from bench.training_data import fill
from nexfit.embedded import EmbeddedServers
from nexfit.stores.connections import open_stores


@pytest.fixture(scope="module")
def where(servers: EmbeddedServers) -> Iterator[Where]:
    """Stores for all of them: each fills collections of its own, or does not mind what is there."""
    with stores_on(servers.urls) as made:
        yield made


def test_every_booking_that_was_counted_is_there(where: Where) -> None:
    found = asyncio.run(bookings.measure(where, 40, 1, 0.05, together=(4,)))

    async def read() -> tuple[int, list[str]]:
        client: AsyncMongoClient[dict[str, Any]]
        async with AsyncMongoClient(where.mongo) as client:
            database = client[where.database]
            told = set(await database["outbox"].distinct("aggregateId"))  # bare bookings tell nothing
            booked = [one for one in await database["class_bookings"].distinct("occurrenceId") if str(one) in told]
            return len(booked), [wrong for date in booked for wrong in await reader.of_date(database, date)]

    dates, wrong = asyncio.run(read())
    assert dates > len(KINDS)
    assert wrong == []
    for kind, one in found.items():
        assert all(rate > 0 for rates in one.rates.values() for rate in rates)
        assert (one.commands == 3) == kind.is_bare


def test_coach_and_client_are_measured_next_to_the_same_commands(where: Where) -> None:
    async def measured() -> list[Line]:
        settings = training.patient(where)
        async with open_stores(settings) as stores:
            practice = await fill(stores, clients=3, days=7 * training.WEEKS)
        return await training.measure(settings, practice, rounds=1, requests=1)

    warm, cold, progress, log = asyncio.run(measured())
    for one in (warm, cold, progress, log):
        assert min(one.ms, one.cpu_ms, one.to_bare) > 0
        assert 0 < one.commands["mongo"] <= 20
    assert cold.commands["postgres"] >= 1
    assert all(one.to_layer for one in (warm, cold, progress))


def test_every_search_is_measured_at_every_size_and_served_by_an_index(where: Where) -> None:
    sizes, words = (250, 3000), 400
    found = asyncio.run(search.measure(training.patient(where), sizes, 1, 1, words=words, exercises_=250))
    asked = {one.name: one for one in search.searches(search.language(words))}
    assert set(asked) <= set(found)
    for name, one in found.items():
        assert len(one.lines) == (len(sizes) if name in asked else 1)
        assert all(line.ms > 0 for line in one.lines)
        assert (one.keys > 0) == (name not in asked or not asked[name].none)
    # A page reads its documents, and counting reads none.
    assert found["the commonest word, counted"].documents == found["the commonest word"].documents <= 21


def test_of_many_clients_one_gets_the_last_seat(where: Where, tmp_path: Path) -> None:
    outcome = asyncio.run(lastseat.measure(where, tmp_path, runs=1, clients=20, waitlist=8, workers=1))
    assert outcome.broken == []
    assert len(outcome.seconds) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["bookings", "--members", "3"], id="bookings"),
        pytest.param(["training", "--rows", "5000"], id="training"),
        pytest.param(["search", "--rows", "10"], id="search"),
        pytest.param(["lastseat", "--clients", "1"], id="lastseat"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert arguments[1] in capsys.readouterr().err

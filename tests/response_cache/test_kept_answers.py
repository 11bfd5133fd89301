"""Who asks about the same kept answer at the same time asks Redis once, and is told the same as if he had asked."""

from __future__ import annotations

import asyncio

import pytest
from bson import ObjectId

from nexfit.hybrid.kept_answers import KeptAnswers
from nexfit.hybrid.versions import GENERATION, Versions
from nexfit.stores.commands import command_log
from nexfit.stores.connections import Stores


@pytest.fixture
def tag() -> str:
    """One nobody has raised."""
    return f"test:{ObjectId()}"


@pytest.fixture
async def kept(stores: Stores, tag: str) -> KeptAnswers:
    await stores.redis.send([("SET", GENERATION, "1:1")])
    answers = KeptAnswers(stores.redis, Versions(stores.redis))
    beginning = await answers.begin()
    assert beginning is not None
    assert await answers.keep("key", "name", b"body", {tag}, 60, beginning) is not None
    return answers


async def test_one_question_for_all_who_ask_in_a_turn(kept: KeptAnswers) -> None:
    for _ in range(2):
        with command_log() as log:
            found = await asyncio.gather(*(kept.find("key", lambda: "name") for _ in range(10)))
        assert [answer.body for answer, _ in found if answer] == [b"body"] * 10
        assert log.sent["redis"] == ["MGET"]


async def test_who_asks_after_the_question_left_asks_again(kept: KeptAnswers, stores: Stores, tag: str) -> None:
    first = asyncio.create_task(kept.find("key", lambda: "name"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # it has left
    await Versions(stores.redis).raise_([tag])
    answer, _ = await kept.find("key", lambda: "name")
    assert answer is None
    await first


async def test_a_raised_tag_ends_the_answer_for_all_of_them(kept: KeptAnswers, stores: Stores, tag: str) -> None:
    await Versions(stores.redis).raise_([tag])
    found = await asyncio.gather(*(kept.find("key", lambda: "name") for _ in range(5)))
    assert [(answer, beginning is not None) for answer, beginning in found] == [(None, True)] * 5


async def test_nobody_waits_for_a_question_that_could_not_be_asked(kept: KeptAnswers) -> None:
    kept._versions._unraised = {"something"}
    async with asyncio.timeout(20):
        assert await asyncio.gather(*(kept.find("key", lambda: "name") for _ in range(3))) == [(None, None)] * 3


async def test_when_the_one_who_asks_leaves_the_others_load_for_themselves(kept: KeptAnswers) -> None:
    first, *others = (asyncio.create_task(kept.find("key", lambda: "name")) for _ in range(3))
    await asyncio.sleep(0)
    first.cancel()
    assert await asyncio.gather(*others) == [(None, None)] * 2
    answer, _ = await kept.find("key", lambda: "name")
    assert answer is not None

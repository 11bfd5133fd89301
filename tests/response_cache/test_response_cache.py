"""Responses from the cache: the same bytes for nothing, and never too old, wrong, or somebody else's."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
from bson import ObjectId
from redis.asyncio import Redis

from nexfit.api import nodes
from nexfit.api.response_cache import TRUSTED
from nexfit.app import create_app
from nexfit.hybrid import kept_answers, versions
from nexfit.hybrid.freshness import KEY
from nexfit.hybrid.versions import Versions
from nexfit.operations.feeds import follow_changes
from nexfit.settings import RedisSettings, Settings
from nexfit.stores.commands import command_log
from nexfit.stores.connections import Stores
from tests.api.conftest import Client, global_id, running

from .conftest import Viewers, asked, changed, id_of, invalidate, store_commands, until, viewers_of

NAME = "query ($id: ID!) { facility(id: $id) { name } }"
TIMETABLE = """
query ($id: ID!) { facility(id: $id) { name openNow
  classes(first: 5) { nodes { name instructor { firstName } occurrences(first: 2) { startsAt seatsTaken } } }
  memberships { name price { amount } } } }
"""
MONEY = """
query ($id: ID!) { facility(id: $id) { name memberships { name activeSubscribers }
  revenue(from: "2026-01-01", to: "2026-06-15") { period total { amount } }
  outstanding { invoices total { amount } }
  members(first: 5) { nodes { user { firstName email } status lastVisitAt plan { name } } } } }
"""
VIEWER = "{ viewer { id firstName email } }"


async def test_a_hit_is_the_same_bytes_and_asks_no_store(viewers: Viewers, facility: ObjectId) -> None:
    for query in (NAME, TIMETABLE):
        first, cost = await asked(viewers.guest, query, id_of(facility))
        assert store_commands(cost) > 0
        assert first.json()["data"]["facility"]["name"]
        at_hand, nothing = await asked(viewers.guest, query, id_of(facility))
        assert at_hand.content == first.content
        assert sum(map(nothing.count, ("mongo", "postgres", "redis"))) == 0
        await asyncio.sleep(TRUSTED + 0.05)
        confirmed, confirming = await asked(viewers.guest, query, id_of(facility))
        assert confirmed.content == first.content
        assert (store_commands(confirming), confirming.sent["redis"]) == (0, ["MGET"])


async def test_another_process_answers_from_redis(viewers: Viewers, settings: Settings, facility: ObjectId) -> None:
    first, _ = await asked(viewers.guest, TIMETABLE, id_of(facility))
    async with running(settings) as other:
        again, cost = await asked((await viewers_of(other)).guest, TIMETABLE, id_of(facility))
    assert again.content == first.content
    assert (store_commands(cost), cost.sent["redis"]) == (0, ["MGET", "GET", "MGET"])


async def test_a_response_says_how_old_it_is_and_may_become(viewers: Viewers, facility: ObjectId) -> None:
    async def kept(client: Any, query: str) -> tuple[str, str | None, str]:
        response, _ = await asked(client, query, id_of(facility))
        return response.headers["cache-control"], response.headers.get("age"), response.headers.get("vary", "")

    who = "accept, authorization"
    assert await kept(viewers.guest, NAME) == ("public, max-age=60", "0", who)
    assert await kept(viewers.guest, TIMETABLE) == ("public, max-age=10", "0", who)
    # Who is signed in may have changed what is shown: no cache on the way answers him.
    assert await kept(viewers.owner, NAME) == ("private, no-cache", "0", who)
    assert await kept(viewers.owner, MONEY) == ("private, no-cache", "0", who)
    await asyncio.sleep(1.1)
    assert await kept(viewers.guest, NAME) == ("public, max-age=60", "1", who)


@pytest.mark.parametrize(
    ("query", "collection", "tag", "field"),
    [
        (NAME, "facilities", "facility:{id}", "name"),
        ("query ($id: ID!) { node(id: $id) { ... on Facility { name } } }", "facilities", "facility:{id}", "name"),
        ("{ facilities(first: 50) { nodes { name } } }", "facilities", "facility:{id}", "name"),
        (TIMETABLE, "memberships", "facility:{id}:plans", "name"),
        (TIMETABLE, "classes", "facility:{id}:classes", "name"),
        (TIMETABLE, "users", "user:{changed}", "firstName"),
    ],
)
async def test_a_raised_tag_ends_what_was_kept_under_it(
    viewers: Viewers, stores: Stores, facility: ObjectId, query: str, collection: str, tag: str, field: str
) -> None:
    if collection == "facilities":
        id_ = facility
    elif collection == "users":
        [class_] = await stores.mongo.find(
            "classes", {"facilityId": facility}, ["instructor"], sort=[("name", 1)], limit=1
        )
        id_ = class_["instructor"]["userId"]
    else:
        [document] = await stores.mongo.find(
            collection, {"facilityId": facility, "isActive": True}, ["_id"], sort=[("name", 1)], limit=1
        )
        id_ = document["_id"]
    before, _ = await asked(viewers.guest, query, id_of(facility))
    async with changed(stores, collection, id_, **{field: "AAA Changed"}):
        kept, _ = await asked(viewers.guest, query, id_of(facility))
        assert kept.content == before.content
        await invalidate(stores, tag.format(id=facility, changed=id_))
        await asyncio.sleep(TRUSTED)
        after, cost = await asked(viewers.guest, query, id_of(facility))
        assert b"AAA Changed" in after.content
        assert store_commands(cost) > 0
    await invalidate(stores, f"facility:{facility}", tag.format(id=facility, changed=id_))


@pytest.mark.parametrize(
    "tag", ["facility:{id}", "facility:{id}:money", "facility:{id}:members", "facility:{id}:plans"]
)
async def test_figures_depend_on_their_tags(viewers: Viewers, stores: Stores, facility: ObjectId, tag: str) -> None:
    first, _ = await asked(viewers.owner, MONEY, id_of(facility))
    assert "errors" not in first.json()
    assert first.json()["data"]["facility"]["members"]["nodes"]
    again, cost = await asked(viewers.owner, MONEY, id_of(facility))
    assert (again.content, store_commands(cost)) == (first.content, 0)
    await invalidate(stores, tag.format(id=facility))
    await asyncio.sleep(TRUSTED)
    _, cost = await asked(viewers.owner, MONEY, id_of(facility))
    assert store_commands(cost) > 0


async def test_a_tag_raised_while_the_response_is_loaded_keeps_it_from_being_kept(
    viewers: Viewers, stores: Stores, facility: ObjectId, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = kept_answers.KeptAnswers.keep

    async def late(self: Any, *args: Any) -> Any:
        await invalidate(stores, f"facility:{facility}")
        return await keep(self, *args)

    monkeypatch.setattr(kept_answers.KeptAnswers, "keep", late)
    await asked(viewers.guest, NAME, id_of(facility))
    monkeypatch.undo()
    _, cost = await asked(viewers.guest, NAME, id_of(facility))
    assert store_commands(cost) > 0
    await asyncio.sleep(0.3)  # a tag that was raised just before a load cannot be told from one raised during it
    await asked(viewers.guest, NAME, id_of(facility))
    _, cost = await asked(viewers.guest, NAME, id_of(facility))
    assert store_commands(cost) == 0


async def test_a_new_generation_ends_everything(viewers: Viewers, cache: Redis, facility: ObjectId) -> None:
    await asked(viewers.guest, NAME, id_of(facility))
    await cache.set(KEY, "1:2")
    await asyncio.sleep(TRUSTED)
    _, cost = await asked(viewers.guest, NAME, id_of(facility))
    assert store_commands(cost) > 0


async def test_without_a_follower_of_the_feeds_a_response_is_trusted_for_a_moment(
    viewers: Viewers, cache: Redis, facility: ObjectId
) -> None:
    await cache.delete(KEY)
    for _ in range(2):  # the first time nobody knows how long its tags have been without a version
        await asked(viewers.guest, NAME, id_of(facility))
    await asyncio.sleep(TRUSTED + 0.1)
    _, cost = await asked(viewers.guest, NAME, id_of(facility))
    assert store_commands(cost) == 0
    await asyncio.sleep(versions.UNFED)
    _, cost = await asked(viewers.guest, NAME, id_of(facility))
    assert store_commands(cost) > 0


async def test_a_change_made_by_anybody_ends_it_soon(settings: Settings, stores: Stores, facility: ObjectId) -> None:
    async with running(settings) as http:
        viewers = await viewers_of(http)
        following = asyncio.create_task(follow_changes(stores))
        try:

            async def lasts() -> bool:
                """Whether responses outlive the time that is trusted without anybody following."""
                await asked(viewers.guest, NAME, id_of(facility))
                await asyncio.sleep(0.3)
                return store_commands((await asked(viewers.guest, NAME, id_of(facility)))[1]) == 0

            await until(lasts)
            async with changed(stores, "facilities", facility, name="Changed by a script"):

                async def shown() -> bool:
                    return b"Changed by a script" in (await asked(viewers.guest, NAME, id_of(facility)))[0].content

                await until(shown)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def test_it_expires(
    viewers: Viewers, stores: Stores, facility: ObjectId, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.time
    first, _ = await asked(viewers.guest, TIMETABLE, id_of(facility))
    monkeypatch.setattr(kept_answers.time, "time", lambda: clock() + 9)
    still, cost = await asked(viewers.guest, TIMETABLE, id_of(facility))
    assert (still.headers["age"], store_commands(cost)) == ("9", 0)
    monkeypatch.setattr(kept_answers.time, "time", lambda: clock() + 10)
    _, cost = await asked(viewers.guest, TIMETABLE, id_of(facility))
    assert store_commands(cost) > 0
    assert first.content == still.content


async def test_redis_forgets_it_when_it_expires(viewers: Viewers, cache: Redis, facility: ObjectId) -> None:
    await asked(viewers.guest, TIMETABLE, id_of(facility))
    [key] = await cache.keys("nexfit:answer:*")
    assert 8_000 < await cache.pttl(key) <= 10_000


# --- who may see what


async def test_viewers_never_get_each_others_responses(viewers: Viewers, facility: ObjectId) -> None:
    right = {}
    for query in (VIEWER, MONEY, NAME):
        for client in viewers.all():
            response, _ = await asked(client, query, id_of(facility), headers={"cache-control": "no-store"})
            right[query, client.token] = response.json()
    assert len({str(right[VIEWER, client.token]) for client in viewers.all()}) == 4
    assert len({str(right[MONEY, client.token]) for client in viewers.all()}) > 1
    for _ in range(3):
        asking = [(query, client) for client in viewers.all() for query in (VIEWER, MONEY, NAME)] * 8
        found = await asyncio.gather(*(asked(client, query, id_of(facility)) for query, client in asking))
        for (query, client), (response, _) in zip(asking, found, strict=True):
            answer = response.json()
            for error in [*answer.get("errors", ()), *right[query, client.token].get("errors", ())]:
                error.get("extensions", {}).pop("errorId", None)
            assert answer == right[query, client.token]
        await asyncio.sleep(TRUSTED)


@pytest.fixture
def wrong_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    """People declared as what everybody sees alike."""
    monkeypatch.setitem(nodes._PUBLIC_TAGS, "User", "user")


@pytest.mark.usefixtures("wrong_hint")
async def test_a_public_response_that_turned_out_to_depend_on_the_viewer_is_not_kept(viewers: Viewers) -> None:
    me = (await viewers.member.data(VIEWER))["viewer"]["id"]
    query = "query ($id: ID!) { node(id: $id) { id } }"
    mine, _ = await asked(viewers.member, query, {"id": me})
    assert mine.json()["data"]["node"] == {"id": me}
    assert mine.headers["cache-control"] == "no-store"
    for other in (viewers.guest, viewers.stranger):
        theirs, _ = await asked(other, query, {"id": me})
        assert theirs.json()["data"]["node"] is None


@pytest.mark.usefixtures("wrong_hint")
async def test_readers_at_once_do_not_share_what_depends_on_the_viewer(viewers: Viewers) -> None:
    me = (await viewers.member.data(VIEWER))["viewer"]["id"]
    query = "query ($id: ID!) { node(id: $id) { id } }"
    clients = [viewers.member, viewers.guest, viewers.stranger] * 10
    found = await asyncio.gather(*(asked(client, query, {"id": me}) for client in clients))
    for client, (response, _) in zip(clients, found, strict=True):
        assert response.json()["data"]["node"] == ({"id": me} if client is viewers.member else None)


async def test_a_refused_token_gets_nothing_from_the_cache(viewers: Viewers, facility: ObjectId) -> None:
    await asked(viewers.guest, NAME, id_of(facility))
    body = {"query": NAME, "variables": id_of(facility)}
    response = await viewers.guest.http.post("/graphql", json=body, headers={"authorization": "Bearer forged"})
    assert response.status_code == 401
    assert "data" not in response.json()


# --- what is never kept


@pytest.mark.parametrize(
    "query",
    [
        "query ($id: ID!) { facility(id: $id) { name staff { role } } }",
        "query ($id: ID!) { facility(id: $id) { transactions(first: 1) { nodes { id } } } }",
        "{ __schema { queryType { name } } }",
        "{ __typename }",
        "query ($id: ID!) { facility(id: $id) { name } viewer { memberSubscriptions(first: 1) { totalCount } } }",
        "query ($id: ID!) { ...f } fragment f on Query { facility(id: $id) { staff { role } } }",
        "query ($id: ID!) { facility(id: $id) { ... on Facility { ... { staff { role } } } } }",
        "query ($id: ID!) { facility(id: $id) { name staff @skip(if: true) { role } } }",
    ],
)
async def test_without_a_hint_nothing_is_kept(viewers: Viewers, cache: Redis, facility: ObjectId, query: str) -> None:
    response, _ = await asked(viewers.owner, query, id_of(facility) if "$id" in query else None)
    assert "errors" not in response.json()
    assert response.headers["cache-control"] == "no-store"
    assert "age" not in response.headers
    assert await cache.keys("nexfit:answer:*") == []


async def test_errors_are_not_kept(viewers: Viewers, cache: Redis, facility: ObjectId) -> None:
    for query, variables in (
        ("{ facilities(first: 0) { nodes { name } } }", None),
        (NAME, {}),
        (NAME, {"id": 5.5}),
        ("{ nope }", None),
        ("{", None),
        (MONEY, id_of(facility)),  # a guest may not see the money
    ):
        response, _ = await asked(viewers.guest, query, variables)
        assert response.json()["errors"]
        assert response.headers["cache-control"] == "no-store"
    assert await cache.keys("nexfit:answer:*") == []


async def test_mutations_are_not_kept_and_end_the_trust_in_memory(
    viewers: Viewers, stores: Stores, facility: ObjectId
) -> None:
    await asked(viewers.guest, NAME, id_of(facility))
    login = 'mutation { login(input: { email: "owner@demo.nexfit.app", password: "nexfit-demo" }) { accessToken } }'
    one, _ = await asked(viewers.guest, login)
    other, _ = await asked(viewers.guest, login)
    assert one.json()["data"]["login"]["accessToken"] != other.json()["data"]["login"]["accessToken"]
    assert one.headers["cache-control"] == "no-store"
    _, cost = await asked(viewers.guest, NAME, id_of(facility))
    assert cost.sent["redis"] == ["MGET"]


async def test_an_unknown_entity_is_no_answer_to_keep_for_the_wrong_reason(viewers: Viewers) -> None:
    unknown = {"id": global_id("Facility", ObjectId())}
    response, _ = await asked(viewers.guest, "query ($id: ID!) { node(id: $id) { id } }", unknown)
    assert response.json() == {"data": {"node": None}}
    assert response.headers["cache-control"] == "no-store"


# --- what a request may wish


async def test_no_cache_reads_past_the_cache_and_renews_it(
    viewers: Viewers, stores: Stores, facility: ObjectId
) -> None:
    await asked(viewers.guest, NAME, id_of(facility))
    async with changed(stores, "facilities", facility, name="Renewed"):
        fresh, cost = await asked(viewers.guest, NAME, id_of(facility), headers={"cache-control": "no-cache"})
        assert b"Renewed" in fresh.content
        assert store_commands(cost) > 0
        kept, cost = await asked(viewers.guest, NAME, id_of(facility))
        assert (kept.content, store_commands(cost)) == (fresh.content, 0)
    await invalidate(stores, f"facility:{facility}")


async def test_who_is_signed_in_never_waits_for_his_change_to_show(
    viewers: Viewers, stores: Stores, settings: Settings, facility: ObjectId
) -> None:
    """Whichever process made the change: Redis is asked each time, and no load from before it is shared."""
    async with running(settings) as other:
        asking = [viewers.owner, Client(other, viewers.owner.token)]
        for round_ in range(10):
            async with changed(stores, "facilities", facility, name=f"Round {round_}"):
                before = [asyncio.create_task(asked(client, NAME, id_of(facility))) for client in asking]
                await asyncio.sleep(0.001 * round_)
                await invalidate(stores, f"facility:{facility}")
                for client in asking:
                    found, _ = await asked(client, NAME, id_of(facility))
                    assert found.json()["data"]["facility"]["name"] == f"Round {round_}"
                await asyncio.gather(*before)
    await invalidate(stores, f"facility:{facility}")


async def test_who_bears_staleness_is_answered_from_memory_for_so_long(
    viewers: Viewers, stores: Stores, facility: ObjectId
) -> None:
    async def bearing(seconds: Any) -> tuple[httpx.Response, list[str]]:
        body = {"query": NAME, "variables": id_of(facility), "extensions": {"maxStaleness": seconds}}
        headers = {"authorization": f"Bearer {viewers.owner.token}"}
        with command_log() as log:
            response = await viewers.owner.http.post("/graphql", json=body, headers=headers)
        return response, log.sent["redis"]

    first, _ = await asked(viewers.owner, NAME, id_of(facility))
    assert (await bearing(0))[1] == ["MGET"]
    async with changed(stores, "facilities", facility, name="Later"):
        await invalidate(stores, f"facility:{facility}")
        for _ in range(3):
            response, sent = await bearing(30)
            assert (response.content, sent) == (first.content, [])
        await asyncio.sleep(0.3)
        response, _ = await bearing(0.2)
        assert b"Later" in response.content
    await invalidate(stores, f"facility:{facility}")
    for wrong in (-1, 61, "5", True, None, [], {}):
        response, _ = await bearing(wrong)
        assert response.status_code == 400
        assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_no_store_leaves_the_cache_alone(viewers: Viewers, cache: Redis, facility: ObjectId) -> None:
    response, _ = await asked(viewers.guest, NAME, id_of(facility), headers={"cache-control": "max-age=0, no-store"})
    assert response.headers["cache-control"] == "no-store"
    assert await cache.keys("nexfit:answer:*") == []


async def test_variables_names_and_documents_are_told_apart(viewers: Viewers, stores: Stores) -> None:
    both = (
        "query A($n: Int!) { facilities(first: $n) { nodes { name } } } query B { facilities(first: 1) { totalCount } }"
    )

    async def run(variables: dict[str, Any], name: str) -> Any:
        body = {"query": both, "variables": variables, "operationName": name}
        return (await viewers.guest.http.post("/graphql", json=body)).json()["data"]["facilities"]

    for _ in range(2):
        assert len((await run({"n": 1}, "A"))["nodes"]) == 1
        assert len((await run({"n": 2}, "A"))["nodes"]) == 2
        assert "totalCount" in await run({"n": 1}, "B")


# --- many at once, and no Redis


async def test_readers_at_once_share_one_load(viewers: Viewers, facility: ObjectId) -> None:
    alone, cost = await asked(viewers.guest, TIMETABLE, id_of(facility), headers={"cache-control": "no-store"})
    found = await asyncio.gather(*(asked(viewers.guest, TIMETABLE, id_of(facility)) for _ in range(40)))
    assert {response.content for response, _ in found} == {alone.content}
    assert sum(store_commands(one) for _, one in found) == store_commands(cost)


async def test_a_reader_who_leaves_does_not_take_the_load_with_him(settings: Settings, facility: ObjectId) -> None:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://nexfit.test") as http:
            body = {"query": TIMETABLE, "variables": id_of(facility)}
            leader = asyncio.create_task(http.post("/graphql", json=body))
            await asyncio.sleep(0)
            followers = [asyncio.create_task(http.post("/graphql", json=body)) for _ in range(5)]
            await asyncio.sleep(0.002)
            followers[0].cancel()
            leader.cancel()
            for response in await asyncio.gather(*followers[1:]):
                assert response.json()["data"]["facility"]["name"]


async def test_without_redis_answers_are_right_and_not_kept(
    settings: Settings, stores: Stores, facility: ObjectId
) -> None:
    away = settings.model_copy(update={"redis": RedisSettings(url="redis://127.0.0.1:1/0")})
    async with running(away) as http:
        guest = Client(http)
        for name in ("One", "Two"):
            async with changed(stores, "facilities", facility, name=name):
                response, _ = await asked(guest, NAME, id_of(facility))
                assert response.json() == {"data": {"facility": {"name": name}}}


async def test_memory_is_bounded(viewers: Viewers, stores: Stores) -> None:
    kept = kept_answers.KeptAnswers(stores.redis, Versions(stores.redis), entries=50, size=40_000)
    for n in range(300):
        beginning = await kept.begin()
        assert beginning is not None
        await kept.keep(n, f"bounded{n}", b"x" * 1000, {"facility:x"}, 60, beginning)
        assert len(kept._memory) <= 50
        assert kept._size <= 40_000
    assert kept.at_hand(299, within=10) is not None
    assert kept._size == sum(one.size for one in kept._memory.values())
    beginning = await kept.begin()
    assert beginning is not None
    assert await kept.keep("large", "large", b"x" * 2_000_000, set(), 60, beginning) is None


def test_the_schema_shows_what_may_be_cached() -> None:
    from nexfit.api.schema import build_schema, schema_text

    text = schema_text(build_schema())
    assert "directive @cacheControl(maxAge: Int!, scope: CacheScope! = PUBLIC) on FIELD_DEFINITION" in text
    assert "activeSubscribers: Int @cacheControl(maxAge: 10, scope: PRIVATE)" in text

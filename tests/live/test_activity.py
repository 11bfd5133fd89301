"""`facilityActivity` on a running server: who gets what, once, in order, after a gap, and no longer than they may."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from uuid import uuid4

import httpx
import pytest
from bson import ObjectId

from nexfit.app import create_app
from nexfit.domains.classes.events import WaitlistJoined, WaitlistPromoted
from nexfit.domains.identity.session_watch import SessionWatch
from nexfit.domains.identity.tokens import Tokens
from nexfit.domains.memberships.events import MembershipRenewed
from nexfit.settings import LiveSettings, Settings
from nexfit.stores.connections import Stores, open_stores
from tests.api.conftest import Client, global_id, login

from .conftest import ACTIVITY, LOGIN, LOGOUT, Socket, Stream, opened, serve

NAMED = """subscription ($facility: ID!, $after: String) { facilityActivity(facility: $facility, after: $after) {
  __typename cursor ... on VisitActivity { visit { user { firstName email } } } } }"""

SOON = 3.0
"""Seconds until who lost a right is told so, on a machine with much else to do."""


# --- who may follow


async def test_members_read_is_needed_and_a_stranger_is_told_nothing_more(
    address: str, owner: Client, studio_owner: Client, gym: ObjectId, studio: ObjectId
) -> None:
    unknown = ObjectId()
    for token, facility, code in (
        (None, gym, "UNAUTHENTICATED"),
        (studio_owner.token, gym, "FORBIDDEN"),
        (owner.token, studio, "FORBIDDEN"),
        (owner.token, unknown, "FORBIDDEN"),
    ):
        async with opened(address) as socket:
            await socket.init(token)
            await socket.subscribe("1", ACTIVITY, facility=global_id("Facility", facility))
            refused = await socket.receive()
            assert refused["type"] == "error"
            assert [error["extensions"]["code"] for error in refused["payload"]] == [code]


async def test_two_owners_see_their_own_events_only(
    address: str, owner: Client, studio_owner: Client, gym: ObjectId, studio: ObjectId, stream: Stream
) -> None:
    async with opened(address) as one, opened(address) as other:
        await one.init(owner.token)
        await other.init(studio_owner.token)
        await one.follow(gym)
        await other.follow(studio)
        mine: dict[ObjectId, list[int]] = {gym: [], studio: [], ObjectId(): []}
        places = list(mine)

        async def tell() -> None:
            for place in range(100):
                facility = places[place % 3]
                mine[facility] += await stream.tell(facility, count=100)

        async def read(socket: Socket, facility: ObjectId, count: int) -> None:
            assert await socket.cursors(count) == mine[facility][:count]

        telling = asyncio.create_task(tell())
        await asyncio.gather(one.cursors(3400), other.cursors(3300), telling)
        for socket in (one, other):  # nothing else came
            await socket.send(type="ping")
            assert (await socket.receive())["type"] == "pong"


async def test_every_follower_gets_every_event_once_in_order(
    address: str, owner: Client, desk: Client, gym: ObjectId, stream: Stream
) -> None:
    async with opened(address) as first, opened(address) as second:
        await first.init(owner.token)
        await second.init(owner.token)
        await first.follow(gym, id_="a")
        await second.follow(gym, id_="b")
        numbers = await stream.tell(gym, count=1200)  # more than the reader takes at once
        assert await first.cursors(1200, "a") == numbers
        assert await second.cursors(1200, "b") == numbers


async def test_one_event_is_executed_once_for_all_and_for_each_viewer_where_the_answer_depends_on_them(
    live_settings: Settings, owner: Client, desk: Client, gym: ObjectId, stream: Stream, live_stores: Stores
) -> None:
    [user] = await live_stores.mongo.database["users"].find({"email": "client@demo.nexfit.app"}).to_list()
    own = NAMED.replace("email", "email sessions(first: 1) { totalCount }")  # the person's alone to see
    app = create_app(live_settings)
    with serve(app, live_settings) as address:
        for query, executions in ((NAMED, 1), (own, 2)):
            async with opened(address) as one, opened(address) as other, opened(address) as third:
                for socket, client in ((one, owner), (other, desk), (third, owner)):
                    await socket.init(client.token)
                    await socket.follow(gym, query=query)
                before = app.state.sockets.fanout.counters.executed
                await stream.tell(gym, user=user["_id"])
                got = [await socket.activity() for socket in (one, other, third)]
                assert app.state.sockets.fanout.counters.executed - before == executions
                person = got[0]["visit"]["user"]
                assert (person["firstName"], person["email"]) == (user["firstName"], "client@demo.nexfit.app")
                assert got[0] == got[1] == got[2]


# --- resuming


async def test_following_again_misses_nothing_and_repeats_nothing(
    address: str, owner: Client, gym: ObjectId, studio: ObjectId, stream: Stream
) -> None:
    async with opened(address) as socket:
        await socket.init(owner.token)
        started = await socket.follow(gym)
        assert started["state"] == "STARTED"
        numbers = await stream.tell(gym, count=10)
        await socket.cursors(3)
    numbers += await stream.tell(gym, count=1500)
    await stream.tell(studio, count=30)
    async with opened(address) as socket:
        await socket.init(owner.token)
        notice = await socket.follow(gym, after=str(numbers[2]))
        assert (notice["state"], notice["cursor"]) == ("RESUMED", str(numbers[2]))

        async def tell_on() -> None:
            for _ in range(20):
                numbers.extend(await stream.tell(gym, count=10))

        telling = asyncio.create_task(tell_on())
        got = await socket.cursors(len(numbers) + 200 - 3)
        await telling
        assert got == numbers[3:]


@pytest.mark.parametrize("age", [16 * 60, 10_000_000])
async def test_what_is_too_long_ago_begins_anew(
    address: str, owner: Client, gym: ObjectId, stream: Stream, age: int
) -> None:
    async with opened(address) as socket:
        await socket.init(owner.token)
        notice = await socket.follow(gym, after=str(int((time.time() - age) * 1e6)))
        assert notice["state"] == "RESTARTED"
        numbers = await stream.tell(gym, count=2)
        assert await socket.cursors(2) == numbers


@pytest.mark.parametrize("after", ["", "x", "-1", "1.5", "٣", "9" * 30])
async def test_what_is_no_cursor_is_refused(address: str, owner: Client, gym: ObjectId, after: str) -> None:
    async with opened(address) as socket:
        await socket.init(owner.token)
        await socket.subscribe("1", ACTIVITY, facility=global_id("Facility", gym), after=after)
        refused = await socket.receive()
        assert [error["extensions"]["code"] for error in refused["payload"]] == ["BAD_USER_INPUT"]


# --- rights that are withdrawn


async def test_who_loses_the_right_gets_nothing_more_and_is_told_within_a_second(
    address: str, desk: Client, owner: Client, gym: ObjectId, live_stores: Stores, stream: Stream
) -> None:
    facilities = live_stores.mongo.database["facilities"]
    before = (await facilities.find_one({"_id": gym})) or {}
    [user] = await live_stores.mongo.database["users"].find({"email": "desk@demo.nexfit.app"}).to_list()

    async def withdraw() -> None:
        await facilities.update_one({"_id": gym}, {"$pull": {"staff": {"userId": user["_id"]}}})

    try:
        async with opened(address) as socket, opened(address) as other:
            await socket.init(desk.token)
            await other.init(owner.token)
            await socket.follow(gym)
            await other.follow(gym)
            # Idle: the stream ends by itself. A machine that stood still may need another try.
            seconds = []
            for _ in range(4):
                await withdraw()
                withdrawn = time.monotonic()
                ended = await socket.receive()
                seconds.append(time.monotonic() - withdrawn)
                assert (ended["type"], ended["payload"][0]["extensions"]["code"]) == ("error", "FORBIDDEN")
                await socket.subscribe("1", ACTIVITY, facility=global_id("Facility", gym))
                assert (await socket.receive())["type"] == "error"
                if seconds[-1] < SOON:
                    break
                await facilities.update_one({"_id": gym}, {"$set": {"staff": before["staff"]}})
                await socket.follow(gym)
            assert min(seconds) < SOON
            # Under load: nothing written after it is seen.
            await facilities.update_one({"_id": gym}, {"$set": {"staff": before["staff"]}})
            await socket.follow(gym, id_="2")
            seen = await stream.tell(gym, count=50)
            await withdraw()
            unseen = await stream.tell(gym, count=50)
            got = []
            while (message := await socket.receive())["type"] == "next":
                got.append(int(message["payload"]["data"]["facilityActivity"]["cursor"]))
            assert message["payload"][0]["extensions"]["code"] == "FORBIDDEN"
            assert not set(got) & set(unseen)
            assert got == seen[: len(got)]
            assert await other.cursors(100) == seen + unseen
    finally:
        await facilities.update_one({"_id": gym}, {"$set": {"staff": before["staff"]}})


async def test_a_session_that_ends_takes_its_sockets_along(
    address: str, live_http: httpx.AsyncClient, gym: ObjectId, stream: Stream
) -> None:
    signed_in = await Client(live_http).data(LOGIN)
    async with opened(address) as socket:
        await socket.init(signed_in["login"]["accessToken"])
        await socket.follow(gym)
        await Client(live_http).data(LOGOUT, {"token": signed_in["login"]["refreshToken"]})
        assert await socket.closed() == (4403, "The session has ended.")


async def test_a_token_that_expires_closes_the_socket(
    live_settings: Settings, address: str, live_http: httpx.AsyncClient, gym: ObjectId, stream: Stream
) -> None:
    client = await login(live_http, "owner@demo.nexfit.app")
    assert client.token is not None
    async with open_stores(live_settings) as stores:
        tokens = Tokens(live_settings.auth, SessionWatch(stores.mongo, stores.redis, live_settings.auth))
        actor = tokens._decoded(client.token)[0]
        assert actor.user_id is not None
        assert actor.session_id is not None
        minutes = timedelta(minutes=live_settings.auth.access_token_minutes)

        def ending_in(seconds: float) -> str:
            now = datetime.now(UTC) - minutes + timedelta(seconds=seconds)
            return tokens.issue(actor.user_id, actor.session_id, now).value

        async with opened(address) as kept, opened(address) as socket:
            for one in (kept, socket):
                await one.init(ending_in(5))
                await one.follow(gym)
            await kept.send(type="ping", payload={"accessToken": ending_in(60)})
            assert (await kept.receive())["type"] == "pong"
            assert await socket.closed() == (4403, "The access token has expired.")
            [number] = await stream.tell(gym)
            assert await kept.cursors(1) == [number]


# --- slow clients


async def test_a_slow_client_is_told_what_it_missed_and_delays_nobody(
    live_settings: Settings, owner: Client, gym: ObjectId, stream: Stream
) -> None:
    patient = live_settings.model_copy(update={"live": LiveSettings()})  # heartbeats would end it before
    long = "\n".join(f"visit{place}: visit {{ __typename id source at again: at }}" for place in range(40))
    query = ACTIVITY.replace("visit { id source }", long)
    app = create_app(patient)
    with serve(app, patient) as address:
        async with opened(address) as fast, opened(address, max_queue=1) as slow:
            await fast.init(owner.token)
            await fast.follow(gym)
            await slow.init(owner.token)
            await slow.follow(gym, query=query)
            numbers: list[int] = []
            while not app.state.sockets.fanout.counters.missed:
                numbers += await stream.tell(gym, count=100)
                assert (await fast.cursors(100))[-1] == numbers[-1]
            numbers += await stream.tell(gym, count=10)
            await fast.cursors(10)
            got: list[int] = []
            missed_after: list[int] = []
            # What lies in buffers between the two gives way bit by bit, so it may fall behind more than once.
            while not missed_after or got[-1] != numbers[-1]:
                value = await slow.activity(seconds=30)
                if value["__typename"] == "ActivityNotice":
                    assert (value["state"], int(value["cursor"])) == ("MISSED", got[-1])
                    missed_after.append(got[-1])
                    numbers += await stream.tell(gym)
                else:
                    got.append(int(value["cursor"]))
            places = [numbers.index(number) for number in got]
            jumps = [numbers[one] for one, next_one in pairwise(places) if next_one != one + 1]
            assert places == sorted(set(places))  # in order, none twice
            assert jumps
            assert jumps == missed_after
            await slow.send(id="1", type="complete")
            await slow.follow(gym, after=str(jumps[0]), id_="2")
            missed = numbers[numbers.index(jumps[0]) + 1 :]
            assert await slow.cursors(len(missed), "2") == missed


# --- several processes


async def test_every_process_follows_by_itself(
    address: str, live_settings: Settings, owner: Client, gym: ObjectId, stream: Stream
) -> None:
    with serve(create_app(live_settings), live_settings) as second:
        async with opened(address) as one, opened(second) as other:
            for socket in (one, other):
                await socket.init(owner.token)
                await socket.follow(gym)
            numbers = await stream.tell(gym, count=5)
            assert await one.cursors(5) == numbers
            assert await other.cursors(5) == numbers


# --- every kind of event


KINDS = """subscription ($facility: ID!) { facilityActivity(facility: $facility) {
  __typename cursor ... on ActivityNotice { state }
  ... on BookingActivity { status promoted waitlistPosition user { firstName } occurrence { id seatsTaken } }
  ... on MembershipActivity { renewed startsOn endsOn user { firstName } plan { name } } } }"""


async def test_bookings_and_sales_are_shown_as_what_they_are(
    address: str, owner: Client, gym: ObjectId, stream: Stream, live_stores: Stores
) -> None:
    database = live_stores.mongo.database
    date = await database["class_occurrences"].find_one({"facilityId": gym, "seatsTaken": {"$gt": 0}})
    contract = await database["member_subscriptions"].find_one({"facilityId": gym})
    assert date is not None
    assert contract is not None
    member = await database["users"].find_one({"_id": contract["userId"]})
    plan = await database["memberships"].find_one({"_id": contract["membershipId"]})
    assert member is not None
    assert plan is not None
    told = {
        "facility_id": str(gym),
        "booking_id": str(ObjectId()),
        "occurrence_id": str(date["_id"]),
        "class_id": str(date["classId"]),
        "user_id": str(member["_id"]),
        "starts_at": date["startsAt"],
    }
    sold = {
        "facility_id": str(gym),
        "subscription_id": str(uuid4()),
        "plan_id": str(plan["_id"]),
        "user_id": str(member["_id"]),
        "amount": Decimal("900.00"),
        "currency": "TRY",
        "starts_on": datetime(2026, 6, 1, tzinfo=UTC).date(),
        "ends_on": datetime(2026, 6, 30, tzinfo=UTC).date(),
    }
    async with opened(address) as socket:
        await socket.init(owner.token)
        await socket.follow(gym, query=KINDS)
        await stream.put(WaitlistJoined(**told, position=3), WaitlistPromoted(**told), MembershipRenewed(**sold))
        shown = [await socket.activity() for _ in range(3)]
    somebody = {"user": {"firstName": member["firstName"]}}
    place = {"occurrence": {"id": global_id("ClassOccurrence", date["_id"]), "seatsTaken": date["seatsTaken"]}}
    for one in shown:
        del one["cursor"]
    booking = {"__typename": "BookingActivity", **somebody, **place}
    assert shown == [
        {**booking, "status": "WAITLISTED", "promoted": False, "waitlistPosition": 3},
        {**booking, "status": "BOOKED", "promoted": True, "waitlistPosition": None},
        {
            "__typename": "MembershipActivity",
            "renewed": True,
            "startsOn": "2026-06-01",
            "endsOn": "2026-06-30",
            **somebody,
            "plan": {"name": plan["name"]},
        },
    ]

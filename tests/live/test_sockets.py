"""graphql-transport-ws, said right and wrong to a running server: what each message answers, and each close code."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import httpx
import orjson
import pytest
from bson import ObjectId
from websockets.exceptions import ConnectionClosed, InvalidStatus

from nexfit.app import create_app
from nexfit.settings import LiveSettings, Settings
from nexfit.stores.connections import Stores
from tests.api.conftest import Client

from .conftest import ACTIVITY, LOGIN, Socket, Stream, opened, serve

QUERY = "{ facilities(first: 1) { totalCount } }"


@pytest.fixture
async def socket(address: str) -> AsyncIterator[Socket]:
    """A socket on which nothing was said."""
    async with opened(address) as made:
        yield made


@pytest.fixture
async def guest(socket: Socket) -> Socket:
    """A guest's socket."""
    await socket.init()
    return socket


# --- the handshake


async def test_the_protocol_is_spoken_where_it_is_offered(address: str) -> None:
    async with opened(address, subprotocols=["graphql-ws", "graphql-transport-ws"]) as socket:
        assert socket.connection.subprotocol == "graphql-transport-ws"


@pytest.mark.parametrize("offered", [None, ["graphql-ws"]])
async def test_another_protocol_is_not_acceptable(address: str, offered: list[str] | None) -> None:
    async with opened(address, subprotocols=offered) as socket:
        assert await socket.closed() == (4406, "Subprotocol not acceptable")


async def test_a_foreign_page_opens_no_socket(address: str) -> None:
    for origin in ("https://app.example", f"http://{address}", None):
        async with opened(address, origin=origin) as socket:
            await socket.init()
    for origin in (
        "https://evil.example",
        "https://app.example.evil.example",
        "null",
        f"http://evil@{address}",
        "http://[x",
    ):
        with pytest.raises(InvalidStatus) as refused:
            async with opened(address, origin=origin):
                pass
        assert refused.value.response.status_code == 403, origin


# --- the connection


async def test_whoever_says_nothing_is_closed(hasty: str) -> None:
    async with opened(hasty) as kept, opened(hasty) as socket:
        await kept.init()
        assert await socket.closed() == (4408, "Connection initialisation timeout")
        await asyncio.sleep(0.2)
        await kept.send(type="ping")  # the time for the connection_init is over, and is no concern any more
        assert await kept.receive() == {"type": "pong"}


async def test_a_guest_and_a_viewer_are_acknowledged(address: str, owner: Client) -> None:
    async with opened(address) as socket:
        assert await socket.init() == {"type": "connection_ack"}
    async with opened(address) as socket:
        assert set((await socket.init(owner.token))["payload"]) == {"expiresAt"}
    async with opened(address) as socket:  # as GraphiQL sends its headers
        await socket.send(type="connection_init", payload={"Authorization": f"Bearer {owner.token}"})
        assert (await socket.receive())["type"] == "connection_ack"


@pytest.mark.parametrize(
    "payload", [{"accessToken": "x.y.z"}, {"accessToken": 5}, {"authorization": "Basic abc"}, {"accessToken": None}]
)
async def test_a_token_that_does_not_hold_is_forbidden(socket: Socket, payload: Any) -> None:
    await socket.send(type="connection_init", payload=payload)
    assert await socket.closed() == (4403, "Forbidden")


async def test_a_second_init_is_one_too_many(guest: Socket) -> None:
    await guest.send(type="connection_init")
    assert await guest.closed() == (4429, "Too many initialisation requests")


async def test_nothing_is_executed_before_the_acknowledgement(socket: Socket) -> None:
    await socket.subscribe("1", QUERY)
    assert await socket.closed() == (4401, "Unauthorized")


# --- messages


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "{",
        "[]",
        "5",
        "null",
        '"ping"',
        "{}",
        '{"type": 5}',
        '{"type": "start", "id": "1", "payload": {"query": "{ a }"}}',
        '{"type": "connection_ack"}',
        '{"type": "next", "id": "1", "payload": {}}',
        '{"type": "ping", "payload": 5}',
        '{"type": "connection_init", "payload": []}',
        '{"type": "complete"}',
        '{"type": "complete", "id": ""}',
        '{"type": "complete", "id": 5}',
        '{"type": "subscribe", "payload": {"query": "{ a }"}}',
        '{"type": "subscribe", "id": "1"}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 5}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": ""}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "variables": []}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "operationName": 5}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "extensions": 5}}',
        '{"type": "subscribe", "id": "' + "x" * 257 + '", "payload": {"query": "{ a }"}}',
        "[" * 5000,
        '{"type": "ping", "payload": {"a": ' + "[" * 2000 + "]" * 2000 + "}}",
        '{"type": "ping", "payload": {"a": "\\ud800"}}',
    ],
)
async def test_what_is_no_message_closes_the_socket(guest: Socket, text: str) -> None:
    await guest.connection.send(text)
    code, reason = await guest.closed()
    assert code == 4400
    assert 0 < len(reason) < 124


async def test_messages_are_text(guest: Socket) -> None:
    await guest.connection.send(b'{"type": "ping"}')
    assert await guest.closed() == (4400, "Messages are text.")


async def test_a_message_that_is_too_long_closes_the_socket(guest: Socket) -> None:
    await guest.send(type="ping", payload={"a": "x" * 25_000})
    assert (await guest.closed())[0] == 1009


async def test_a_message_in_many_frames_is_too_long_as_well(guest: Socket) -> None:
    with suppress(ConnectionClosed):
        await guest.connection.send(["x" * 9_000] * 3)
    assert (await guest.closed())[0] == 1009


async def test_a_message_may_come_in_frames(guest: Socket) -> None:
    await guest.connection.send(['{"type":', ' "ping"', "}"])
    assert await guest.receive() == {"type": "pong"}


async def test_pings_are_answered_with_what_they_carry_and_pongs_are_not(guest: Socket) -> None:
    await guest.send(type="pong", payload={"unasked": True})
    await guest.send(type="ping", payload={"at": 5})
    await guest.send(type="ping", payload=None)
    assert await guest.receive() == {"type": "pong", "payload": {"at": 5}}
    assert await guest.receive() == {"type": "pong"}


async def test_broken_frames_end_the_socket_and_nothing_else(address: str) -> None:
    for frame, code in (
        (b"\x83\x80abcd", 1002),  # an opcode that is none
        (b"\xc1\x80abcd", 1002),  # a bit of an extension nobody agreed on
        (b"\x81\x02hi", 1002),  # not masked
        (b"\x81\x82\x00\x00\x00\x00\xff\xfe", 1007),  # no UTF-8
        (b"\x89\xfe\x00\x80abcd" + b"x" * 128, 1002),  # a ping that is too long
        (b"\x88\x81\x00\x00\x00\x00\x01", 1002),  # half a close code
    ):
        reader, writer = await handshake(address)
        writer.write(frame)
        answer = await asyncio.wait_for(reader.read(1000), 30)
        assert answer[0] == 0x88, frame
        assert int.from_bytes(answer[2:4], "big") == code, frame
        writer.close()
    async with opened(address) as socket:
        await socket.init()


async def handshake(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A socket without a library."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /graphql HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    assert b" 101 " in head
    assert b"permessage-deflate" not in head
    return reader, writer


async def test_who_does_not_answer_heartbeats_is_closed(hasty: str) -> None:
    reader, writer = await handshake(hasty)
    writer.write(b"\x81\x9e\x00\x00\x00\x00" + b'{"type": "connection_init"}   ')
    seen = b""
    while chunk := await asyncio.wait_for(reader.read(1000), 30):
        seen += chunk
    assert b"\x89\x04" in seen  # a ping
    assert b"keepalive" in seen
    writer.close()


# --- operations


async def test_a_query_and_a_mutation_answer_once(guest: Socket) -> None:
    await guest.subscribe("q", QUERY)
    answer = await guest.receive()
    assert (answer["id"], answer["type"]) == ("q", "next")
    assert answer["payload"]["data"]["facilities"]["totalCount"] > 0
    assert await guest.receive() == {"id": "q", "type": "complete"}
    await guest.subscribe("q", 'mutation { logout(input: {refreshToken: "x"}) { userErrors { code } } }')
    assert {(await guest.receive())["type"], (await guest.receive())["type"]} == {"next", "complete"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ facilities(", "BAD_USER_INPUT"),
        ("{ nothing }", "BAD_USER_INPUT"),
        ("query A { facilities { totalCount } } query B { facilities { totalCount } }", "BAD_USER_INPUT"),
        ("query ($a: Int!) { facilities(first: $a) { totalCount } }", "BAD_USER_INPUT"),
        ('subscription { facilityActivity(facility: "x") { cursor } }', "BAD_USER_INPUT"),
        ('subscription { facilityActivity(facility: "x", after: "y") { cursor nothing } }', "BAD_USER_INPUT"),
        ("subscription ($f: ID!) { facilityActivity(facility: $f) { cursor } }", "BAD_USER_INPUT"),
        ('subscription { a: __typename facilityActivity(facility: "x") { cursor } }', "BAD_USER_INPUT"),
        ('subscription { facilityActivity(facility: "x") @skip(if: true) { cursor } }', "BAD_USER_INPUT"),
    ],
)
async def test_what_cannot_be_executed_is_an_error_and_the_socket_lives(guest: Socket, query: str, code: str) -> None:
    await guest.subscribe("1", query)
    answer = await guest.receive()
    assert (answer["id"], answer["type"]) == ("1", "error")
    assert {error["extensions"]["code"] for error in answer["payload"]} == {code}
    await guest.subscribe("1", QUERY)
    assert (await guest.receive())["type"] == "next"


async def test_a_change_is_made_although_the_client_has_left(address: str, live_stores: Stores) -> None:
    sessions = live_stores.mongo.database["sessions"]
    before = await sessions.count_documents({})
    async with opened(address) as socket:
        await socket.init()
        await socket.subscribe("1", LOGIN)
        socket.connection.transport.abort()
    async with asyncio.timeout(30):
        while await sessions.count_documents({}) == before:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_an_id_in_use_closes_the_socket(address: str, owner: Client, gym: ObjectId) -> None:
    async with opened(address) as socket:
        await socket.init(owner.token)
        await socket.follow(gym, id_="ö" * 80)
        await socket.subscribe("ö" * 80, QUERY)
        code, reason = await socket.closed()
        assert code == 4409
        assert reason.startswith("Subscriber for öö")


async def test_an_id_is_free_again_once_its_operation_is_over(
    address: str, owner: Client, gym: ObjectId, stream: Stream
) -> None:
    async with opened(address) as socket:
        await socket.init(owner.token)
        for _ in range(20):  # ended by the client, at any moment of the beginning
            await socket.subscribe("1", ACTIVITY, facility="RmFjaWxpdHk6" + "x")
            await socket.send(id="1", type="complete")
        for _ in range(20):
            await socket.subscribe("1", QUERY)
            await socket.send(id="1", type="complete")
        await socket.send(id="unknown", type="complete")
        kinds: list[str] = []
        while "next" not in kinds:  # what was ended may still be under way, and there is room for five
            await socket.subscribe("2", QUERY)
            while (message := await socket.receive()).get("id") != "2":
                pass
            kinds.append(message["type"])
            await asyncio.sleep(0.05)


async def test_nothing_comes_after_the_client_has_ended_it(
    address: str, owner: Client, gym: ObjectId, stream: Stream
) -> None:
    async with opened(address) as socket:
        await socket.init(owner.token)
        await socket.follow(gym)
        await socket.send(id="1", type="complete")
        await socket.follow(gym, id_="2")
        [number] = await stream.tell(gym)
        assert await socket.cursors(1, "2") == [number]
        await socket.send(type="ping")
        assert (await socket.receive())["type"] == "pong"


async def test_a_socket_has_so_many_operations_at_once(address: str, owner: Client, gym: ObjectId) -> None:
    async with opened(address) as socket:
        await socket.init(owner.token)
        for number in range(5):
            await socket.follow(gym, id_=str(number))
        await socket.subscribe("6", QUERY)
        refused = await socket.receive()
        assert (refused["id"], refused["type"]) == ("6", "error")
        await socket.send(id="0", type="complete")
        await socket.subscribe("6", QUERY)
        assert (await socket.receive())["type"] == "next"


async def test_a_flood_of_messages_closes_the_socket(guest: Socket) -> None:
    for _ in range(400):
        await guest.connection.send('{"type":"pong"}')
    assert await guest.closed() == (1008, "Too many messages")


async def test_errors_are_said_in_the_language_of_the_handshake(address: str) -> None:
    async with opened(address, additional_headers={"accept-language": "tr"}) as socket:
        await socket.init()
        await socket.subscribe("1", 'subscription { facilityActivity(facility: "x") { cursor } }')
        assert (await socket.receive())["payload"][0]["message"] == "Bu bir tesisin kimliği değil."


async def test_operations_are_known_by_their_hash_here_as_well(guest: Socket) -> None:
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(QUERY.encode()).hexdigest()}}
    await guest.send(id="1", type="subscribe", payload={"extensions": extensions, "query": QUERY})
    assert [(await guest.receive())["type"] for _ in range(2)] == ["next", "complete"]
    await guest.send(id="1", type="subscribe", payload={"extensions": extensions})
    assert [(await guest.receive())["type"] for _ in range(2)] == ["next", "complete"]
    unknown = {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}
    await guest.send(id="1", type="subscribe", payload={"extensions": unknown})
    assert (await guest.receive())["payload"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"


# --- limits of a process, and a server without the extension


@pytest.fixture(scope="module")
def narrow(live_settings: Settings) -> Iterator[str]:
    """A server with room for three sockets, two of one viewer, that does not offer the short way to send."""
    settings = live_settings.model_copy(update={"live": LiveSettings(connections=3, connections_per_viewer=2)})
    with serve(create_app(settings), settings, ws="websockets-sansio") as running:
        yield running


async def test_a_process_and_a_viewer_have_room_for_so_many_sockets(narrow: str, owner: Client) -> None:
    async with opened(narrow) as first, opened(narrow) as second, opened(narrow) as third:
        with pytest.raises(InvalidStatus) as refused:
            async with opened(narrow):
                pass
        assert refused.value.response.status_code == 503
        await first.init(owner.token)
        await second.init(owner.token)
        await third.send(type="connection_init", payload={"accessToken": owner.token})
        assert await third.closed() == (1013, "Too many connections")
        await first.connection.close()
        async with opened(narrow) as fourth:
            await fourth.init(owner.token)


async def test_events_come_without_the_short_way_as_well(
    narrow: str, owner: Client, gym: ObjectId, stream: Stream
) -> None:
    async with opened(narrow) as socket:
        await socket.init(owner.token)
        await socket.follow(gym)
        numbers = await stream.tell(gym, count=20)
        assert await socket.cursors(20) == numbers


# --- tokens


async def test_a_token_is_renewed_in_band_and_only_by_the_same_viewer(
    address: str, owner: Client, studio_owner: Client
) -> None:
    async with opened(address) as socket:
        await socket.init(owner.token)
        await socket.send(type="ping", payload={"accessToken": owner.token})
        assert set((await socket.receive())["payload"]) == {"expiresAt"}
        await socket.send(type="ping", payload={"accessToken": studio_owner.token})
        assert await socket.closed() == (4403, "Forbidden")
    async with opened(address) as socket:
        await socket.send(type="ping", payload={"accessToken": owner.token})
        assert await socket.closed() == (4401, "Unauthorized")


async def test_an_http_request_where_a_socket_belongs_is_answered(live_http: httpx.AsyncClient) -> None:
    headers = {"connection": "upgrade", "upgrade": "websocket"}
    answer = await live_http.get("/graphql", headers=headers)
    assert answer.status_code == 400
    assert orjson.loads((await live_http.post("/graphql", json={"query": QUERY})).content)["data"]


async def test_a_guests_session_opens_a_socket_until_it_ends(address: str, live_http: httpx.AsyncClient) -> None:
    create = "mutation { createGuestSession(input: {}) { guestToken } }"
    token, other = [(await Client(live_http).data(create))["createGuestSession"]["guestToken"] for _ in range(2)]
    async with opened(address) as socket:
        assert set((await socket.init(token))["payload"]) == {"expiresAt"}
        await socket.subscribe("1", "{ guestSession { expiresAt } viewer { id } }")
        data = (await socket.receive())["payload"]["data"]
        assert (data["viewer"], set(data["guestSession"])) == (None, {"expiresAt"})
        assert (await socket.receive())["type"] == "complete"
        end = f'mutation {{ endGuestSession(input: {{guestToken: "{token}"}}) {{ ended }} }}'
        assert (await Client(live_http).data(end))["endGuestSession"] == {"ended": True}
        await socket.subscribe("2", QUERY)
        assert await socket.closed() == (4403, "The session has ended.")
    async with opened(address) as socket:
        await socket.send(type="connection_init", payload={"accessToken": token})
        assert await socket.closed() == (4403, "Forbidden")
    async with opened(address) as socket:
        await socket.init()
        await socket.send(type="ping", payload={"accessToken": other})  # another viewer than the one it was opened for
        assert await socket.closed() == (4403, "Forbidden")

"""The crowd of sockets that the fan-out benchmark counts with: frames in any pieces, and what is no event."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bench.fanout.section import options
from bench.fanout.sockets import Crowd, Socket
from bench.stores.errors import CannotMeasure

HEAD = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


def frame(message: bytes) -> bytes:
    size = len(message)
    return b"\x81" + (bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")) + message


def upgraded(transport: Any) -> Socket:
    socket = Socket(1, {"type": "connection_init"}, {"id": "1", "type": "subscribe"})
    socket.connection_made(transport)
    return socket


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
async def test_messages_are_counted_in_whatever_pieces_they_come(size: int) -> None:
    transport = Transport()
    socket = upgraded(transport)
    started = HEAD + frame(b'{"type":"connection_ack"}') + frame(b'{"id":"1","type":"next"}')
    for place in range(0, len(started), size):
        socket.data_received(started[place : place + size])
    await socket.following
    assert [data[-2:] for data in transport.written[1:]] == [b'"}', b'"}']
    crowd = Crowd([socket])
    crowd.sent = [0.0] * 3
    crowd.latencies = []
    events = frame(b"x" * 5) + frame(b"y" * 125) + frame(b"z" * 300)
    for place in range(0, len(events), size):
        socket.data_received(events[place : place + size])
    await crowd.wait(3)
    assert (crowd.received, len(crowd.latencies), socket.last) == (3, 3, b"z" * 300)


async def test_what_is_no_event_and_a_closed_socket_are_told() -> None:
    socket = upgraded(Transport())
    socket.data_received(HEAD + frame(b"{}") + frame(b'{"type":"next"}'))
    crowd = Crowd([socket])
    socket.data_received(frame(b"a notice"))
    with pytest.raises(CannotMeasure, match="more than was sent"):
        await crowd.wait(1)
    refused = upgraded(Transport())
    refused.data_received(HEAD + b"\x88\x02\x11\x30")
    with pytest.raises(CannotMeasure):
        await asyncio.wait_for(refused.following, 5)


def test_options_that_make_no_sense_are_refused() -> None:
    assert options([]).sockets == 1000
    for given in (["--sockets", "0"], ["--seconds", "0"], ["--rounds", "0"], ["--pace", "0"]):
        with pytest.raises(SystemExit):
            options(given)

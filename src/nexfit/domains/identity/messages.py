"""Messages to people: a link by mail or a code by SMS, handed to whatever provider delivers them.

They leave after the commit and beside the answer, so that the answer takes the same time whether one is sent or not.
A message that is lost is asked for again by the person who waits for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog

SECONDS = 10.0
"""How long a provider has for one message."""

log = structlog.get_logger(__name__)


class Channel(StrEnum):
    """How a message travels."""

    EMAIL = "email"
    SMS = "sms"


@dataclass(frozen=True, slots=True)
class Message:
    """A message: `to` is an e-mail address or a phone number in E.164, `secret` the code or token in the text."""

    channel: Channel
    to: str
    kind: str
    text: str
    secret: str | None = None


class Provider(Protocol):
    """Delivers messages."""

    async def send(self, message: Message) -> None:
        """Hand one over; whatever it raises is logged without the message."""


class Console:
    """Writes messages to the standard output: for development, and until a provider is chosen."""

    async def send(self, message: Message) -> None:
        """Print it."""
        print(f"{message.channel} to {message.to}: {message.text}", flush=True)


class Post:
    """Sends messages in the background; one per process."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._under_way: set[asyncio.Task[None]] = set()

    def send(self, message: Message) -> None:
        """Send it soon."""
        task = asyncio.create_task(self._deliver(message))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Wait for what is under way."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=SECONDS)

    async def _deliver(self, message: Message) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                await self._provider.send(message)
        except Exception as error:
            log.warning(
                "a message was not sent", channel=message.channel, kind=message.kind, error=type(error).__name__
            )

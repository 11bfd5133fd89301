"""What both apps share: a session that renews itself, and refusals as exceptions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar
from uuid import uuid4

import httpx

T = TypeVar("T")

TIMEOUT = 30.0
"""Seconds an answer is waited for."""

MARGIN = timedelta(seconds=60)
"""A token that ends sooner is renewed first, as a request under way outlives it."""


class Fault(Protocol):
    """One of the `userErrors` of a payload."""

    @property
    def code(self) -> str: ...
    @property
    def path(self) -> list[str]: ...
    @property
    def message(self) -> str: ...


class Signed(Protocol):
    """A payload that signs somebody in, or in again."""

    @property
    def access_token(self) -> str | None: ...
    @property
    def refresh_token(self) -> str | None: ...
    @property
    def expires_at(self) -> datetime | None: ...


class Refused(Exception):
    """The API did not do what was asked; nothing was changed. `code` is for programs, the message for people."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.code = str(getattr(fault.code, "value", fault.code))
        self.path = fault.path


def accepted(errors: Sequence[Fault]) -> None:
    """Raises Refused for the first of a payload's errors."""
    if errors:
        raise Refused(errors[0])


def given(value: T | None) -> T:
    """What a payload without errors has, and what a signed-in person may read of themselves."""
    assert value is not None, "the schema promises this value"  # noqa: S101
    return value


class Session(httpx.Auth):
    """Puts the access token on every request, and renews it in time, once for all requests that wait.

    A refresh token works once. Where the answer to it was lost it is sent again with the same key, and answered again:
    without one the API must take the second use for a thief's and end the session.
    """

    def __init__(
        self, renew: Callable[[str, str], Awaitable[Signed]], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._renew = renew
        self._clock = clock
        self._turn = asyncio.Lock()
        self.access_token = self._refresh_token = self._retry_key = ""
        self._expires_at = datetime.min.replace(tzinfo=UTC)

    def begin(self, signed: Signed) -> None:
        """Go on with the tokens of a payload."""
        self.access_token = given(signed.access_token)
        self._refresh_token = given(signed.refresh_token)
        self._retry_key = uuid4().hex
        self._expires_at = given(signed.expires_at)

    async def fresh(self) -> str:
        """An access token that is good for a while; empty for somebody who is not signed in."""
        async with self._turn:
            if self._refresh_token and self._expires_at - self._clock() < MARGIN:
                self.begin(await self._renew(self._refresh_token, self._retry_key))
        return self.access_token

    async def async_auth_flow(self, request: httpx.Request) -> AsyncIterator[httpx.Request]:  # type: ignore[override]
        """See httpx."""
        if token := await self.fresh():
            request.headers["authorization"] = f"Bearer {token}"
        yield request

"""Guest sessions: what somebody keeps before signing in hangs on one (the shop's cart and favourites).

PostgreSQL's `shop.guest_sessions` is the truth. A guest token is signed and names its session, so a forged one is
refused without asking a store. Signing in with it claims the session: for one account, once, and the token is dead.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from time import monotonic
from typing import ClassVar

import structlog
from bson import ObjectId

from nexfit.domains.errors import NotFound
from nexfit.domains.identity.attempts import Attempts
from nexfit.domains.identity.sessions import Device
from nexfit.domains.identity.tokens import InvalidToken, Tokens
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.events import Event, Home
from nexfit.hybrid.storable import storable
from nexfit.hybrid.unit_of_work import PostgresWork, UnitsOfWork
from nexfit.settings import AuthSettings
from nexfit.stores.errors import StoreError
from nexfit.stores.postgres import Postgres, Row
from nexfit.stores.sql import load_sql

TRUSTED = 1.0
"""Seconds for which a process lets a session in that it has just found alive."""

TOUCHED_EVERY = timedelta(minutes=1)
"""How exact `last_activity` is."""

MOST_REMEMBERED = 20_000
LONGEST_DEVICE = 1000

_SQL = load_sql("nexfit.domains.identity", "guests.sql")

log = structlog.get_logger(__name__)


class Claim(StrEnum):
    """What became of a guest session that was brought along when signing in."""

    CLAIMED = "claimed"
    ENDED = "ended"
    POSTPONED = "postponed"


class GuestSessionClaimed(Event):
    """A guest session belongs to an account from now on; its token is refused within a second."""

    home: ClassVar[Home] = "postgres"
    aggregate: ClassVar[str] = "guest_session"

    guest_session_id: str
    user_id: str

    @property
    def aggregate_id(self) -> str:
        """The session."""
        return self.guest_session_id


@dataclass(frozen=True, slots=True)
class GuestToken:
    """A new guest session's token, and when it stops working."""

    value: str
    expires_at: datetime


class Guests:
    """Opens, finds, claims and ends guest sessions. One per process."""

    def __init__(
        self, postgres: Postgres, units: UnitsOfWork, tokens: Tokens, attempts: Attempts, settings: AuthSettings
    ) -> None:
        self._postgres = postgres
        self._units = units
        self._tokens = tokens
        self._attempts = attempts
        self._lifetime = timedelta(days=settings.guest_session_days)
        self._alive: OrderedDict[str, float] = OrderedDict()

    async def open(self, device: Device, now: datetime) -> GuestToken:
        """A new session. Raises TooOften after too many from one address, StoreError."""
        await self._attempts.limit("guest", address=device.address or "")
        guest_id = secrets.token_urlsafe(24)
        expires_at = (now + self._lifetime).replace(microsecond=0)
        told = storable(device.name or device.user_agent or "")[:LONGEST_DEVICE] or None

        async def body(work: PostgresWork) -> None:
            await work.postgres.execute(_SQL.begin, guest_id, told, now, expires_at)

        await self._units.postgres("open_guest_session").run(body)
        return GuestToken(self._tokens.issue_guest(guest_id, now, expires_at), expires_at)

    async def require_live(self, guest_id: str, now: datetime) -> None:
        """Raises InvalidToken for a session that has ended, in any process more than a second ago; StoreError."""
        if self._alive.get(guest_id, 0.0) > monotonic():
            return
        await self.find(guest_id, now)

    async def find(self, guest_id: str, now: datetime) -> Row:
        """The row of a live session, used now. Raises InvalidToken, StoreError."""
        began = monotonic()  # what ends while it is looked up is refused a second from here, too
        rows = await self._postgres.fetch(_SQL.live, guest_id, now)
        if not rows:
            self._alive.pop(guest_id, None)
            raise InvalidToken
        if now - rows[0]["last_activity"] > TOUCHED_EVERY:
            await self._postgres.fetch(_SQL.touch, guest_id, now)
        self._alive[guest_id] = began + TRUSTED
        self._alive.move_to_end(guest_id)
        if len(self._alive) > MOST_REMEMBERED:
            self._alive.popitem(last=False)
        return rows[0]

    async def claim(self, token: str, user_id: ObjectId, device: Device, now: datetime) -> Claim:
        """Make a guest's session an account's. Of any number at once one gets it; asked again, that one still has it.

        Signing in does not depend on it: whatever is wrong is told, nothing raised.
        """
        try:
            guest_id = self._tokens.guest_in(token)

            async def body(work: PostgresWork) -> bool:
                claimed = await work.postgres.fetch_one(_SQL.claim, guest_id, now, str(user_id))
                if claimed is None:
                    return await work.postgres.fetch_value(_SQL.owner, guest_id) == str(user_id)
                work.emit(GuestSessionClaimed(guest_session_id=str(claimed["id"]), user_id=str(user_id)))
                work.audit(_audit("guest_session.claimed", str(claimed["id"]), device, user_id=str(user_id)))
                return True

            is_theirs = await self._units.postgres("claim_guest_session").run(body)
        except InvalidToken:
            return Claim.ENDED
        except StoreError as error:
            log.warning("a guest session is not claimed", error=str(error))
            return Claim.POSTPONED
        self._alive.pop(guest_id, None)
        return Claim.CLAIMED if is_theirs else Claim.ENDED

    async def end(self, token: str, device: Device, now: datetime) -> None:
        """Give a session up. Raises NotFound for one that has ended, and for a token of none; StoreError."""
        unknown = NotFound("There is no such guest session.", path=("guestToken",))
        try:
            guest_id = self._tokens.guest_in(token)
        except InvalidToken:
            raise unknown from None

        async def body(work: PostgresWork) -> None:
            ended = await work.postgres.fetch_one(_SQL.revoke, guest_id, now)
            if ended is None:
                raise unknown
            work.audit(_audit("guest_session.ended", str(ended["id"]), device))

        await self._units.postgres("end_guest_session").run(body)
        self._alive.pop(guest_id, None)


def _audit(action: str, id_: str, device: Device, user_id: str | None = None) -> Audit:
    return Audit(
        action=action,
        entity_type="guest_session",
        entity_id=id_,
        user_id=user_id,
        ip_address=device.address,
        user_agent=device.user_agent,
    )

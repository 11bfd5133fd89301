"""What a request carries through its resolvers: who asks, when, and the process's shared services."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson import ObjectId

from nexfit.api.language import Speech
from nexfit.domains.classes.places import ClassDesk
from nexfit.domains.clock import Clock, system_clock
from nexfit.domains.coaching.scheduling import CoachDesk
from nexfit.domains.errors import TooOften
from nexfit.domains.finance.payments import PaymentProvider
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.identity.accounts import Accounts
from nexfit.domains.identity.addresses import network_of
from nexfit.domains.identity.attempts import Attempts
from nexfit.domains.identity.passwords import Passwords
from nexfit.domains.identity.sessions import Sessions
from nexfit.domains.identity.tokens import Tokens
from nexfit.domains.memberships.purchase import OnlineSales
from nexfit.engine.fields import Record
from nexfit.hybrid.allowances import Allowances
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.turns import Turns
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.settings import Settings
from nexfit.stores.connections import Stores


@dataclass(frozen=True, slots=True)
class Services:
    """Shared by all requests of a process."""

    settings: Settings
    stores: Stores
    views: JoinedViews
    units: UnitsOfWork
    passwords: Passwords
    tokens: Tokens
    attempts: Attempts
    sessions: Sessions
    accounts: Accounts
    turns: Turns = field(default_factory=Turns)
    allowances: Allowances | None = None
    payments: PaymentProvider | None = None
    clock: Clock = system_clock

    @property
    def sales(self) -> OnlineSales:
        """What selling online works with."""
        return OnlineSales.of(self.units, self.stores, self.payments, self.settings.payments)

    @property
    def coaching(self) -> CoachDesk:
        """What scheduling sessions works with."""
        return CoachDesk(self.units, self.stores.mongo, self.turns)

    @property
    def classes(self) -> ClassDesk:
        """What booking works with."""
        return ClassDesk(self.units, self.stores.mongo, self.turns)


class Context:
    """One request. `now` is read once, so that every rule of a request sees the same instant."""

    __slots__ = (
        "_actor",
        "actor_read",
        "address",
        "health_reads",
        "loaders",
        "max_staleness",
        "now",
        "plans",
        "services",
        "speech",
        "touched",
        "user_agent",
    )

    def __init__(
        self,
        services: Services,
        now: datetime,
        actor: Actor = GUEST,
        *,
        address: str = "",
        user_agent: str = "",
        speech: Speech | None = None,
    ) -> None:
        self.services = services
        self.now = now
        self.address = address
        """Where the request comes from: the peer's address, or what a trusted proxy says."""
        self.user_agent = user_agent
        """What the client calls itself."""
        self.speech = speech or Speech()
        self._actor = actor
        self.actor_read = False
        """Whether anything asked who asks; the answer may then differ for somebody else."""
        self.loaders: dict[Hashable, Any] = {}
        """The reference executor's DataLoaders; the engine needs none."""
        self.health_reads: dict[str, set[str]] = {}
        """Fields that tell of somebody else's health and are about to be given out, by the person's id."""
        self.plans: list[tuple[frozenset[str], asyncio.Future[Mapping[ObjectId, Record]]]] = []
        """Membership plans that a field of this request loads, with their columns, for others that need them, too."""
        self.max_staleness = 0.0
        """Seconds for which the viewer bears not to see a change, his own among them."""
        self.touched: set[str] | None = None
        """Cache tags of what was loaded, None while nobody wants to know (see `nexfit.api.caching`)."""

    @property
    def actor(self) -> Actor:
        """Who asks."""
        self.actor_read = True
        return self._actor

    @actor.setter
    def actor(self, actor: Actor) -> None:
        self._actor = actor

    @property
    def viewer(self) -> Actor:
        """Who asks, for keys of what is kept: it does not count as having asked."""
        return self._actor

    @property
    def is_guest(self) -> bool:
        """Whether nobody in particular asks; it does not count as having asked."""
        return self._actor.user_id is None

    async def spend(self, points: int) -> None:
        """Take from the points of who asks (of the address, for a guest); raises TooOften."""
        allowances = self.services.allowances
        if allowances is None or not points:
            return
        wait = await allowances.spend(self.spender, points)
        if wait:
            raise TooOften(wait)

    @property
    def viewer_name(self) -> str:
        """Who asks, for hashing only."""
        return self._actor.guest_id or self.spender

    @property
    def spender(self) -> str:
        """Whose points are spent. A guest session is anybody's for the asking, so it brings no points of its own."""
        user = self._actor.user_id
        return str(user) if user is not None else f"guest:{network_of(self.address)}"

    @property
    def stores(self) -> Stores:
        """The connected stores."""
        return self.services.stores

    @property
    def views(self) -> JoinedViews:
        """Cached joined views, as fresh as the request wants them."""
        return self.services.views.within(self.max_staleness)

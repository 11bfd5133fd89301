"""What a request carries through its resolvers: who asks, when, and the process's shared services."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.identity.passwords import Passwords
from nexfit.domains.identity.tokens import Tokens
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.settings import Settings
from nexfit.stores.connections import Stores


@dataclass(frozen=True, slots=True)
class Services:
    """Shared by all requests of a process."""

    settings: Settings
    stores: Stores
    views: JoinedViews
    passwords: Passwords
    tokens: Tokens


@dataclass(slots=True)
class Context:
    """One request. `now` is read once, so that every rule of a request sees the same instant."""

    services: Services
    now: datetime
    actor: Actor = GUEST
    loaders: dict[Hashable, Any] = field(default_factory=dict)
    """The reference executor's DataLoaders; the engine needs none."""

    @property
    def stores(self) -> Stores:
        """The connected stores."""
        return self.services.stores

    @property
    def views(self) -> JoinedViews:
        """Cached joined views."""
        return self.services.views

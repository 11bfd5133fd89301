"""What the use cases of accounts work with; one per process."""

from __future__ import annotations

from dataclasses import dataclass

from nexfit.domains.identity.attempts import Attempts
from nexfit.domains.identity.guests import Guests
from nexfit.domains.identity.messages import Post
from nexfit.domains.identity.one_time import Hashes
from nexfit.domains.identity.passwords import Passwords
from nexfit.domains.identity.sessions import Sessions
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.settings import AuthSettings
from nexfit.stores.connections import Stores


@dataclass(frozen=True, slots=True)
class Accounts:
    """Stores, units of work, and what guards and tells."""

    stores: Stores
    units: UnitsOfWork
    settings: AuthSettings
    passwords: Passwords
    sessions: Sessions
    attempts: Attempts
    hashes: Hashes
    post: Post
    guests: Guests

    def link(self, page: str, token: str) -> str:
        """An address for a message."""
        return f"{self.settings.app_url.rstrip('/')}/{page}?token={token}"

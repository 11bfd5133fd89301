"""How often somebody may try what could be guessed: passwords, codes, reset tokens. Counted in Redis by all processes.

Every try counts against the account and against the address it comes from, before anything is compared, so aliases,
batches and parallel requests are no way around it. Without Redis nobody may try: raises StoreUnavailable.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from nexfit.domains.errors import TooOften
from nexfit.domains.identity.addresses import network_of
from nexfit.hybrid.buckets import Bucket, take
from nexfit.settings import AuthSettings
from nexfit.stores.redis import RedisStore

WITHIN = 900.0
"""Seconds after which all tries are there again; they come back one by one."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """Counts tries by what is tried (`login`, `reset`, …). One per process."""

    redis: RedisStore
    settings: AuthSettings

    async def check(self, what: str, *, account: str, address: str) -> None:
        """Count one try; raises TooOften with the seconds to wait, and StoreUnavailable: nothing may be tried then.

        `account` is whatever names who is tried for (a normalized e-mail address, a user's id), known or not.
        """
        taken = await take(self.redis, self._buckets(what, account, address, 1))
        if taken.wait:
            raise TooOften(taken.wait)

    async def limit(self, what: str, *, address: str) -> None:
        """Count what nobody needs an account for, by address alone; raises TooOften and StoreUnavailable."""
        size = self.settings.guest_sessions_per_address
        bucket = Bucket(f"{what}:address:{_digest(network_of(address))}", size, size / WITHIN)
        taken = await take(self.redis, [bucket])
        if taken.wait:
            raise TooOften(taken.wait)

    async def succeeded(self, what: str, *, account: str, address: str) -> None:
        """Take back what the tries of an account cost once one was right. Raises StoreUnavailable."""
        [of_account, of_address] = self._buckets(what, account, address, -1)
        whole = Bucket(of_account.name, of_account.size, of_account.per_second, least=-1, most=-of_account.size)
        await take(self.redis, [whole, of_address])

    def _buckets(self, what: str, account: str, address: str, amount: float) -> list[Bucket]:
        return [
            Bucket(f"{what}:{kind}:{_digest(name)}", size, size / WITHIN, least=amount, most=amount)
            for kind, name, size in (
                ("account", account, self.settings.tries_per_account),
                ("address", network_of(address), self.settings.tries_per_address),
            )
        ]


def _digest(name: str) -> str:
    """Keys of one length that name nobody."""
    return sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]

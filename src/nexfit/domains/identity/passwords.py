"""Password hashes: Argon2id for new ones, bcrypt still verified and replaced at the next login."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

T = TypeVar("T")

MAX_PASSWORD_BYTES = 1024

hasher = PasswordHasher()
"""Makes every new hash, of the cost that argon2-cffi advises."""

_NOBODY_OLD = "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"
"""A bcrypt hash of as many rounds as the earlier system's."""


class Passwords:
    """Hashes and verifies in at most `workers` threads, so that a burst of logins cannot take every core."""

    def __init__(self, workers: int, *, bcrypt_hashes: bool = True) -> None:
        self._bcrypt_hashes = bcrypt_hashes
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="passwords")
        # Verified against for unknown users, so that they take as long as known ones.
        self._nobody = hasher.hash("nobody's password")

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """An Argon2id hash in PHC string format."""
        return await self._run(hasher.hash, password)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether the password belongs to the stored hash; None (no such user) takes the same time and is False.

        While bcrypt hashes may be left, a refusal does the work of both kinds, so that time tells neither the account
        with an old hash nor the unknown one.
        """
        if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_BYTES:
            return False
        matches = await self._run(_verify, password, stored or self._nobody)
        if matches and stored is not None:
            return True
        if self._bcrypt_hashes:
            is_old = stored is not None and stored.startswith("$2")
            await self._run(_verify, password, self._nobody if is_old else _NOBODY_OLD)
        return False

    async def _run(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def needs_rehash(stored: str) -> bool:
    """Whether the hash is of an older kind or weaker than new ones."""
    if stored.startswith("$2"):
        return True
    try:
        return hasher.check_needs_rehash(stored)
    except InvalidHashError:
        return True


def _verify(password: str, stored: str) -> bool:
    try:
        if stored.startswith("$2"):
            # bcrypt reads 72 bytes; hashes made by the earlier system were cut there.
            return bcrypt.checkpw(password.encode()[:72], stored.encode())
        return hasher.verify(stored, password)
    except (VerificationError, InvalidHashError, ValueError):
        return False

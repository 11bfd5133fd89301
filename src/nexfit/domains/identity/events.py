"""What happens to accounts, told to the rest of the platform. No event carries a token, a code or a hash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from nexfit.domains.identity.documents import SessionEnd
from nexfit.hybrid.events import Event, Home


class AccountEvent(Event):
    """A fact about one person."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "user"

    user_id: str

    @property
    def aggregate_id(self) -> str:
        """The person."""
        return self.user_id


class SessionOpened(AccountEvent):
    """Somebody signed in on a device."""

    session_id: str


class SessionsEnded(AccountEvent):
    """Sessions ended before their time; their access tokens are refused within a second."""

    session_ids: Sequence[str]
    because: SessionEnd


class AccountRegistered(AccountEvent):
    """Somebody proved an e-mail address and has an account from now on."""

    roles: Sequence[str]


class PasswordChanged(AccountEvent):
    """By its owner, or by a link sent to the owner's address."""


class SecondFactorChanged(AccountEvent):
    """Signing in takes a code from now on, or does so no more."""

    enabled: bool


class AccountDeactivated(AccountEvent):
    """Its owner put the account to sleep."""

    def tags(self) -> Sequence[str]:
        return (f"user:{self.user_id}",)


class AccountReactivated(AccountEvent):
    """Its owner woke the account by signing in."""

    def tags(self) -> Sequence[str]:
        return (f"user:{self.user_id}",)


class PhoneVerified(AccountEvent):
    """A phone number is proven to be the person's."""

    def tags(self) -> Sequence[str]:
        return (f"user:{self.user_id}",)


class ProfileUpdated(AccountEvent):
    """A person changed the profile. What it says now is read, not told."""

    def tags(self) -> Sequence[str]:
        return (f"user:{self.user_id}",)

"""Who is asking, what they may do at a facility, and the words rights are written in. Deny by default, rules pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from nexfit.domains.errors import Forbidden, Unauthenticated


@dataclass(frozen=True, slots=True)
class Actor:
    """The viewer of a request; `user_id` is None for a guest. The session is the one of the access token.

    `guest_id` names the guest session of a guest who has shown its token; it gives no rights over other guests'.
    """

    user_id: ObjectId | None = None
    session_id: ObjectId | None = None
    guest_id: str | None = None

    @property
    def kind(self) -> str:
        """`user`, `guest_session` or `guest`."""
        return "user" if self.user_id is not None else "guest_session" if self.guest_id is not None else "guest"

    def is_as(self, other: Actor) -> bool:
        """Whether both are the same viewer, in whatever session."""
        return (self.user_id, self.guest_id) == (other.user_id, other.guest_id)

    def is_user(self, user_id: object) -> bool:
        """Whether the viewer is signed in as this user, given by an ObjectId or as its text."""
        return self.user_id is not None and str(self.user_id) == str(user_id)

    def require(self) -> ObjectId:
        """The signed-in user's id; raises Unauthenticated for a guest."""
        if self.user_id is None:
            raise Unauthenticated("Sign in to ask for this.")
        return self.user_id


GUEST = Actor()


@dataclass(frozen=True, slots=True)
class Right:
    """Who may see or do something: any one of the ways is enough, and none at all is nobody. `|` joins two.

    `signed_in` is every account, no guest; `own` is the person the record is about, `author` the one who keeps it.
    `permissions` are those of a facility's staff entries, which its owner has all of; `scopes` are what a client lets
    a coach with an active relation see; `shown` is whoever was shown the record it is a part of.
    """

    anyone: bool = False
    signed_in: bool = False
    own: bool = False
    author: bool = False
    permissions: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    shown: bool = False

    def __or__(self, other: Right) -> Right:
        return Right(
            self.anyone or other.anyone,
            self.signed_in or other.signed_in,
            self.own or other.own,
            self.author or other.author,
            self.permissions | other.permissions,
            self.scopes | other.scopes,
            self.shown or other.shown,
        )

    def within(self, other: Right) -> bool:
        """Whether everybody with this right has the other one, too, whatever the record."""
        return other.anyone or (
            not self.anyone
            and self.signed_in <= other.signed_in
            and self.own <= other.own
            and self.author <= other.author
            and self.permissions <= other.permissions
            and self.scopes <= other.scopes
            and self.shown <= other.shown
        )


ANYONE = Right(anyone=True)
SIGNED_IN = Right(signed_in=True)
"""Whoever has an account; what it may be done to is the rule's business."""
SELF = Right(own=True)
"""The person the record is about."""
AUTHOR = Right(author=True)
"""The person who keeps the record, such as a coach of their client."""
MINE = Right(anyone=True, own=True)
"""Anyone may ask, and finds what is their own: the query sees to it."""

SHOWN = Right(shown=True)


def staff(permission: str) -> Right:
    """The owner of the record's facility, and its staff with the permission."""
    return Right(permissions=frozenset({permission}))


def coach(*scopes: str) -> Right:
    """A coach of the record's person, where the relation is active and the person grants one of the scopes."""
    return Right(scopes=frozenset(scopes))


RIGHTS_COLUMNS = ("ownerId", "staff.userId", "staff.permissions")
"""Columns of a facility record that `may` reads."""


def may(actor: Actor, facility: Mapping[str, Any], permission: str) -> bool:
    """Whether the actor owns the facility or is staff there with the permission."""
    if actor.user_id is None:
        return False
    if facility.get("ownerId") == actor.user_id:
        return True
    return any(
        entry.get("userId") == actor.user_id and permission in entry.get("permissions", ())
        for entry in facility.get("staff") or ()
    )


def refusal(actor: Actor) -> Unauthenticated | Forbidden:
    """The error for an actor who lacks a right: a guest may sign in, anybody else is told no."""
    if actor.user_id is None:
        return Unauthenticated("Sign in to ask for this.")
    return Forbidden("You do not have the right to see this.")

"""Who is asking, and what they may do at a facility. Deny by default; rules are pure and read plain records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from nexfit.domains.errors import Forbidden, Unauthenticated


@dataclass(frozen=True, slots=True)
class Actor:
    """The viewer of a request; `user_id` is None for a guest. The session is the one of the access token."""

    user_id: ObjectId | None = None
    session_id: ObjectId | None = None

    def is_user(self, user_id: object) -> bool:
        """Whether the viewer is signed in as this user, given by an ObjectId or as its text."""
        return self.user_id is not None and str(self.user_id) == str(user_id)

    def require(self) -> ObjectId:
        """The signed-in user's id; raises Unauthenticated for a guest."""
        if self.user_id is None:
            raise Unauthenticated("Sign in to ask for this.")
        return self.user_id


GUEST = Actor()

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

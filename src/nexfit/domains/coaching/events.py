"""What others are told of coaching."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from nexfit.domains.coaching.documents import SessionStatus
from nexfit.hybrid.events import Event, Home


class SessionChanged(Event):
    """A session was scheduled, or ended in one way or another."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "pt_session"

    session_id: str
    coach_id: str
    client_id: str
    starts_at: datetime
    status: SessionStatus

    @property
    def aggregate_id(self) -> str:
        """The session."""
        return self.session_id

    def tags(self) -> Sequence[str]:
        """What is kept of sessions and credits on both sides."""
        return (f"user:{self.coach_id}:coaching", f"user:{self.client_id}:coaching")

"""What happens to facilities and the people who work there, told to the rest of the platform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from nexfit.domains.tags import DOCUMENTS, filled
from nexfit.hybrid.events import Event, Home


class FacilityEvent(Event):
    """A fact about one facility."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "facility"

    @property
    def aggregate_id(self) -> str:
        """The facility."""
        return str(self.facility_id)

    def tags(self) -> Sequence[str]:
        """The facility, and lists of facilities."""
        return sorted(filled(DOCUMENTS["facilities"], {"_id": self.facility_id}))


class FacilityCreated(FacilityEvent):
    """An owner opened a facility."""

    name: str


class FacilityChanged(FacilityEvent):
    """The facility says something else of itself; what it says now is read, not told."""

    fields: Sequence[str]


class StaffInvited(FacilityEvent):
    """Somebody was sent a link to join; whom it went to is not told."""

    role: str


class StaffJoined(FacilityEvent):
    """Somebody accepted an invitation and works there from now on."""

    user_id: str
    role: str


class StaffChanged(FacilityEvent):
    """Somebody may do something else now, or an invitation was taken back."""

    user_id: str | None = None


class StaffRemoved(FacilityEvent):
    """Somebody works there no more."""

    user_id: str

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

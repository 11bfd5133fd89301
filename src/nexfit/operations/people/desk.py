"""What the work on people's requests works with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from nexfit.domains.classes.places import ClassDesk
from nexfit.domains.finance.payments import PaymentProvider
from nexfit.hybrid.turns import Turns
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.operations.people.places import Person
from nexfit.settings import Settings
from nexfit.stores.connections import Stores


@dataclass(frozen=True, slots=True)
class PeopleDesk:
    """One per worker."""

    settings: Settings
    stores: Stores
    units: UnitsOfWork
    provider: PaymentProvider | None

    @property
    def classes(self) -> ClassDesk:
        """What booking works with."""
        return ClassDesk(self.units, self.stores.mongo, Turns())


@dataclass(frozen=True, slots=True)
class Case:
    """An erasure under way: by whose request, of whom, and when it is."""

    desk: PeopleDesk
    request: UUID
    person: Person
    now: datetime

"""Facts about memberships people hold, whose aggregate is the subscription, a row of PostgreSQL; and about visits."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar

from nexfit.domains.memberships.documents import VisitSource
from nexfit.domains.tags import DOCUMENTS, filled
from nexfit.hybrid.events import Event, Home


class MembershipFact(Event):
    """Something became of a subscription. Ids of people, places and plans are hex digits of ObjectIds."""

    home: ClassVar[Home] = "postgres"
    aggregate: ClassVar[str] = "subscription"

    subscription_id: str
    plan_id: str
    user_id: str

    @property
    def aggregate_id(self) -> str:
        """The subscription."""
        return self.subscription_id

    def tags(self) -> Sequence[str]:
        """The facility's money and members, the plan's subscribers, what the member holds and paid."""
        return (
            f"facility:{self.facility_id}:money",
            f"facility:{self.facility_id}:members",
            f"plan:{self.plan_id}:subscribers",
            f"user:{self.user_id}:memberships",
            f"user:{self.user_id}:money",
        )


class MembershipSold(MembershipFact):
    """A membership was paid for and is valid from its first day."""

    amount: Decimal
    currency: str
    starts_on: date
    ends_on: date


class MembershipRenewed(MembershipSold):
    """One more term of a membership was paid for."""


class MembershipImported(MembershipFact):
    """A membership that was sold elsewhere was taken over with its dates."""

    starts_on: date
    ends_on: date


class MembershipStateChanged(MembershipFact):
    """A membership went into another state, such as past due, suspended, expired or cancelled."""

    before: str
    after: str


class RenewalDeclined(MembershipFact):
    """One more try to charge a term that is owed was declined, and another will follow."""


class PlanChanged(Event):
    """A plan was put on sale, replaced by a newer version, or taken off sale. The aggregate is its line of versions."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "membership_plan"

    plan_id: str
    line_id: str
    replaces: str | None = None

    @property
    def aggregate_id(self) -> str:
        """The first version."""
        return self.line_id

    def tags(self) -> Sequence[str]:
        """Both versions, and the facility's price list."""
        named = (self.plan_id, self.replaces)
        return (*(f"plan:{id_}" for id_ in named if id_), f"facility:{self.facility_id}:plans")


class VisitRecorded(Event):
    """A member came in. The aggregate is the member at the facility, in MongoDB."""

    home: ClassVar[Home] = "mongo"
    aggregate: ClassVar[str] = "member"

    visit_id: str
    user_id: str
    at: datetime
    source: VisitSource

    @property
    def aggregate_id(self) -> str:
        """The facility and the person."""
        return f"{self.facility_id}:{self.user_id}"

    def tags(self) -> Sequence[str]:
        """The member's and the facility's visits."""
        return sorted(filled(DOCUMENTS["visits"], {"userId": self.user_id, "facilityId": self.facility_id}))

"""Facts about memberships people hold. Their aggregate is the subscription, a row of PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import ClassVar

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

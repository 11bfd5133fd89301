"""Membership plans, who holds them, and visits, in MongoDB. Postgres decides a subscription's money and status."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from nexfit.stores.documents import (
    Amount,
    CalendarDate,
    Count,
    Currency,
    Embedded,
    Id,
    Instant,
    Line,
    StoredDocument,
    Text,
    Word,
    check_money,
    is_calendar_date,
)


class DurationUnit(StrEnum):
    """Calendar unit of a plan's length."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


class Duration(Embedded):
    """Length of a plan."""

    value: Annotated[int, Field(ge=1, le=3650)]
    unit: DurationUnit


class Limitations(Embedded):
    """What a plan includes; an absent maximum means no limit. Weeks are the facility's local Monday to Sunday."""

    max_visits_per_week: Count | None = None
    max_class_bookings_per_week: Count | None = None
    classes_included: bool = False
    personal_training_included: bool = False
    pt_sessions_included: Count = 0


class Membership(StoredDocument):
    """A plan a facility sells, one document per version: `line_id` is the first one, `replaced_by` the next."""

    facility_id: Id
    name: Line
    description: Text | None = None
    duration: Duration
    price: Amount
    currency: Currency
    features: list[Line] = Field(default_factory=list, max_length=100)
    limitations: Limitations = Limitations()
    is_active: bool
    version: Count | None = None
    line_id: Id | None = None
    replaced_by: Id | None = None
    created_at: Instant
    updated_at: Instant

    @model_validator(mode="after")
    def _money(self) -> Self:
        check_money(self.price, self.currency)
        return self

    class Settings(StoredDocument.Settings):
        name = "memberships"


class SubscriptionStatus(StrEnum):
    """Mirror of the Postgres status; Postgres wins."""

    PENDING = "pending"
    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    SUSPENDED = "suspended"
    FROZEN = "frozen"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


LIVE_SUBSCRIPTION_STATUSES = (
    SubscriptionStatus.PENDING,
    SubscriptionStatus.INCOMPLETE,
    SubscriptionStatus.ACTIVE,
    SubscriptionStatus.PAST_DUE,
    SubscriptionStatus.SUSPENDED,
    SubscriptionStatus.FROZEN,
)
"""A user has at most one subscription in one of these per facility and plan."""


class Payment(Embedded):
    """One payment as Postgres booked it; ``status`` and ``method`` are its words."""

    amount: Amount
    currency: Currency
    date: Instant
    method: Word
    status: Word
    transaction_id: Annotated[str, Field(min_length=1, max_length=36)]

    @model_validator(mode="after")
    def _money(self) -> Self:
        check_money(self.amount, self.currency)
        return self


class MemberSubscription(StoredDocument):
    """A user's plan at a facility. Both dates are the facility's local days, and the last one is included.

    ``subscription_id`` is the row in Postgres ``finance.subscriptions``; ``end_date`` is the last day covered so far,
    the day before that row's ``current_period_end``; ``payment_history`` mirrors its last payments.
    """

    stored_checks = ({"$lte": ["$startDate", "$endDate"]}, is_calendar_date("startDate"), is_calendar_date("endDate"))

    user_id: Id
    facility_id: Id
    membership_id: Id
    subscription_id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", max_length=36)]
    start_date: CalendarDate
    end_date: CalendarDate
    status: SubscriptionStatus
    payment_history: list[Payment] = Field(default_factory=list, max_length=24)
    auto_renew: bool
    created_at: Instant
    updated_at: Instant
    cancelled_at: Instant | None = None
    cancellation_reason: Line | None = None

    @model_validator(mode="after")
    def _dates(self) -> Self:
        if self.end_date < self.start_date:
            raise ValueError("endDate is before startDate")
        return self

    class Settings(StoredDocument.Settings):
        name = "member_subscriptions"


class VisitSource(StrEnum):
    """How an entry was noticed."""

    FRONT_DESK = "front_desk"
    SELF_SERVICE = "self_service"
    CLASS_CHECK_IN = "class_check_in"
    IMPORT = "import"


class Visit(StoredDocument):
    """One entry of a user into a facility."""

    facility_id: Id
    user_id: Id
    at: Instant
    source: VisitSource

    class Settings(StoredDocument.Settings):
        name = "visits"


class MemberTurn(StoredDocument):
    """One per member, named by the user's id: whoever gives a member a place or lets one in raises it in the same
    transaction.

    Two changes for one member made at the same time meet here, so that neither misses the other when it looks for
    clashes and for what is left of the week: a snapshot alone would let both through.
    """

    turns: Count

    class Settings(StoredDocument.Settings):
        name = "member_turns"

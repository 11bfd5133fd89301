"""What selling a membership, and what a membership gives a right to, can be refused for."""

from __future__ import annotations

from nexfit.domains.errors import ErrorCode, Refusal


class PriceChanged(Refusal):
    """The client expects another total than the plan costs now."""

    code = ErrorCode.PRICE_CHANGED

    def __init__(self, *, price: str) -> None:
        super().__init__("The price is {price} now.", path=("expectedTotal",), price=price)


class AlreadySubscribed(Refusal):
    """The member holds the plan, and nobody asked for a renewal."""

    code = ErrorCode.ALREADY_SUBSCRIBED

    def __init__(self) -> None:
        super().__init__("The member holds this membership already. Renew it instead.", path=("renew",))


class NotRenewable(Refusal):
    """Only what is active is renewed at the desk: a debt or a freeze is settled first."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self, *, state: str) -> None:
        super().__init__("A membership that is {state} cannot be renewed.", path=("renew",), state=state)


class NothingToRenew(Refusal):
    """The member does not hold the plan."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("The member does not hold this membership.", path=("renew",))


class OtherCurrency(Refusal):
    """The facility's accounts are kept in another currency than the plan is priced in."""

    code = ErrorCode.BAD_USER_INPUT

    def __init__(self, *, currency: str) -> None:
        super().__init__("This facility trades in {currency}.", path=("plan",), currency=currency)


class MembershipRequired(Refusal):
    """No membership of the member gives a right to that on that day."""

    code = ErrorCode.MEMBERSHIP_REQUIRED


class WeeklyLimitReached(Refusal):
    """What the membership allows in that local week is used up."""

    code = ErrorCode.WEEKLY_LIMIT_REACHED

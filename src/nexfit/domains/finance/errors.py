"""What giving money back can be refused for."""

from __future__ import annotations

from nexfit.domains.errors import ErrorCode, Refusal


class NotRefundable(Refusal):
    """Only a payment that has arrived, and whose way back is known, is given back."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("Only a payment that has arrived can be given back.", path=("transaction",))


class RefundTooLarge(Refusal):
    """More than was paid and has not been given back."""

    code = ErrorCode.REFUND_TOO_LARGE

    def __init__(self) -> None:
        super().__init__("This is more than what is left of the payment.", path=("amount",))


class NoAmount(Refusal):
    """An amount is positive, and has no more decimals than its currency."""

    code = ErrorCode.BAD_USER_INPUT

    def __init__(self, *, currency: str) -> None:
        super().__init__("An amount in {currency} is expected, more than 0.", path=("amount",), currency=currency)


class InvoiceNotOpen(Refusal):
    """Only an invoice that is issued and not paid is paid or taken back."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self, *, state: str) -> None:
        super().__init__("That is not possible for an invoice that is {state}.", path=("invoice",), state=state)


class TillNotOpened(Refusal):
    """What should be in the drawer is only known from what was in it before."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("Count the drawer's opening first.", path=("kind",))


class TillCounted(Refusal):
    """A count stands; what was counted wrong is explained, not overwritten."""

    code = ErrorCode.INVALID_TRANSITION

    def __init__(self) -> None:
        super().__init__("This was counted already today.", path=("kind",))

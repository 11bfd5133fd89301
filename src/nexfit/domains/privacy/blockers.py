"""Why somebody cannot be erased yet, and what they have to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from bson import ObjectId

from nexfit.domains.errors import ErrorCode, Refusal
from nexfit.stores.connections import Stores
from nexfit.stores.sql import load_sql

sql = load_sql("nexfit.domains.privacy", "requests.sql")


class DebtOpen(Refusal):
    """There are invoices to be paid."""

    code = ErrorCode.DEBT_OPEN

    def __init__(self) -> None:
        super().__init__("Pay your open invoices first, or ask who issued them to take them back.")


class PaymentOpen(Refusal):
    """Money is on its way."""

    code = ErrorCode.PAYMENT_OPEN

    def __init__(self) -> None:
        super().__init__("A payment or refund of yours is on its way. Wait until it has arrived.")


class OwnsFacility(Refusal):
    """A business would be nobody's."""

    code = ErrorCode.OWNS_FACILITY

    def __init__(self) -> None:
        super().__init__("You own a facility. Hand it over or have it closed first.")


class PackagesRunning(Refusal):
    """Clients have paid for sessions."""

    code = ErrorCode.PACKAGES_RUNNING

    def __init__(self) -> None:
        super().__init__("Your clients have sessions left. Hold them or give the packages back first.")


class TeachesClasses(Refusal):
    """Dates would have nobody to teach them."""

    code = ErrorCode.TEACHES_CLASSES

    def __init__(self) -> None:
        super().__init__("You teach classes to come. Ask the facility to give them to somebody else first.")


BLOCKERS: Mapping[ErrorCode, type[Refusal]] = {
    ErrorCode.OWNS_FACILITY: OwnsFacility,
    ErrorCode.TEACHES_CLASSES: TeachesClasses,
    ErrorCode.DEBT_OPEN: DebtOpen,
    ErrorCode.PAYMENT_OPEN: PaymentOpen,
    ErrorCode.PACKAGES_RUNNING: PackagesRunning,
}
"""In the order in which they are told."""


async def blockers_of(stores: Stores, user_id: ObjectId, now: datetime) -> list[ErrorCode]:
    """What stands in the way of erasing a person now, in the order of BLOCKERS. Raises StoreError."""
    found = {ErrorCode(row["code"]) for row in await stores.postgres.fetch(sql.blockers, str(user_id))}
    if await stores.mongo.find("facilities", {"ownerId": user_id}, (), limit=1):
        found.add(ErrorCode.OWNS_FACILITY)
    coming = {"instructor.userId": user_id, "startsAt": {"$gt": now}, "status": "scheduled"}
    if await stores.mongo.find("class_occurrences", coming, (), limit=1):
        found.add(ErrorCode.TEACHES_CLASSES)
    return [code for code in BLOCKERS if code in found]

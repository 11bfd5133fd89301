"""The desk's money of one local day: what was taken and given back by each method, and the counts of the drawer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision
from bson import ObjectId

from nexfit.domains.errors import BadInput, NotFound
from nexfit.domains.finance.errors import TillCounted, TillNotOpened
from nexfit.domains.finance.words import PaymentMethod
from nexfit.domains.identity.access import Actor, may
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.unit_of_work import PostgresWork, UnitsOfWork
from nexfit.stores.connections import Stores
from nexfit.stores.errors import ConstraintViolated, WriteConflict
from nexfit.stores.postgres import Postgres, Row
from nexfit.stores.sql import load_sql

sql = load_sql("nexfit.domains.finance", "till.sql")


class CountKind(StrEnum):
    """Which of a day's two counts."""

    OPENING = "opening"
    CLOSING = "closing"


async def reports(
    postgres: Postgres, days: Mapping[str, date], zones: Mapping[str, str]
) -> dict[str, dict[str, Any] | None]:
    """The till of each facility on a local day of its own, in one statement; None where there never was money."""
    rows = await postgres.fetch(sql.report, list(days), [zones[id_] for id_ in days], list(days.values()))
    found = {row["facility_id"]: _report(row, days[row["facility_id"]]) for row in rows}
    return {id_: found.get(id_) for id_ in days}


def _report(row: Row, day: date) -> dict[str, Any]:
    currency = row["currency"]
    methods = [
        {
            **one,
            "paid": Decimal(one["paid"]),
            "returned": Decimal(one["returned"]),
            "net": Decimal(one["paid"]) - Decimal(one["returned"]),
            "currency": currency,
        }
        for one in row["methods"]
    ]
    counts = {kind: _count(count, currency) for kind, count in row["counts"].items()}
    opening, closing = counts.get(CountKind.OPENING), counts.get(CountKind.CLOSING)
    cash = sum((one["net"] for one in methods if one["method"] == PaymentMethod.CASH), Decimal(0))
    return {
        "day": day,
        "currency": currency,
        "methods": methods,
        "net": sum((one["net"] for one in methods), Decimal(0)),
        "opening": opening,
        "closing": closing,
        "expected_cash": opening["counted"] + cash if opening else None,
        "difference": closing["counted"] - closing["expected"] if closing else None,
    }


def _count(count: Mapping[str, Any], currency: str) -> dict[str, Any]:
    expected = count["expected"]
    return {
        **count,
        "counted": Decimal(count["counted"]),
        "expected": None if expected is None else Decimal(expected),
        "counted_at": datetime.fromisoformat(count["counted_at"]),
        "currency": currency,
    }


async def count(
    units: UnitsOfWork,
    stores: Stores,
    actor: Actor,
    *,
    facility: ObjectId,
    kind: CountKind,
    counted: Decimal,
    note: str | None,
    now: datetime,
) -> date:
    """Keep what is in the drawer now; the facility's local day. By staff with `finance_write` or `members_write`.

    The same count again changes nothing. Raises Unauthenticated, NotFound, BadInput, TillNotOpened, TillCounted; then
    nothing was written.
    """
    counter = actor.require()
    columns = ("ownerId", "staff.userId", "staff.permissions", "timezone")
    places: Sequence[Mapping[str, Any]] = await stores.mongo.find("facilities", {"_id": facility}, columns, limit=1)
    if not places or not any(may(actor, places[0], permission) for permission in ("finance_write", "members_write")):
        raise NotFound("There is no such facility.", path=("facility",))
    zone, key = places[0]["timezone"], str(facility)
    today = now.astimezone(ZoneInfo(zone)).date()

    async def body(work: PostgresWork) -> date:
        row = await work.postgres.fetch_one(sql.report, [key], [zone], [today])
        if row is None:
            raise BadInput("There never was money at this facility.", path=("facility",))
        currency = row["currency"]
        if counted < 0 or counted != counted.quantize(Decimal(1).scaleb(-get_currency_precision(currency))):
            raise BadInput("A count is an amount in {currency}, not below 0.", path=("counted",), currency=currency)
        report = _report(row, today)
        before = report[kind]
        if before is not None:
            if before["counted"] != counted:
                raise TillCounted
            return today
        if kind is CountKind.OPENING and report["closing"] is not None:
            raise TillCounted
        if kind is CountKind.CLOSING and report["opening"] is None:
            raise TillNotOpened
        expected = report["expected_cash"] if kind is CountKind.CLOSING else None
        try:
            id_ = await work.postgres.fetch_value(
                sql.count, row["business_id"], key, today, str(kind), counted, expected, currency, note, str(counter)
            )
        except ConstraintViolated as error:
            if error.constraint == "till_counts_key":  # somebody counted at the same moment: look again
                raise WriteConflict(error.store, str(error)) from error
            raise
        work.audit(
            Audit(
                action=f"till.{kind}",
                entity_type="till_count",
                entity_id=str(id_),
                facility_id=key,
                user_id=str(counter),
                after={
                    "day": str(today),
                    "counted": f"{counted:f} {currency}",
                    "expected": expected and f"{expected:f}",
                },
            )
        )
        return today

    return await units.postgres("count_till").run(body)

"""How long a membership lasts. Pure rules; days are the facility's local days."""

from __future__ import annotations

from datetime import date

from dateutil.relativedelta import relativedelta

from nexfit.domains.memberships.documents import DurationUnit


def day_after(start: date, value: int, unit: DurationUnit) -> date:
    """The first day no longer covered by a term that begins on `start`; a month too short for it ends it earlier."""
    match unit:
        case DurationUnit.DAY:
            return start + relativedelta(days=value)
        case DurationUnit.WEEK:
            return start + relativedelta(weeks=value)
        case DurationUnit.MONTH:
            return start + relativedelta(months=value)
        case DurationUnit.YEAR:
            return start + relativedelta(years=value)


def period_after(start: date, value: int, unit: DurationUnit, billing_day: int | None = None) -> date:
    """The first day no longer covered by a term that follows another one and begins on `start`.

    Months and years end on the billing day, by default the start's, or on the last day of a month that is too short
    for it: a membership billed on the 31st goes from 28 February to 31 March.
    """
    ends = day_after(start, value, unit)
    if unit in (DurationUnit.DAY, DurationUnit.WEEK):
        return ends
    return ends + relativedelta(day=billing_day or start.day)

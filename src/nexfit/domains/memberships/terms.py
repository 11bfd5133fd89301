"""How long a membership lasts. Pure rules; days are the facility's local days."""

from __future__ import annotations

from datetime import date

from dateutil.relativedelta import relativedelta

from nexfit.domains.memberships.documents import DurationUnit


def day_after(start: date, value: int, unit: DurationUnit, *, periods: int = 1) -> date:
    """The first day no longer covered by `periods` terms that begin on `start`.

    Counted from the first start, so that a membership of the 31st ends on 28 February and goes back to the 31st.
    """
    length = value * periods
    match unit:
        case DurationUnit.DAY:
            return start + relativedelta(days=length)
        case DurationUnit.WEEK:
            return start + relativedelta(weeks=length)
        case DurationUnit.MONTH:
            return start + relativedelta(months=length)
        case DurationUnit.YEAR:
            return start + relativedelta(years=length)

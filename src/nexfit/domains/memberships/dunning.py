"""When a declined renewal is tried again. Pure rules; days are the facility's local days."""

from __future__ import annotations

from datetime import date, timedelta

from nexfit.domains.finance.payments import Decline

RETRIES = (2, 5, 7, 7)
"""Days from each failed try to the next one; access stays as long as one is left."""


def next_try(failed: int, decline: Decline, today: date) -> date | None:
    """The day of the next try after `failed` tries of a period; None when it was the last, or no other one can help."""
    if decline is Decline.HARD or failed > len(RETRIES):
        return None
    return today + timedelta(days=RETRIES[failed - 1])

"""The direction of an order."""

from __future__ import annotations

from enum import StrEnum

import strawberry


@strawberry.enum(description="Which way a list is ordered.")
class OrderDirection(StrEnum):
    """Ascending or descending."""

    ASC = "ASC"
    DESC = "DESC"

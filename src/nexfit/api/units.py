"""Units a viewer chooses. What is stored is metric: kilograms, metres, centimetres."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import strawberry

from nexfit.api.fields import Args
from nexfit.engine.fields import Record

POUND = 0.45359237
MILE = 1609.344
INCH = 2.54

_DECIMALS = 3


@strawberry.enum(description="Units that figures are given in.")
class UnitSystem(StrEnum):
    """Which of them."""

    METRIC = "METRIC"
    IMPERIAL = "IMPERIAL"


@dataclass(frozen=True, slots=True)
class Measure:
    """What a figure measures: the size of its imperial unit in the stored one."""

    imperial: float

    def shown(self, stored: float | None, units: UnitSystem) -> float | None:
        """A stored figure in the units asked for."""
        if stored is None or units is UnitSystem.METRIC:
            return stored
        return round(stored / self.imperial, _DECIMALS)

    def stored(self, given: float | None, units: UnitSystem) -> float | None:
        """A given figure as it is stored."""
        if given is None or units is UnitSystem.METRIC:
            return given
        return round(given * self.imperial, _DECIMALS)


MASS, DISTANCE, LENGTH = Measure(POUND), Measure(MILE), Measure(INCH)
"""Kilograms or pounds; metres or miles; centimetres or inches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsArgs(Args):
    """In which units."""

    units: Annotated[UnitSystem, strawberry.argument(description="Units of the figure.")] = UnitSystem.METRIC


def in_units(measure: Measure, key: str) -> Callable[[Record, Any, Any], float | None]:
    """Computes a field with the argument `units` from a stored column."""
    return lambda record, args, _: measure.shown(record.get(key), args.units)

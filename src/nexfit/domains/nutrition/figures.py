"""The figures of nutrition, each defined here and nowhere else (workflow 8.6). No I/O. Units: g, kcal.

- A food's nutrients are those in 100 g of it; a *portion* is a quantity of a unit that says how many grams it has.
- *Totals* are sums over portions, always computed from the foods as they are now.
- The *macro error* is total less target, of each figure that has a target; its `worst` is the largest of them as a part
  of its target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]

GRAMS: Mapping[str, float] = {"g": 1.0, "kg": 1000.0, "oz": 28.349523125, "lb": 453.59237, "ml": 1.0, "l": 1000.0}
"""Grams of a unit. Of drinks a millilitre counts as a gram, which is right within a few percent."""

SERVING = "serving"
"""The unit of a food's usual portion."""

MACROS = ("calories", "protein", "carbs", "fat")
NUTRIENTS = (*MACROS, "fiber", "sugar", "sodium")


def grams_of(quantity: float, unit: str, food: Row) -> float | None:
    """Grams of a portion; None for a unit the food does not have."""
    if unit in GRAMS:
        return quantity * GRAMS[unit]
    nutrients = food.get("nutrients") or {}
    if unit == SERVING and nutrients.get("servingSize"):
        size = GRAMS.get(nutrients.get("servingUnit") or "g")
        return None if size is None else quantity * nutrients["servingSize"] * size
    for serving in food.get("servings") or ():
        if serving["name"] == unit:
            return float(quantity * serving["grams"])
    return None


def nutrients_in(grams: float, food: Row) -> dict[str, float]:
    """What so much of a food contains; what is not known of it is absent."""
    of_100 = food.get("nutrients") or {}
    return {name: round(of_100[name] * grams / 100, 3) for name in NUTRIENTS if of_100.get(name) is not None}


def total(portions: Iterable[Row]) -> dict[str, float]:
    """The sum of what portions contain; every macro is there, the rest where any portion tells it."""
    summed = dict.fromkeys(MACROS, 0.0)
    for portion in portions:
        for name in NUTRIENTS:
            if portion.get(name) is not None:
                summed[name] = round(summed.get(name, 0.0) + portion[name], 3)
    return summed


def macro_error(totals: Row, target: Row) -> dict[str, float]:
    """Total less target of each figure that has a target, and the `worst` of them as a part of its target."""
    error = {name: round(totals.get(name, 0.0) - target[name], 3) for name in MACROS if target.get(name) is not None}
    parts = [abs(error[name]) / target[name] for name in error if target[name]]
    return {**error, **({"worst": round(max(parts), 4)} if parts else {})}


def likeness(food: Row, other: Row) -> float:
    """How far apart two foods are in macros for the same energy, in grams of 100 kcal; 0 is equal."""

    def profile(one: Row) -> list[float]:
        of_100 = one["nutrients"]
        energy = of_100["calories"] or 1.0
        return [of_100[name] * 100 / energy for name in ("protein", "carbs", "fat")]

    return float(sum(abs(a - b) for a, b in zip(profile(food), profile(other), strict=True)))


def same_energy(grams: float, food: Row, other: Row) -> float | None:
    """Grams of the other food with the energy of so much of this one; None for one without energy."""
    if not other["nutrients"]["calories"]:
        return None
    return round(float(grams * food["nutrients"]["calories"] / other["nutrients"]["calories"]), 1)

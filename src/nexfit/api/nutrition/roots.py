"""The root fields of nutrition. This module only lists them."""

from __future__ import annotations

import strawberry

from nexfit.api.nutrition.foods import FoodQueries
from nexfit.api.nutrition.mutations import NutritionMutations
from nexfit.api.nutrition.plans import PlanQueries

__all__ = ["NutritionMutations", "NutritionQueries"]


@strawberry.type
class NutritionQueries(FoodQueries, PlanQueries):
    """What can be read."""

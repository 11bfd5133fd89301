"""Foods and nutrition plans, in MongoDB. Energy in kcal, sodium in mg, every other nutrient in g."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from nexfit.domains.text import fold
from nexfit.stores.documents import (
    Amount,
    CalendarDate,
    Count,
    Currency,
    Embedded,
    Id,
    Instant,
    Line,
    LocalTime,
    Quantity,
    StoredDocument,
    Text,
    Url,
    Word,
    check_money,
    derived,
    is_calendar_date,
)


class Nutrients(Embedded):
    """Amounts in 100 g of the food; ``serving_size`` of ``serving_unit`` is the usual portion."""

    serving_size: Quantity | None = None
    serving_unit: Word | None = None
    calories: Quantity
    protein: Quantity
    carbs: Quantity
    fat: Quantity
    fiber: Quantity | None = None
    sugar: Quantity | None = None
    sodium: Quantity | None = None


class Serving(Embedded):
    """A usual portion under a name of its own."""

    name: Word
    grams: Quantity


class Verification(StrEnum):
    """Whether a food was looked at by somebody who knows."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    VERIFIED = "verified"
    REJECTED = "rejected"


class Food(StoredDocument):
    """A food. ``source`` and ``source_id`` name the imported record it came from.

    ``words`` are what search finds it by, ``name_words`` how many of them its name has.
    """

    name: Line
    name_folded: str = derived()
    description: Text | None = None
    image: Url | None = None
    category: Word | None = None
    nutrients: Nutrients
    servings: list[Serving] = Field(default_factory=list, max_length=20)
    is_verified: bool
    verification: Verification | None = None
    words: list[Word] = Field(default_factory=list, max_length=100)
    name_words: Count | None = None
    source: Word | None = None
    source_id: Line | None = None
    created_by: Id | None = None
    tags: list[Word] = Field(default_factory=list, max_length=50)
    created_at: Instant | None = None
    updated_at: Instant | None = None

    @model_validator(mode="after")
    def _derive(self) -> Self:
        self.name_folded = fold(self.name)
        return self

    class Settings(StoredDocument.Settings):
        name = "foods"


class Macros(Embedded):
    """Daily targets in g."""

    protein: Quantity | None = None
    carbs: Quantity | None = None
    fat: Quantity | None = None


class PlanMetadata(Embedded):
    """Daily targets of a plan."""

    calorie_target: Quantity | None = None
    macros: Macros | None = None
    meals_per_day: Annotated[int, Field(ge=1, le=24)] | None = None
    tags: list[Word] = Field(default_factory=list, max_length=50)


class MealFood(Embedded):
    """A portion: quantity in its unit, and what that portion contains."""

    food_id: Id
    quantity: Quantity
    unit: Word
    calories: Quantity | None = None
    protein: Quantity | None = None
    carbs: Quantity | None = None
    fat: Quantity | None = None


class Meal(Embedded):
    """A meal of the day at the eater's local time."""

    name: Line
    time: LocalTime | None = None
    foods: list[MealFood] = Field(default_factory=list, max_length=100)
    notes: Text | None = None


class PlanPricing(Embedded):
    """What a plan costs."""

    price: Amount
    currency: Currency

    @model_validator(mode="after")
    def _money(self) -> Self:
        check_money(self.price, self.currency)
        return self


class NutritionPlan(StoredDocument):
    """What to eat, written for one user or as a template."""

    name: Line
    description: Text | None = None
    created_by: Id
    for_user_id: Id | None = None
    is_template: bool
    is_public: bool
    metadata: PlanMetadata = PlanMetadata()
    meals: list[Meal] = Field(default_factory=list, max_length=50)
    pricing: PlanPricing | None = None
    created_at: Instant
    updated_at: Instant

    class Settings(StoredDocument.Settings):
        name = "nutrition_plans"


Content = Annotated[float, Field(ge=0, le=100_000_000_000, allow_inf_nan=False)]
"""Of a portion, however large."""


class Contents(Embedded):
    """What a portion contained."""

    calories: Content | None = None
    protein: Content | None = None
    carbs: Content | None = None
    fat: Content | None = None
    fiber: Content | None = None
    sugar: Content | None = None
    sodium: Content | None = None


class DiaryEntry(StoredDocument):
    """A portion that somebody ate on a day, and what it contained by its food as that was then."""

    stored_checks = (is_calendar_date("day"),)

    user_id: Id
    day: CalendarDate
    meal: Word | None = None
    food_id: Id
    quantity: Quantity
    unit: Word
    grams: Annotated[float, Field(ge=0, le=100_000_000, allow_inf_nan=False)]
    nutrients: Contents
    created_at: Instant

    class Settings(StoredDocument.Settings):
        name = "food_diary"

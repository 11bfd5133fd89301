"""The rights matrix of nutrition (`nexfit.api.rights` has the others)."""

from __future__ import annotations

from collections.abc import Mapping

from nexfit.api.right_entries import Entry, fields, part
from nexfit.domains.identity.access import ANYONE

NUTRITION_QUERIES = "foods foodSubstitutes nutritionPlans"
"""Root fields that anyone may ask."""

NUTRITION_MUTATIONS = (
    "createFood updateFood submitFood createNutritionPlan updateNutritionPlan assignNutritionPlan"
    " logFood deleteDiaryEntry"
)
"""Root fields for who is signed in; what each may change its rule says."""

NUTRITION: Mapping[str, Entry] = {
    "Food": Entry(  # verified ones, and one's own: the query sees to it
        fields(
            (
                "id name description image category nutrients servingSize servingUnit servings isVerified verification"
                " source creator tags createdAt updatedAt",
                ANYONE,
            )
        ),
        found=ANYONE,
    ),
    "FoodServing": part("name grams"),
    "Nutrients": part("calories protein carbs fat fiber sugar sodium"),
    "FoodSubstitute": part("food grams difference"),
    "NutritionPlan": Entry(  # public templates, one's own, and clients' by consent: the query sees to it
        fields(
            (
                "id name description isTemplate isPublic target mealsPerDay tags contents creator forUser createdAt"
                " updatedAt",
                ANYONE,
            )
        ),
        found=ANYONE,
    ),
    "MacroTarget": part("calories protein carbs fat"),
    "PlanContents": part("meals totals error"),
    "PlannedMeal": part("name time notes portions totals"),
    "FoodPortion": part("food quantity unit grams contains"),
    "MacroError": part("calories protein carbs fat worst"),
    "DiaryDay": part("day entries totals plan target error"),
    "DiaryEntry": part("id meal food quantity unit grams contains createdAt"),
    "FoodPayload": part("food userErrors"),
    "NutritionPlanPayload": part("plan userErrors"),
    "DiaryEntryPayload": part("entry userErrors"),
    "DeleteDiaryEntryPayload": part("deletedId userErrors"),
}

"""What everybody can look up: exercises, foods, workout templates, programs and a meal plan, as MongoDB documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import Any

import yaml
from bson import Decimal128, ObjectId

from nexfit.domains.nutrition.foods import searched as searched_food
from nexfit.domains.text import fold
from nexfit.domains.training.exercises import searched
from nexfit.operations.demo.businesses import Row
from nexfit.operations.demo.calendar import Calendar
from nexfit.operations.demo.chance import Chance
from nexfit.operations.demo.content.foods import FOODS
from nexfit.operations.demo.content.places import CURRENCY
from nexfit.operations.demo.content.training import MEALS, PROGRAMS, TEMPLATES, Program, Template, Work
from nexfit.operations.demo.people import Person
from nexfit.operations.demo.reviews import Reviews

EXERCISE_FILES = ("exercises_strength.yaml", "exercises_other.yaml")
MINUTE = 60


@dataclass(slots=True)
class Catalogue:
    """The documents of each collection, and the ids of what other documents refer to by key."""

    documents: dict[str, list[Row]]
    exercises: dict[str, ObjectId]
    templates: dict[str, ObjectId]
    template_contents: dict[str, Template]
    exercise_contents: Mapping[ObjectId, Row]


def make(
    chance: Chance,
    calendar: Calendar,
    staff: Mapping[str, ObjectId],
    client: ObjectId,
    reviews: Reviews,
    people: Sequence[Person],
    seller: ObjectId,
) -> Catalogue:
    """The catalogue; the people review the templates and programs, and a facility sells what has a price."""
    contents = _exercise_contents()
    exercises = {content["key"]: chance.object_id("exercise") for content in contents}
    areas = {content["key"]: content["areas"][0] for content in contents}
    templates = {template.key: chance.object_id("template") for template in TEMPLATES}
    programs = [chance.object_id("program") for _ in PROGRAMS]
    for template_id in templates.values():
        reviews.add(chance, calendar, "workout_template", template_id, people, 9)
    for program_id in programs:
        reviews.add(chance, calendar, "workout_program", program_id, people, 7)
    foods = _foods(chance)
    documents = {
        "exercises": [_exercise(content, contents, exercises) for content in contents],
        "foods": foods,
        "workout_templates": [
            _template(calendar, template, templates[template.key], exercises, areas, staff)
            | {"reviews": reviews.summary(templates[template.key])}
            for template in TEMPLATES
        ],
        "workout_programs": [
            _program(calendar, program, program_id, templates, staff, seller) | {"reviews": reviews.summary(program_id)}
            for program, program_id in zip(PROGRAMS, programs, strict=True)
        ],
        "nutrition_plans": [
            _nutrition_plan(chance, calendar, foods, staff["coach"], None),
            _nutrition_plan(chance, calendar, foods, staff["coach"], client),
        ],
    }
    return Catalogue(
        documents,
        exercises,
        templates,
        {template.key: template for template in TEMPLATES},
        {row["_id"]: row for row in documents["exercises"]},
    )


def _exercise_contents() -> list[dict[str, Any]]:
    folder = files("nexfit.operations.demo.content")
    contents: list[dict[str, Any]] = []
    for name in EXERCISE_FILES:
        contents += yaml.safe_load(folder.joinpath(name).read_text(encoding="utf-8"))
    return contents


def _steps(text: str) -> list[str]:
    return [step if step.endswith(".") else f"{step}." for step in text.split(". ")]


def _exercise(content: Mapping[str, Any], contents: list[dict[str, Any]], ids: Mapping[str, ObjectId]) -> Row:
    """One exercise: in Turkish, with its English translation."""
    areas = content["areas"]
    kind = content.get("type", "strength")
    similar = [
        other["key"]
        for other in contents
        if other["key"] != content["key"] and other["areas"][0] == areas[0] and other.get("type", "strength") == kind
    ]
    row: Row = {
        "_id": ids[content["key"]],
        "name": content["tr"],
        "nameFolded": fold(content["tr"]),
        "instructions": _steps(content["how"]["tr"]),
        "language": "tr",
        "translations": [
            {"language": "en", "name": content["en"], "instructions": _steps(content["how"]["en"])},
        ],
        "media": {"imageUrls": []},
        "metadata": {
            "bodyAreas": list(areas),
            "primaryBodyAreas": areas[:1],
            "secondaryBodyAreas": areas[1:],
            "type": kind,
            "equipment": list(content["equipment"]),
            "difficultyLevel": content["level"],
            "calories": float(content["kcal"]),
            "duration": float(MINUTE),
            "tags": [],
        },
        "isPublic": True,
        "alternateExercises": [ids[key] for key in similar[:3]],
    }
    return row | searched(row)


def _foods(chance: Chance) -> list[Row]:
    rows = []
    for line in FOODS.strip().splitlines():
        turkish, english, category, *figures, portion, unit = (part.strip() for part in line.split("|"))
        kcal, protein, carbs, fat, fiber, sugar, sodium = map(float, figures)
        row: Row = {
            "_id": chance.object_id("food"),
            "name": turkish,
            "nameFolded": fold(turkish),
            "description": f"{english} ({unit}: {portion} g)",
            "category": category,
            "nutrients": {
                "servingSize": float(portion),
                "servingUnit": "g",
                "calories": kcal,
                "protein": protein,
                "carbs": carbs,
                "fat": fat,
                "fiber": fiber,
                "sugar": sugar,
                "sodium": sodium,
            },
            "isVerified": True,
            "tags": [fold(english)],
        }
        rows.append(row | searched_food(row))
    return rows


def planned_set(work: Work) -> Row:
    """One planned set of an exercise, as templates and logs store it."""
    values = {"reps": work.reps, "weight": work.weight, "duration": work.seconds, "restTime": float(work.rest)}
    return {name: float(value) if name != "reps" else value for name, value in values.items() if value is not None}


def _template(
    calendar: Calendar,
    template: Template,
    template_id: ObjectId,
    exercises: Mapping[str, ObjectId],
    areas: Mapping[str, str],
    staff: Mapping[str, ObjectId],
) -> Row:
    created = calendar.at(calendar.opening + timedelta(days=10), 660)
    return {
        "_id": template_id,
        "name": template.name,
        "nameFolded": fold(template.name),
        "description": template.description,
        "createdBy": staff[template.author],
        "isPublic": True,
        "metadata": {
            "targetGoal": template.goal,
            "difficulty": template.difficulty,
            "estimatedDuration": float(template.minutes),
            "estimatedCalories": float(template.kcal),
            "targetBodyAreas": sorted({areas[work.exercise] for work in template.works}),
            "tags": list(template.tags),
        },
        "exercises": [
            {
                "exerciseId": exercises[work.exercise],
                "order": order,
                "defaultSets": [planned_set(work) for _ in range(work.sets)],
            }
            for order, work in enumerate(template.works, 1)
        ],
        "createdAt": created,
        "updatedAt": created,
    }


def _program(
    calendar: Calendar,
    program: Program,
    program_id: ObjectId,
    templates: Mapping[str, ObjectId],
    staff: Mapping[str, ObjectId],
    seller: ObjectId,
) -> Row:
    created = calendar.at(calendar.opening + timedelta(days=20), 700)
    days: list[Row] = []
    for number in range(program.weeks * 7):
        key = program.week[number % 7]
        day: Row = {"day": number + 1, "isRestDay": key is None}
        if key is not None:
            day["workoutTemplateId"] = templates[key]
        days.append(day)
    row: Row = {
        "_id": program_id,
        "name": program.name,
        "nameFolded": fold(program.name),
        "description": program.description,
        "createdBy": staff[program.author],
        "isPublic": True,
        "metadata": {
            "targetGoal": program.goal,
            "difficulty": program.difficulty,
            "duration": program.weeks * 7,
            "tags": [],
        },
        "schedule": days,
        "createdAt": created,
        "updatedAt": created,
    }
    if program.price is not None:
        pricing: Row = {"price": Decimal128(program.price), "currency": CURRENCY, "isDiscounted": False}
        pricing["facilityId"] = seller
        if program.discount is not None:
            pricing |= {"discountPrice": Decimal128(program.discount), "isDiscounted": True}
        row["pricing"] = pricing
    return row


def _nutrition_plan(
    chance: Chance, calendar: Calendar, foods: list[Row], author: ObjectId, client: ObjectId | None
) -> Row:
    """The coach's day of meals: as a public template, or written for a client."""
    by_name = {food["name"]: food for food in foods}
    meals: list[Row] = []
    totals = dict.fromkeys(("calories", "protein", "carbs", "fat"), 0.0)
    for meal in MEALS:
        portions = []
        for name, grams in meal.foods:
            food = by_name[name]
            contains = {key: round(food["nutrients"][key] * grams / 100, 1) for key in totals}
            for key, value in contains.items():
                totals[key] += value
            portions.append({"foodId": food["_id"], "quantity": float(grams), "unit": "g", **contains})
        meals.append({"name": meal.name, "time": meal.time, "foods": portions})
    created = calendar.at(calendar.today - timedelta(days=60), 720)
    row: Row = {
        "_id": chance.object_id("nutrition plan"),
        "name": "Dengeli Akdeniz Günü" if client is None else "Ece için antrenman günü",
        "description": "Protein her öğünde; yağ zeytinyağı ve kuruyemişten.",
        "createdBy": author,
        "isTemplate": client is None,
        "isPublic": client is None,
        "metadata": {
            "calorieTarget": float(round(totals["calories"], -1)),
            "macros": {key: round(totals[key]) * 1.0 for key in ("protein", "carbs", "fat")},
            "mealsPerDay": len(MEALS),
            "tags": ["akdeniz", "yüksek protein"],
        },
        "meals": meals,
        "createdAt": created,
        "updatedAt": created,
    }
    if client is not None:
        row["forUserId"] = client
    return row

"""What some members record about themselves: `measurements` once a month, `workout_logs` of the last weeks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from random import Random

from nexfit.domains.training import figures
from nexfit.domains.training.body_documents import BodyMeasurements
from nexfit.domains.training.measurements import encrypt_figures
from nexfit.operations.demo.businesses import Row
from nexfit.operations.demo.calendar import Calendar, add_months, stored_date
from nexfit.operations.demo.catalogue import Catalogue, planned_set
from nexfit.operations.demo.chance import Chance
from nexfit.operations.demo.content.people import WORKOUT_NOTES
from nexfit.operations.demo.content.training import Template, Work
from nexfit.operations.demo.people import Person
from nexfit.stores.field_encryption import KeyRing

ONE_IN_MEASURES = 8
ONE_IN_LOGS = 10
LOGGED_WEEKS = 8
ENROLLED_DAYS = 21


def measurements(chance: Chance, calendar: Calendar, keys: KeyRing, people: Iterable[Person]) -> Iterator[Row]:
    """Monthly measurements of every eighth member and of the demo's client, drifting towards the better."""
    for person in people:
        if person.number % ONE_IN_MEASURES and not person.is_client_login:
            continue
        random = chance.stream(f"measurements:{person.number}")
        own = keys.of_person(person.id)
        weight, fat = random.gauss(76, 12), random.uniform(17, 31)
        month = 0
        while (day := add_months(person.joined, month)) < calendar.today:
            at = calendar.at(day, person.hour * 60 + random.randrange(60))
            figures = BodyMeasurements(
                weight=round(max(weight, 42), 1),
                body_fat_percentage=round(fat, 1),
                muscle_mass=round(max(weight, 42) * (1 - fat / 100) * 0.55, 1),
                waist_circumference=round(58 + fat * 1.1, 1),
                arm_circumference=round(29 + month * 0.1, 1),
            )
            id_ = chance.object_id("measurement")
            yield {"_id": id_, "userId": person.id, "date": at, "measurements": encrypt_figures(own, id_, figures)}
            weight += random.gauss(-0.35, 0.6)
            fat = max(fat + random.gauss(-0.25, 0.3), 8)
            month += 1


def workout_logs(chance: Chance, calendar: Calendar, people: Iterable[Person], catalogue: Catalogue) -> Iterator[Row]:
    """Workouts of every tenth member and of the demo's client, with weights that grow week by week."""
    templates = list(catalogue.template_contents.values())
    for person in people:
        if person.number % ONE_IN_LOGS and not person.is_client_login:
            continue
        random = chance.stream(f"logs:{person.number}")
        mine = random.sample(templates, 2)
        strength = random.uniform(0.6, 1.3)
        for week in range(LOGGED_WEEKS, 0, -1):
            for turn, offset in enumerate(sorted(random.sample(range(7), random.randint(1, 2)))):
                day = calendar.today - timedelta(days=week * 7 - offset)
                if day > person.joined:
                    growth = strength * (1 + 0.02 * (LOGGED_WEEKS - week))
                    yield _log(chance, calendar, person, mine[turn % 2], day, growth, catalogue, random)


def _log(
    chance: Chance,
    calendar: Calendar,
    person: Person,
    template: Template,
    day: date,
    growth: float,
    catalogue: Catalogue,
    random: Random,
) -> Row:
    started = calendar.at(day, min(person.hour, 20) * 60 + random.randrange(45))
    seconds = int(template.minutes * 60 * random.uniform(0.85, 1.15))
    pulse = random.randint(112, 138)
    row: Row = {
        "_id": chance.object_id("workout log"),
        "userId": person.id,
        "workoutTemplateId": catalogue.templates[template.key],
        "name": template.name,
        "startTime": started,
        "endTime": started + timedelta(seconds=seconds),
        "duration": float(seconds),
        "caloriesBurned": float(round(template.kcal * random.uniform(0.85, 1.15))),
        "exercises": [
            {
                "exerciseId": catalogue.exercises[work.exercise],
                "sets": [_done(work, growth, random) for _ in range(work.sets)],
            }
            for work in template.works
        ],
        "feedback": {
            "rating": random.randint(3, 5),
            "difficulty": random.randint(4, 9),
            "notes": random.choice(WORKOUT_NOTES),
        },
        "biometrics": {
            "heartRate": {
                "average": float(pulse),
                "max": float(pulse + random.randint(20, 45)),
                "min": float(pulse - random.randint(25, 45)),
            }
        },
    }
    return row | {"figures": figures.of_workout(row["exercises"], catalogue.exercise_contents)}


def _done(work: Work, growth: float, random: Random) -> Row:
    """A set as done: plates come in steps of 2.5 kg, and the last repetition does not always."""
    row = planned_set(work) | {"completed": True, "isWarmUp": False}
    if work.weight is not None:
        row["weight"] = max(round(work.weight * growth / 2.5) * 2.5, 2.5)
    if work.reps is not None:
        row["reps"] = max(work.reps - (random.random() < 0.2), 1)
    return row


def enrolments(chance: Chance, calendar: Calendar, people: Iterable[Person], catalogue: Catalogue) -> Iterator[Row]:
    """The programs that those who log workouts go through since three weeks, some days of them skipped."""
    programs = catalogue.documents["workout_programs"]
    for person in people:
        if person.number % ONE_IN_LOGS and not person.is_client_login:
            continue
        random = chance.stream(f"enrolments:{person.number}")
        program = random.choice(programs)
        start = calendar.today - timedelta(days=ENROLLED_DAYS)
        begun = calendar.at(start, 9 * 60)
        days = [_day(one, calendar, start, random) for one in program["schedule"]]
        passed = sum(one["state"] != "pending" for one in days)
        row: Row = {
            "_id": chance.object_id("enrolment"),
            "userId": person.id,
            "programId": program["_id"],
            "programVersion": 1,
            "name": program["name"],
            "status": "active" if passed < len(days) else "completed",
            "startDate": stored_date(start),
            "pointer": passed + 1,
            "days": days,
            "restarts": 0,
            "createdAt": begun,
            "updatedAt": begun,
        }
        if passed == len(days):
            row["endedAt"] = days[-1]["settledAt"]
        yield row


def _day(planned: Row, calendar: Calendar, start: date, random: Random) -> Row:
    on = start + timedelta(days=planned["day"] - 1)
    day: Row = {"day": planned["day"], "isRestDay": planned["isRestDay"], "state": "pending"}
    if "workoutTemplateId" in planned:
        day |= {"workoutTemplateId": planned["workoutTemplateId"], "templateVersion": 1}
    if on < calendar.today:
        done = planned["isRestDay"] or random.random() < 0.85
        day |= {"state": "done" if done else "skipped", "settledAt": calendar.at(on, 20 * 60)}
    return day

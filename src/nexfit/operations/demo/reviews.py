"""What members say about coaches, facilities, templates and programs, and the averages that follow from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from bson import ObjectId

from nexfit.operations.demo.businesses import Row
from nexfit.operations.demo.calendar import Calendar
from nexfit.operations.demo.chance import Chance, weighted
from nexfit.operations.demo.content.training import REVIEW_TEXTS
from nexfit.operations.demo.people import Person

STARS = ((5, 62.0), (4, 28.0), (3, 10.0))


@dataclass(slots=True)
class Reviews:
    """`reviews` documents, and the mean and number of them by subject."""

    rows: list[Row] = field(default_factory=list)
    _stars: defaultdict[ObjectId, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(
        self, chance: Chance, calendar: Calendar, kind: str, subject: ObjectId, people: Sequence[Person], most: int
    ) -> None:
        """Let up to `most` of the people rate the subject, each once and after joining."""
        random = chance.stream(f"reviews:{subject}")
        authors = random.sample(people, min(random.randint(2, most), len(people)))
        for author in authors:
            self._add(chance, calendar, kind, subject, author, random)

    def _add(
        self, chance: Chance, calendar: Calendar, kind: str, subject: ObjectId, author: Person, random: Random
    ) -> None:
        stars = weighted(random, STARS)
        since = (calendar.today - author.joined).days
        written = calendar.at(calendar.today, -1440 * random.randrange(since - 1) - random.randrange(60, 600))
        self._stars[subject].append(stars)
        self.rows.append(
            {
                "_id": chance.object_id("review"),
                "authorId": author.id,
                "subjectType": kind,
                "subjectId": subject,
                "rating": stars,
                "text": random.choice(REVIEW_TEXTS[stars]),
                "createdAt": written,
                "updatedAt": written,
            }
        )

    def rate(self, user: Row) -> None:
        """Write a coach's mean and number of reviews into their document."""
        summary = self.summary(user["_id"])
        for part in ("coach", "gym_coach", "studio_coach"):
            if part in user["roleSpecificData"] and summary["count"]:
                user["roleSpecificData"][part] |= {
                    "ratings": summary["averageRating"],
                    "reviewCount": summary["count"],
                }

    def summary(self, subject: ObjectId) -> Row:
        """Mean and number of a subject's reviews."""
        stars = self._stars.get(subject, [])
        return {"averageRating": round(sum(stars) / len(stars), 2) if stars else 0.0, "count": len(stars)}

"""Coaches and clients: relations, packages with their credit ledger in PostgreSQL, sessions, consents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

import orjson
from bson import Decimal128, ObjectId

from nexfit.domains.coaching.medical import READ, RECORD
from nexfit.operations.demo.businesses import Branch, Row
from nexfit.operations.demo.calendar import Calendar, stored_date
from nexfit.operations.demo.catalogue import Catalogue
from nexfit.operations.demo.chance import Chance, weighted
from nexfit.operations.demo.content.people import GOALS, PRIVATE_NOTES, VISIBLE_NOTES
from nexfit.operations.demo.content.places import CURRENCY
from nexfit.operations.demo.content.training import PT_PACKAGES
from nexfit.operations.demo.contracts import Contract
from nexfit.operations.demo.ledger import Record
from nexfit.operations.demo.people import Person

LEDGER_COLUMNS = (
    "entry_id",
    "package_id",
    "coach_id",
    "client_id",
    "entry_type",
    "credits",
    "session_id",
    "created_at",
)

PACKAGE_COLUMNS = (
    *("package_id", "relation_id", "coach_id", "client_id", "name", "price", "currency", "starts_on", "ends_on"),
    *("sold_by", "created_at"),
)

CLIENTS_PER_COACH = 5
WEEKS_BACK = 6
WEEKS_AHEAD = 2
MINUTES = 55
MEDICAL_READS = 6
HOURS = (14, 15, 16)
"""Quiet hours: no class is taught then."""

OUTCOMES = (("completed", 86.0), ("no_show", 5.0), ("cancelled by coach", 5.0), ("cancelled by client", 4.0))


@dataclass(slots=True)
class Coaching:
    """Documents and ledger rows of one branch's coaches."""

    relations: list[Row] = field(default_factory=list)
    sessions: list[Row] = field(default_factory=list)
    consents: list[Row] = field(default_factory=list)
    ledger: list[Record] = field(default_factory=list)
    packages: list[Record] = field(default_factory=list)
    reads: list[Record] = field(default_factory=list)
    """Audit entries of who read medical conditions, from the time when they were open."""
    coach_of: dict[int, ObjectId] = field(default_factory=dict)
    """Member number to the coach of their live relation."""


class Coaches:
    """Pairs coaches and clients branch by branch; a coach of two branches never has two sessions at once."""

    def __init__(self, chance: Chance, calendar: Calendar, catalogue: Catalogue) -> None:
        self._chance = chance
        self._calendar = calendar
        self._catalogue = catalogue
        self._slots: defaultdict[ObjectId, int] = defaultdict(int)
        self._coached: set[int] = set()

    def at(self, branch: Branch, contracts: Sequence[Contract]) -> Coaching:
        """The relations of a branch's coaches with some of its present members."""
        made = Coaching()
        random = self._chance.stream(f"coaching:{branch.content.key}")
        present = {
            contract.person.number: contract.person
            for contract in contracts
            if contract.status == "active" and contract.person.joined < self._calendar.today - timedelta(days=70)
        }
        client_login = [contract.person for contract in contracts if contract.person.is_client_login][:1]
        for entry in branch.content.staff:
            if entry.role != "coach":
                continue
            coach = branch.staff_ids[entry.person]
            free = [person for number, person in sorted(present.items()) if number not in self._coached]
            chosen = random.sample(free, min(CLIENTS_PER_COACH + 2, len(free)))
            live, others = chosen[:CLIENTS_PER_COACH], chosen[CLIENTS_PER_COACH:]
            if entry.person == "coach" and client_login:
                live = [*client_login, *live[1:]]
            self._coached.update(person.number for person in (*live, *others))
            for person in live:
                self._live(made, branch, coach, person, random)
            for person, status in zip(others, ("pending", "ended"), strict=False):
                self._other(made, coach, person, status, random)
        return made

    def _live(self, made: Coaching, branch: Branch, coach: ObjectId, person: Person, random: Random) -> None:
        began = self._calendar.at(self._calendar.today - timedelta(weeks=WEEKS_BACK, days=3), 13 * 60)
        name, granted, price = random.choice(PT_PACKAGES)
        relation = self._chance.object_id("coach client")
        made.coach_of[person.number] = coach
        made.relations.append(
            self._relation(relation, coach, person, "active", began, random)
            | {
                "package": {
                    "name": name,
                    "price": Decimal128(price),
                    "currency": CURRENCY,
                    "startDate": stored_date(self._calendar.day_of(began)),
                    "endDate": stored_date(self._calendar.today + timedelta(days=120)),
                },
                "notes": {
                    "visible": [self._note(random.choice(VISIBLE_NOTES), began + timedelta(days=14))],
                    "private": [self._note(random.choice(PRIVATE_NOTES), began + timedelta(days=7))],
                },
            }
        )
        made.consents.append(
            {
                "_id": self._chance.object_id("consent"),
                "userId": person.id,
                "granteeId": coach,
                "scopes": ["measurements", "workouts", "nutrition", "notes"],
                "grantedAt": began,
                "updatedAt": began,
            }
        )
        made.packages.append(
            (
                *(str(relation), str(relation), str(coach), str(person.id), name, Decimal(price), CURRENCY),
                *(self._calendar.day_of(began), self._calendar.today + timedelta(days=120), str(coach), began),
            )
        )
        if person.is_client_login:
            for number in range(MEDICAL_READS):
                at = began + timedelta(days=1 + number, hours=2)
                shown = orjson.dumps({"fields": ["medicalConditions"]}).decode()
                made.reads.append((None, RECORD, str(person.id), str(coach), READ, None, shown, at))
        self._credit(made, relation, coach, person, "grant", granted, None, began)
        slot = self._slots[coach]
        self._slots[coach] += 1
        template = random.choice(list(self._catalogue.templates.values()))
        monday = self._calendar.today - timedelta(weeks=WEEKS_BACK, days=self._calendar.today.weekday())
        for week in range(1, WEEKS_BACK + WEEKS_AHEAD + 1):
            day = monday + timedelta(weeks=week, days=slot % 5)
            starts = self._calendar.at(day, HOURS[slot // 5 % len(HOURS)] * 60)
            self._session(made, branch, relation, coach, person, starts, began + timedelta(hours=1), template, random)

    def _session(
        self,
        made: Coaching,
        branch: Branch,
        relation: ObjectId,
        coach: ObjectId,
        person: Person,
        starts: datetime,
        bought: datetime,
        template: ObjectId,
        random: Random,
    ) -> None:
        session = self._chance.object_id("pt session")
        ends = starts + timedelta(minutes=MINUTES)
        # Booked six days ahead, but not before the package was bought and not after now.
        created = max(min(starts - timedelta(days=6), self._calendar.now - timedelta(hours=12)), bought)
        outcome = weighted(random, OUTCOMES) if ends <= self._calendar.now else "scheduled"
        row: Row = {
            "_id": session,
            "coachId": coach,
            "clientId": person.id,
            "facilityId": branch.id,
            "startTime": starts,
            "endTime": ends,
            "duration": MINUTES,
            "status": outcome.partition(" ")[0],
            "location": {"type": "facility", "details": branch.content.features[-1]},
            "workout": {"templateId": template, "exercises": []},
            "createdAt": created,
            "updatedAt": created,
        }
        self._credit(made, relation, coach, person, "reserve", 1, session, created)
        if outcome == "completed":
            row["updatedAt"] = ends
            row["notes"] = {"post": random.choice(VISIBLE_NOTES)}
            row["feedback"] = {
                "coach": {"rating": random.randint(3, 5)},
                "client": {"rating": random.randint(4, 5)},
            }
        if outcome.startswith("cancelled"):
            by_coach = outcome.endswith("coach")
            row["cancelledAt"] = row["updatedAt"] = starts - timedelta(hours=30 if by_coach else 2)
            row["cancelledBy"] = coach if by_coach else person.id
            row["cancellationReason"] = "Hastalık" if by_coach else "İş toplantısı"
            # A late cancellation by the client uses up the credit; one by the coach gives it back.
            self._credit(
                made, relation, coach, person, "release" if by_coach else "consume", 1, session, row["cancelledAt"]
            )
        elif outcome != "scheduled":
            row["updatedAt"] = ends
            self._credit(made, relation, coach, person, "consume", 1, session, ends)
        made.sessions.append(row)

    def _other(self, made: Coaching, coach: ObjectId, person: Person, status: str, random: Random) -> None:
        began = self._calendar.at(self._calendar.today - timedelta(days=60 if status == "ended" else 2), 12 * 60)
        row = self._relation(self._chance.object_id("coach client"), coach, person, status, began, random)
        if status == "ended":
            row["updatedAt"] = row["relationship"]["endDate"] = began + timedelta(days=40)
        made.relations.append(row)

    def _relation(
        self, relation: ObjectId, coach: ObjectId, person: Person, status: str, began: datetime, random: Random
    ) -> Row:
        relationship: Row = {"status": status}
        if status != "pending":
            relationship["startDate"] = began
        return {
            "_id": relation,
            "coachId": coach,
            "clientId": person.id,
            "relationship": relationship,
            "goals": random.sample(GOALS, 2),
            "notes": {"visible": [], "private": []},
            "createdAt": began,
            "updatedAt": began,
        }

    def _note(self, text: str, at: datetime) -> Row:
        return {"id": self._chance.object_id("coach note"), "text": text, "date": at}

    def _credit(
        self,
        made: Coaching,
        relation: ObjectId,
        coach: ObjectId,
        person: Person,
        kind: str,
        credits: int,
        session: ObjectId | None,
        at: datetime,
    ) -> None:
        made.ledger.append(
            (
                *(self._chance.uuid("credit", at), str(relation), str(coach), str(person.id), kind, credits),
                *(str(session) if session else None, at),
            )
        )

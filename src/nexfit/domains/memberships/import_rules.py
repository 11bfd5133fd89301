"""What a row of a file adds to what is known of its person. Pure rules; days are the facility's, today is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from bson import ObjectId
from dateutil.relativedelta import relativedelta

from nexfit.domains.errors import BadInput, NotFound
from nexfit.domains.memberships.documents import DurationUnit
from nexfit.domains.memberships.errors import AlreadySubscribed, MembershipRequired, OtherCurrency
from nexfit.domains.memberships.import_files import ImportedState, MemberRow
from nexfit.domains.memberships.remarks import MOST_TAGS, clean_tags
from nexfit.domains.text import fold

EARLIEST, BORN = date(2000, 1, 1), date(1900, 1, 1)
LONGEST = relativedelta(years=10)
"""How far ahead a membership may end."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The version of a plan that is on sale; the versions of a plan are one line."""

    id: ObjectId
    line: ObjectId
    name: str
    unit: DurationUnit
    value: int
    currency: str


@dataclass(frozen=True, slots=True)
class Term:
    """A membership that was sold elsewhere, both days included."""

    plan: Plan
    state: ImportedState
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Held:
    """The latest end of what a person holds or held of a plan, and whether it is live."""

    last: date
    is_live: bool


@dataclass(slots=True)
class Known:
    """What a facility knows of a person."""

    is_member: bool = False
    held: dict[ObjectId, Held] = field(default_factory=dict)
    """By line of plans."""
    tags: set[str] = field(default_factory=set)
    notes: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Addition:
    """What is to be written for a row; nothing of it for one that tells nothing new."""

    term: Term | None
    tags: Mapping[str, str]
    note: str | None

    @property
    def is_empty(self) -> bool:
        """Whether everything is known."""
        return self.term is None and not self.tags and self.note is None


def addition(
    row: MemberRow, known: Known, plans: Mapping[str, Sequence[Plan]], currency: str | None, today: date
) -> Addition:
    """What a row adds. Plans are those on sale by folded name, `currency` is what the facility trades in, if it does.

    Raises BadInput, NotFound for no such plan, OtherCurrency, MembershipRequired for who is no member and becomes none,
    AlreadySubscribed where the file says a membership that is live here ends later.
    """
    _within("birthday", row.birthday, BORN, today)
    term = None
    if row.plan is not None or row.ends_on is not None:
        term = _term(row, _plan(row, plans), today)
        if currency not in (None, term.plan.currency):
            raise OtherCurrency(currency=str(currency))
        held = known.held.get(term.plan.line)
        if held is not None:
            if held.is_live and term.last > held.last:
                raise AlreadySubscribed
            term = None  # what is known here counts, and a file tells of it again and again
    elif not known.is_member:
        raise MembershipRequired("Who is not a member yet needs a plan and the day it ends.", path=("plan",))
    tags = {folded: tag for folded, tag in clean_tags(row.tags, "tags").items() if folded not in known.tags}
    if len(known.tags) + len(tags) > MOST_TAGS:
        raise BadInput("A member has at most {most} tags.", path=("tags",), most=MOST_TAGS)
    return Addition(term, tags, row.note if row.note not in known.notes else None)


def _plan(row: MemberRow, plans: Mapping[str, Sequence[Plan]]) -> Plan:
    if row.plan is None or row.ends_on is None:
        raise BadInput(
            "A plan and the day it ends are given together.", path=("plan" if row.plan is None else "endsOn",)
        )
    found = plans.get(fold(row.plan), ())
    if len(found) > 1:
        raise BadInput("Several plans have this name.", path=("plan",))
    if not found:
        raise NotFound("There is no such plan.", path=("plan",))
    return found[0]


def _term(row: MemberRow, plan: Plan, today: date) -> Term:
    """The membership a row speaks of; it began on its only or on this day where the row does not say."""
    assert row.ends_on is not None  # noqa: S101  # looked at with the plan
    _within("endsOn", row.ends_on, EARLIEST, today + LONGEST)
    is_over = row.ends_on < today
    state = row.status or (ImportedState.EXPIRED if is_over else ImportedState.ACTIVE)
    if is_over == (state is ImportedState.ACTIVE):
        raise BadInput("What is active has not ended, and what has ended is not active.", path=("status",))
    first = row.starts_on or min(today, row.ends_on)
    _within("startsOn", first, EARLIEST, min(today, row.ends_on))
    return Term(plan, state, first, row.ends_on)


def _within(name: str, day: date | None, least: date, most: date) -> None:
    if day is not None and not least <= day <= most:
        raise BadInput("{name} must be between {least} and {most}.", path=(name,), name=name, least=least, most=most)

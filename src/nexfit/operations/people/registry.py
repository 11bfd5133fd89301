"""The registry: whose everything is, what of it a person is given, and what becomes of it when the person is erased.

`mongo.yaml`, `postgres.yaml` and `elsewhere.yaml` beside this module say so of every collection, table, family of Redis
keys and folder; export and erasure do what stands there and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

NOT_PEOPLE = frozenset(
    {
        *(
            "facilityId",
            "classId",
            "occurrenceId",
            "membershipId",
            "lineId",
            "replacedBy",
            "homeFacilityId",
            "facilityIds",
        ),
        *("exerciseId", "workoutTemplateId", "templateId", "programId", "forkedFrom", "alternateExercises"),
        *("workoutLogId", "foodId", "exercises"),
        *("facility_id", "business_id", "plan_id", "occurrence_id", "package_id", "relation_id", "session_id", "chain"),
        *("program_id", "enrolment_id"),
        "id",  # of what stands inside a document
    }
)
"""Ids that are never a person's, by the last part of their path."""


def _words(given: object) -> object:
    return tuple(given.split()) if isinstance(given, str) else given


Names = Annotated[tuple[str, ...], BeforeValidator(_words)]


class Erased(StrEnum):
    """What becomes of a document or row."""

    DELETE = "delete"
    KEEP = "keep"
    CHANGE = "change"
    PULL = "pull"
    WORKFLOW = "workflow"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Strict):
    """What the holder of an id gets of what has it, and what becomes of that."""

    exported: Names | dict[str, str] = ()
    erased: Erased
    kept: Names = ()
    dropped: Names = ()
    set: dict[str, Any] = Field(default_factory=dict)
    only: dict[str, Any] = Field(default_factory=dict)
    otherwise: Erased | None = None
    unless_used: dict[str, str] = Field(default_factory=dict)
    by_words: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.erased is Erased.CHANGE) != bool(self.dropped or self.set):
            raise ValueError("what is changed says how, and nothing else does")
        if bool(self.only) != (self.otherwise is not None):
            raise ValueError("what holds for some says what holds for the others")
        return self


class Holding(_Strict):
    """A collection or table. Without `of`, `through`, `by_prefix` and `by_words` it is nobody's."""

    of: str | None
    why: Annotated[str, Field(min_length=5)]
    exported: Names | dict[str, str] = ()
    internal: Names = ()
    erased: Erased | None = None
    kept: Names = ()
    dropped: Names = ()
    set: dict[str, Any] = Field(default_factory=dict)
    only: dict[str, Any] = Field(default_factory=dict)
    otherwise: Erased | None = None
    unless_used: dict[str, str] = Field(default_factory=dict)
    through: dict[str, str] = Field(default_factory=dict)
    by_prefix: str | None = None
    by_words: dict[str, str] = Field(default_factory=dict)
    others: dict[str, Rule] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whose(self) -> Self:
        if self.is_somebodys != (self.erased is not None):
            raise ValueError("what is somebody's says what becomes of it, and nothing else does")
        if self.erased is not None:
            _ = self.rule  # raises what a rule raises
        return self

    @property
    def is_somebodys(self) -> bool:
        """Whether its documents are about single people."""
        return bool(self.of or self.through or self.by_prefix or self.by_words)

    @property
    def rule(self) -> Rule:
        """What holds for the person it is about."""
        names = ("exported", "erased", "kept", "dropped", "set", "only", "otherwise", "unless_used")
        return Rule(**{name: getattr(self, name) for name in names})

    def rules(self) -> Mapping[str, Rule]:
        """What holds, by the path of the id of the person it holds for."""
        own = {self.of: self.rule} if self.of is not None else {}
        return {**own, **self.others}


class Elsewhere(_Strict):
    """A family of Redis keys, or a folder of files; `lasts`: seconds after which it is gone by itself, if it is."""

    why: Annotated[str, Field(min_length=5)]
    personal: bool
    lasts: int | None = None
    erased: Erased | None = None

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.personal and self.lasts is None and self.erased is not Erased.DELETE:
            raise ValueError("what is personal is deleted or ends by itself")
        return self


@cache
def mongo() -> Mapping[str, Holding]:
    """By collection."""
    return {name: Holding.model_validate(given) for name, given in _read("mongo.yaml").items()}


@cache
def postgres() -> Mapping[str, Holding]:
    """By table, with its schema."""
    return {name: Holding.model_validate(given) for name, given in _read("postgres.yaml").items()}


@cache
def redis() -> Mapping[str, Elsewhere]:
    """By the beginning of the keys."""
    return {name: Elsewhere.model_validate(given) for name, given in _read("elsewhere.yaml")["redis"].items()}


@cache
def folders() -> Mapping[str, Elsewhere]:
    """By the beginning of the files' keys, in which `{id}` is the person's id."""
    return {name: Elsewhere.model_validate(given) for name, given in _read("elsewhere.yaml")["files"].items()}


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(files(__package__).joinpath(name).read_text(encoding="utf-8"))
    return found

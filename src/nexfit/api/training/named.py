"""Fields of templates and programs that others name by id: who may read the one may read the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nexfit.api.context import Context
from nexfit.api.fields import Args, batch
from nexfit.domains.training import library
from nexfit.domains.training.library import PROGRAMS, TEMPLATES
from nexfit.engine.fields import Record


def _by_id(collection: str, key: str) -> Callable[..., Awaitable[Sequence[Any]]]:
    async def load(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
        ids = [parent[key] for parent in parents if parent.get(key)]
        found = await library.by_ids(context.stores.mongo, collection, ids, args.selection.columns)
        return [found.get(parent[key]) if parent.get(key) else None for parent in parents]

    return load


def template_field(key: str, description: str) -> Any:
    """A `WorkoutTemplate` found by an id that the parent keeps."""
    return batch(_by_id(TEMPLATES, key), needs=(key,), description=description)


def program_field(key: str, description: str) -> Any:
    """A `WorkoutProgram` found by an id that the parent keeps."""
    return batch(_by_id(PROGRAMS, key), needs=(key,), description=description)


async def _versions(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
    named = [(parent.get("workoutTemplateId"), parent.get("templateVersion") or 1) for parent in parents]
    pairs = [(template, version) for template, version in named if template is not None]
    found = await library.versions(context.stores.mongo, pairs, args.selection.columns)
    return [found.get(pair) if pair[0] is not None else None for pair in named]  # type: ignore[arg-type]


def version_field(description: str) -> Any:
    """The `WorkoutTemplateVersion` that the parent names by template and version."""
    return batch(_versions, needs=("workoutTemplateId", "templateVersion"), description=description)

"""Pictures of a measurement or a workout, with addresses that end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from nexfit.api.context import Context
from nexfit.api.fields import Args
from nexfit.domains.training.photos import is_of
from nexfit.engine.fields import Record
from nexfit.stores.signed_files import SignedFiles


async def of_measurements(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """The pictures of each measurement; one whose stored key is none is left out."""
    files = SignedFiles.of(context.services.settings)
    return [
        [
            {**photo, "url": address}
            for photo in parent.get("photos") or ()
            if (address := files.address(photo["url"], context.now)) is not None
        ]
        for parent in parents
    ]


async def of_workouts(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    """The addresses of each workout's pictures; one whose stored key is none is left out."""
    files = SignedFiles.of(context.services.settings)
    shown = [[files.address(key, context.now) for key in parent.get("photos") or ()] for parent in parents]
    return [[address for address in addresses if address] for addresses in shown]


async def uploaded(keys: Iterable[str], context: Context) -> set[str]:
    """Of the keys those of pictures that the viewer has sent."""
    viewer, files = context.actor.require(), SignedFiles.of(context.services.settings)
    own = {key for key in keys if is_of(viewer, key)}
    return await asyncio.to_thread(lambda: {key for key in own if files.read(key, 0) is not None}) if own else own


async def remove(keys: Iterable[str], context: Context) -> None:
    """Delete the files of pictures that nothing names any more."""
    await asyncio.to_thread(SignedFiles.of(context.services.settings).remove, set(keys))

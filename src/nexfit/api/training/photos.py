"""Pictures of a measurement, with addresses that end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nexfit.api.context import Context
from nexfit.api.fields import Args
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

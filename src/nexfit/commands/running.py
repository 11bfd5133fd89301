"""Running one command: its console, its stores, and how an expected failure ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import Console

if TYPE_CHECKING:
    from nexfit.hybrid.unit_of_work import UnitsOfWork
    from nexfit.settings import Settings

T = TypeVar("T")

console = Console()
errors = Console(stderr=True)

DataDir = Annotated[Path, typer.Option(help="Local servers to use where no NEXFIT_*_URL names others.")]
LOCAL = Path(".data")
MOST_SHOWN = 20
"""Skipped rows that are listed one by one."""


def run(data_dir: Path, work: Callable[[Settings], Coroutine[Any, Any, T]]) -> T:
    """Run to the end against the stores at hand; what can be expected to go wrong is one line and exit code 1."""
    from nexfit.local_servers import local_servers

    try:
        with local_servers(data_dir):
            return asyncio.run(work(settings()))
    except expected() as error:
        raise failed(error) from None


def decide(data_dir: Path, decision: Callable[[UnitsOfWork], Awaitable[object]], done: str) -> None:
    """Carry an operator's decision out and say so; what it is refused for is one line and exit code 1."""
    from nexfit.domains.errors import Refusal
    from nexfit.hybrid.joined_views import JoinedViews
    from nexfit.hybrid.unit_of_work import UnitsOfWork
    from nexfit.stores.connections import open_stores

    async def decided(settings: Settings) -> None:
        async with open_stores(settings) as stores:
            await decision(UnitsOfWork(stores, JoinedViews(stores.redis).invalidate))

    try:
        run(data_dir, decided)
    except Refusal as refused:
        raise failed(refused) from None
    console.print(done)


def expected() -> tuple[type[Exception], ...]:
    """What can be expected to go wrong, whoever is to blame for it."""
    from nexfit.embedded import EmbeddedError
    from nexfit.local_servers import PortInUse
    from nexfit.operations.demo import NotEmpty
    from nexfit.operations.importers import ImportRefused
    from nexfit.operations.migration_errors import MigrationError
    from nexfit.operations.mongo_files import MongoFileError
    from nexfit.operations.mongo_schema import SchemaNotApplied
    from nexfit.stores.errors import StoreError
    from nexfit.stores.field_encryption import FieldEncryptionError

    return (
        EmbeddedError,
        PortInUse,
        NotEmpty,
        ImportRefused,
        MigrationError,
        MongoFileError,
        SchemaNotApplied,
        StoreError,
        FieldEncryptionError,
        FileNotFoundError,
    )


def settings() -> Settings:
    """The environment's settings; a wrong one is named by its variable, without its value."""
    from pydantic import ValidationError

    from nexfit.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            variable = "NEXFIT_" + "_".join(str(part) for part in fault["loc"]).upper()
            errors.print(f"[bold red]nexfit:[/] {variable}: {fault['msg']}", highlight=False)
        raise typer.Exit(1) from None


def failed(error: BaseException) -> typer.Exit:
    errors.print(f"[bold red]nexfit:[/] {error}", highlight=False)
    return typer.Exit(1)

"""Progress bars of the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)


@contextmanager
def progress(console: Console) -> Iterator[Progress]:
    """Progress bars that a log file or a pipe can bear as well: drawn only on a terminal."""
    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        yield bars


def bar_per_step(bars: Progress) -> Callable[[str, int, int], None]:
    """A progress callback `(step, done, total)` that draws one bar for each step."""
    tasks: dict[str, TaskID] = {}

    def on_progress(step: str, done: int, total: int) -> None:
        task = tasks.get(step)
        if task is None:
            task = tasks[step] = bars.add_task(step, total=total)
        bars.update(task, completed=done, total=total)

    return on_progress

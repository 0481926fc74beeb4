"""What a command that goes clip by clip says while it goes, and of those that failed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from flowkit.errors import printable

EVERY_SECONDS = 5.0
TOLD_FAILURES = 10


class Report(Protocol):
    """Is told how many clips are done."""

    def __call__(self, done: int) -> None: ...


@contextmanager
def clip_bar(total: int) -> Iterator[Report]:
    """A bar on a terminal, a line every few seconds elsewhere."""
    console = Console()
    if console.is_terminal:
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("clips"), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=total)
            yield lambda done: bar.update(task, completed=done)
        return
    said = time.monotonic()

    def line(done: int) -> None:
        nonlocal said
        if time.monotonic() - said >= EVERY_SECONDS:
            said = time.monotonic()
            console.print(f"{done} of {total} clips", highlight=False, soft_wrap=True)

    yield line


def tell_failures(failures: Sequence[tuple[str, str]], column: str) -> None:
    """Clips that failed, on stderr, the first ones with their reasons.

    Args:
        failures: clip_id and reason.
        column: of the manifest, which has them all.
    """
    for clip_id, reason in failures[:TOLD_FAILURES]:
        typer.echo(f"flowkit: {printable(clip_id)}: {printable(reason)}", err=True)
    if len(failures) > TOLD_FAILURES:
        typer.echo(f"flowkit: {len(failures) - TOLD_FAILURES} more failed; the column {column} has all", err=True)

"""The command `flowkit verify`."""

from __future__ import annotations

import typer

from flowkit.cli.options import Out
from flowkit.cli.signals import UNPROVED
from flowkit.errors import OutputError


def verify(out: Out) -> None:
    """Prove an output: every planned pair exactly once, every checksum right, nothing extra; and sum up its quality.

    Exit codes: 0 sound, 2 problems (one line each) or stopped, 3 sound but not finished.
    """
    from flowkit.output.verify import verify as check

    try:
        result = check(out)
    except KeyboardInterrupt:
        raise OutputError(UNPROVED) from None
    for problem in result.problems:
        typer.echo(f"flowkit: {problem}", err=True)
    typer.echo(str(result), err=not result.ok)
    for line in result.quality.lines():
        typer.echo(line, err=not result.ok)
    raise typer.Exit(2 if result.problems else 3 if result.unfinished else 0)

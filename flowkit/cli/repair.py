"""The command `flowkit repair`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flowkit.cli.options import Out
from flowkit.cli.signals import stoppable


def repair(
    out: Out,
    source: Annotated[
        Path | None,
        typer.Argument(metavar="SOURCE", help="From what OUT was extracted. Default: from where run.json says it was."),
    ] = None,
    pairs: Annotated[
        str | None, typer.Option(metavar="PLAN", help="With its file, where that is no longer where it was.")
    ] = None,
    landmarks: Annotated[
        str | None, typer.Option(metavar="MODE", help="With its file, where that is no longer where it was.")
    ] = None,
    face: Annotated[
        str | None, typer.Option(metavar="MODE", help="boxes:FILE, where the file is no longer where it was.")
    ] = None,
    frame_base: Annotated[int | None, typer.Option(help="As for extract. Default: what run.json says.")] = None,
    lost_as_failures: Annotated[
        bool,
        typer.Option(
            "--lost-as-failures",
            help="Pairs of damaged parts whose frames are gone, changed or broken become failure rows.",
        ),
    ] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Go on although decoders have changed; OUT records it.")
    ] = False,
    engine: Annotated[str, typer.Option(help="local (processes) or ray.")] = "local",
    ray_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of a running Ray cluster. Default: as for extract.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes or actors. Default: one a CPU.")] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")] = False,
) -> None:
    """Compute again what verify finds damaged in an output, and what is missing, with the output's own parameters.

    Exit codes: 0 sound now, 2 problems that are left, or that cannot be mended, 3 stopped and resumable.
    """
    from flowkit.cli.progress import ProgressReport
    from flowkit.extraction.repair import repair as mend

    with stoppable(), ProgressReport(Console(quiet=quiet)) as report:
        result = mend(
            out,
            source,
            pairs=pairs,
            landmarks=landmarks,
            face=face,
            frame_base=frame_base,
            lost_as_failures=lost_as_failures,
            accept_changes=accept_changes,
            engine=engine,
            ray_address=ray_address,
            workers=workers,
            report=report,
        )
    if not quiet:
        for note in result.notes:
            typer.echo(f"flowkit: {note}", err=True)
        parts = ", ".join(map(str, result.parts[:20])) + (", ..." if len(result.parts) > 20 else "")
        computed = f"{len(result.parts)} parts computed again ({parts})" if result.parts else "no part to compute again"
        removed = f", {len(result.removed)} stray files removed" if result.removed else ""
        typer.echo(computed + removed)
    left = result.verification
    for problem in left.problems:
        typer.echo(f"flowkit: {problem}", err=True)
    if not quiet or not left.ok:
        typer.echo(str(left), err=not left.ok)
    raise typer.Exit(2 if left.problems else 3 if left.unfinished else 0)

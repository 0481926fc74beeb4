"""The command `flowkit view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowkit.cli.options import Out


def view(
    out: Out,
    clip: Annotated[str, typer.Option("--clip", metavar="ID", help="The clip_id.")],
    picture: Annotated[Path, typer.Option("-o", "--out", metavar="PNG", help="The picture to write.")],
    pair: Annotated[
        int | None,
        typer.Option(metavar="N", help="Which of the clip's pairs, from 0. Default: the one that moves most."),
    ] = None,
) -> None:
    """Draw one pair: its frames, the flow as a colour wheel, the strain as heat.

    Example: flowkit view out --clip sub01/EP02_01f -o picture.png
    """
    from flowkit.pictures.pair import render

    render(out, clip, picture, pair)
    typer.echo(f"-> {picture}")

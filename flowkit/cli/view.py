"""The command `flowkit view`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from flowkit.cli.options import Out


def view(
    out: Out,
    clip: Annotated[str, typer.Option("--clip", metavar="ID", help="The clip_id.")],
    picture: Annotated[
        Path, typer.Option("-o", "--out", metavar="PICTURE", help="The picture to write: .png, .jpg or .webp.")
    ],
    pair: Annotated[
        int | None,
        typer.Option(metavar="N", help="Which of the clip's pairs, from 0. Default: the one that moves most."),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            metavar="PX", help="Length of the most saturated flow, the same for pictures to compare. Default: its own."
        ),
    ] = None,
) -> None:
    """Draw one pair: its frames, the flow as a colour wheel, the strain as heat.

    Example: flowkit view out --clip sub01/EP02_01f -o picture.png
    """
    from flowkit.errors import InputError
    from flowkit.pictures.canvas import require_format
    from flowkit.pictures.pair import liveliest_pair, render

    require_format(picture)
    if scale is not None and not 0 < scale < math.inf:
        raise InputError(f"--scale {scale:g}: give a number of pixels above 0")
    if pair is None:
        chosen = liveliest_pair(out, clip)
        pair = chosen.index
        if chosen.cuts:
            which = ", ".join(map(str, chosen.cuts[:5])) + (", ..." if len(chosen.cuts) > 5 else "")
            typer.echo(
                f"flowkit: drew pair {pair}; passed over {len(chosen.cuts)} that look like scene cuts ({which}), which "
                "--pair draws",
                err=True,
            )
    render(out, clip, picture, pair, scale_px=scale)
    typer.echo(f"-> {picture}")

"""The command `flowkit bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flowkit.errors import require_shown


def bench(
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="opencv, scikit-image, farneback, dis-medium, dis-fast, dis-ultrafast, opencv-cuda. "
            "Default: all that are installed.",
        ),
    ] = None,
    sizes: Annotated[str, typer.Option(metavar="N|WxH,...", help="At least 32 px.")] = "64,128,224,340x280",
    threads: Annotated[str, typer.Option(metavar="N,...", help="Numbers of threads, or all.")] = "1,all",
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="JSON", help="Write the figures here.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw error against time (224 x 224 if among SIZES).")
    ] = None,
) -> None:
    """Measure speed and accuracy on this machine, beside other optical flow; every answer is checked.

    Faces with known motion, all methods in turn. "x" columns: how many times as fast as that peer, same frames.

    Example: flowkit bench --sizes 224 --threads 1 --against opencv,dis-medium
    """
    from flowkit import bench as benchmark

    benchmark.command(against, sizes, threads, out, plot, typer.echo)
    require_shown()

"""The command `flowkit demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder, or an earlier demo.")],
) -> None:
    """Make a small licence-free dataset with known motion, extract it, and draw what was found beside the truth.

    `flowkit-train demo DIR` then trains on it and writes the page DIR/index.html.
    """
    from flowkit.cli.demo_run import run

    run(folder)

"""The command `flowkit-train demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainer.cli.endings import reported


def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What flowkit demo DIR has made.")],
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train on the demo of flowkit demo, and write the page DIR/index.html that shows both."""
    with reported(debug):
        from trainer.demo.tour import run

        run(folder)

"""The command `flowkit-train demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainer.cli.endings import stoppable


def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What flowkit demo DIR has made.")],
) -> None:
    """Train on the demo of flowkit demo, and write the page DIR/index.html that shows both."""
    with stoppable():
        from trainer.demo.tour import run

        run(folder)

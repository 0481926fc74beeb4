"""The command `flowkit-train models`."""

from __future__ import annotations

import typer

from flowkit.errors import require_shown
from trainer.catalogue import CATALOGUE


def models() -> None:
    """List the models: their parameters with three emotions and two groups, input sizes and sources."""
    width = max(map(len, CATALOGUE))
    typer.echo(f"{'model':{width}}  {'parameters':>10}  {'input, px':>9}  {'reads':18}  source")
    for name, info in CATALOGUE.items():
        count = f"{info.parameters:,}" if info.parameters else "-"
        size = f"{info.size} x {info.size}" if info.size else "any"
        typer.echo(f"{name:{width}}  {count:>10}  {size:>9}  {info.reads:18}  {info.source}")
    typer.echo("Any network of timm can be named too, as one backbone on the cube: --model convnext_tiny")
    require_shown()

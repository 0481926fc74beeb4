"""The command `flowkit`: its commands."""

from __future__ import annotations

from typing import Annotated

import typer

from flowkit.cli.annotate import app as annotate
from flowkit.cli.bench import bench
from flowkit.cli.demo import demo
from flowkit.cli.doctor import doctor
from flowkit.cli.extract import extract
from flowkit.cli.hash import hash_frames
from flowkit.cli.index import app as index
from flowkit.cli.keyframes import app as keyframes
from flowkit.cli.repair import repair
from flowkit.cli.verify import verify
from flowkit.cli.view import view

app = typer.Typer(
    name="flowkit",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        from flowkit.extraction.request import software_version

        typer.echo(f"flowkit {software_version()}")
        raise typer.Exit


@app.callback()
def _flowkit(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """TV-L1 optical flow and optical strain for facial micro-expressions.

    Frames go in; Parquet shards of motion cubes (u, v, strain magnitude) come out.
    """


for command in (extract, verify, repair, view, doctor, bench, demo):
    app.command()(command)
app.command("hash")(hash_frames)
app.add_typer(index, name="index")
app.add_typer(keyframes, name="keyframes")
app.add_typer(annotate, name="annotate")

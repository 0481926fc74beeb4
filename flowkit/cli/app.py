"""The command `flowkit`: its commands, and how errors become one line and an exit code."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

from flowkit.cli.bench import bench
from flowkit.cli.demo import demo
from flowkit.cli.doctor import doctor
from flowkit.cli.extract import extract
from flowkit.cli.verify import verify
from flowkit.cli.view import view
from flowkit.errors import UNEXPECTED_EXIT_CODE, FlowkitError

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


for command in (extract, verify, view, doctor, bench, demo):
    app.command()(command)


def main() -> None:
    """The entry point: runs the command line and turns errors into one line and an exit code."""
    debug = "--debug" in sys.argv
    try:
        app(args=[argument for argument in sys.argv[1:] if argument != "--debug"])
    except FlowkitError as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"flowkit: {error}", err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        if debug:
            raise
        what = f"{type(error).__name__}: {error}"
        typer.echo(f"flowkit: unexpected {what}; run it again with --debug for the traceback, and report it", err=True)
        sys.exit(UNEXPECTED_EXIT_CODE)

"""The program flowkit-train: its commands, and how each of them ends."""

from __future__ import annotations

from typing import Annotated

import typer

from flowkit.errors import leave, run_command
from trainer.cli.audit import audit
from trainer.cli.compare import compare, report
from trainer.cli.demo import demo
from trainer.cli.loso import EXAMPLE, loso
from trainer.cli.models import models
from trainer.studies import run_commands

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def train(debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False) -> None:
    """Train and evaluate micro-expression models on the shards of flowkit extract."""


app.command()(demo)
app.command(epilog=EXAMPLE)(loso)
app.command()(models)
app.command()(audit)
app.command()(compare)
app.command()(report)
app.add_typer(run_commands.app, name="study")


def command(arguments: list[str]) -> object:
    """Runs a command; --debug, anywhere among its arguments, is for who tells its errors."""
    arguments = [argument for argument in arguments if argument != "--debug"]
    return app(args=arguments, prog_name="flowkit-train", standalone_mode=False)


def main() -> None:
    """Entry point of the console script: every error is one line and an exit code."""
    leave(run_command("flowkit-train", command))

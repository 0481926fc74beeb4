"""The command line: `flowkit`, one file a command. Exit codes are in docs/cli.md and in `flowkit.errors`."""

from flowkit.cli.signals import stop_at_once
from flowkit.errors import leave, run_command

__all__ = ["main"]


def main() -> None:
    """The entry point: runs the command line and turns errors into one line and an exit code."""
    stop_at_once()
    leave(run_command("flowkit", _command))


def _command(arguments: list[str]) -> object:
    # Imported here, so that what is wrong with the compiled extension is one line too.
    from flowkit.cli.app import app

    return app(
        args=[argument for argument in arguments if argument != "--debug"], prog_name="flowkit", standalone_mode=False
    )

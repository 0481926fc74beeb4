"""The command line: `flowkit`, one file a command. Exit codes are in docs/cli.md and in `flowkit.errors`."""

from flowkit.cli.signals import stop_at_once

__all__ = ["main"]


def main() -> None:
    """The entry point: runs the command line and turns errors into one line and an exit code."""
    stop_at_once()
    from flowkit.cli.app import main as run

    run()

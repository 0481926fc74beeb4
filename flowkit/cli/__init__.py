"""The command line: `flowkit`, one file a command. Exit codes are in docs/cli.md and in `flowkit.errors`."""

from flowkit.cli.app import main

__all__ = ["main"]

"""The command flowkit-train, a file a command."""

from trainer.cli.app import app, main

__all__ = ["app", "main"]

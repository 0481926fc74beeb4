"""How a command ends: whatever it cannot do is one line on stderr, and an exit code."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import typer

from flowkit.errors import UNEXPECTED_EXIT_CODE, FlowkitError, InputError, Interrupted

_INTERRUPTED = 130
"""What typer gives for a Ctrl-C that a command does not handle itself."""


@runtime_checkable
class _UsageError(Protocol):
    """Click's errors, of its own package or of the copy within newer versions of typer."""

    exit_code: int

    def format_message(self) -> str: ...


def run(name: str, command: Callable[[list[str]], object]) -> int:
    """Runs a command with the arguments of this process and returns its exit code; without any it shows its help.

    Args:
        name: of the program, which begins the line of an error; with --debug the traceback comes before it.
        command: gets the arguments; what it returns is its exit code, or None for 0.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may have bytes that are no text
    arguments = sys.argv[1:]
    try:
        if "" in arguments:
            raise InputError(
                "an argument is empty (''), as a shell's variable that is not set; leave it out or fill it"
            )
        code = command(arguments or ["--help"])
        if code == _INTERRUPTED:
            raise Interrupted("stopped; run the same command again")
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        text, code = _told(error)
        typer.echo(f"{name}: {' '.join(text.splitlines())}", err=True)
    return (code if isinstance(code, int) else 0) if arguments else 2


def _told(error: Exception) -> tuple[str, int]:
    """The sentence and the exit code of an error."""
    what = f"{type(error).__name__}: {error}"
    match error:
        case FlowkitError():
            return str(error), error.exit_code
        case _UsageError():
            context = getattr(error, "ctx", None)
            path = f"; see {context.command_path} --help" if context else ""
            return error.format_message().rstrip(".") + path, 2
        case typer.Abort():
            return _told(Interrupted("stopped; run the same command again"))
        case OSError(filename=path, strerror=str(reason)) if path is not None:
            return f"{os.fsdecode(path)!r} cannot be used: {reason}; mend that, or give another path", 2
        case ImportError() if str(error).startswith("SIMD level") and "FLOWKIT_SIMD" in os.environ:
            return f"FLOWKIT_SIMD={os.environ['FLOWKIT_SIMD']}: {error}, or unset it", 2
    return f"unexpected {what}; run it again with --debug for the traceback, and report it", UNEXPECTED_EXIT_CODE

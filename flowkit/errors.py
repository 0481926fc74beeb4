"""Errors that stop a piece of work: each is one sentence with the offending value and the remedy.

Exit codes of the commands: 0 all done; 1 done, with failed pairs; 2 bad input, parameters that do not match, or damage;
3 stopped before the end, and resumable; 70 an unexpected error, which running the same command again will not mend.
"""

from __future__ import annotations

import errno
import io
import operator
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, Protocol, runtime_checkable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MOMENT_S = 0.05
_INTERRUPTED = 130
"""What typer makes of a KeyboardInterrupt that nothing has caught: of one between two handlers of signals, say."""
_NO_TEXT = "backslashreplace"
"""What a file's name is shown by that has bytes which are no text."""
UNEXPECTED_EXIT_CODE = 70
"""EX_SOFTWARE of sysexits.h."""


class FlowkitError(Exception):
    """A problem that the user can mend. Its text is one sentence with the offending value and the remedy."""

    exit_code = 2


class InputError(FlowkitError, ValueError):
    """An argument, manifest or parameter that cannot be used."""


def whole(name: str, value: object) -> int:
    """An argument that is to be a whole number, of any type of those; an InputError with its name for another."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(f"{name}={value!r}: give a whole number") from None


class FrameError(FlowkitError):
    """A frame (or a whole clip) that cannot be read: it becomes a row of the failures table, never a guess."""


class OutputError(FlowkitError):
    """An output folder that does not fit the request, is damaged, or cannot be written."""


class StoreError(FlowkitError):
    """An object store that refuses a request, or for which something is missing here."""


class Interrupted(FlowkitError):
    """A run that stopped before its end; running the same command again continues it."""

    exit_code = 3


def run_command(name: str, command: Callable[[list[str]], object]) -> int:
    """Runs a command with the arguments of this process; whatever it cannot do is one line on stderr.

    What it has to show goes where there is a reader, and room; where there is none it works on.

    Args:
        name: of the program, which begins the line of an error; with --debug the traceback comes before it.
        command: gets the arguments, ["--help"] where there are none; what it returns is its exit code, or None for 0.

    Returns:
        The exit code.
    """
    _show_what_can_be_shown()
    arguments = sys.argv[1:]
    try:
        if (empty := next(filter(_is_empty, arguments), None)) is not None:
            raise InputError(
                f"an argument is empty ({empty!r}), as a shell's variable that is not set; leave it out or fill it"
            )
        code = command(arguments or ["--help"])
        if code == _INTERRUPTED:
            raise Interrupted("stopped; run the same command again")
    except (Exception, SystemExit) as error:
        if "--debug" in arguments:
            traceback.print_exc()
        # typer ends the process without a word where a pipe breaks: one of the work's, since what is shown never fails.
        text, code = told(error.__context__ or error if isinstance(error, SystemExit) else error)
        print(f"{name}: {printable(text)}", file=sys.stderr)
    if lost := _lost():
        print(f"{name}: not all could be written to stdout ({lost.strerror})", file=sys.stderr)
    return (code if isinstance(code, int) else 0) if arguments else 2


def _is_empty(argument: str) -> bool:
    """Whether it is nothing, or an option that is given nothing, as --out=."""
    return argument == "" or (argument.startswith("--") and argument.partition("=")[1:] == ("=", ""))


class _Shown(io.FileIO):
    """A standard stream's descriptor that never fails: for what it does not take there is no reader, or no room."""

    lost: OSError | None = None
    """Why something is lost that had a reader."""

    def write(self, data: ReadableBuffer, /) -> int:
        """See `io.FileIO.write`."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EPIPE:
                self.lost = error
            return memoryview(data).nbytes


def _show_what_can_be_shown() -> None:
    """From now on no write to stdout or stderr fails, whatever becomes of them."""
    # Where one is closed, the next file to be opened would get its number, and what C code prints there.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(_Shown(os.devnull, "w")), "utf-8", _NO_TEXT))
        elif type(stream) is io.TextIOWrapper and stream.fileno() == number:
            shown = io.BufferedWriter(_Shown(number, "w", closefd=False))
            at_once = stream.line_buffering or stream.write_through
            setattr(sys, name, io.TextIOWrapper(shown, stream.encoding, _NO_TEXT, line_buffering=at_once))
        elif isinstance(stream, io.TextIOWrapper):  # what a test has put there
            stream.reconfigure(errors=_NO_TEXT)


def _lost() -> OSError | None:
    """Why stdout has not taken all, for want of room, say; told once."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if not isinstance(raw, _Shown):
        return None
    sys.stdout.flush()
    lost, raw.lost = raw.lost, None
    return lost


def require_shown() -> None:
    """For the end of a command whose result is what it has printed: an OutputError where not all of it is written.

    A reader who has gone, as `head`, has had what it wanted.
    """
    if lost := _lost():
        raise OutputError(f"stdout cannot be written ({lost.strerror}); make room, or print it elsewhere")


def leave(code: int) -> NoReturn:
    """Ends this process, all of whose work is done and told, with this code, which no signal changes any more: Python
    gives handlers up on its way out, and Ctrl-C would end it with another one.
    """
    # Where a KeyboardInterrupt came in the middle of an `exec`, as when a dataclass is made, Python remembers that it
    # was not caught in there, and under `python -m` ends by SIGINT whatever became of it. The next `exec` forgets.
    exec("")
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


@contextmanager
def never_lost(again: Callable[[], int]) -> Iterator[None]:
    """In here a signal's KeyboardInterrupt that Python drops, since it was raised in a weak reference's callback or a
    `__del__`, is not the end of it: the signal that `again` names, once it is ready for it, comes a moment later.
    """
    others = sys.unraisablehook

    def dropped(what: sys.UnraisableHookArgs) -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            later = threading.Timer(_MOMENT_S, os.kill, (os.getpid(), again()))
            later.daemon = True
            later.start()
        else:
            others(what)

    sys.unraisablehook = dropped
    try:
        yield
    finally:
        sys.unraisablehook = others


def printable(text: str) -> str:
    """A text as one line that does nothing to a terminal: control characters, of files' content, say, are escaped."""
    line = " ".join(text.splitlines())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


@runtime_checkable
class _UsageError(Protocol):
    """What the command line's parser raises: click's errors, of its own package or of the copy within typer."""

    exit_code: int

    def format_message(self) -> str: ...


def told(error: BaseException) -> tuple[str, int]:
    """The sentence and the exit code of an error that ends a command."""
    match error:
        case FlowkitError():
            return str(error), error.exit_code
        case _UsageError():
            context = getattr(error, "ctx", None)
            path = f"; see {context.command_path} --help" if context else ""
            return error.format_message().rstrip(".") + path, 2
        case OSError(filename=path, strerror=str(reason)) if path is not None:
            return f"{os.fsdecode(path)!r} cannot be used: {reason}; mend that, or give another path", 2
        case ImportError() if str(error).startswith("SIMD level") and "FLOWKIT_SIMD" in os.environ:
            return f"FLOWKIT_SIMD={os.environ['FLOWKIT_SIMD']}: {error}, or unset it", 2
        case MemoryError():
            what = f" ({error})" if str(error) else ""
            remedy = "run it again with less at a time, or where there is more"
            return f"memory ran out{what}; {remedy}", Interrupted.exit_code
    what = f"unexpected {type(error).__name__}: {error}"
    return f"{what}; run it again with --debug for the traceback, and report it", UNEXPECTED_EXIT_CODE

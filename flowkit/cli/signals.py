"""What Ctrl-C (SIGINT), and SIGTERM as batch systems send it, do: one line, exit code 3, and no process left.

Of `flowkit verify`, whose code 3 is an answer, they make code 2.

Imports nothing that takes time: signals come while a command starts, too.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from flowkit.errors import Interrupted, OutputError, never_lost

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TIDYING_S = 5.0
"""Signals that come so soon after the first do not disturb the tidying that it has begun."""
_STOPPED = "stopped; run the same command again"
UNPROVED = "stopped before anything was proved: whether the output is sound is not known; run the same command again"
"""What `flowkit verify` says."""
NOTHING_WRITTEN = "stopped, and nothing is written; run the same command again"
"""What a command says that writes all at its end."""


def stop_at_once() -> None:
    """From now on a signal ends this process with one line; for the time in which there is nothing to tidy."""
    try:
        _install(_end)
    except KeyboardInterrupt:  # Python's own, of one that came while this was being set
        _end()


class _Stop(KeyboardInterrupt):
    """What a signal raises in a run.

    A class of its own, since Python ends itself by SIGINT, whatever exit code it was given, if the very
    KeyboardInterrupt has ever left code that it compiled from text, as dataclasses are made, and was caught after that.
    """


@contextmanager
def stoppable(told: str = "stopped before the first pair; run the same command again to continue") -> Iterator[None]:
    """In here a signal ends the run in order, as a KeyboardInterrupt, which leaves this as `Interrupted`."""
    first: float | None = None
    last = signal.SIGTERM
    over = False

    def again() -> int:
        nonlocal first
        first = None
        return last

    def stop(number: int, _: object) -> None:
        nonlocal first, last
        last = signal.Signals(number)
        if over:
            # Once stopped, the process is about to say so and end: another signal has nothing to add.
            return _end() if first is None else None
        now = time.monotonic()
        if first is None or now - first > _TIDYING_S:
            first = now
            raise _Stop
        return None

    before = _install(stop)
    try:
        try:
            with never_lost(again):
                yield
        finally:
            over = True  # from here on `stop` raises no more: nothing would catch it where handlers are exchanged
            _install(signal.SIG_IGN if first is not None else before or _end)
    except KeyboardInterrupt:
        raise Interrupted(told) from None


def _end(*_: object) -> None:
    command = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    told, code = (UNPROVED, OutputError.exit_code) if command == "verify" else (_STOPPED, Interrupted.exit_code)
    with suppress(OSError):
        os.write(2, f"flowkit: {told}\n".encode())
    os._exit(code)


def _install(handler: object) -> object:
    """Sets the handler of both signals, and gives the earlier one; a signal that is ignored stays so (nohup)."""
    if threading.current_thread() is not threading.main_thread():
        return None
    before = None
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            before = signal.signal(number, handler)  # type: ignore[arg-type]
    return before

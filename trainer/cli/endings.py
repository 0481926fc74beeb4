"""How a command is stopped: by a signal, which leaves what can be continued, or for want of a library."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flowkit.errors import InputError, Interrupted, never_lost

OPTIONAL = ("torch", "timm", "sklearn", "matplotlib", "jinja2", "captum")


@contextmanager
def stoppable() -> Iterator[None]:
    """Within the block a library that is missing is an InputError, and a signal an Interrupted.

    SIGTERM, as batch systems send it, ends the block as Ctrl-C does; while it ends, both are ignored.
    """
    # Threads that spin while they wait make training 6 times slower on a machine that has other work.
    # OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with _signals_as_interrupts():
            yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in OPTIONAL:
            raise
        raise InputError(f"{name} is not installed; pip install 'flowkit-mer[train]'") from error
    except KeyboardInterrupt as error:
        raise Interrupted("stopped; run the same command again to continue") from error


@contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """In here either signal is a KeyboardInterrupt, once; a signal that is ignored stays so (nohup)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]

    last = signal.SIGTERM

    def stop(came: int, _: object) -> None:
        nonlocal last
        last = signal.Signals(came)
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    def again() -> int:
        for number in numbers:
            signal.signal(number, stop)
        return last

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        with never_lost(again):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""How a command ends: an error is one line and an exit code, and a signal leaves what can be continued."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from flowkit.errors import FlowkitError, Interrupted, never_lost, printable

OPTIONAL = ("torch", "timm", "sklearn", "matplotlib", "jinja2", "captum")


@contextmanager
def reported(debug: bool) -> Iterator[None]:
    """Turns an error into one line and an exit code; with `debug` it is left to show its traceback.

    SIGTERM, as batch systems send it, ends the block as Ctrl-C does; while it ends, both are ignored.
    """
    # Threads that spin while they wait make training 6 times slower on a machine that has other work.
    # OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with _stoppable():
            yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if debug or name not in OPTIONAL:
            raise
        typer.echo(f"flowkit-train: {name} is not installed; pip install 'flowkit-mer[train]'", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("flowkit-train: stopped; run the same command again to continue", err=True)
        raise typer.Exit(Interrupted.exit_code) from None
    except FlowkitError as error:
        if debug:
            raise
        typer.echo(f"flowkit-train: {printable(str(error))}", err=True)
        raise typer.Exit(error.exit_code) from None


@contextmanager
def _stoppable() -> Iterator[None]:
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

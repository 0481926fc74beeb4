"""A worker process: it computes parts until the pipe to its owner closes.

It is a process of its own, started with this module alone, so the owner's main script is not imported again. What goes
through the pipe: to the worker the `Job` and then a `Task` at a time; back `READY`, and of a task each clip that it
begins (where these are computed apart) and in the end a `Commit` or the exception that stops the run.
"""

from __future__ import annotations

import os
import pickle
import queue
import threading
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from flowkit.errors import FlowkitError
from flowkit.extraction.part import Job, PartRunner
from flowkit.extraction.plan import Part

READY = "ready"


@dataclass(frozen=True, slots=True)
class Begun:
    """A worker begins with this clip of its part; None: with what concerns the whole part."""

    clip_id: str | None


@dataclass(slots=True)
class Task:
    """A part, and how it is to be computed after workers died on it."""

    part: Part
    apart: bool = False
    """Clip by clip, each announced, so that a death has a culprit."""
    given_up: dict[str, str] = field(default_factory=dict)
    """Clips that are not tried again, with the reason."""


def work(descriptor: int) -> None:
    """Serves the owner at the other end of this pipe; never returns."""
    os.set_inheritable(descriptor, False)
    pipe = Connection(descriptor)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, inbox), daemon=True).start()
    _tell(pipe, READY)
    import cv2

    cv2.setNumThreads(1)
    runner = PartRunner(pickle.loads(inbox.get()))
    while True:
        _tell(pipe, _answer(runner, inbox.get(), pipe))


def _receive(pipe: Connection, inbox: queue.SimpleQueue[bytes]) -> None:
    """Reads at all times, so that the owner never waits to write; ends this process when the owner is gone."""
    try:
        while True:
            inbox.put(pipe.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)


def _answer(runner: PartRunner, data: bytes, pipe: Connection) -> Any:
    try:
        task: Task = pickle.loads(data)
        if not task.apart:
            return runner(task.part)
        return runner.apart(task.part, task.given_up, lambda clip_id: _tell(pipe, Begun(clip_id)))
    except FlowkitError as error:
        return error
    except Exception as error:
        return RuntimeError(f"{type(error).__name__}: {error}")


def _tell(pipe: Connection, message: Any) -> None:
    try:
        pipe.send(message)
    except OSError:  # the owner is gone
        os._exit(1)


__all__ = ["READY", "Begun", "Job", "Task", "work"]

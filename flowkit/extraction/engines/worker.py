"""A worker process: it surveys videos and computes parts until the pipe to its owner closes.

It is a process of its own, started with this module alone, so the owner's main script is not imported again. What goes
through the pipe: to the worker `Examine` orders, to each of which it answers `Examined`; then a `Brief`, and a `Task`
at a time. It says `READY` once it can take orders, and again once it has taken in the brief; of a task it says each
clip that it begins (where these are computed apart), and in the end a `Commit` or the exception that stops the run.
"""

from __future__ import annotations

import os
import pickle
import queue
import threading
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from flowkit.errors import FlowkitError
from flowkit.frames.survey import Survey, survey_source

if TYPE_CHECKING:  # which take time to import, and a survey shall not wait for them
    from flowkit.extraction.part import Job, PartRunner
    from flowkit.extraction.plan import Part

READY = "ready"


@dataclass(frozen=True, slots=True)
class Examine:
    """A source to survey; see `flowkit.frames.survey.survey_source`."""

    path: str
    frame_base: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Examined:
    """What became of an `Examine`."""

    order: Examine
    survey: Survey


@dataclass(frozen=True, slots=True)
class Brief:
    """What the worker needs to know for all its tasks; without a job, that it may get ready for one."""

    job: Job | None = None
    threads: int = 1
    """Of the solver."""


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
    runner: PartRunner | None = None
    while True:
        try:
            order = pickle.loads(inbox.get())
        except Exception as error:
            _tell(pipe, _unexpected(error))
            continue
        if isinstance(order, Examine):
            _tell(pipe, _examined(order))
        elif isinstance(order, Brief):
            runner = _briefed(order)
            if runner is not None:
                _tell(pipe, READY)
        else:
            assert runner is not None
            _tell(pipe, _answer(runner, order, pipe))


def _examined(order: Examine) -> Examined | FlowkitError:
    try:
        return Examined(order, survey_source(order.path, order.frame_base, order.sha256))
    except FlowkitError as error:
        return error


def _briefed(brief: Brief) -> PartRunner | None:
    import cv2

    from flowkit.extraction.part import PartRunner

    cv2.setNumThreads(1)
    return None if brief.job is None else PartRunner(brief.job, brief.threads)


def _receive(pipe: Connection, inbox: queue.SimpleQueue[bytes]) -> None:
    """Reads at all times, so that the owner never waits to write; ends this process when the owner is gone."""
    try:
        while True:
            inbox.put(pipe.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)


def _answer(runner: PartRunner, task: Task, pipe: Connection) -> Any:
    try:
        if not task.apart:
            return runner(task.part)
        return runner.apart(task.part, task.given_up, lambda clip_id: _tell(pipe, Begun(clip_id)))
    except FlowkitError as error:
        return error
    except Exception as error:
        return _unexpected(error)


def _unexpected(error: Exception) -> RuntimeError:
    return RuntimeError(f"{type(error).__name__}: {error}")


def _tell(pipe: Connection, message: Any) -> None:
    try:
        pipe.send(message)
    except OSError:  # the owner is gone
        os._exit(1)

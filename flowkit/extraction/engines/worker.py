"""A worker process: it surveys videos, looks for faces and computes parts until the pipe to its owner closes.

It is a process of its own, started with this module alone, so the owner's main script is not imported again. What goes
through the pipe: to the worker `SourceKey`s and `Look`s, to each of which it answers `Examined` or `Looked`; then a
`Brief`, and `Task`s, of which it has several on its line (`flowkit.extraction.line`). It says `READY` once it can take
orders, and again once it has taken in the brief; `TAKEN` before it looks at the next task; of a task it says each clip
that it begins (where these are computed apart), and in the end, task by task, `Done` or the exception that stops the
run. Instead of a `Brief` it may get `ClipWork`, and `ClipOrder`s, to each of which it answers `ClipDone`.
"""

from __future__ import annotations

import functools
import os
import pickle
import queue
import sys
import threading
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from flowkit.errors import FlowkitError, Interrupted
from flowkit.extraction.engines.clip_work import ClipDone, ClipOrder, ClipWork
from flowkit.extraction.line import STAGES, Times, Turn
from flowkit.frames.survey import SourceKey, Survey, survey_source

if TYPE_CHECKING:  # which take time to import, and a survey shall not wait for them
    from flowkit.extraction.part import Job, PartRunner
    from flowkit.extraction.plan import Part
    from flowkit.faces.face import Face
    from flowkit.faces.finding import DetectedFaces
    from flowkit.frames import FrameSource
    from flowkit.output.commit import Commit

READY = "ready"
TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class Examined:
    """What a source turned out to be; see `flowkit.frames.survey.survey_source`."""

    key: SourceKey
    survey: Survey


@dataclass(frozen=True, slots=True)
class Look:
    """Where a clip's face is to be found: in a frame, by a detector as `flowkit.faces.finding.parse_face` names it."""

    key: str
    """The clip_id."""
    face: str
    number: int
    source: FrameSource
    """At least what reading that frame takes."""


@dataclass(frozen=True, slots=True)
class Looked:
    """The face of a clip, or why there is none."""

    key: str
    """Its clip_id."""
    face: Face | str
    final: bool = True
    """The same look would come to the same; not where something happened that nobody foresaw."""


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


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a task."""

    commit: Commit
    times: Times


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
    clip_work: ClipWork[Any] | None = None
    runner: PartRunner | None = None
    while runner is None:
        try:
            order = pickle.loads(inbox.get())
        except Exception as error:
            _tell(pipe, error if isinstance(error, FlowkitError) else _unexpected(error))
            continue
        if isinstance(order, SourceKey):
            _tell(pipe, _examined(order))
        elif isinstance(order, Look):
            _tell(pipe, _looked(order))
        elif isinstance(order, ClipOrder):
            assert clip_work is not None
            _tell(pipe, _done(clip_work, order))
        elif isinstance(order, ClipWork):
            clip_work = order
            _on_one_thread()
            _tell(pipe, READY)
        else:
            runner = _briefed(order)
    _tell(pipe, READY)
    owner = _Owner(pipe, inbox)
    others = [threading.Thread(target=_serve, args=(runner, owner), daemon=True) for _ in STAGES[1:]]
    for other in others:
        other.start()
    _serve(runner, owner)


class _Owner:
    """The owner's end, for several threads."""

    def __init__(self, pipe: Connection, inbox: queue.SimpleQueue[bytes]) -> None:
        self._pipe, self._inbox = pipe, inbox
        self._lock = threading.Lock()

    def next(self) -> bytes:
        """The next task, pickled; the owner knows then that it is this one that the worker looks at."""
        order = self._inbox.get()
        self.tell(TAKEN)
        return order

    def tell(self, message: Any) -> None:
        with self._lock:
            _tell(self._pipe, message)


def _serve(runner: PartRunner, owner: _Owner) -> None:
    """One thread's part after part."""
    while True:
        with runner.line.enter() as turn:
            answer = _answer(runner, owner, turn)
        owner.tell(answer if isinstance(answer, Exception) else Done(answer, turn.times))


def _examined(key: SourceKey) -> Examined | FlowkitError:
    try:
        return Examined(key, survey_source(*key))
    except FlowkitError as error:
        return error


def _looked(order: Look) -> Looked | FlowkitError:
    try:
        face = _detector(order.face).in_frame(order.number, order.source)
        pickle.dumps(face)  # which may be a plug-in's
        return Looked(order.key, face)
    except Interrupted as error:
        return error
    except FlowkitError as error:
        return Looked(order.key, str(error))
    except Exception as error:
        reason = f"no face can be looked for in frame {order.number}, unexpectedly ({_unexpected(error)}); report it"
        return Looked(order.key, reason, final=False)


def _done(work: ClipWork[Any], order: ClipOrder) -> ClipDone[Any] | FlowkitError:
    try:
        return ClipDone(order.key, work.on(order.clip))
    except FlowkitError as error:
        return error


@functools.cache
def _detector(face: str) -> DetectedFaces:
    from flowkit.faces.finding import DetectedFaces, parse_face

    _on_one_thread()
    detector = parse_face(face)
    assert isinstance(detector, DetectedFaces), face
    return detector


def _briefed(brief: Brief) -> PartRunner | None:
    from flowkit.extraction.part import PartRunner

    _on_one_thread()
    without_pandas()
    return None if brief.job is None else PartRunner(brief.job, brief.threads)


def _on_one_thread() -> None:
    """What OpenCV does from now on: the workers have a CPU each."""
    import cv2

    cv2.setNumThreads(1)


class _NoPandas(MetaPathFinder):
    """Finds no pandas, whether or not it is installed."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """See `MetaPathFinder`."""
        if fullname == "pandas":
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def without_pandas() -> None:
    """Has Arrow make its first array, at which it looks for pandas, while there seems to be none: to load it takes a
    third of a second and 40 MB, for nothing. Who asks Arrow for a pandas table later gets one.
    """
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)


def _receive(pipe: Connection, inbox: queue.SimpleQueue[bytes]) -> None:
    """Reads at all times, so that the owner never waits to write; ends this process when the owner is gone."""
    try:
        while True:
            inbox.put(pipe.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)


def _answer(runner: PartRunner, owner: _Owner, turn: Turn) -> Any:
    try:
        task = pickle.loads(owner.next())
        if not task.apart:
            return runner.run(task.part, turn)
        return runner.apart(task.part, task.given_up, lambda clip_id: owner.tell(Begun(clip_id)))
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

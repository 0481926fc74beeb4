"""The owner's side of worker processes: starting them, hearing from them, noticing their deaths, ending them.

Nothing here waits without a bound. A worker's death closes its pipe, which wakes the owner; the owner's death closes
them all, which ends the workers (`worker.py`).
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

from flowkit.errors import Interrupted
from flowkit.extraction.engines.clip_work import ClipOrder, ClipWork
from flowkit.extraction.engines.engine import RETRIES, TIME_LIMIT_S
from flowkit.extraction.engines.worker import READY, TAKEN, Begun, Brief, Look, Task
from flowkit.frames.survey import SourceKey

START_S = 300.0
"""A worker that is not ready after this long is taken for dead."""
END_S = 5.0
"""How long a killed process is waited for; one that a file system holds longer is left to it."""
_BEGIN = "import sys; fd, *sys.path = sys.argv[1:]; from flowkit.extraction.engines.worker import work; work(int(fd))"
ONE_BLAS_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""Workers take the CPUs between them; NumPy's and OpenCV's BLAS would begin by spinning on as many threads again."""

Single = SourceKey | Look | ClipOrder
"""What a worker has one at a time of."""
Order = Task | Single
"""What a worker can be given."""


@dataclass(eq=False, slots=True)
class Worker:
    """A process and what it is at."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    since: float
    """When it was started, briefed or given its first task, or got something done (time.monotonic)."""
    ready: bool = False
    briefed: bool = False
    tasks: deque[Order] = field(default_factory=deque)
    """Its own, which it takes and ends in this order."""
    taken: int = 0
    """Of them, those that it is at; it has not looked at the others yet."""
    clip_id: str | None = None
    """Which clip of its only task it is at, where that is known."""

    def give(self, task: Order) -> None:
        """Hands it one more task. Where it has died meanwhile, its pipe says so next."""
        if not self.tasks:
            self.clip_id, self.since = None, time.monotonic()
        self.tasks.append(task)
        with suppress(OSError):
            self.pipe.send(task)

    def brief(self, pickled: bytes) -> None:
        """Hands it what it needs for tasks; it is ready again once it says so."""
        self.ready, self.briefed, self.since = False, True, time.monotonic()
        with suppress(OSError):
            self.pipe.send_bytes(pickled)

    def end(self) -> None:
        """Kills it; it is dead then, or will be once its system call returns."""
        self.pipe.close()
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(END_S)


@dataclass(frozen=True, slots=True)
class Death:
    """Of a worker, with what it was at."""

    tasks: tuple[Order, ...]
    """Those that may have been the cause."""
    untouched: tuple[Order, ...]
    """Those that it had been given besides."""
    clip_id: str | None
    late: bool
    """Killed for having passed the time limit: the first task, that is, since the one before it was done."""
    alone: bool
    """No other task was looked at: what happened is this one's doing, or comes from outside."""
    cause: str
    """As "signal 9"."""


class Crew:
    """Workers; `hear` is the only place that waits. Once ended it can be used anew."""

    def __init__(self, time_limit_s: float = TIME_LIMIT_S, *, computes: bool = True) -> None:
        self.limit_s = time_limit_s
        """For one task, or one clip of a task whose clips are computed apart."""
        self.computes = computes
        """Whether parts will follow a survey."""
        self.workers: list[Worker] = []
        self._brief: bytes | None = None
        self._lost_at_start = 0
        """In a row."""

    def employ(self, brief: Brief | ClipWork[Any]) -> None:
        """From now on workers get this brief before tasks."""
        self._brief = pickle.dumps(brief)
        for worker in self.workers:
            if worker.ready:
                worker.brief(self._brief)

    def prepare(self) -> None:
        """Has those who are there get ready for a brief that will follow."""
        for worker in self.workers:
            with suppress(OSError):
                worker.pipe.send(Brief())

    @property
    def idle(self) -> list[Worker]:
        """Those that can be given a task."""
        return [worker for worker in self.workers if worker.ready and not worker.tasks]

    @property
    def ready(self) -> list[Worker]:
        """Those that know what they need to know, whether or not they have tasks."""
        return [worker for worker in self.workers if worker.ready]

    @property
    def busy(self) -> int:
        """How many have a task."""
        return sum(bool(worker.tasks) for worker in self.workers)

    def enlist(self, count: int) -> None:
        """Starts workers until there are so many, or the system gives no more.

        Raises:
            Interrupted: if it gives none and there is no other worker.
        """
        while len(self.workers) < count and self._start():
            pass

    def _start(self) -> bool:
        """Starts one more worker; whether the system has given a process."""
        ours, theirs = Pipe()
        # A new process inherits the signal mask: Ctrl-C at a terminal goes to every process of the group, and only
        # this one shall act on it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            descriptor = theirs.fileno()
            process = subprocess.Popen(
                [sys.executable, "-c", _BEGIN, str(descriptor), *sys.path],
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                env=ONE_BLAS_THREAD | os.environ,
            )
            self.workers.append(Worker(process, ours, time.monotonic()))
            return True
        except OSError as error:
            if self.workers:
                return False
            raise Interrupted(
                f"no worker process can be started ({error.strerror}); run the same command again with fewer --workers"
            ) from error
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def hear(self) -> Iterator[tuple[Worker, Any]]:
        """Waits until something is heard or a time limit passes; each worker with its message, or its `Death`.

        Raises:
            Interrupted: if worker after worker dies before it can take a task.
        """
        now = time.monotonic()
        deadlines = {worker: limit for worker in self.workers if (limit := self._deadline(worker)) is not None}
        left = min(deadlines.values(), default=now + START_S) - now
        by_pipe = {worker.pipe: worker for worker in self.workers}
        heard = wait(list(by_pipe), max(left, 0.0))
        for pipe in heard:
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                yield worker, self._bury(worker, late=False)
                continue
            self._note(worker, message)
            yield worker, message
        now = time.monotonic()
        for worker in list(self.workers):
            limit = self._deadline(worker)
            if limit is not None and now >= limit and not worker.pipe.poll():
                yield worker, self._bury(worker, late=worker.ready)

    def end(self) -> None:
        """Ends all workers at once, whatever they are at."""
        for worker in self.workers:
            worker.pipe.close()
            worker.process.kill()
        for worker in self.workers:
            worker.end()
        self.workers.clear()
        self._brief, self._lost_at_start = None, 0

    def _deadline(self, worker: Worker) -> float | None:
        if not worker.ready:
            return worker.since + START_S
        return worker.since + self.limit_s if worker.tasks else None

    def _note(self, worker: Worker, message: Any) -> None:
        if message == READY:
            if self._brief is not None and not worker.briefed:
                worker.brief(self._brief)
            else:
                worker.ready, self._lost_at_start = True, 0
        elif message == TAKEN:
            worker.taken += 1
        else:
            worker.since = time.monotonic()
            if isinstance(message, Begun):
                worker.clip_id = message.clip_id
            elif worker.tasks:  # else it is an error in what it was briefed with
                worker.tasks.popleft()
                worker.taken, worker.clip_id = max(worker.taken - 1, 0), None

    def _bury(self, worker: Worker, late: bool) -> Death:
        worker.end()
        self.workers.remove(worker)
        code = worker.process.returncode
        cause = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        self._lost_at_start += not worker.ready
        if self._lost_at_start > RETRIES:
            raise Interrupted(
                f"{self._lost_at_start} worker processes in a row died before they could begin ({cause}); "
                "run the same command again with fewer --workers"
            )
        tasks = tuple(worker.tasks)
        # Of what is no part it has one at a time, and says nothing before it is done.
        taken = max(worker.taken, not isinstance(tasks[0], Task)) if tasks else 0
        blamed = 1 if late else taken
        return Death(tasks[:blamed], tasks[blamed:], worker.clip_id, late, taken <= 1, cause)

"""The owner's side of worker processes: starting them, hearing from them, noticing their deaths, ending them.

Nothing here waits without a bound. A worker's death closes its pipe, which wakes the owner; the owner's death closes
them all, which ends the workers (`worker.py`).
"""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

from flowkit.errors import Interrupted
from flowkit.extraction.engines.worker import READY, Begun, Task
from flowkit.extraction.part import Job

START_S = 300.0
"""A worker that is not ready after this long is taken for dead."""
END_S = 5.0
"""How long a killed process is waited for; one that a file system holds longer is left to it."""
_BEGIN = "import sys; fd, *sys.path = sys.argv[1:]; from flowkit.extraction.engines.worker import work; work(int(fd))"


@dataclass(eq=False, slots=True)
class Worker:
    """A process and what it is at."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    since: float
    """When it was started, or began with its task or clip (time.monotonic)."""
    ready: bool = False
    task: Task | None = None
    clip_id: str | None = None
    """Which clip of its task it is at, where that is known."""

    def give(self, task: Task) -> None:
        """Hands it a task. Where it has died meanwhile, its pipe says so next."""
        self.task, self.clip_id, self.since = task, None, time.monotonic()
        with suppress(OSError):
            self.pipe.send(task)

    def end(self) -> None:
        """Kills it; it is dead then, or will be once its system call returns."""
        self.pipe.close()
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(END_S)


@dataclass(frozen=True, slots=True)
class Death:
    """Of a worker, with what it was at."""

    task: Task | None
    clip_id: str | None
    began: bool
    """Whether it was ever ready."""
    late: bool
    """Killed for having passed the time limit."""
    cause: str
    """As "signal 9"."""


class Crew:
    """Up to so many workers; `hear` is the only place that waits."""

    def __init__(self, job: Job, time_limit_s: float) -> None:
        self._job = job
        self._limit_s = time_limit_s
        self.workers: list[Worker] = []

    def start(self) -> bool:
        """Starts one more worker; whether the system has given a process.

        Raises:
            Interrupted: if it gives none and there is no other worker.
        """
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
        """Waits until something is heard or a time limit passes; each worker with its message, or its `Death`."""
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

    def _deadline(self, worker: Worker) -> float | None:
        if not worker.ready:
            return worker.since + START_S
        return None if worker.task is None else worker.since + self._limit_s

    def _note(self, worker: Worker, message: Any) -> None:
        if message == READY:
            worker.ready = True
            with suppress(OSError):
                worker.pipe.send_bytes(pickle.dumps(self._job))
        elif isinstance(message, Begun):
            worker.clip_id, worker.since = message.clip_id, time.monotonic()
        else:
            worker.task = None

    def _bury(self, worker: Worker, late: bool) -> Death:
        worker.end()
        self.workers.remove(worker)
        code = worker.process.returncode
        cause = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return Death(worker.task, worker.clip_id, worker.ready, late, cause)

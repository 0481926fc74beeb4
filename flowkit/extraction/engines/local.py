"""The local engine: worker processes on this machine."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

from flowkit.extraction.engines.engine import RETRIES, gave_up
from flowkit.extraction.part import Job, PartRunner
from flowkit.extraction.plan import Part
from flowkit.output.commit import Commit


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Worker processes; a run with one worker, or one part, stays in this process."""

    workers: int

    def run(self, parts: Sequence[Part], job: Job) -> Iterator[Commit]:
        """See `Engine`."""
        if not parts:
            return
        processes = min(self.workers, len(parts))
        if processes == 1:
            yield from map(PartRunner(job, threads=self.workers), parts)
            return
        waiting = deque(parts)
        crashes: Counter[int] = Counter()
        while waiting:
            lost = yield from _until_crash(waiting, crashes, processes, job)
            for part in lost:
                crashes[part.number] += 1
                if crashes[part.number] > RETRIES:
                    raise gave_up(part)
            waiting.extendleft(reversed(lost))


def _until_crash(
    waiting: deque[Part], crashes: Counter[int], processes: int, job: Job
) -> Generator[Commit, None, list[Part]]:
    """Runs parts until none waits or a worker dies; returns those that were then in work."""
    running: dict[Future[Commit], Part] = {}
    lost: list[Part] = []
    with _pool(processes, job) as pool:
        while running or (waiting and not lost):
            while waiting and not lost and len(running) < 2 * processes:
                # A part that was twice in work when a worker died runs alone, to find out which one is to blame.
                suspects = any(crashes[part.number] > 1 for part in (waiting[0], *running.values()))
                if suspects and running:
                    break
                try:
                    running[_submit(pool, waiting[0])] = waiting[0]
                except BrokenProcessPool:
                    lost.append(waiting[0])
                waiting.popleft()
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                part = running.pop(future)
                try:
                    commit = future.result()
                except BrokenProcessPool:
                    lost.append(part)
                else:
                    yield commit
    return lost


@contextmanager
def _pool(processes: int, job: Job) -> Iterator[ProcessPoolExecutor]:
    """A pool whose workers end at once when it is left early, and when this process dies."""
    context = get_context("spawn")
    worker_end, leash = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_start, initargs=(job, worker_end))
    try:
        yield pool
        pool.shutdown(wait=True)
    finally:
        leash.close()
        pool.shutdown(wait=True, cancel_futures=True)
        worker_end.close()


def _submit(pool: ProcessPoolExecutor, part: Part) -> Future[Commit]:
    # Submitting starts processes, which inherit the signal mask: Ctrl-C at a terminal goes to every process of the
    # group, and only this one shall act on it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_complete, part)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_runner: PartRunner | None = None


def _start(job: Job, leash: Connection) -> None:
    """Prepares a worker process."""
    import cv2

    global _runner
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with, args=(leash,), daemon=True).start()
    _runner = PartRunner(job)


def _end_with(leash: Connection) -> None:
    """Ends this process when the other end of the leash is closed, whether in order or by its owner's death."""
    try:
        leash.recv()
    except (EOFError, OSError):
        os._exit(1)


def _complete(part: Part) -> Commit:
    assert _runner is not None
    return _runner(part)

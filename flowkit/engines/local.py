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

from flowkit.commit import Commit
from flowkit.engines import RETRIES, gave_up
from flowkit.plan import Unit
from flowkit.unit import Job, UnitRunner


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Worker processes; a run with one worker, or one unit, stays in this process."""

    workers: int

    def run(self, units: Sequence[Unit], job: Job) -> Iterator[Commit]:
        """See `flowkit.engines.Engine`."""
        if not units:
            return
        processes = min(self.workers, len(units))
        if processes == 1:
            yield from map(UnitRunner(job, threads=self.workers), units)
            return
        waiting = deque(units)
        crashes: Counter[int] = Counter()
        while waiting:
            lost = yield from _until_crash(waiting, crashes, processes, job)
            for unit in lost:
                crashes[unit.number] += 1
                if crashes[unit.number] > RETRIES:
                    raise gave_up(unit)
            waiting.extendleft(reversed(lost))


def _until_crash(
    waiting: deque[Unit], crashes: Counter[int], processes: int, job: Job
) -> Generator[Commit, None, list[Unit]]:
    """Runs units until none waits or a worker dies; returns those that were then in work."""
    running: dict[Future[Commit], Unit] = {}
    lost: list[Unit] = []
    with _pool(processes, job) as pool:
        while running or (waiting and not lost):
            while waiting and not lost and len(running) < 2 * processes:
                # A unit that was twice in work when a worker died runs alone, to find out which one is to blame.
                suspects = any(crashes[unit.number] > 1 for unit in (waiting[0], *running.values()))
                if suspects and running:
                    break
                try:
                    running[_submit(pool, waiting[0])] = waiting[0]
                except BrokenProcessPool:
                    lost.append(waiting[0])
                waiting.popleft()
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                unit = running.pop(future)
                try:
                    commit = future.result()
                except BrokenProcessPool:
                    lost.append(unit)
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


def _submit(pool: ProcessPoolExecutor, unit: Unit) -> Future[Commit]:
    # Submitting starts processes, which inherit the signal mask: Ctrl-C at a terminal goes to every process of the
    # group, and only this one shall act on it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_complete, unit)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_runner: UnitRunner | None = None


def _start(job: Job, leash: Connection) -> None:
    """Prepares a worker process."""
    import cv2

    global _runner
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with, args=(leash,), daemon=True).start()
    _runner = UnitRunner(job)


def _end_with(leash: Connection) -> None:
    """Ends this process when the other end of the leash is closed, whether in order or by its owner's death."""
    try:
        leash.recv()
    except (EOFError, OSError):
        os._exit(1)


def _complete(unit: Unit) -> Commit:
    assert _runner is not None
    return _runner(unit)

"""The line on which parts pass through one process: while one is solved, the next is decoded and the last one written.

Each part is with one thread from beginning to end; what the threads share are the stages, each of which has room for
one part. So at most one part's cubes are computed while another's are written, whatever the number of threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

STAGES = ("decode", "solve", "write")
"""Decode: frames, cropped and resized. Solve: the cubes. Write: quality, tables, files, checksums, commit record."""


class Stopped(BaseException):
    """A part is not computed further, because the run has ended. No error of the part, so no `Exception`."""


@dataclass(slots=True)
class Times:
    """Seconds by stage, without waiting for a stage to be free."""

    wall_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    cpu_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    """Of the part's thread; a solver with several threads takes more."""

    def add(self, other: Times) -> None:
        """Adds another's seconds."""
        for mine, others in ((self.wall_s, other.wall_s), (self.cpu_s, other.cpu_s)):
            for stage, seconds in others.items():
                mine[stage] += seconds


class Line:
    """Stages that parts pass one behind the other, in the order in which they have entered."""

    def __init__(self) -> None:
        self._free = [threading.Lock() for _ in STAGES]
        self._stopped = threading.Event()

    @contextmanager
    def enter(self) -> Iterator[Turn]:
        """A turn, once the first stage is free; a part leaves the line with this context. Raises Stopped."""
        self._free[0].acquire()
        turn = Turn(self._free, self._stopped)
        try:
            turn.check()
            yield turn
        finally:
            turn.leave()

    def stop(self) -> None:
        """From now on every part on the line is `Stopped` where it next looks."""
        self._stopped.set()


class Turn:
    """A part on the line."""

    def __init__(self, free: list[threading.Lock], stopped: threading.Event) -> None:
        self._free, self._stopped, self._at = free, stopped, 0
        self.times = Times()
        self._begin()

    def check(self) -> None:
        """Raises Stopped where the line has been stopped."""
        if self._stopped.is_set():
            raise Stopped

    def to(self, stage: str) -> None:
        """On to this stage, once the part ahead has left it; raises Stopped."""
        while self._at < STAGES.index(stage):
            self._note()
            # The next before this one is left: so nobody overtakes.
            self._free[self._at + 1].acquire()
            self._free[self._at].release()
            self._at += 1
            self._begin()
            self.check()

    def leave(self) -> None:
        """Makes room; the times are complete then."""
        self._note()
        self._free[self._at].release()

    def _begin(self) -> None:
        self._since = time.perf_counter(), time.thread_time()

    def _note(self) -> None:
        stage, (wall, cpu) = STAGES[self._at], self._since
        self.times.wall_s[stage] += time.perf_counter() - wall
        self.times.cpu_s[stage] += time.thread_time() - cpu

"""Parts that wait for workers, and what becomes of those that workers die on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from flowkit.extraction.engines.engine import RETRIES, died, too_long
from flowkit.extraction.engines.worker import Task
from flowkit.extraction.plan import Part


@dataclass(eq=False, slots=True)
class Case:
    """A part, and the deaths on it."""

    part: Part
    deaths: Counter[str | None] = field(default_factory=Counter)
    """By the clip that a worker was at; None where it was at no one clip."""
    hopeless: str | None = None
    """Why the part as a whole is given up."""
    elsewhere: bool = False
    """It is tried once more only, on another machine, and then also after it has passed the time limit."""
    task: Task = field(init=False)

    def __post_init__(self) -> None:
        self.task = Task(self.part)

    @property
    def suspect(self) -> bool:
        """Whether more than one worker has died on it."""
        return self.deaths.total() > 1

    def blame(self, cause: str, clip_id: str | None, *, late_s: float | None = None, alone: bool = True) -> None:
        """Takes a worker's death into account: what has had its chances is given up, the rest goes on clip by clip.

        Args:
            cause: as "signal 9".
            clip_id: the clip that the worker was at, if it was at one.
            late_s: the time limit, where that was passed.
            alone: the worker was at no other part.
        """
        clips = {pair.clip.clip_id for pair in self.part.pairs}
        self.deaths[clip_id] += 1
        tries = self.deaths[None] + (self.deaths[clip_id] if clip_id is not None else 0)
        # To wait for the time limit over and over would be worse than to lose what might have been slow by chance.
        hung = late_s is not None and alone and (self.task.apart or len(clips) == 1) and not self.elsewhere
        self.task.apart = True
        if tries <= (1 if self.elsewhere else RETRIES) and not hung:
            return
        reason = died(tries, cause) if late_s is None else too_long(late_s)
        if clip_id is None:
            self.hopeless = reason
        else:
            self.task.given_up[clip_id] = reason


AnyCase = TypeVar("AnyCase", bound=Case)


class Waiting(Generic[AnyCase]):
    """The cases that no worker has, in the order of their parts, but for those that came back.

    Neighbours share frames, and a video is decoded on where a worker has come to. So each worker gets a stretch of its
    own, and who has come to the end of one gets the second half of the longest that is left.
    """

    def __init__(self, cases: Iterable[AnyCase], workers: int) -> None:
        self._back: list[AnyCase] = []
        """Those that came back: they are the first."""
        everything = list(cases)
        size = -(-len(everything) // max(workers, 1))
        self._stretches = [everything[at : at + size][::-1] for at in range(0, len(everything), max(size, 1))]
        """Each backwards, so that its next is its last."""
        self._of: dict[object, list[AnyCase]] = {}
        """The stretch that a worker is at."""

    def __len__(self) -> int:
        return len(self._back) + sum(map(len, self._stretches))

    def next(self, worker: object, fits: Callable[[AnyCase], bool] = lambda _: True) -> AnyCase | None:
        """The case that a worker would get: the first that came back and fits, else the next of its stretch."""
        for case in self._back:
            if fits(case):
                return case
        return stretch[-1] if (stretch := self._stretch(worker)) else None

    def take(self, worker: object, fits: Callable[[AnyCase], bool] = lambda _: True) -> AnyCase:
        """That case, which does not wait any more."""
        case = self.next(worker, fits)
        assert case is not None
        if case in self._back:
            self._back.remove(case)
        else:
            self._of[worker].pop()
        return case

    def bring_back(self, case: AnyCase) -> None:
        """Puts a case before the others."""
        self._back.insert(0, case)

    def leave(self, worker: object) -> None:
        """What a worker that is gone has left of its stretch is for the others."""
        self._of.pop(worker, None)

    def _stretch(self, worker: object) -> list[AnyCase] | None:
        mine = self._of.get(worker)
        if mine:
            return mine
        self._stretches = [stretch for stretch in self._stretches if stretch]
        taken = [id(stretch) for stretch in self._of.values()]
        free = [stretch for stretch in self._stretches if id(stretch) not in taken]
        if free:
            found = free[0]
        elif self._stretches:
            longest = max(self._stretches, key=len)
            found = longest[: len(longest) // 2] or longest
            if found is not longest:
                del longest[: len(found)]
                self._stretches.append(found)
        else:
            return None
        self._of[worker] = found
        return found

"""The local engine: worker processes on this machine."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from flowkit.extraction.engines.crew import Crew, Death
from flowkit.extraction.engines.engine import RETRIES, died, too_long
from flowkit.extraction.engines.worker import READY, Begun, Brief, Task
from flowkit.extraction.part import Job, PartRunner, commit_failed
from flowkit.extraction.plan import Part
from flowkit.frames import is_video
from flowkit.output.commit import Commit


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Worker processes; a run with one worker, or one part, stays in this process, if no part is of a video.

    A part whose worker dies, or passes the time limit, is computed again clip by clip; a clip on which that happens
    again and again is given up, and its pairs are failures.
    """

    workers: int
    crew: Crew = field(default_factory=Crew, compare=False)
    """Its workers, with their time limit; those that are there already, from a survey, are employed."""

    def run(self, parts: Sequence[Part], job: Job) -> Iterator[Commit]:
        """See `Engine`."""
        if not parts:
            return
        processes = min(self.workers, len(parts))
        if processes == 1 and not any(_of_a_video(part) for part in parts):
            yield from map(PartRunner(job, threads=self.workers), parts)
            return
        self.crew.employ(Brief(job, threads=self.workers if processes == 1 else 1))
        try:
            yield from _Shift(parts, job, processes, self.crew).commits()
        finally:
            self.crew.end()


def _of_a_video(part: Part) -> bool:
    """Decoders of videos are large, and meet files of any origin: where one crashes or hangs it shall be elsewhere."""
    return any(is_video(source) for source in {pair.clip.source for pair in part.pairs})


class _Shift:
    """One run: which parts wait, and what has befallen them."""

    def __init__(self, parts: Sequence[Part], job: Job, processes: int, crew: Crew) -> None:
        self._job, self._processes, self._crew = job, processes, crew
        self._waiting: deque[_Case] = deque(map(_Case, parts))
        self._cases: dict[int, _Case] = {}
        """In work, by part number."""

    def commits(self) -> Iterator[Commit]:
        """Each part's commit. It ends: each death brings a part, or the run, nearer to being given up."""
        while self._waiting or self._cases:
            while len(self._crew.workers) < min(self._processes, len(self._waiting) + len(self._cases)):
                if not self._crew.start():
                    break
            self._hand_out()
            for worker, heard in self._crew.hear():
                if isinstance(heard, Commit):
                    del self._cases[heard.part]
                    yield heard
                elif isinstance(heard, Death):
                    yield from self._after(heard)
                elif isinstance(heard, Exception):
                    raise heard
                else:
                    assert heard == READY or isinstance(heard, Begun), (worker, heard)

    def _hand_out(self) -> None:
        for worker in self._crew.idle:
            if not self._waiting:
                return
            # A part that was in work when two workers died runs alone: then memory is its own, and so is the blame.
            if self._cases and any(case.suspect for case in (self._waiting[0], *self._cases.values())):
                return
            case = self._waiting.popleft()
            self._cases[case.task.part.number] = case
            worker.give(case.task)

    def _after(self, death: Death) -> Iterator[Commit]:
        if not isinstance(death.task, Task):
            return
        case = self._cases.pop(death.task.part.number)
        case.blame(death, self._crew.limit_s)
        if case.hopeless is None:
            self._waiting.appendleft(case)
        else:
            yield commit_failed(case.task.part, self._job, case.hopeless)


@dataclass(slots=True)
class _Case:
    """A part, and the deaths on it."""

    part: Part
    deaths: Counter[str | None] = field(default_factory=Counter)
    """By the clip that a worker was at; None where it was at no one clip."""
    hopeless: str | None = None
    """Why the part as a whole is given up."""
    task: Task = field(init=False)

    def __post_init__(self) -> None:
        self.task = Task(self.part)

    @property
    def suspect(self) -> bool:
        return self.deaths.total() > 1

    def blame(self, death: Death, limit_s: float) -> None:
        """Takes a death into account: what has had its chances is given up, the rest goes on clip by clip."""
        clip_id = death.clip_id
        clips = {pair.clip.clip_id for pair in self.part.pairs}
        self.deaths[clip_id] += 1
        tries = self.deaths[None] + (self.deaths[clip_id] if clip_id is not None else 0)
        # To wait for the time limit over and over would be worse than to lose what might have been slow by chance.
        hung = death.late and (self.task.apart or len(clips) == 1)
        self.task.apart = True
        if tries <= RETRIES and not hung:
            return
        reason = too_long(limit_s) if death.late else died(tries, death.cause)
        if clip_id is None:
            self.hopeless = reason
        else:
            self.task.given_up[clip_id] = reason

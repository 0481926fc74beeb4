"""The local engine: worker processes on this machine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

from flowkit.extraction.engines.case import Case, Waiting
from flowkit.extraction.engines.crew import Crew, Death, Worker
from flowkit.extraction.engines.worker import READY, TAKEN, Begun, Brief, Done, Task
from flowkit.extraction.line import STAGES, Stopped, Times
from flowkit.extraction.part import Job, PartRunner, commit_failed
from flowkit.extraction.plan import Part
from flowkit.frames import is_video
from flowkit.motion.flow import MOST_THREADS
from flowkit.output.commit import Commit


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Worker processes; a run with one worker, or one part, stays in this process, if no part is of a video.

    A worker has as many parts as its line has stages: while one is solved, the next is decoded and the last one
    written. A part whose worker dies, or passes the time limit, is computed again clip by clip; a clip on which that
    happens again and again is given up, and its pairs are failures.
    """

    workers: int
    crew: Crew = field(default_factory=Crew, compare=False)
    """Its workers, with their time limit; those that are there already, from a survey, are employed."""
    times: Times = field(default_factory=Times, compare=False)
    """Of the parts of all runs, summed over workers."""

    def run(self, parts: Sequence[Part], job: Job) -> Iterator[Commit]:
        """See `Engine`."""
        if not parts:
            return
        processes = min(self.workers, len(parts))
        threads = min(self.workers, MOST_THREADS) if processes == 1 else 1
        if processes == 1 and not any(_of_a_video(part) for part in parts):
            self.crew.end()
            done = _here(parts, PartRunner(job, threads=threads))
        else:
            self.crew.employ(Brief(job, threads=threads))
            done = _Shift(parts, job, processes, self.crew).done()
        try:
            for one in done:
                self.times.add(one.times)
                yield one.commit
        finally:
            done.close()
            self.crew.end()


def _of_a_video(part: Part) -> bool:
    """Decoders of videos are large, and meet files of any origin: where one crashes or hangs it shall be elsewhere."""
    return any(is_video(source) for source in {pair.clip.source for pair in part.pairs})


def _here(parts: Sequence[Part], runner: PartRunner) -> Generator[Done]:
    """The parts, in order, on threads of this process."""
    todo = iter(parts)
    heard: queue.SimpleQueue[Done | BaseException | None] = queue.SimpleQueue()

    def serve() -> None:
        try:
            while True:
                with runner.line.enter() as turn:
                    part = next(todo, None)
                    if part is None:
                        break
                    commit = runner.run(part, turn)
                heard.put(Done(commit, turn.times))
        except Stopped:
            pass
        except BaseException as error:
            heard.put(error)
        heard.put(None)

    threads = [threading.Thread(target=serve, name=f"part {i}") for i in range(min(len(STAGES), len(parts)))]
    try:
        for thread in threads:
            thread.start()
        left = len(threads)
        while left:
            found = heard.get()
            if isinstance(found, BaseException):
                raise found
            if found is None:
                left -= 1
            else:
                yield found
    finally:
        runner.line.stop()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


class _Shift:
    """One run: which parts wait, and what has befallen them."""

    def __init__(self, parts: Sequence[Part], job: Job, processes: int, crew: Crew) -> None:
        self._job, self._processes, self._crew = job, processes, crew
        self._waiting: Waiting[Case] = Waiting(map(Case, parts), processes)
        self._cases: dict[int, Case] = {}
        """In work, by part number."""

    def done(self) -> Generator[Done]:
        """Each part's commit. It ends: each death brings a part, or the run, nearer to being given up."""
        while len(self._waiting) or self._cases:
            self._crew.enlist(min(self._processes, len(self._waiting) + self._crew.busy))
            self._hand_out()
            for worker, heard in self._crew.hear():
                if isinstance(heard, Done):
                    del self._cases[heard.commit.part]
                    yield heard
                elif isinstance(heard, Death):
                    self._waiting.leave(worker)
                    yield from self._after(heard)
                elif isinstance(heard, Exception):
                    raise heard
                else:
                    assert heard in (READY, TAKEN) or isinstance(heard, Begun), (worker, heard)

    def _hand_out(self) -> None:
        """Every worker gets its first part before one gets its second."""
        for most in range(len(STAGES)):
            for worker in self._crew.ready:
                if len(worker.tasks) <= most and self._may_give(worker):
                    case = self._waiting.take(worker, _fits(worker))
                    self._cases[case.part.number] = case
                    worker.give(case.task)

    def _may_give(self, worker: Worker) -> bool:
        case = self._waiting.next(worker, _fits(worker))
        if case is None or any(isinstance(task, Task) and task.apart for task in worker.tasks):
            return False
        # A part that was in work when two workers died runs alone: then memory is its own, and so is the blame.
        return not self._cases or not any(other.suspect for other in (case, *self._cases.values()))

    def _after(self, death: Death) -> Iterator[Done]:
        untouched = [self._cases.pop(task.part.number) for task in death.untouched if isinstance(task, Task)]
        blamed = [self._cases.pop(task.part.number) for task in death.tasks if isinstance(task, Task)]
        for case in reversed(untouched):
            self._waiting.bring_back(case)
        late_s = self._crew.limit_s if death.late else None
        for case in reversed(blamed):
            case.blame(death.cause, death.clip_id, late_s=late_s, alone=death.alone)
            if case.hopeless is None:
                self._waiting.bring_back(case)
            else:
                yield Done(commit_failed(case.part, self._job, case.hopeless), Times())


def _fits(worker: Worker) -> Callable[[Case], bool]:
    """What a worker may have: one that has something to do, nothing that is to be computed clip by clip, since what
    happens then shall have one cause. What two workers have died on is not passed over.
    """
    return lambda case: not worker.tasks or not case.task.apart or case.suspect

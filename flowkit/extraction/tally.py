"""How far a run is, and the loop that brings it to its end: what every engine has in common."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from flowkit.errors import OutputError
from flowkit.extraction.engines.engine import Engine
from flowkit.extraction.part import Job
from flowkit.extraction.plan import Part
from flowkit.extraction.reasons import frequent_reasons
from flowkit.extraction.remaining import to_do
from flowkit.output.commit import Commit, Kept
from flowkit.output.store import Place

Report = Callable[["Summary"], None]
_MOST_TOLD = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How far a run is: counts of pairs, but for the parts."""

    out: Place
    planned: int
    computed: int
    """Of all runs into OUT."""
    failed: int
    computed_now: int
    """Of this run."""
    failed_now: int
    seconds: float
    """Since this run has begun to compute."""
    parts: int
    parts_done: int
    bytes_to_write: int = 0
    """While it runs: about how many there were to write when it began."""
    done: Commit | None = None
    """While it runs: the part that was done last; None before the first."""
    parts_left: int | None = None
    """At the end of a run that was not to compute all parts: how many of OUT are still to do."""
    reasons: tuple[tuple[str, int], ...] = ()
    """At the end: why pairs have failed, without the clip's id, and how many pairs; the most frequent first."""
    kept: tuple[Kept, ...] = ()
    """At the end: the parts that have stayed as they were, since a computed pair of theirs has failed now."""

    @property
    def pairs_per_second(self) -> float:
        """Of this run; 0 while it has done nothing."""
        return (self.computed_now + self.failed_now) / self.seconds if self.seconds > 0 else 0.0


def compute(
    parts: Sequence[Part], done: Mapping[int, Commit], job: Job, engine: Engine, report: Report | None
) -> Summary:
    """Has the engine compute those of the parts that are not done; the counts are of these parts, done or not.

    `require_none_kept` has to follow: where a part keeps what it has, that is said, and the run is no success.
    """
    todo = to_do(parts, done)
    planned = sum(len(part.pairs) for part in parts)
    tally = _begun(job.out, planned, len(parts), [done[part.number] for part in parts if part.number in done], report)
    running = engine.run(todo, job)
    try:
        for commit in running:
            kept = isinstance(commit, Kept)
            tally.add(commit, now=not kept)
            if report:
                report(dataclasses.replace(tally.state(), done=None if kept else commit))
    finally:
        # At once, not when the garbage collector comes: closing ends the workers.
        if hasattr(running, "close"):
            running.close()
    return tally.final()


def require_none_kept(summary: Summary, remedy: str) -> None:
    """Raises an OutputError, which ends with the remedy, where parts have stayed as they were."""
    if not summary.kept:
        return
    lost = sum(len(kept.lost) for kept in summary.kept)
    parts = sorted(kept.part for kept in summary.kept)
    numbers = ", ".join(map(str, parts[:_MOST_TOLD])) + (", ..." if len(parts) > _MOST_TOLD else "")
    raise OutputError(
        f"{lost} of the pairs that had been computed cannot be now, as: {summary.kept[0].error}; all that their parts "
        f"hold ({len(parts)}: {numbers}) has been kept; {remedy}"
    )


def all_done(out: Place, done: Collection[Commit], report: Report | None) -> Summary:
    """`compute` where every part is done."""
    planned = sum(commit.computed + commit.failed for commit in done)
    return _begun(out, planned, len(done), done, report).final()


def _begun(out: Place, planned: int, parts: int, done: Iterable[Commit], report: Report | None) -> _Tally:
    tally = _Tally(out, planned, parts)
    for commit in done:
        tally.add(commit, now=False)
    tally.begin()
    if report:
        report(tally.state())
    return tally


class _Tally:
    """Counts pairs as parts are done."""

    def __init__(self, out: Place, planned: int, parts: int) -> None:
        self._out, self._planned, self._parts = out, planned, parts
        self._done = self._computed = self._failed = self._computed_now = self._failed_now = 0
        self._failing: list[Commit] = []
        """Parts with failures, in the order of their adding."""
        self._kept: list[Kept] = []
        self._start = time.perf_counter()

    def begin(self) -> None:
        """Starts the clock."""
        self._start = time.perf_counter()

    def add(self, commit: Commit, now: bool) -> None:
        """Counts a part that was done now or by an earlier run."""
        self._done += 1
        self._computed += commit.computed
        self._failed += commit.failed
        if now:
            self._computed_now += commit.computed
            self._failed_now += commit.failed
        if commit.failed:
            self._failing.append(commit)
        if isinstance(commit, Kept):
            self._kept.append(commit)

    def state(self) -> Summary:
        """The counts."""
        return Summary(
            out=self._out,
            planned=self._planned,
            computed=self._computed,
            failed=self._failed,
            computed_now=self._computed_now,
            failed_now=self._failed_now,
            seconds=time.perf_counter() - self._start,
            parts=self._parts,
            parts_done=self._done,
        )

    def final(self) -> Summary:
        """The counts at the end, and the reasons."""
        state = self.state()
        reasons = frequent_reasons(self._out, reversed(self._failing))
        return dataclasses.replace(state, reasons=reasons, kept=tuple(self._kept))

"""Work that is done clip by clip, several at a time, by worker processes: what a clip does to its process, by a decoder
that crashes or hangs, is that clip's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from flowkit.errors import FrameError, InputError
from flowkit.extraction.engines.clip_work import ClipDone, ClipOrder, ClipWork
from flowkit.extraction.engines.crew import Crew
from flowkit.extraction.engines.dispatch import dispatch
from flowkit.extraction.engines.engine import TIME_LIMIT_S
from flowkit.frames.survey import source_of
from flowkit.types import Clip

_Result = TypeVar("_Result")


def each_clip(
    clips: Sequence[Clip],
    do: Callable[[Clip], _Result],
    *,
    workers: int = 1,
    time_limit_s: float = TIME_LIMIT_S,
    report: Callable[[int], None] | None = None,
) -> list[_Result | FrameError]:
    """The result of each clip, in order, or a FrameError that says why it has none.

    One worker does folders of images in this process.

    Args:
        do: is called once for each clip, and can be pickled.
        workers: processes, each with a clip at a time.
        time_limit_s: for a clip, in a process of its own.
        report: is told how many clips are done, whenever one is.

    Raises:
        InputError: for workers below 1, or a limit of no time.
        Interrupted: if a clip is in an object store that gives no answer, or there can be no workers.
    """
    if workers < 1:
        raise InputError(f"workers={workers}: give at least 1")
    if not time_limit_s > 0:
        raise InputError(f"time_limit_s={time_limit_s}: give a number above 0")
    work = ClipWork(do)
    if workers > 1 or any(source_of(clip).is_video for clip in clips):
        return _by_workers(clips, work, workers, time_limit_s, report)
    results = []
    for clip in clips:
        results.append(work.on(clip))
        if report:
            report(len(results))
    return results


def _by_workers(
    clips: Sequence[Clip],
    work: ClipWork[_Result],
    workers: int,
    time_limit_s: float,
    report: Callable[[int], None] | None,
) -> list[_Result | FrameError]:
    def give_up(order: ClipOrder, reason: str) -> ClipDone[_Result]:
        return ClipDone(order.key, FrameError(reason))

    crew = Crew(time_limit_s)
    crew.employ(work)
    try:
        orders = [ClipOrder(place, clip) for place, clip in enumerate(clips)]
        done = dispatch(crew, orders, give_up, workers, then="", report=report)
    finally:
        crew.end()
    return [done[place].result for place in range(len(clips))]

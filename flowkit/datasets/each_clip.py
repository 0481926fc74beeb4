"""Work that is done clip by clip, several at a time; what goes wrong with one clip is that clip's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from flowkit.errors import FlowkitError, FrameError, InputError, Interrupted
from flowkit.types import Clip

_Result = TypeVar("_Result")


def each_clip(
    clips: Sequence[Clip],
    work: Callable[[Clip], _Result],
    *,
    workers: int,
    report: Callable[[int], None] | None = None,
) -> list[_Result | FrameError]:
    """The result of each clip, in order, or a FrameError that says why it has none.

    Threads do: decoders, NumPy and the solver let go of Python's lock while they compute.

    Args:
        work: is called once for each clip, by several threads at a time.
        report: is told how many clips are done, whenever one is.

    Raises:
        InputError: for workers below 1.
        Interrupted: if a clip is in an object store that gives no answer.
    """
    if workers < 1:
        raise InputError(f"workers={workers}: give at least 1")
    results: list[_Result | FrameError] = [FrameError("stopped")] * len(clips)
    with ThreadPoolExecutor(workers) as pool:
        places = {pool.submit(_tried, work, clip): i for i, clip in enumerate(clips)}
        try:
            for done, future in enumerate(as_completed(places), start=1):
                results[places[future]] = future.result()
                if report:
                    report(done)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return results


def _tried(work: Callable[[Clip], _Result], clip: Clip) -> _Result | FrameError:
    try:
        return work(clip)
    except Interrupted:  # a store that gives no answer says nothing of its clips
        raise
    except InputError as error:
        return FrameError(str(error))
    except FlowkitError as error:
        return error if isinstance(error, FrameError) else FrameError(str(error))
    except Exception as error:  # one clip's trouble of any kind ends no run over the others
        return FrameError(f"unexpected {type(error).__name__}: {error}; report it")

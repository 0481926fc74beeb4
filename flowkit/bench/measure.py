"""All methods on the same facial pairs, in turns; every answer that was timed is checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowkit.bench.answers import Answers
from flowkit.bench.methods import DUAL_TVL1, OPENCV, Method
from flowkit.bench.pairs import FacialPair, Flow
from flowkit.bench.timing import Measurement, race, summary
from flowkit.frames.prepare import single_threaded_opencv


def measure(
    methods: Sequence[Method],
    others: Sequence[str],
    pairs: Sequence[FacialPair],
    *,
    threads: int = 1,
    rounds: int,
    warm_up: bool = True,
) -> list[Measurement]:
    """One pair a call on one thread, else all pairs in one call.

    Args:
        others: names of the methods that ratios are taken to.
        rounds: turns of every method; on one thread each takes the next pair.

    Raises:
        WrongAnswer: as `Answers.add` and `Answers.require_right`.
    """
    batches = [[pair] for pair in pairs] if threads == 1 else [list(pairs)]
    seconds: dict[str, list[float]] = {method.name: [] for method in methods}
    answers = Answers()
    with single_threaded_opencv():
        calls = {method.name: _call(method, threads, batches) for method in methods}
        for number, found in enumerate(race(calls, rounds, warm_up=warm_up)):
            answers.add(batches[number % len(batches)], {name: flows for name, (_, flows) in found.items()})
            for name, (taken, _) in found.items():
                seconds[name].append(taken)
    answers.require_right()
    height, width = pairs[0].frame0.shape
    return [
        summary(
            name,
            seconds,
            others,
            len(batches[0]),
            size=f"{width}x{height}",
            threads=threads,
            error_px=answers.error_px(name),
            errors_px=answers.errors_px(name),
            differs_by={} if name != OPENCV or answers.difference_px is None else {DUAL_TVL1: answers.difference_px},
        )
        for name in seconds
    ]


def _call(method: Method, threads: int, batches: Sequence[Sequence[FacialPair]]) -> Callable[[int], Sequence[Flow]]:
    solve = method.make(threads)
    frames = [[(pair.frame0, pair.frame1) for pair in batch] for batch in batches]
    return lambda number: solve(frames[number % len(frames)])

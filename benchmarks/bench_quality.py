"""The quality of pairs, called pair by pair as extraction does, in one and in two threads of this process.

python -m benchmarks.bench_quality
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from flowkit.bench import Size, WrongAnswer, pairs_for, race
from flowkit.bench.pairs import FacialPair
from flowkit.motion.quality import Quality, quality

SIZES = (Size(64, 64), Size(128, 128), Size(224, 224), Size(640, 480))
PIXELS = 8_000_000
"""Of the pairs of a call, some dozen milliseconds."""
ROUNDS = 9


def main() -> None:
    print("| | ms a pair in one thread | in two | times as fast |\n|---|---:|---:|---:|")
    for size in SIZES:
        one, two = _seconds_a_pair(size)
        print(f"| {size} | {1e3 * one:.3f} | {1e3 * two:.3f} | {one / two:.2f} |", flush=True)


def _seconds_a_pair(size: Size) -> tuple[float, float]:
    """Medians, on one and on two threads; raises WrongAnswer."""
    pairs = list(pairs_for(size))
    pairs *= max(2, PIXELS // size.pixels // len(pairs))
    with ThreadPoolExecutor(2) as pool:
        halves = pairs[::2], pairs[1::2]
        calls = {"one": lambda _: [_assess(pairs)], "two": lambda _: list(pool.map(_assess, halves))}
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for answers in race(calls, ROUNDS):
            for name, (taken, _) in answers.items():
                seconds[name].append(taken / len(pairs))
            whole, parts = answers["one"][1][0], answers["two"][1]
            if not all(np.array_equal(part, whole[start::2]) for start, part in enumerate(parts)):
                raise WrongAnswer(f"the quality of {size} is another one in two threads")
    return statistics.median(seconds["one"]), statistics.median(seconds["two"])


def _assess(pairs: Sequence[FacialPair]) -> np.ndarray:
    found = [quality(pair.frame0, pair.frame1, pair.truth) for pair in pairs]
    return np.array([[getattr(each, name) for name in Quality.__slots__] for each in found])


if __name__ == "__main__":
    main()

"""What a pair costs: the least CPU time of several runs in turn, so that a slower machine slows all."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.study.faces import looks
from benchmarks.study.peers import Solve
from benchmarks.study.shots import Shot
from benchmarks.study.stage import stage

SIZES = ((128, 128), (224, 224), (280, 340))


def milliseconds(
    methods: Mapping[str, Solve], repeats: int, sizes: Sequence[tuple[int, int]] = SIZES
) -> dict[str, dict[str, float]]:
    """Of every method, a pair on this thread by size ("224x224"): an expression of 1 px, noise of 1 grey level."""
    times: dict[str, dict[str, float]] = {name: {} for name in methods}
    for size in sizes:
        shot = Shot(
            measure="time",
            kind="expression",
            look=looks("tuning")[1],
            seed=1,
            amplitude_px=1.0,
            size=size,
            codec="jpeg 95",
        )
        pair = stage(shot)
        first, second = pair.frame0[None], pair.frame1[None]
        for name, seconds in least_seconds(methods, first, second, repeats).items():
            times[name][f"{size[1]}x{size[0]}"] = round(1e3 * seconds, 3)
    return times


def least_seconds(
    methods: Mapping[str, Solve], first: np.ndarray, second: np.ndarray, repeats: int
) -> dict[str, float]:
    """The least CPU seconds of each method on this thread, after one run that does not count."""
    least = dict.fromkeys(methods, math.inf)
    for turn in range(repeats + 1):
        for name, method in methods.items():
            start = time.thread_time()
            method(first, second)
            if turn:
                least[name] = min(least[name], time.thread_time() - start)
    return least

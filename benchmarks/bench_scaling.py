"""Time a pixel at every size for the same number of iterations, one thread: without the test that stops early.

With it, the time also depends on how soon a pair converges, and small pictures of the same face take more iterations.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import flowkit
from benchmarks.grid import PRESETS, sizes
from flowkit.bench import Measurement, Size, WrongAnswer, pairs_for, race, summary
from flowkit.bench.run import LARGE_PIXELS

ROUNDS = 3
SUFFIX = " to the last iteration"


def run(short: bool) -> Iterator[list[Measurement]]:
    """A block a size; none in the short form, which has one size. Raises WrongAnswer."""
    for size in () if short else sizes(short):
        yield [_fixed(preset, size) for preset in PRESETS]


def _fixed(preset: str, size: Size) -> Measurement:
    pair = pairs_for(size)[0]
    name = f"flowkit {preset}{SUFFIX}"

    def solve(_: int) -> np.ndarray:
        params = {"epsilon": 0.0}
        return flowkit.tvl1_flow(pair.frame0, pair.frame1, preset=preset, params=params, threads=1)

    seconds, flows = zip(
        *(answers[name] for answers in race({name: solve}, ROUNDS, warm_up=size.pixels <= LARGE_PIXELS)), strict=True
    )
    if not all(np.array_equal(flow, flows[0]) for flow in flows):
        raise WrongAnswer(f"{name} at {size}: other bits in another call")
    return summary(name, {name: seconds}, [], 1, size=str(size), threads=1)

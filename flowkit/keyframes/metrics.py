"""How far two frames are apart: over all pixels, or by the motion between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowkit.keyframes.head_motion import without_head_motion
from flowkit.motion.flow import tvl1_flow

Frame = NDArray[Any]
Metric = Callable[[Sequence[Frame], Sequence[Frame], str], NDArray[np.float64]]
"""Frames (h, w) of one shape and depth, others, and a preset of the solver; gives (n, m) distances, 0 or above."""
PAIRS_AT_ONCE = 16


def pixel_distances(first: Sequence[Frame], second: Sequence[Frame], preset: str = "") -> NDArray[np.float64]:
    """||first_i - second_j||, the L2 norm over all pixels, in grey levels: (n, m).

    Differences are taken in float64, in which sums of squares of 8- and 16-bit pixels are whole numbers and exact, so
    that equal distances are equal. (Differences of unsigned bytes wrap around at 0, and choose other frames.)
    """
    others = [frame.astype(np.float64).ravel() for frame in second]
    distances = np.empty((len(first), len(second)))
    for i, frame in enumerate(first):
        one = frame.astype(np.float64).ravel()
        for j, other in enumerate(others):
            difference = other - one
            distances[i, j] = np.sqrt(difference @ difference)
    return distances


def flow_distances(first: Sequence[Frame], second: Sequence[Frame], preset: str = "micro") -> NDArray[np.float64]:
    """The mean length of the TV-L1 flow from first_i to second_j, px: (n, m)."""
    return _mean_lengths(first, second, preset, lambda flow: flow)


def stabilised_flow_distances(
    first: Sequence[Frame], second: Sequence[Frame], preset: str = "micro"
) -> NDArray[np.float64]:
    """As `flow_distances`, of what is left of the flow without the motion of the head."""
    return _mean_lengths(first, second, preset, lambda flow: without_head_motion(flow)[0])


METRICS: Mapping[str, Metric] = {
    "pixels": pixel_distances,
    "flow": flow_distances,
    "stabilised-flow": stabilised_flow_distances,
}


def _mean_lengths(
    first: Sequence[Frame],
    second: Sequence[Frame],
    preset: str,
    reduce: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> NDArray[np.float64]:
    pairs = [(i, j) for i in range(len(first)) for j in range(len(second))]
    distances = np.empty((len(first), len(second)))
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        some = pairs[start : start + PAIRS_AT_ONCE]
        frames0, frames1 = np.stack([first[i] for i, _ in some]), np.stack([second[j] for _, j in some])
        rest = reduce(tvl1_flow(frames0, frames1, preset=preset, device="cpu", threads=1))
        for (i, j), one in zip(some, rest, strict=True):
            distances[i, j] = np.hypot(one[0], one[1]).mean(dtype=np.float64)
    return distances

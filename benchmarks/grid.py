"""What all benchmarks share: sizes, facial pairs with known flow, interleaved timing, and the form of a result."""

from __future__ import annotations

import dataclasses
import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowkit.demo import facial_pair

SIZES = (128, 224, 256)
AMPLITUDES_PX = (0.2, 0.5, 1.0, 2.0)
IDENTITIES = (0, 3)

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]


@functools.cache
def pair(identity: int, amplitude_px: float, size: int) -> Pair:
    """Two grey frames (size, size) uint8 and their true flow (2, size, size), pixels."""
    return facial_pair(identity, amplitude_px, size, seed=identity)


def endpoint_error(flow: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """Mean length of the difference of two flows (2, h, w), pixels."""
    return float(np.hypot(*(flow - truth)).mean())


@dataclass(frozen=True)
class Measurement:
    """One method at one size: seconds an item, the ratio to the peer in the same run, and the error of its answer."""

    method: str
    size: int
    threads: int
    seconds: float
    fastest: float
    slowest: float
    peer: str
    speed_to_peer: float
    error: dict[str, float]

    @property
    def key(self) -> str:
        return f"{self.method} {self.size} t{self.threads}"

    def to_dict(self) -> dict[str, object]:
        return dataclasses.asdict(self)


def race(ours: Callable[[], object], peer: Callable[[], object], repeats: int) -> tuple[list[float], list[float]]:
    """Seconds of both calls, in turn so that a change of the machine's speed meets both; one warm-up each."""
    ours()
    peer()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for call, seconds in zip((ours, peer), times, strict=True):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
    return times


def measurement(
    method: str,
    size: int,
    threads: int,
    items: int,
    peer: str,
    times: tuple[list[float], list[float]],
    error: dict[str, float],
) -> Measurement:
    """The medians of a race over `items` items; the ratio is the median of the ratios pair by pair."""
    ours, others = times
    each = [seconds / items for seconds in ours]
    ratio = statistics.median(b / a for a, b in zip(ours, others, strict=True))
    return Measurement(method, size, threads, statistics.median(each), min(each), max(each), peer, ratio, error)

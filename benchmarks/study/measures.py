"""What a method is judged by: errors of flow and strain per amplitude, and time; and the one number of the search."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import flowkit
from benchmarks.study.scenes import Example

Frame = NDArray[np.uint8]
Flow = NDArray[np.float32]
Method = Callable[[Frame, Frame], Flow]

WEIGHTS = {0.1: 0.5, 0.2: 1.0, 0.5: 1.0, 1.0: 1.0, 2.0: 1.0, 3.0: 0.5, 5.0: 0.25, 10.0: 0.25}
"""What an amplitude (px) counts in the search."""
STRAIN_SHARE = 0.25
"""What strain counts in the search; flow counts the rest."""


@dataclass(frozen=True)
class Errors:
    """Means over the pairs of one amplitude: endpoint error in px; difference of strain magnitudes, 1."""

    endpoint_px: float
    strain: float


@dataclass(frozen=True)
class Score:
    """Errors per amplitude, and seconds of this thread's CPU for all pairs."""

    errors: dict[float, Errors]
    seconds: float

    def relative_to(self, peer: Score) -> float:
        """The weighted mean logarithm of the ratios of errors to a peer's: below 0 is better than the peer."""
        weights = {a: WEIGHTS[a] for a in self.errors}
        total = 0.0
        for amplitude, weight in weights.items():
            ours, others = self.errors[amplitude], peer.errors[amplitude]
            flow, strain = ours.endpoint_px / others.endpoint_px, ours.strain / others.strain
            total += weight * ((1 - STRAIN_SHARE) * math.log(flow) + STRAIN_SHARE * math.log(strain))
        return total / sum(weights.values())

    def excess(self, peer: Score, limits: Mapping[float, float]) -> float:
        """The sum of the logarithms by which endpoint errors exceed these multiples of a peer's."""
        ratios = {a: self.errors[a].endpoint_px / peer.errors[a].endpoint_px for a in limits}
        return sum(max(0.0, math.log(ratios[a] / limits[a])) for a in limits)


def errors_of(flow: Flow, example: Example) -> Errors:
    """Over the pixels seen in both frames; strain also not next to another layer, where it does not exist."""
    truth = example.truth
    distance = np.hypot(*(flow - truth.flow))[truth.visible]
    strains = [flowkit.strain_magnitude(np.ascontiguousarray(f), threads=1) for f in (flow, truth.flow)]
    return Errors(float(distance.mean()), float(np.abs(strains[0] - strains[1])[truth.smooth].mean()))


def mean_errors(errors: Sequence[Errors]) -> Errors:
    return Errors(*(float(np.mean([getattr(e, name) for e in errors])) for name in ("endpoint_px", "strain")))


def score(method: Method, examples: Sequence[Example]) -> Score:
    """Run a method on all pairs, on this thread."""
    found: dict[float, list[Errors]] = {}
    seconds = 0.0
    for example in examples:
        start = time.thread_time()
        flow = method(example.frame0, example.frame1)
        seconds += time.thread_time() - start
        found.setdefault(example.shot.amplitude_px, []).append(errors_of(flow, example))
    return Score({amplitude: mean_errors(errors) for amplitude, errors in found.items()}, seconds)


def fastest(methods: Mapping[str, Method], frame0: Frame, frame1: Frame, repeats: int) -> dict[str, float]:
    """The least CPU seconds of each method on this thread; in turn, so that a slower machine slows all."""
    least = dict.fromkeys(methods, math.inf)
    for _ in range(repeats + 1):
        for name, method in methods.items():
            start = time.thread_time()
            method(frame0, frame1)
            least[name] = min(least[name], time.thread_time() - start)
    return least

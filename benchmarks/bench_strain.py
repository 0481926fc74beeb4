"""Strain magnitude against the same formula in NumPy, one thread."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import flowkit
from benchmarks.grid import sizes
from flowkit.bench import Measurement, Size, WrongAnswer, pairs_for, race, summary

AGREEMENT = 1e-6
ROUNDS = 9


def numpy_magnitude(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """sqrt(exx^2 + eyy^2 + 2 exy^2) of (n, 2, h, w) by np.gradient, which also is one-sided at the border."""
    uy, ux = np.gradient(flow[:, 0], axis=(1, 2))
    vy, vx = np.gradient(flow[:, 1], axis=(1, 2))
    return np.sqrt(ux**2 + vy**2 + 0.5 * (uy + vx) ** 2)


def run(short: bool) -> Iterator[list[Measurement]]:
    """A block a size; raises WrongAnswer."""
    for size in sizes(short):
        yield [_strain(size)]


def _strain(size: Size) -> Measurement:
    flow = np.stack([pair.truth for pair in pairs_for(size)])
    calls = {
        "flowkit strain": lambda _: flowkit.strain_magnitude(flow, threads=1),
        "NumPy": lambda _: numpy_magnitude(flow),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for answers in race(calls, ROUNDS):
        for name, (taken, _) in answers.items():
            seconds[name].append(taken)
        difference = float(np.abs(answers["flowkit strain"][1] - answers["NumPy"][1]).max())
        if not difference < AGREEMENT:
            raise WrongAnswer(f"strain differs from NumPy's by {difference} at {size}")
    found = {"differs_by": {"NumPy": difference}}
    return summary("flowkit strain", seconds, ["NumPy"], len(flow), size=str(size), threads=1, **found)

"""Strain magnitude against the same formula in NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import flowkit
from benchmarks import grid
from benchmarks.grid import Measurement, measurement, race


def numpy_magnitude(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    """sqrt(exx^2 + eyy^2 + 2 exy^2) of (n, 2, h, w) by np.gradient, which also is one-sided at the border."""
    uy, ux = np.gradient(flow[:, 0], axis=(1, 2))
    vy, vx = np.gradient(flow[:, 1], axis=(1, 2))
    return np.sqrt(ux**2 + vy**2 + 0.5 * (uy + vx) ** 2)


def run(short: bool) -> Iterator[Measurement]:
    """One measurement a size; AssertionError where the answers differ."""
    for size in (224,) if short else grid.SIZES:
        flow = np.stack([grid.pair(i, a, size)[2] for i in grid.IDENTITIES for a in grid.AMPLITUDES_PX])
        difference = float(np.abs(flowkit.strain_magnitude(flow, threads=1) - numpy_magnitude(flow)).max())
        assert difference < 1e-6, f"strain differs from NumPy's by {difference} at {size} px"
        times = race(
            lambda flow=flow: flowkit.strain_magnitude(flow, threads=1), lambda flow=flow: numpy_magnitude(flow), 9
        )
        yield measurement("flowkit strain", size, 1, len(flow), "NumPy", times, {"to peer": difference})

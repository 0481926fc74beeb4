"""The methods that the study compares, by short names: flowkit's presets, and the peers of `flowkit bench`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import flowkit
from flowkit.bench import methods as bench
from flowkit.params import TVL1Params, resolve_params

Batch = NDArray[Any]
Solve = Callable[[Batch, Batch], NDArray[np.float32]]
"""From frames (n, h, w) uint8, twice, to flows (n, 2, h, w), px."""

PEERS = {"cv2": "opencv", "dis": "dis-medium", "farneback": "farneback", "scikit-image": "scikit-image"}
"""Names of the study, and those of `flowkit bench`."""
REPORTED = ("micro", "fast", "opencv", "cv2", "dis", "farneback")


def solver(params: TVL1Params) -> Solve:
    """flowkit's TV-L1 with these parameters, on one thread."""
    return lambda first, second: flowkit.tvl1_flow(first, second, params=params, threads=1)


def peer(name: str) -> Solve:
    """A peer on one thread, a new object for every batch: DualTVL1 and DIS are spoilt for good by a small image."""
    create = bench.PEERS[PEERS[name]].create

    def solve(first: Batch, second: Batch) -> NDArray[np.float32]:
        cv2.setNumThreads(1)
        one = create()
        return np.stack([one(a, b) for a, b in zip(first, second, strict=True)]).astype(np.float32)

    return solve


def method(name: str, changes: Mapping[str, Any]) -> Solve:
    """A preset of flowkit, with some parameters changed, or a peer.

    Raises:
        InputError: for a name that is neither, or an unknown parameter.
    """
    return peer(name) if name in PEERS else solver(resolve_params(name, dict(changes)))

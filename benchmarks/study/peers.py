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
STAND_IN = {"cv2": "opencv"}
"""Presets that give a peer's answers, to the bit, in a fortieth of the time; `require_same` proves it."""
REPORTED = ("micro", "micro-phases", "fast", "opencv", "cv2", "dis", "farneback")


def solver(params: TVL1Params) -> Solve:
    """flowkit's TV-L1 with these parameters, on one thread."""
    return lambda first, second: flowkit.tvl1_flow(first, second, params=params, threads=1)


def peer(name: str) -> Solve:
    """A peer on one thread, with an object for each size: DualTVL1 and DIS are spoilt for good by a small image."""
    create = bench.PEERS[PEERS[name]].create
    objects: dict[tuple[int, ...], bench.Solve] = {}

    def solve(first: Batch, second: Batch) -> NDArray[np.float32]:
        cv2.setNumThreads(1)
        size = first.shape[1:]
        one = objects[size] = objects.get(size) or create()
        return np.stack([one(a, b) for a, b in zip(first, second, strict=True)]).astype(np.float32)

    return solve


def method(name: str, changes: Mapping[str, Any]) -> Solve:
    """A preset of flowkit, with some parameters changed, or a peer; for `cv2` what gives its answers (STAND_IN).

    Raises:
        InputError: for a name that is neither, or an unknown parameter.
    """
    if name in STAND_IN:
        return solver(resolve_params(STAND_IN[name]))
    return peer(name) if name in PEERS else solver(resolve_params(name, dict(changes)))


def no_motion(first: Batch, second: Batch) -> NDArray[np.float32]:
    """What reports nothing, for which errors that are small everywhere are no virtue."""
    return np.zeros((len(first), 2, *second.shape[1:]), np.float32)


def require_same(name: str, first: Batch, second: Batch) -> None:
    """A peer's flows of these frames are to be those of what stands in for it, to the bit.

    Raises:
        ValueError: where they are not, as with OpenCV 4, which rounds the warp.
    """
    off = np.abs(peer(name)(first, second) - method(name, {})(first, second)).max()
    if off != 0:
        raise ValueError(
            f"{name} differs from preset {STAND_IN[name]} by {off:.3g} px: install OpenCV 5 for this study"
        )

"""Normalisation of cubes by name, fitted on the training rows of one fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import InputError
from trainer.types import NORMALISATIONS

Cubes = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Normaliser:
    """A fitted normalisation: calling it normalises cubes (n, 3, h, w), each by itself.

    none: as they are. minmax: every channel of every sample to 0..1 (a constant channel to 0); zero motion then has no
    fixed value. signed_global: every channel divided by the 99.9 percentile of its magnitude over the training rows, so
    signs, zero and the relative strength of samples stay; values beyond the percentile exceed 1.
    """

    name: str
    scale: tuple[float, ...] | None = None
    """Of signed_global: the divisor of each channel."""

    def __call__(self, cubes: Cubes) -> Cubes:
        if self.name == "minmax":
            return _minmax(cubes)
        if self.scale is not None:
            scaled: Cubes = cubes / np.array(self.scale, dtype=np.float32)[:, None, None]
            return scaled
        return cubes


def fit_normaliser(name: str, cubes: Cubes, rows: NDArray[np.int64] | Sequence[int]) -> Normaliser:
    """The normalisation of that name, fitted on those rows of (n, 3, h, w) cubes and on no others."""
    if name not in NORMALISATIONS:
        raise InputError(f"normalise={name!r} is unknown; choose one of {', '.join(NORMALISATIONS)}")
    if name != "signed_global":
        return Normaliser(name)
    # A channel at a time: all of them, and what percentile copies, would be several times the cubes.
    scale = [float(np.percentile(np.abs(cubes[rows, channel]), 99.9)) for channel in range(cubes.shape[1])]
    return Normaliser(name, tuple(value or 1.0 for value in scale))


def _minmax(cubes: Cubes) -> Cubes:
    low = cubes.min(axis=(2, 3), keepdims=True)
    spread = cubes.max(axis=(2, 3), keepdims=True) - low
    scaled: Cubes = (cubes - low) / np.where(spread > 0, spread, np.float32(1))
    return scaled

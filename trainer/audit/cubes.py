"""Clips that are the same recording under two names: their motion is nearly identical."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.audit.findings import Finding, shortened
from trainer.data import strain_of

SIDE = 24
"""Cubes are compared at this size: noise is averaged out, motion is not."""
SAME = 0.995
"""Correlation from which two cubes are near-identical."""


FITS = 0.5
"""Correlation from which strain is taken to be that of the flow, the right way or the wrong one."""


def near_identical(cubes: NDArray[np.float32], clips: Sequence[str], people: Sequence[str]) -> Finding:
    """Whether two clips of different people have near-identical cubes (n, 3, h, w), or two of one person have.

    Compared is the correlation of u and v over the image; a cube without motion is left out.
    """
    small = _reduced(cubes)
    moving = np.linalg.norm(small, axis=1) > 1e-6
    rows = np.flatnonzero(moving)
    unit = small[rows] / np.linalg.norm(small[rows], axis=1, keepdims=True)
    close = [(rows[i], rows[j]) for i, j in zip(*np.nonzero(np.triu(unit @ unit.T > SAME, 1)), strict=True)]
    close = [(i, j) for i, j in close if clips[i] != clips[j]]
    across = [f"{clips[i]} and {clips[j]}" for i, j in close if people[i] != people[j]]
    if across:
        told = f"{len(across)} pairs of clips of different people have near-identical motion (correlation above {SAME})"
        return Finding("near-identical cubes", "leak", told, shortened(across))
    if close:
        told = f"{len(close)} pairs of clips of one person have near-identical motion; are they one clip twice?"
        return Finding(
            "near-identical cubes", "warning", told, shortened([f"{clips[i]} and {clips[j]}" for i, j in close])
        )
    told = f"no two of {len(rows)} moving clips are near-identical"
    return Finding("near-identical cubes", "passed", told)


def strain_axes(cubes: NDArray[np.float32]) -> Finding:
    """Whether the strain of cubes (n, 3, h, w) is that of their flow, or one of gradients along the wrong axes.

    Strain is made anew from u and v either way. Cubes that were resized fit less well either way, the less the noisier
    they are; where neither fits, nothing is said.
    """
    name = "strain axes"
    rows = [cube for cube in cubes if np.ptp(cube[0]) > 1e-6 and np.ptp(cube[2]) > 1e-6]
    if not rows:
        return Finding(name, "not checked", "no cube has motion")
    fits = np.array([[_fit(strain_of(cube[:2], swapped=way), cube[2]) for way in (False, True)] for cube in rows])
    right, swapped = (float(value) for value in np.median(fits, axis=0))
    told = f"strain correlates {right:.3f} with that of its flow, {swapped:.3f} with gradients along swapped axes"
    if max(right, swapped) < FITS:
        return Finding(name, "not checked", f"{told}: too noisy after resizing to tell")
    if swapped > right:
        return Finding(name, "slip", f"{told}: the axes are swapped")
    return Finding(name, "passed", told)


def _fit(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    if np.ptp(one) <= 0:
        return 0.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def _reduced(cubes: NDArray[np.float32]) -> NDArray[np.float64]:
    """u and v at SIDE x SIDE with their means taken off, (n, 2 * SIDE * SIDE)."""
    planes = [
        [cv2.resize(np.ascontiguousarray(plane), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for plane in cube[:2]]
        for cube in cubes
    ]
    small = np.array(planes, dtype=np.float64).reshape(len(cubes), 2, SIDE * SIDE)
    centred: NDArray[np.float64] = (small - small.mean(axis=2, keepdims=True)).reshape(len(cubes), -1)
    return centred

"""Clips that are the same recording under two names: their motion is nearly identical."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.audit.findings import EXAMPLES, Finding, shortened
from trainer.data import strain_of
from trainer.folds import Fold

SIDE = 24
"""Cubes are compared at this size: noise is averaged out, motion is not."""
BORDER = 1 / 16
"""Of each side, left out before: flow is least sure there."""
SAME = 0.15
"""Near-identical cubes differ by less than this share of the larger motion. Of the demo's 96 clips at 128 px a copy
with noise of one grey level is found in 3 of 4 cases, one cropped by a pixel in half of them, by two in a quarter; of
260,000 pairs of clips of its people, who show the same expressions, none is (0.24 apart, and more)."""
BLOCK_VALUES = 1 << 20
"""So many pairs of cubes are compared at a time, or those of one cube where they are more: 8 MB for each array."""


EDGE_PX = 4
"""Of each side, where strain depends on what is taken to lie outside."""
FITS = 0.5
"""Correlation from which strain is taken to be that of the flow, the right way or the wrong one."""
CLOSE = 0.01
"""Correlations that differ by less tell neither way."""
ASPECTS = 1.1
"""Heights over widths before resizing that differ by more are not taken for one."""


def near_identical(
    cubes: NDArray[np.float32], clips: Sequence[str], people: Sequence[str], folds: Sequence[Fold] = ()
) -> Finding:
    """Whether two clips of different people have near-identical cubes (n, 3, h, w), or two of one person have.

    They are where u and v differ little, and also what is left of them without their affine part: the motion of a head,
    a turn or a shift, is alike in all people. A cube without motion of its own is left out. Two of different people are
    a leak where one trains the fold that holds out the other; without `folds`, people are taken to train each other's.
    """
    name = "near-identical cubes"
    whole = _reduced(cubes)
    local = whole - _affine(whole)
    rows = np.flatnonzero(np.linalg.norm(local, axis=(1, 2)) > 1e-6)
    clip, person = (np.unique(np.asarray(names), return_inverse=True)[1] for names in (clips, people))
    held_by, trains = _division(person, folds)
    across, apart, within = _Pairs(clips), _Pairs(clips), _Pairs(clips)
    for first, second in _alike(whole[rows], local[rows]):
        i, j = rows[first], rows[second]
        others, same = clip[i] != clip[j], person[i] == person[j]
        met = trains[held_by[i], j] | trains[held_by[j], i]
        for pairs, chosen in ((across, ~same & met), (apart, ~same & ~met), (within, same)):
            pairs.add(i[others & chosen], j[others & chosen])
    if across.count:
        told = f"{across.count} pairs of clips of different people have near-identical motion"
        return Finding(name, "leak", f"{told} (less than {SAME:.0%} apart)", shortened(across.names, of=across.count))
    if apart.count:
        told = (
            f"{apart.count} pairs of clips of different people have near-identical motion, and none trains the other's"
        )
        return Finding(name, "warning", f"{told} fold; are they one clip?", shortened(apart.names, of=apart.count))
    if within.count:
        told = f"{within.count} pairs of clips of one person have near-identical motion; are they one clip twice?"
        return Finding(name, "warning", told, shortened(within.names, of=within.count))
    return Finding(name, "passed", f"no two of {len(rows)} moving rows are near-identical")


def _division(person: NDArray[np.int64], folds: Sequence[Fold]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Which fold holds out each row, (n,), and which rows train it, (folds, n); without folds, one a person."""
    if not folds:
        return person, np.arange(person.max() + 1)[:, None] != person
    held_by, trains = np.zeros(len(person), dtype=np.int64), np.zeros((len(folds), len(person)), dtype=bool)
    for number, fold in enumerate(folds):
        held_by[fold.held_out] = number
        trains[number, fold.train] = True
    return held_by, trains


@dataclass(slots=True)
class _Pairs:
    """How many pairs of rows there are, and the names of the first of them."""

    clips: Sequence[str]
    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> None:
        self.count += len(first)
        some = EXAMPLES - len(self.names)
        self.names += [f"{self.clips[i]} and {self.clips[j]}" for i, j in zip(first[:some], second[:some], strict=True)]


def strain_axes(cubes: NDArray[np.float32], sizes: Sequence[Sequence[int]] = ()) -> Finding:
    """Whether the strain of cubes (n, 3, h, w) is that of their flow, or one of gradients along the wrong axes.

    Strain is made anew from u and v either way, and compared within the edge. Resizing keeps the strain of the grid
    before it, where u and v have other lengths if the aspect ratio was another. Cubes that were resized fit less well
    either way, the less the noisier they are; where neither fits, or both alike, nothing is said.

    Args:
        sizes: (height, width) of the cubes before they were resized; () where they were not.
    """
    name = "strain axes"
    rows = [cube for cube in cubes if np.ptp(cube[0]) > 1e-6 and np.ptp(cube[2]) > 1e-6]
    if not rows:
        return Finding(name, "not checked", "no cube has motion")
    aspects = [height / width for height, width in sizes or [cubes.shape[2:]]]
    if max(aspects) > ASPECTS * min(aspects):
        return Finding(
            name, "not checked", f"cubes of {len(aspects)} sizes and other aspect ratios were resized to one"
        )
    # A pixel's height and width before resizing, but for a common factor.
    pixel = np.array([np.median(aspects) * cubes.shape[3] / cubes.shape[2], 1], dtype=np.float32)
    fits = np.array([[_fit(_strain(cube, pixel, swapped=way), cube[2]) for way in (False, True)] for cube in rows])
    right, swapped = (float(value) for value in np.median(fits, axis=0))
    told = f"strain correlates {right:.3f} with that of its flow, {swapped:.3f} with gradients along swapped axes"
    if max(right, swapped) < FITS:
        return Finding(name, "not checked", f"{told}: too noisy after resizing to tell")
    if abs(swapped - right) < CLOSE:
        return Finding(name, "not checked", f"{told}: too alike to tell")
    if swapped > right:
        return Finding(name, "slip", f"{told}: the axes are swapped")
    return Finding(name, "passed", told)


def _strain(cube: NDArray[np.float32], pixel: NDArray[np.float32], *, swapped: bool) -> NDArray[np.float32]:
    """The strain (h, w) of a cube's u and v where a pixel is `pixel` high and wide."""
    return strain_of(cube[:2] * pixel[::-1, None, None], swapped=swapped, pixel=pixel.tolist())


def _fit(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """The correlation of two planes (h, w) within their edges; 0 where one is constant."""
    edge = min(EDGE_PX, min(one.shape) // 4)
    one, other = (plane[edge : plane.shape[0] - edge, edge : plane.shape[1] - edge] for plane in (one, other))
    if np.ptp(one) <= 0 or np.ptp(other) <= 0:
        return 0.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def _reduced(cubes: NDArray[np.float32]) -> NDArray[np.float64]:
    """u and v within the border at SIDE x SIDE, (n, 2, SIDE * SIDE)."""
    top, left = (round(BORDER * side) for side in cubes.shape[2:])
    inner = cubes[:, :2, top : cubes.shape[2] - top, left : cubes.shape[3] - left]
    planes = [
        [cv2.resize(np.ascontiguousarray(plane), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for plane in cube]
        for cube in inner
    ]
    return np.array(planes, dtype=np.float64).reshape(len(cubes), 2, SIDE * SIDE)


def _affine(motion: NDArray[np.float64]) -> NDArray[np.float64]:
    """The best a + b x + c y of each plane (n, 2, SIDE * SIDE)."""
    y, x = np.mgrid[:SIDE, :SIDE].reshape(2, -1)
    basis = np.linalg.qr(np.stack([np.ones(SIDE * SIDE), x, y], axis=1))[0]
    fitted: NDArray[np.float64] = motion @ basis @ basis.T
    return fitted


def _alike(*motions: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows i < j whose motions differ by less than SAME of the larger one, in each array (n, 2, SIDE * SIDE).

    Sorted by i, then j, in blocks of some i: n x n numbers would be gigabytes from 15,000 rows on.
    """
    flat = [motion.reshape(len(motion), -1) for motion in motions]
    squares = [(each**2).sum(axis=1) for each in flat]
    n = len(flat[0])
    step = max(1, BLOCK_VALUES // max(1, n))
    for start in range(0, n, step):
        alike = np.ones((min(step, n - start), n - start), dtype=bool)
        for each, square in zip(flat, squares, strict=True):
            here = slice(start, start + step)
            apart = square[here, None] + square[start:] - 2 * each[here] @ each[start:].T
            alike &= apart < SAME**2 * np.maximum(square[here, None], square[start:])
        i, j = np.nonzero(np.triu(alike, 1))
        yield i + start, j + start

"""Takes the head's motion between two frames out of the second one.

The motion is estimated over a region of the face by Gauss-Newton steps on Tukey's biweight of the grey differences
(Beaton and Tukey 1974; Odobez and Bouthemy 1995), with the light's gain and offset beside it. The biweight leaves out
what does not move with the head: a brow of 2 px draws ECC and phase correlation away by some tenths of a pixel.
docs/faces.md has the figures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError, InputError

Kind = Literal["none", "translation", "similarity", "nose"]
Motion = NDArray[np.float64]
"""(2, 3): the head's motion, which brings the position (x, y, 1) in the first frame to that in the second; pixels."""

UPPER = (0.25, 0.22, 0.5, 0.4)
INNER = (0.25, 0.22, 0.5, 0.63)
REGIONS: dict[str, tuple[float, float, float, float]] = {
    "whole": (0.0, 0.0, 1.0, 1.0),
    "upper": UPPER,
    "inner": INNER,
}
"""Left, top, width, height, as fractions of the frame: all of it, and for frames cropped to a face its upper half, and
that with the mouth, without hair and background."""

_BLUR_PX = 1.5
"""Before the estimate. Frames are then sampled linearly without a shift; OpenCV's cubic kernel shifts by 0.04 px."""
_STEPS = 80
_STILL_PX = 5e-3
"""A last step below this is one."""
_TUKEY = 4.685
_LARGEST = 0.15
"""Of a motion, as a fraction of the frame's shorter side."""
_FEWEST = 0.2
"""Of the region's weight that the biweight may leave."""
_LEAST_LIKENESS = 0.5
"""Correlation of the region with where it has gone."""
_GRID_PX = 1 / 32
"""OpenCV samples at multiples of this, so a shift that is one is taken out exactly."""


@dataclass(frozen=True, slots=True)
class Stabilising:
    """What is asked for; `str` gives the text that `parse_stabilise` reads."""

    kind: Kind
    region: tuple[float, float, float, float] = REGIONS["whole"]
    """Left, top, width, height, as fractions of the frame."""

    def __str__(self) -> str:
        if self.kind == "none":
            return "none"
        names = [name for name, region in REGIONS.items() if region == self.region and self.kind != "nose"]
        return f"{self.kind}:{names[0] if names else ','.join(map(_decimal, self.region))}"


def parse_stabilise(text: str) -> Stabilising:
    """What a text asks for: "none", "translation", "similarity" (both over `inner`), "translation:REGION",
    "similarity:REGION" or "nose:BOX"; a region is a name of REGIONS or a box, a box "left,top,width,height" as
    fractions of the frame.

    Raises:
        InputError: for another text, or a box outside of 0..1.
    """
    kind, colon, rest = text.partition(":")
    if text == "none":
        return Stabilising("none")
    if kind in ("translation", "similarity") and (not colon or rest in REGIONS):
        return Stabilising(kind, REGIONS[rest or "inner"])  # type: ignore[arg-type]
    if kind in ("translation", "similarity", "nose") and rest:
        return Stabilising(kind, _parse_box(text, rest))  # type: ignore[arg-type]
    raise InputError(
        f"stabilise {text!r} is unknown; choose none, translation, similarity, either with :{', :'.join(REGIONS)} or "
        ":left,top,width,height, or nose:left,top,width,height"
    )


def head_motion(frame0: NDArray[Any], frame1: NDArray[Any], asked: Stabilising) -> Motion:
    """The motion of the head from frame0 to frame1, both (h, w) of one dtype: a translation or a similarity.

    Raises:
        FrameError: where none can be found: nothing to hold on to in the region, steps that do not end, a motion of
            more than _LARGEST of the frame, or less than _FEWEST of the region that moves with it.
    """
    rows, columns = pixels_of(asked.region, frame0.shape)
    blurred0, blurred1 = _blurred(frame0), _blurred(frame1)
    motion = np.eye(2, 3)
    # The shift comes first: brows that rise over a mouth that opens look like growth as long as it is not known.
    for turns in (False, True) if asked.kind == "similarity" else (False,):
        motion = _settled(_Fit.over(blurred0, rows, columns, turns=turns), blurred1, motion)
    if asked.kind == "translation":
        motion[:, 2] = np.round(motion[:, 2] / _GRID_PX) * _GRID_PX
    return motion


def _settled(fit: _Fit, frame1: NDArray[np.float32], motion: Motion) -> Motion:
    """The motion that further steps do not change; see `head_motion`."""
    for _ in range(_STEPS):
        step, weight = fit.step(fit.seen(frame1, motion))
        motion = (_square(motion) @ np.linalg.inv(_square(step)))[:2]
        _require_plausible(fit.reach(motion), min(fit.shape), weight)
        if fit.reach(step) < _STILL_PX:
            _require_likeness(fit.values, fit.seen(frame1, motion))
            return motion
    raise FrameError(f"stabilising has not settled after {_STEPS} steps; give another --stabilise or its region")


def without_motion(frame0: NDArray[Any], frame1: NDArray[Any], motion: Motion) -> NDArray[Any]:
    """frame1 as it would be had the head not moved: sampled once, by Lanczos' kernel of 8 x 8 pixels.

    Where the second frame does not show what the first one does, at the edges, frame0 stands: no motion is made up
    there.
    """
    moved = _sampled(frame1, motion, frame0.shape)
    height, width = frame1.shape
    y, x = np.mgrid[: frame0.shape[0], : frame0.shape[1]]
    there = [motion[i, 0] * x + motion[i, 1] * y + motion[i, 2] for i in (0, 1)]
    seen = (there[0] >= 0) & (there[0] <= width - 1) & (there[1] >= 0) & (there[1] <= height - 1)
    return np.where(seen, moved, frame0)


def mean_flow(flow: NDArray[Any], asked: Stabilising) -> tuple[float, float]:
    """Mean (u, v) of a flow (2, h, w) over the region, pixels."""
    rows, columns = pixels_of(asked.region, flow.shape[1:])
    u, v = flow[:, rows, columns].astype(np.float64).mean(axis=(1, 2))
    return float(u), float(v)


def pixels_of(region: tuple[float, float, float, float], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of a frame (h, w) that a region of fractions covers, at least one of each."""
    left, top, width, height = region
    y0, y1 = round(top * shape[0]), round((top + height) * shape[0])
    x0, x1 = round(left * shape[1]), round((left + width) * shape[1])
    y0, x0 = min(y0, shape[0] - 1), min(x0, shape[1] - 1)
    return slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))


@dataclass(frozen=True, slots=True)
class _Fit:
    """A region of the first frame, and what small motions of it change."""

    values: NDArray[np.float64]
    """(n,) grey values."""
    changes: NDArray[np.float64]
    """(n, p): by a unit of each parameter: [growth, turn,] u, v, the light's offset and gain."""
    shape: tuple[int, ...]
    """(h, w) of the frame."""
    rows: slice
    columns: slice
    centre: tuple[float, float]
    """(x, y) of the region, px."""
    radius: float
    """By which its positions are divided, px."""
    turns: bool

    @classmethod
    def over(cls, frame: NDArray[np.float32], rows: slice, columns: slice, *, turns: bool) -> _Fit:
        gx = (cv2.Scharr(frame, cv2.CV_32F, 1, 0) / 32)[rows, columns].ravel().astype(np.float64)
        gy = (cv2.Scharr(frame, cv2.CV_32F, 0, 1) / 32)[rows, columns].ravel().astype(np.float64)
        y, x = (grid.ravel().astype(np.float64) for grid in np.mgrid[rows, columns])
        centre, radius = (float(x.mean()), float(y.mean())), max(float(np.ptp(x)), float(np.ptp(y)), 2.0) / 2
        x, y = (x - centre[0]) / radius, (y - centre[1]) / radius
        values = frame[rows, columns].ravel().astype(np.float64)
        turning = [x * gx + y * gy, x * gy - y * gx] if turns else []
        changes = np.stack([*turning, gx, gy, np.ones_like(gx), values - values.mean()], axis=1)
        return cls(values, changes, frame.shape, rows, columns, centre, radius, turns)

    def seen(self, frame1: NDArray[np.float32], motion: Motion) -> NDArray[np.float32]:
        """(n,) grey values of the second frame where a motion puts the region."""
        y, x = np.mgrid[self.rows, self.columns].astype(np.float64)
        return _bilinear(
            frame1,
            np.clip(motion[0, 0] * x + motion[0, 1] * y + motion[0, 2], 0, frame1.shape[1] - 1),
            np.clip(motion[1, 0] * x + motion[1, 1] * y + motion[1, 2], 0, frame1.shape[0] - 1),
        ).ravel()

    def step(self, moved: NDArray[np.float32]) -> tuple[Motion, float]:
        """The motion that would explain what is left of the difference, and the share of the region that agrees."""
        left = moved - self.values
        off = left - np.median(left)
        far = off / (_TUKEY * (1.4826 * float(np.median(np.abs(off))) + 1e-3))
        weights = np.where(np.abs(far) < 1, (1 - far**2) ** 2, 0.0)
        weighted = self.changes * weights[:, None]
        try:
            # Not by BLAS, whose sums depend on how many threads it has.
            products = np.einsum("ni,nj->ij", weighted, self.changes)
            found = np.linalg.solve(products, np.einsum("ni,n->i", weighted, left))
        except np.linalg.LinAlgError:
            found = np.full(self.changes.shape[1], np.nan)
        if not np.isfinite(found).all():
            raise FrameError(
                "stabilising finds nothing to hold on to in its region, which is flat; give another --stabilise"
            )
        growth, turn = found[:2] / self.radius if self.turns else (0.0, 0.0)
        u, v = found[2:4] if self.turns else found[:2]
        x, y = self.centre
        linear = np.array([[1 + growth, -turn], [turn, 1 + growth]])
        return np.column_stack([linear, np.array([x + u, y + v]) - linear @ [x, y]]), float(weights.mean())

    def reach(self, motion: Motion) -> float:
        """How far a motion moves the region's centre or edge at most, px."""
        u, v = motion[:, :2] @ self.centre + motion[:, 2] - self.centre
        return float(np.hypot(u, v) + np.hypot(motion[0, 0] - 1, motion[1, 0]) * self.radius)


def _bilinear(frame: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
    """A frame (h, w) at positions inside it. OpenCV 4 rounds them to 1/32 px, among which steps do not settle."""
    left = np.minimum(x.astype(np.intp), max(frame.shape[1] - 2, 0))
    top = np.minimum(y.astype(np.intp), max(frame.shape[0] - 2, 0))
    right, bottom = np.minimum(left + 1, frame.shape[1] - 1), np.minimum(top + 1, frame.shape[0] - 1)
    across, down = (x - left).astype(np.float32), (y - top).astype(np.float32)
    upper = frame[top, left] * (1 - across) + frame[top, right] * across
    lower = frame[bottom, left] * (1 - across) + frame[bottom, right] * across
    return np.asarray(upper * (1 - down) + lower * down, dtype=np.float32)


def _blurred(frame: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(frame.astype(np.float32), (0, 0), _BLUR_PX), dtype=np.float32)


def _require_plausible(reach: float, side: int, weight: float) -> None:
    if not reach <= _LARGEST * side:
        raise FrameError(
            f"stabilising runs off: a head motion of {reach:.1f} px, of which {_LARGEST * side:.0f} px are the most "
            "in frames of this size; the frames show no common face, or are too far apart"
        )
    if weight < _FEWEST:
        raise FrameError(
            f"stabilising fails: only {weight:.0%} of its region moves alike, needed are {_FEWEST:.0%}; give another "
            "region"
        )


def _require_likeness(before: NDArray[np.float64], after: NDArray[np.float32]) -> None:
    if not np.ptp(after):
        raise FrameError("stabilising fails: the second frame is flat where its region ends; it may be a black one")
    correlation = float(np.corrcoef(before, after)[0, 1])
    if not correlation >= _LEAST_LIKENESS:
        raise FrameError(
            f"stabilising fails: where it ends the region correlates by {correlation:.2f} with the first frame, needed "
            f"is {_LEAST_LIKENESS:g}; the frames show no common face, or are too far apart"
        )


def _sampled(frame: NDArray[Any], motion: Motion, shape: tuple[int, ...]) -> NDArray[Any]:
    size = (shape[1], shape[0])
    flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    sampled: NDArray[Any] = cv2.warpAffine(frame, motion, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return sampled


def _square(motion: Motion) -> NDArray[np.float64]:
    return np.vstack([motion, [0.0, 0.0, 1.0]])


def _decimal(value: float) -> str:
    """In as many digits as the number has, and without an exponent, which a box cannot have."""
    return np.format_float_positional(value, trim="-")


_BOX = re.compile(r"[0-9.]+(,[0-9.]+){3}")


def _parse_box(text: str, box: str) -> tuple[float, float, float, float]:
    try:
        if not _BOX.fullmatch(box):
            raise ValueError
        left, top, width, height = map(float, box.split(","))
    except ValueError as error:
        raise InputError(
            f"stabilise {text!r}: write the box as left,top,width,height, fractions of the frame, as 0.45,0.4,0.1,0.2"
        ) from error
    if width <= 0 or height <= 0 or left + width > 1 or top + height > 1:
        raise InputError(f"stabilise {text!r}: the box is not inside the frame, which reaches from 0 to 1")
    return left, top, width, height

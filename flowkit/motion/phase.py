"""Phases: several frames of one moment, averaged before the flow. Four halve the noise of a face that holds still.

Each frame is first brought to where the head is in the phase's reference frame, by a similarity that is fitted to all
pixels with weights that leave out what moves otherwise (inverse compositional Lucas-Kanade: Baker, Matthews, IJCV 56,
2004). Then each pixel is averaged over the frames without those that depart from their median by more than noise does
(Hampel's weights), so of three or more a blink or a dropped frame leaves no trace. A frame in which the fit does not
find the reference's picture is left out; where most are such, the reference may be the odd one, and they are refused.
"""

from __future__ import annotations

import math
from itertools import accumulate, combinations
from typing import cast

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from flowkit.errors import InputError
from flowkit.motion.flow import as_array, check_frames, grey_range, require_finite

Frame = NDArray[np.float32]
Moves = tuple[float, float, float, float]
"""A similarity near the identity, about the frame's centre: x + tx + a x - b y, y + ty + b x + a y, px."""

STILL: Moves = (0.0, 0.0, 0.0, 0.0)
_STEPS = 20
"""Of the fit at most: five do for a head that trembles, 22 of 224 px have taken 14."""
_ENOUGH_PX = 0.002
"""A step of the fit below this is its last."""
_FIT_BLUR_PX = 1.0
"""Of the frames at half size that the fit compares: derivatives of less blurred ones are no gradients."""
_MARGIN_PX = 4
"""Of the half-size frame, at its border, that the fit leaves out."""
_CHANCE = 80.0
"""A fitted move counts from so many of the fit's variances on. Where nothing moves the sum over its four parameters is
15 on average and was below 64 in 180 of 180 cases, from 64 to 224 px and noise 0.5 to 3: the blur makes neighbours
alike."""
_MOST_MOVE = 0.1
"""Of the frame's side, the longer one. A fit that goes farther has lost the face."""
_UNLIKE, _UNLIKE_GREY = 0.5, 4.0
"""A frame that still departs from the reference by more than this share of its contrast, and by more grey levels than
noise makes at half size, shows something else. Lamps that flicker make less of it."""
_REACH = 3
"""Pixels to either side that the interpolating polynomial goes through."""
_NODES = range(-_REACH, _REACH + 1)
_SCALES = [np.float32(1 / math.prod(node - other for other in _NODES if other != node)) for node in _NODES]
_BLOCK = 8192
"""Pixels that are sampled at a time: what is on the way then stays in the processor's cache."""
_KEPT, _REFUSED = 4.0, 6.0
"""Deviations, in standard deviations of the noise, up to which a value counts in full, and from which it does not."""
_LEAST_NOISE = 0.3
"""Grey levels: rounding alone makes as much."""
_MOST_GREY = 1e12
"""Grey levels: what the fit multiplies them to, single precision still holds."""
_SPARSE = 3
"""The noise is taken from every third pixel of every third row."""


def average_phase(
    frames: ArrayLike, *, reference: int = 0, value_range: tuple[float, float] | None = None
) -> NDArray[np.float32]:
    """One frame from several of the same moment, for `tvl1_flow` with `value_range=(0, 255)`.

    Args:
        frames: (n, h, w) grey, uint8, uint16 or float32: at least one, of at least 16 x 16 px.
        reference: the number of the frame whose head position the average has; the others are moved onto it.
        value_range: what black and white are in float32 frames; needed for them, refused for the others.

    Returns:
        (h, w) float32 on the scale 0..255, not rounded. Of one frame, that frame. Of frames without motion and with
        white noise, the noise is that of one frame over sqrt(n).

    Raises:
        InputError (a ValueError): a wrong dtype, shape, value or reference, named with its value; or frames in fewer
            than half of which the reference's face is found, or in none but the reference.
    """
    array = as_array("frames", frames)
    check_frames("frames", array)
    low, high = grey_range(array.dtype, value_range)
    if array.ndim != 3 or min(array.shape[1:]) < 16:
        raise InputError(f"frames has shape {array.shape}: give grey frames (n, h, w), at least 1 of 16 x 16 px")
    whole = isinstance(reference, (int, np.integer)) and not isinstance(reference, bool)
    if not whole or not 0 <= reference < len(array):
        raise InputError(f"reference={reference!r}: the frames are numbered 0 to {len(array) - 1}")
    require_finite("frames", array)
    grey = array.astype(np.float32)
    if (low, high) != (0.0, 255.0):
        with np.errstate(over="ignore"):  # to infinity, which is refused
            grey = (grey - np.float32(low)) * np.float32(255 / (high - low))
    if (most := float(max(grey.max(), -grey.min()))) > _MOST_GREY:
        raise InputError(
            f"frames reach {most:.3g} grey levels on the scale 0..255: give at most {_MOST_GREY:g}, or the value_range "
            "that they have"
        )
    if len(grey) == 1:
        single: Frame = grey[0]
        return single
    return _robust_mean(_registered(grey, int(reference)))


def _registered(frames: NDArray[np.float32], reference: int) -> NDArray[np.float32]:
    """The frames (n, h, w) of the reference's moment, each moved onto it; in place."""
    fit = _Fit(frames[reference])
    lost = []
    for i in range(len(frames)):
        moves = STILL if i == reference else fit.moves_of(frames[i])
        if moves is None:
            lost.append(i)
        elif moves != STILL:
            frames[i] = moved(frames[i], moves)
    left = len(frames) - len(lost)
    if left < max(2, len(frames) / 2):
        *others, last = (f"frames[{i}]" for i in lost)
        named = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        raise InputError(
            f"{named} not of the moment of frames[{reference}]: its face is not found within "
            f"{_MOST_MOVE:.0%} of the frame's side; give frames of one moment (--pairs another phase length)"
        )
    return np.delete(frames, lost, axis=0) if lost else frames


def moved(frame: Frame, moves: Moves) -> Frame:
    """The frame (h, w) sampled at the places that a similarity gives, by a polynomial through the 7 nearest pixels.

    OpenCV 4 rounds such places to 1/32 px, and the cubic kernel of both versions displaces what it samples.
    Rows are sampled first, then columns: a row by the moves of the pixels that the columns then take from it. Undoing
    turns of 0.5 to 1.4 degrees leaves a flow of less than 0.001 px.
    """
    height, width = frame.shape
    x = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32((height - 1) / 2)
    tx, ty, a, b = map(np.float32, moves)
    across = _along_rows(frame, tx + a * x - b * (y - ty - b * x) / (1 + a))
    return np.ascontiguousarray(_along_rows(across.T, (ty + b * x + a * y).T).T)


def _along_rows(frame: Frame, offsets: Frame) -> Frame:
    """Each pixel of (h, w) sampled `offsets` px farther along its row; beyond the edge, the edge."""
    height, width = frame.shape
    pad = _REACH + int(np.ceil(np.abs(offsets).max()))
    padded = cv2.copyMakeBorder(frame, 0, 0, pad, pad, cv2.BORDER_REPLICATE)
    sampled = np.zeros((height, width), np.float32)
    at_once = max(_BLOCK // width, 1)
    for top in range(0, height, at_once):
        rows = slice(top, top + at_once)
        least, most = offsets[rows].min(), offsets[rows].max()
        whole: Frame = np.rint((least + most) / 2)
        # The polynomial errs no more up to its next nodes than halfway there, and slices take a third of the time.
        together = max(most - whole, whole - least) <= 1
        if not together:
            whole = np.rint(offsets[rows])
            places = (whole + np.arange(pad, pad + width, dtype=np.float32)).astype(np.intp)
        part = offsets[rows] - whole
        away = [part - np.float32(node) for node in _NODES]
        before = list(accumulate(away[:-1], np.multiply, initial=np.ones_like(part)))
        after = list(accumulate(away[:0:-1], np.multiply, initial=np.ones_like(part)))[::-1]
        for node, scale, left, right in zip(_NODES, _SCALES, before, after, strict=True):
            if together:
                start = pad + int(whole) + node
                values = padded[rows, start : start + width]
            else:
                values = np.take_along_axis(padded[rows], places + node, axis=1)
            sampled[rows] += left * right * scale * values
    return sampled


class _Fit:
    """Fits similarities onto one reference frame, at half its size."""

    def __init__(self, reference: Frame) -> None:
        self._reference = _half(reference)
        height, width = self._reference.shape
        self._radius = max(height, width) / 2
        self._shrunk = reference.shape[1] / width, reference.shape[0] / height  # not 2 for odd sides
        inside = slice(_MARGIN_PX, -_MARGIN_PX)
        self._inside = (inside, inside) if min(height, width) > 4 * _MARGIN_PX else (slice(None), slice(None))
        across = cv2.Sobel(self._reference, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
        down = cv2.Sobel(self._reference, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
        x = ((np.arange(width) - (width - 1) / 2) / self._radius).astype(np.float32)
        y = ((np.arange(height) - (height - 1) / 2) / self._radius).astype(np.float32)[:, None]
        columns = (across, down, across * x + down * y, down * x - across * y)
        self._slopes = np.stack([column[self._inside].ravel() for column in columns])
        inner = self._reference[self._inside].ravel()
        self._unlike = max(_UNLIKE * _spread(inner - np.median(inner)), _UNLIKE_GREY)

    def moves_of(self, frame: Frame) -> Moves | None:
        """How the reference's pixels have moved in the frame; `STILL` where noise explains it, or no fit is better.
        None where the reference's picture is not found.
        """
        half = _half(frame)
        moves = np.zeros(4)
        residual = self._difference(half)
        first = _spread(residual)
        for step in range(_STEPS):
            change, normal = self._step(residual)
            moves -= change
            if not np.abs(moves).max() < _MOST_MOVE * 2 * self._radius:  # not a number, too
                return None
            # A head that holds still is known by the first step, which is most of what a phase takes.
            if moves @ normal @ moves < _CHANCE * (_spread(residual) + 1e-3) ** 2:
                return STILL if first <= self._unlike else None
            tx, ty, a, b = moves
            residual = self._difference(moved(half, (tx, ty, a / self._radius, b / self._radius)))
            if step and np.abs(change[:2]).max() < _ENOUGH_PX / 2:
                break
        else:
            return None
        if (left := _spread(residual)) > self._unlike:
            return None
        if left > first:
            return STILL
        across, down = self._shrunk
        return (across * moves[0], down * moves[1], moves[2] / self._radius, moves[3] / self._radius)

    def _difference(self, half: Frame) -> Frame:
        difference: Frame = (half - self._reference)[self._inside].ravel()
        return difference - np.median(difference[::_SPARSE])

    def _step(self, residual: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What the moves are too large by, all in px at the frame's side, and the normal matrix."""
        weights = 1 / (1 + np.square(residual * np.float32(0.5 / (_spread(residual) + 1e-3))))
        weighted = self._slopes * weights
        # einsum, and not @: how BLAS adds up depends on its threads.
        normal = np.einsum("ik,jk->ij", weighted, self._slopes).astype(np.float64)
        wrong = np.einsum("ik,k->i", weighted, residual).astype(np.float64)
        # A picture without structure has no slopes: the pseudo-inverse leaves it where it is.
        return np.linalg.pinv(normal, hermitian=True) @ wrong, normal


def _spread(residual: Frame) -> float:
    """A robust standard deviation."""
    return 1.4826 * float(np.median(np.abs(residual[::_SPARSE])))


def _half(frame: Frame) -> Frame:
    height, width = frame.shape
    smaller = cv2.resize(frame, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return cast(Frame, cv2.GaussianBlur(smaller, (0, 0), _FIT_BLUR_PX))


def _robust_mean(frames: NDArray[np.float32]) -> Frame:
    """The mean over frames (n, h, w) of the values that noise explains."""
    middle = np.median(frames, axis=0)
    apart = frames - middle
    # What all pixels of a frame have in common is light that flickers, and no reason to leave any out.
    apart -= np.median(apart[:, ::_SPARSE, ::_SPARSE], axis=(1, 2))[:, None, None]
    np.abs(apart, out=apart)
    noise = _noise(frames)
    # Another picture agrees with the others here and there, by chance.
    apart[np.median(apart[:, ::_SPARSE, ::_SPARSE], axis=(1, 2)) > _KEPT * noise] = np.inf
    apart = apart * np.float32(-1 / (noise * (_REFUSED - _KEPT)))
    apart += np.float32(_REFUSED / (_REFUSED - _KEPT))
    weights: NDArray[np.float32] = np.clip(apart, np.float32(1e-6), np.float32(1))
    mean: Frame = (weights * frames).sum(axis=0) / weights.sum(axis=0)
    return mean


def _noise(frames: NDArray[np.float32]) -> float:
    """Standard deviation of one frame's noise, in grey levels, from the differences of the most alike."""
    sparse = frames[:, ::_SPARSE, ::_SPARSE]
    spreads = []
    for i, j in combinations(range(len(sparse)), 2):
        difference = sparse[i] - sparse[j]
        spreads.append(_spread((difference - np.median(difference)).ravel()) / math.sqrt(2))
    # One of these, and not between two: of three frames with one dropped only one pair is alike.
    return max(float(np.quantile(spreads, 0.25, method="lower")), _LEAST_NOISE)

"""What a flow's own frames say of it: residual, noise, light, pixels that left, expected scatter.

All of it comes from the two frames and the flow, at every fourth pixel of every fourth row (of small frames every
second of every second), in about a millisecond for a face of 224 x 224; whatever computed the flow, and in whichever
batch, the numbers are the same.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from flowkit.errors import InputError
from flowkit.motion.flow import as_array, check_frames, check_pair, grey_range, require_finite

Values = NDArray[np.float32]

BAND_PX = 1.3
"""Sigma of the Gaussian whose band the noise is measured in: that of the patches that preset `micro` compares."""
_EVERY = ((128 * 128, 4), (0, 2))
"""From so many pixels of a frame on, the pixels from a sample to the next: a thousand samples are enough."""
_WIDE_PX = 12
"""Side of the mean that is taken off the residual before its noise is measured: light is smooth."""
_MARGIN_PX = 8
"""At the frame's border, that the noise leaves out."""
_WORST = 0.05
"""The share of the residuals, the largest, that counts no more than the next."""
_SCATTER, _TRUSTED_NOISE = 0.147, 1.6
"""Calibrated with `micro`, see `_scatter`; the latter in grey levels."""
_FLAT = 1e-3
"""Grey levels a px: pictures with less have no gradients."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Of each pair, (n,) float32, or () for a single pair. Grey levels are on 0..255, whatever the frames' type."""

    residual: Values
    """Mean absolute difference of frame0 and frame1 warped back by the flow, grey levels: of the pixels whose match is
    inside, each of the largest 5 % counting as the next smaller one."""
    noise: Values
    """Standard deviation of the white noise of one frame that leaves the residual's power in the band of patches (a
    Gaussian of 1.3 px), grey levels. JPEG takes noise out of higher bands, and so a Laplacian's word is too good."""
    brightness: Values
    """By how much frame1 is brighter than frame0 on average, their common motion taken back, grey levels."""
    gain: Values
    """Contrast of frame1 over that of frame0, likewise: 1.02 where a lamp has become 2 % brighter."""
    left: Values
    """Share of the pixels whose match lies outside of frame1, 0 to 1."""
    scatter_px: Values
    """Expected standard deviation of the flow, as a length, averaged over the frame: how much of it another take of the
    same motion would change. From noise, gradients and the flow's own variation, for preset `micro`; px."""


def quality(
    frames0: ArrayLike, frames1: ArrayLike, flow: ArrayLike, *, value_range: tuple[float, float] | None = None
) -> Quality:
    """What can be said of flows by their frames.

    Args:
        frames0, frames1: grey frames (n, h, w), or one pair (h, w), as `flowkit.tvl1_flow` takes them, on the CPU.
        flow: (n, 2, h, w) or (2, h, w), px, as `tvl1_flow` gives it.
        value_range: what black and white are in float32 frames; needed for them, refused for the others.

    Raises:
        InputError (a ValueError): if types or shapes do not fit, or a value is not finite, naming them.
    """
    first, second, moves = as_array("frames0", frames0), as_array("frames1", frames1), as_array("flow", flow)
    fit = first.shape == second.shape and moves.shape == (*first.shape[:-2], 2, *first.shape[-2:])
    if not fit or first.ndim not in (2, 3):
        raise InputError(
            f"frames0 has shape {first.shape}, frames1 {second.shape} and flow {moves.shape}: give (n, h, w) twice and "
            "(n, 2, h, w), or one pair"
        )
    check_frames("frames0", first)
    check_pair(first, second)
    for name, array in (("frames0", first), ("frames1", second), ("flow", moves)):
        require_finite(name, array)
    low, high = grey_range(first.dtype, value_range)
    scale = np.float32(255 / (high - low))
    height, width = first.shape[-2:]
    frames = (array.reshape(-1, height, width) for array in (first, second))
    pairs = zip(*frames, moves.reshape(-1, 2, height, width), strict=True)
    rows = [_of_pair(_grey(a, low, scale), _grey(b, low, scale), u.astype(np.float32, copy=False)) for a, b, u in pairs]
    table = np.array(rows, np.float32).reshape(*first.shape[:-2], len(Quality.__slots__))
    return Quality(*np.moveaxis(table, -1, 0))


def _grey(frame: NDArray[Any], low: float, scale: np.float32) -> Values:
    """The frame in float32 on 0..255."""
    grey: Values = np.ascontiguousarray(frame, np.float32)
    return grey if low == 0 and scale == 1 else (grey - np.float32(low)) * scale


def _of_pair(frame0: Values, frame1: Values, flow: Values) -> tuple[float, ...]:
    height, width = frame0.shape
    every = next(every for pixels, every in _EVERY if height * width >= pixels)
    u, v, picture0 = (np.ascontiguousarray(field[::every, ::every]) for field in (*flow, frame0))
    x, y = (place + move for place, move in zip(_lattice(height, width, every), (u, v), strict=True))
    outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    left = float(outside.mean())
    residual = _residual(_inside(_warped(frame1, x, y, cv2.INTER_CUBIC) - picture0, outside))
    blurred0, blurred1 = _band(frame0), _band(frame1)
    # Lanczos: what another kernel takes from the picture would count as noise.
    difference = _warped(blurred1, x, y, cv2.INTER_LANCZOS4) - blurred0[::every, ::every]
    noise = _noise(_without_light(difference, every), outside, every)
    brightness, gain = _light(*_over_each_other(blurred0, blurred1, float(u.mean()), float(v.mean())))
    return residual, noise, brightness, gain, left, _scatter(noise, blurred0, flow)


@functools.lru_cache(maxsize=8)
def _lattice(height: int, width: int, every: int) -> tuple[Values, Values]:
    """x and y of each sample."""
    x, y = np.meshgrid(np.arange(0, width, every, dtype=np.float32), np.arange(0, height, every, dtype=np.float32))
    for array in (x, y):
        array.setflags(write=False)
    return x, y


def _warped(frame: Values, x: Values, y: Values, kernel: int) -> Values:
    return cast(Values, cv2.remap(frame, x, y, kernel, borderMode=cv2.BORDER_REPLICATE))


def _band(frame: Values) -> Values:
    return cast(Values, cv2.GaussianBlur(frame, (7, 7), BAND_PX))


def _inside(values: Values, outside: NDArray[np.bool_]) -> Values:
    """The values whose match is inside, flat; all of them where none is."""
    inside = np.flatnonzero(~outside)
    return values.ravel() if len(inside) in (0, values.size) else values.ravel().take(inside)


def _residual(difference: Values) -> float:
    size = np.abs(difference)
    last = int((1 - _WORST) * (len(size) - 1))
    return float(np.minimum(size, np.partition(size, last)[last]).mean(dtype=np.float64))


def _without_light(difference: Values, every: int) -> Values:
    """Without what changes slowly over the frame."""
    side = _WIDE_PX // every | 1
    apart: Values = difference - cv2.blur(difference, (side, side))
    return apart


def _noise(apart: Values, outside: NDArray[np.bool_], every: int) -> float:
    margin = _MARGIN_PX // every
    if min(apart.shape) > 4 * margin:
        inner = (slice(margin, -margin), slice(margin, -margin))
        apart, outside = apart[inner], outside[inner]
    return 1.4826 * _middle(np.abs(_inside(apart, outside))) / (math.sqrt(2) * _noise_left(every))


@functools.cache
def _noise_left(every: int) -> float:
    """The standard deviation that white noise of 1 has behind the filters that `_noise` comes after."""
    power = 0.0
    for row in range(every):
        for column in range(every):
            impulse = np.zeros((64, 64), np.float32)
            impulse[32 + row, 32 + column] = 1
            sparse = np.ascontiguousarray(_band(impulse)[::every, ::every])
            power += float(np.square(_without_light(sparse, every)).sum())
    return math.sqrt(power)


def _middle(values: Values) -> float:
    """The upper median, which takes a tenth of `np.median`'s time."""
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle])


def _over_each_other(frame0: Values, frame1: Values, u: float, v: float) -> tuple[Values, Values]:
    """Every fourth pixel of every fourth row of both, once frame1 is moved back by (u, v), to whole pixels.

    Not by each pixel's flow: what a change of light moves falsely has the light's change hidden in it.
    """
    cuts0, cuts1 = [], []
    for side, move in zip(frame0.shape, (v, u), strict=True):
        whole = int(np.rint(move)) if abs(move) < side / 2 else 0
        cuts0.append(slice(max(-whole, 0), side - max(whole, 0), 4))
        cuts1.append(slice(max(whole, 0), side + min(whole, 0), 4))
    return frame0[tuple(cuts0)].ravel(), frame1[tuple(cuts1)].ravel()


def _light(before: Values, after: Values) -> tuple[float, float]:
    """Mean change and gain: a line through (before, after), fitted twice, the second time without what departs."""
    gain, shift = _line(before, after)
    apart = np.abs(after - (gain * before + shift))
    kept = apart <= 3 * _middle(apart) + 1e-3
    if not kept.all():
        before, after = before[kept], after[kept]
        gain, shift = _line(before, after)
    return float((after - before).mean(dtype=np.float64)), gain


def _line(before: Values, after: Values) -> tuple[float, float]:
    mean0, mean1 = before.mean(dtype=np.float64), after.mean(dtype=np.float64)
    apart0 = before - np.float32(mean0)
    power = float(np.square(apart0).mean(dtype=np.float64))
    gain = float((apart0 * (after - np.float32(mean1))).mean(dtype=np.float64)) / power if power > _FLAT else 1.0
    return gain, float(mean1 - gain * mean0)


def _scatter(noise: float, blurred: Values, flow: Values) -> float:
    """noise trust^(1/4) (TV / gradient)^(1/3) up to a factor, in px.

    With TV the mean length of the gradient of the flow, without its mean, and the root mean square gradient of the
    picture. The Cramer-Rao bound of a patch is noise over gradient; how many patches total variation averages depends
    on what the flow has to follow, by the law of its risk (Mammen, van de Geer, Annals of Statistics 25, 1997), from
    which the exponent 1/3 is. The factor is that of `micro`, and so is what it does with contrast: of the gradient,
    -1/3 in place of -1. Where noise is beyond the scale of its residuals, `micro` trusts patches less, by the norm of
    Cauchy, and so scatters less (and shrinks more): the power of the trust is fitted.
    """
    slopes = np.stack([slope for component in flow for slope in _slopes(component)])
    slopes -= slopes.mean(axis=(1, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    variation = float(np.sqrt(np.square(slopes).sum(axis=0)).mean(dtype=np.float64))
    gradient = float(np.sqrt(2 * np.square(np.stack(_slopes(blurred))).mean(dtype=np.float64)))
    trust = 1 / (1 + (noise / _TRUSTED_NOISE) ** 2)
    return _SCATTER * noise * float(trust**0.25 * np.cbrt(variation / max(gradient, _FLAT)))


def _slopes(field: Values) -> tuple[Values, Values]:
    """Differences a px over 2 px, downwards and to the right, at every fourth pixel of every fourth row."""
    height, width = (side // 4 * 4 for side in field.shape)
    if not height or not width:  # too small for any
        return np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)
    corner = np.ascontiguousarray(field[:height:4, :width:4])
    down, across = field[2:height:4, :width:4] - corner, field[:height:4, 2:width:4] - corner
    return down * np.float32(0.5), across * np.float32(0.5)

"""What frames say of a flow in float64, restated from docs/algorithm.md, "Quality", independent of csrc/.

OpenCV does the filters. `sampled` is exact; `remapped` is OpenCV's, which rounds places to 1/32 px: with Lanczos in all
of its versions, with the cubic kernel in those before 5.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float64]
Warp = Callable[[Image, Image, Image, str], Image]
"""The picture at each (x, y) by the kernel `cubic` or `lanczos`, its border replicated."""


def quality(frame0: Image, frame1: Image, flow: Image, warp: Warp) -> tuple[float, ...]:
    """Residual, noise, brightness, gain, left, scatter_px of a pair (h, w) on 0..255 and its flow (2, h, w), px."""
    height, width = frame0.shape
    every = 4 if height * width >= 128 * 128 else 2
    u, v, picture0 = (field[::every, ::every] for field in (*flow, frame0))
    x, y = np.meshgrid(np.arange(0.0, width, every), np.arange(0.0, height, every))
    x, y = x + u, y + v
    outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    residual = _residual(_inside(warp(frame1, x, y, "cubic") - picture0, outside))
    blurred0, blurred1 = _band(frame0), _band(frame1)
    difference = warp(blurred1, x, y, "lanczos") - blurred0[::every, ::every]
    noise = _noise(_without_light(difference, every), outside, every)
    brightness, gain = _light(*_over_each_other(blurred0, blurred1, u.mean(), v.mean()))
    return residual, noise, brightness, gain, outside.mean(), _scatter(noise, blurred0, flow)


def sampled(picture: Image, x: Image, y: Image, kernel: str) -> Image:
    """By the equations, wherever (x, y) lies."""
    weights, before = (_cubic, 1) if kernel == "cubic" else (_lanczos, 3)
    left, top = np.floor(x), np.floor(y)
    across, down = weights(x - left), weights(y - top)
    value = np.zeros_like(x)
    for j in range(len(down)):
        row = np.clip(top - before + j, 0, picture.shape[0] - 1).astype(int)
        for i in range(len(across)):
            column = np.clip(left - before + i, 0, picture.shape[1] - 1).astype(int)
            value += down[j] * across[i] * picture[row, column]
    return value


def remapped(picture: Image, x: Image, y: Image, kernel: str) -> Image:
    """By OpenCV."""
    interpolation = {"cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}[kernel]
    arrays = (array.astype(np.float32) for array in (picture, x, y))
    return cv2.remap(*arrays, interpolation, borderMode=cv2.BORDER_REPLICATE).astype(float)


def _cubic(t: Image) -> list[Image]:
    """R. Keys, Cubic Convolution Interpolation for Digital Image Processing, 1981, with a = -0.75."""
    a = -0.75
    near = [(a + 2) * d**3 - (a + 3) * d**2 + 1 for d in (t, 1 - t)]
    far = [a * (d**3 - 5 * d**2 + 8 * d - 4) for d in (1 + t, 2 - t)]
    return [far[0], *near, far[1]]


def _lanczos(t: Image) -> list[Image]:
    """Eight taps that add up to 1."""
    weights = [np.sinc(t + 3 - k) * np.sinc((t + 3 - k) / 4) for k in range(8)]
    return [weight / sum(weights) for weight in weights]


def _band(frame: Image) -> Image:
    return cv2.GaussianBlur(frame, (7, 7), 1.3)


def _inside(values: Image, outside: NDArray[np.bool_]) -> Image:
    return values.ravel() if outside.all() else values[~outside]


def _residual(difference: Image) -> float:
    size = np.sort(np.abs(difference))
    return float(np.minimum(size, size[int(0.95 * (len(size) - 1))]).mean())


def _without_light(difference: Image, every: int) -> Image:
    side = 12 // every | 1
    return difference - cv2.blur(difference, (side, side))


def _noise(apart: Image, outside: NDArray[np.bool_], every: int) -> float:
    margin = 8 // every
    if min(apart.shape) > 4 * margin:
        inner = (slice(margin, -margin), slice(margin, -margin))
        apart, outside = apart[inner], outside[inner]
    return 1.4826 * _upper_median(np.abs(_inside(apart, outside))) / (np.sqrt(2) * _noise_left(every))


@functools.cache
def _noise_left(every: int) -> float:
    """The standard deviation that white noise of 1 has behind the filters, by their answer to impulses."""
    power = 0.0
    for row in range(every):
        for column in range(every):
            impulse = np.zeros((64, 64))
            impulse[32 + row, 32 + column] = 1
            power += float(np.square(_without_light(_band(impulse)[::every, ::every], every)).sum())
    return float(np.sqrt(power))


def _upper_median(values: Image) -> float:
    return float(np.sort(values)[len(values) // 2])


def _over_each_other(frame0: Image, frame1: Image, u: float, v: float) -> tuple[Image, Image]:
    """Every fourth pixel of every fourth row of both, once frame1 is moved back by (u, v), to whole pixels."""
    cuts0, cuts1 = [], []
    for side, move in zip(frame0.shape, (v, u), strict=True):
        whole = int(np.rint(move)) if abs(move) < side / 2 else 0
        cuts0.append(slice(max(-whole, 0), side - max(whole, 0), 4))
        cuts1.append(slice(max(whole, 0), side + min(whole, 0), 4))
    return frame0[tuple(cuts0)].ravel(), frame1[tuple(cuts1)].ravel()


def _light(before: Image, after: Image) -> tuple[float, float]:
    """Mean change and gain: a line through (before, after), fitted twice, the second time without what departs."""
    gain, shift = _line(before, after)
    apart = np.abs(after - (gain * before + shift))
    kept = apart <= 3 * _upper_median(apart) + 1e-3
    before, after = before[kept], after[kept]
    return float((after - before).mean()), _line(before, after)[0]


def _line(before: Image, after: Image) -> tuple[float, float]:
    apart = before - before.mean()
    power = float(np.square(apart).mean())
    gain = float((apart * (after - after.mean())).mean()) / power if power > 1e-3 else 1.0
    return gain, float(after.mean() - gain * before.mean())


def _scatter(noise: float, blurred: Image, flow: Image) -> float:
    slopes = [slope - slope.mean() for component in flow for slope in _slopes(component)]
    variation = float(np.sqrt(sum(np.square(slope) for slope in slopes)).mean())
    gradient = float(np.sqrt(sum(np.square(slope).mean() for slope in _slopes(blurred))))
    return float(0.122 * (noise**3 * variation / max(gradient, 1e-3) ** 2) ** 0.25)


def _slopes(field: Image) -> tuple[Image, Image]:
    """Differences a px over 2 px, downwards and to the right, at every fourth pixel of every fourth row."""
    height, width = (side // 4 * 4 for side in field.shape)
    if not height or not width:
        return np.zeros((1, 1)), np.zeros((1, 1))
    corner = field[:height:4, :width:4]
    return (field[2:height:4, :width:4] - corner) / 2, (field[:height:4, 2:width:4] - corner) / 2

"""Flows and image pairs of which the truth is known: what decides whether flow and strain are right.

Flows are (2, h, w) float64, order (u, v), px, +u right, +v down, on the grid of the first image, such that
I0(x, y) = I1(x + u, y + v). I1 of a textured pair is an analytic texture and I0 that texture evaluated at the displaced
points: no interpolation enters.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.synthetic.faces import neutral_face

Field = NDArray[np.float64]


def grid(h: int, w: int) -> tuple[Field, Field]:
    """x and y of every pixel, each (h, w)."""
    y, x = np.mgrid[0:h, 0:w].astype(float)
    return x, y


def translation(h: int, w: int, u: float, v: float) -> Field:
    return np.stack([np.full((h, w), float(u)), np.full((h, w), float(v))])


def rotation(h: int, w: int, angle: float) -> Field:
    """A finite rotation by `angle` (rad, from +x to +y) about the centre: exx = eyy = cos(angle) - 1, exy = 0."""
    x, y = grid(h, w)
    x, y = x - (w - 1) / 2, y - (h - 1) / 2
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * x - sin * y - x, sin * x + cos * y - y])


def spin(h: int, w: int, rate: float) -> Field:
    """An infinitesimal rotation: du/dy = -rate, dv/dx = +rate, and no strain at all."""
    x, y = grid(h, w)
    return np.stack([-rate * (y - (h - 1) / 2), rate * (x - (w - 1) / 2)])


def stretch(h: int, w: int, a: float, b: float = 0.0) -> Field:
    """u = a x, v = b y: exx = a, eyy = b, exy = 0."""
    x, y = grid(h, w)
    return np.stack([a * x, b * y])


def shear(h: int, w: int, k: float) -> Field:
    """u = k y, v = 0: exy = k / 2, exx = eyy = 0."""
    x, y = grid(h, w)
    return np.stack([k * y, 0 * x])


def bump(h: int, w: int, u: float, v: float, sigma: float) -> Field:
    """A Gaussian push of (u, v) px at the centre: one muscle."""
    x, y = grid(h, w)
    weight = np.exp(-((x - (w - 1) / 2) ** 2 + (y - (h - 1) / 2) ** 2) / (2 * sigma**2))
    return np.stack([u * weight, v * weight])


def texture(x: Field, y: Field, seed: int = 0, shortest: float = 8.0) -> Field:
    """Grey values within 0..255 at any real (x, y): 24 plane waves of `shortest` to 4 times that many px."""
    rng = np.random.default_rng(seed)
    number = 2 * np.pi / (shortest * 4 ** rng.uniform(0, 1, 24))
    angle, phase = rng.uniform(0, 2 * np.pi, (2, 24))
    waves = [np.sin(k * (np.cos(a) * x + np.sin(a) * y) + p) for k, a, p in zip(number, angle, phase, strict=True)]
    return np.clip(127.5 + 30 * np.sum(waves, axis=0), 0, 255)


def textured_pair(flow: Field, seed: int = 0, shortest: float = 8.0) -> tuple[Field, Field]:
    """(I0, I1), (h, w) float64 on 0..255, that the flow connects exactly."""
    x, y = grid(*flow.shape[1:])
    return texture(x + flow[0], y + flow[1], seed, shortest), texture(x, y, seed, shortest)


def facial_pair(
    side: int, amplitude_px: float, seed: int = 0, noise: float = 1.0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Field]:
    """(I0, I1, flow) of the public-domain portrait: both cheeks drawn up and out, one brow lifted, sensor noise.

    Both images are side x side, 8 bit; the truth is exact up to the resampling of I0.
    """
    from skimage import data

    grey = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2GRAY)[30:230, 130:330].astype(np.float32)
    return _moved_face(grey, side, amplitude_px, seed, noise)


def _moved_face(
    grey: NDArray[np.float32], side: int, amplitude_px: float, seed: int, noise: float
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Field]:
    face = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA if side < 200 else cv2.INTER_CUBIC)
    x, y = grid(side, side)

    def at(cx: float, cy: float, sigma: float) -> Field:
        return np.exp(-((x / side - cx) ** 2 + (y / side - cy) ** 2) / (2 * sigma**2))

    left, right, brow = at(0.35, 0.70, 0.10), at(0.65, 0.70, 0.10), at(0.50, 0.35, 0.12)
    flow = amplitude_px * np.stack([right - left, 0.5 * brow - 0.8 * (left + right)])
    moved = cv2.remap(
        face,
        (x + flow[0]).astype(np.float32),
        (y + flow[1]).astype(np.float32),
        cv2.INTER_LANCZOS4,
        borderMode=cv2.BORDER_REPLICATE,
    )
    rng = np.random.default_rng(seed)
    image0, image1 = (np.rint(f + noise * rng.standard_normal(f.shape)).clip(0, 255) for f in (moved, face))
    return image0.astype(np.uint8), image1.astype(np.uint8), flow


def endpoint_error(flow: NDArray[np.floating], truth: NDArray[np.floating], margin: int = 0) -> Field:
    """|flow - truth| of each pixel, px, `margin` px of the frame left out."""
    error = np.hypot(*(np.asarray(flow, float) - np.asarray(truth, float)))
    return error[margin:-margin, margin:-margin] if margin else error


@functools.cache
def facial_crop(h: int, w: int, amplitude_px: float = 1.0) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Field]:
    """An h x w part of a facial pair, and its true flow."""
    image0, image1, flow = facial_pair(144, amplitude_px)
    part = np.s_[10 : 10 + h, 30 : 30 + w]
    return image0[part].copy(), image1[part].copy(), flow[:, *part]


def textured_batch(n: int, h: int, w: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """n different pairs; the second is still and stops at once, the last moves most."""
    pairs = [textured_pair(bump(h, w, 1.5 * i / n, -1.0 * i / n, w / 4), seed=i) for i in range(n)]
    frames0, frames1 = (np.rint([pair[k] for pair in pairs]).astype(np.uint8) for k in (0, 1))
    frames0[1 % n] = frames1[1 % n]
    return frames0, frames1


@functools.cache
def facial_batch(n: int, h: int, w: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """n pairs of a drawn face, eight different ones over and over; of several, the second is still.

    A drawn one, so that tests of the kernels need no package with a portrait.
    """
    grey = cv2.cvtColor(neutral_face(1, 200).picture, cv2.COLOR_RGB2GRAY)
    side = max(h, w) + 30
    made = [_moved_face(grey, side, 0.3 + 2.0 * i / n, seed=i, noise=1.0) for i in range(min(n, 8))]
    frames0, frames1 = (np.stack([made[i % 8][k][10 : 10 + h, 30 : 30 + w] for i in range(n)]) for k in (0, 1))
    if n > 1:
        frames0[1] = frames1[1]
    return frames0, frames1


def spoiled_flows(h: int, w: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Flows (n, 2, h, w) with NaN, infinity or a number of the range's end in a pixel; and whether each is finite (n).

    The pixel is the first, a middle or the last one of u or v. The last two flows are plain.
    """
    places = [(0, 0, 0), (0, h // 2, w // 3), (0, h - 1, w - 1), (1, 0, 0), (1, h // 2, w // 2), (1, h - 1, w - 1)]
    values = [np.nan, np.inf, -np.inf, np.finfo(np.float32).max, -np.finfo(np.float32).max, 1e-45]
    flows = np.random.default_rng(5).standard_normal((len(places) * len(values) + 2, 2, h, w)).astype(np.float32)
    for flow, (place, value) in zip(flows, ((p, v) for p in places for v in values), strict=False):
        flow[place] = value
    return flows, np.isfinite(flows).all((1, 2, 3))

"""Pairs of frames of moving faces with their exact flow, occlusion included.

A scene is a stack of layers, back to front. A layer is a picture, a coverage, and for each of the two frames a backward
displacement b: the frame shows at y what the layer's picture has at y - b(y). The true flow of a pixel of frame 0 is
that of the front-most layer which covers it; it is occluded if another layer covers the place where it goes.

Rendering favours no interpolation kernel of a solver: both frames are shifted against the picture by a random part of a
pixel, sampled by cubic splines at SUPERSAMPLING times the frame's resolution, composed, blurred by a lens, averaged.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

from flowkit.synthetic.render import digitise

SUPERSAMPLING = 3
LENS_PX = 0.5
"""Sigma of the lens in pixels of the frame, half of its square before composing and half of it after."""
EDGE_PX = 0.2
"""Softness of a layer's edge."""

Field = NDArray[np.float64]
Map = NDArray[np.floating]
Motion = Callable[[Field], Field]


@dataclass(frozen=True)
class Layer:
    """`picture` covers the frame and a margin at SUPERSAMPLING; `depth_px` > 0 where the layer is, < 0 where not."""

    picture: NDArray[np.float32]
    depth_px: Callable[[Field], Map]
    backward: tuple[Motion, Motion]


@dataclass(frozen=True)
class Truth:
    """flow (2, h, w) float32 px; `visible`: seen in both frames; `smooth`: so are its neighbours, on one layer."""

    flow: NDArray[np.float32]
    visible: NDArray[np.bool_]
    smooth: NDArray[np.bool_]


def everywhere(points: Field) -> Map:
    """The coverage of a layer without an edge."""
    return np.full(points.shape[1:], 1e3)


def lattice(height: int, width: int, supersampling: int = 1) -> Field:
    """Sample positions (2, n h, n w) of a frame in its pixels, pixel centres at whole numbers."""
    y, x = ((np.arange(n * supersampling) + 0.5) / supersampling - 0.5 for n in (height, width))
    return np.stack(np.meshgrid(x, y))


def true_flow(layers: list[Layer], size: tuple[int, int]) -> Truth:
    """The flow from frame 0 to frame 1, exact to 1e-9 px on each layer."""
    grid = lattice(*size)
    flow, owner = np.zeros_like(grid), np.full(size, -1)
    for k, layer in enumerate(layers):
        rest = grid - layer.backward[0](grid)
        covered = layer.depth_px(rest) > 0
        flow = np.where(covered, _forward(layer.backward[1], rest) - grid, flow)
        owner = np.where(covered, k, owner)
    target = grid + flow
    visible = (target[0] >= 0) & (target[0] <= size[1] - 1) & (target[1] >= 0) & (target[1] <= size[0] - 1)
    for k, layer in enumerate(layers):
        hides = layer.depth_px(target - layer.backward[1](target)) > 0
        visible &= ~(hides & (k > owner))
    same = owner.astype(np.uint8)
    smooth = (cv2.dilate(same, np.ones((3, 3))) == cv2.erode(same, np.ones((3, 3)))) & cv2.erode(
        visible.astype(np.uint8), np.ones((3, 3))
    ).astype(bool)
    return Truth(flow.astype(np.float32), visible, smooth)


def _forward(backward: Motion, rest: Field) -> Field:
    """Where the points at `rest` go: x with x - b(x) = rest, by iteration."""
    x = rest
    for _ in range(300):
        better = rest + backward(x)
        if np.abs(better - x).max() < 1e-10:
            return better
        x = better
    raise ValueError(f"a motion of {np.abs(x - rest).max():.3g} px folds its layer over; use a smaller one")


def render(layers: list[Layer], frame: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """The noise-free frame 0 or 1, (h, w) float32 on 0..255."""
    grid = lattice(*size, SUPERSAMPLING)
    canvas = np.zeros(grid.shape[1:], np.float32)
    for layer in layers:
        rest = grid - layer.backward[frame](grid)
        cover = np.clip(0.5 + layer.depth_px(rest) / EDGE_PX, 0, 1).astype(np.float32)
        if cover.min() < 1:
            colour = np.zeros_like(canvas)
            seen = cover > 0
            colour[seen] = _sample(layer.picture, rest[:, seen], size)
        else:
            colour = _sample(layer.picture, rest, size)
        canvas += cover * (colour - canvas)
    return cv2.resize(lens(canvas), size[::-1], interpolation=cv2.INTER_AREA)


def lens(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """One of the two halves of the lens, at SUPERSAMPLING."""
    return cv2.GaussianBlur(picture, (0, 0), sigmaX=LENS_PX * SUPERSAMPLING / np.sqrt(2))


def spline(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The coefficients of the cubic spline through a picture, which `Layer.picture` holds."""
    return spline_filter(lens(picture), order=3, mode="mirror", output=np.float32)


def _sample(coefficients: NDArray[np.float32], points: Field, size: tuple[int, int]) -> NDArray[np.float32]:
    """The picture, whose centre is the frame's, at points in pixels of the frame."""
    corner = [(SUPERSAMPLING * n - side) / 2 for n, side in zip(size, coefficients.shape, strict=True)]
    y, x = ((points[1 - i] + 0.5) * SUPERSAMPLING - 0.5 - corner[i] for i in (0, 1))
    return map_coordinates(coefficients, [y, x], order=3, mode="mirror", prefilter=False, output=np.float32)


def develop(
    frame: NDArray[np.float32], noise: float, quality: int | None, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A frame as a camera stores it: noise of that sigma in grey levels, 8 bit, JPEG of that quality or none."""
    digital = digitise(frame, noise, rng)
    if quality is None:
        return digital
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(digital[..., None], quality, "GRAY", "GRAY"), "GRAY")[..., 0]


@dataclass(frozen=True)
class Shot:
    """What one pair shows, and how it was recorded."""

    face: str
    kind: str
    amplitude_px: float
    size: tuple[int, int]
    noise: float
    quality: int | None
    seed: int

    def to_dict(self) -> dict[str, object]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Example:
    """A pair of frames (h, w) uint8 and its truth."""

    shot: Shot
    frame0: NDArray[np.uint8]
    frame1: NDArray[np.uint8]
    truth: Truth

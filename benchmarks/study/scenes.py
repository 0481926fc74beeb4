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
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

SUPERSAMPLING = 3
LENS_PX = 0.5
"""Sigma of the lens in pixels of the frame, half of its square before composing and half of it after."""
EDGE_PX = 0.2
"""Softness of a layer's edge."""
SLOPE_STEP_PX = 0.1
"""Either way; the step errs by less than a thousandth of a slope."""

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
    """What is true of frame 0, exact to 1e-6: flow (2, h, w) float32 px, and the magnitude of its strain (h, w).

    `visible`: seen in both frames; `smooth`: so are its neighbours, on one layer; `owner`: the layer that is seen.
    """

    flow: NDArray[np.float32]
    strain: NDArray[np.float32]
    visible: NDArray[np.bool_]
    smooth: NDArray[np.bool_]
    owner: NDArray[np.int8]


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
    flow, strain, owner = np.zeros_like(grid), np.zeros(size), np.full(size, -1)
    for k, layer in enumerate(layers):
        rest = grid - layer.backward[0](grid)
        covered = layer.depth_px(rest) > 0
        goal = _forward(layer.backward[1], rest)
        flow = np.where(covered, goal - grid, flow)
        strain = np.where(covered, _strain(layer, grid, goal), strain)
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
    return Truth(flow.astype(np.float32), strain.astype(np.float32), visible, smooth, owner.astype(np.int8))


def _strain(layer: Layer, start: Field, goal: Field) -> Map:
    """The strain's magnitude of the flow that brings `start` to `goal`, where goal - b1(goal) = start - b0(start)."""
    before, after = (_gradient(b, points) for b, points in zip(layer.backward, (start, goal), strict=True))
    xx, xy, yx, yy = np.eye(2).ravel()[:, None, None] - after
    stretch = np.array([[yy, -xy], [-yx, xx]]) / (xx * yy - xy * yx)
    rest = np.eye(2)[..., None, None] - before.reshape(2, 2, *before.shape[1:])
    gradient = np.einsum("ijyx,jkyx->ikyx", stretch, rest) - np.eye(2)[..., None, None]
    shear = 0.5 * (gradient[0, 1] + gradient[1, 0])
    return np.sqrt(gradient[0, 0] ** 2 + gradient[1, 1] ** 2 + 2 * shear**2)


def _gradient(motion: Motion, points: Field, step: float = 1e-3) -> Field:
    """du/dx, du/dy, dv/dx, dv/dy (4, h, w) of a motion at points; fields are so smooth that the step errs by 1e-7."""
    across, down = (step * np.eye(2)[i].reshape(2, 1, 1) for i in (0, 1))
    x, y = ((motion(points + d) - motion(points - d)) / (2 * step) for d in (across, down))
    return np.stack([x[0], y[0], x[1], y[1]])


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


def slopes(layers: list[Layer], size: tuple[int, int]) -> Field:
    """dI/dx, dI/dy (2, h, w) of frame 0, grey levels a px: from renderings of the whole scene a step to either side.

    Differences of the frame's own samples are too small: lens and pixels let through what is finer than they resolve.
    """
    steps = SLOPE_STEP_PX * np.eye(2)
    there, back = (np.stack([render(shifted(layers, sign * step), 0, size) for step in steps]) for sign in (1, -1))
    return (back - there).astype(np.float64) / (2 * SLOPE_STEP_PX)


def shifted(layers: list[Layer], step: NDArray[np.float64]) -> list[Layer]:
    """The whole scene, and what moves in it, elsewhere by (x, y) px."""

    def later(motion: Motion) -> Motion:
        return lambda points: motion(points - step[:, None, None]) + step[:, None, None]

    return [
        dataclasses.replace(layer, backward=(later(layer.backward[0]), later(layer.backward[1]))) for layer in layers
    ]


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

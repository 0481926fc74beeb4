"""Cubes as small pictures for the report: flow as colour, strain as heat."""

from __future__ import annotations

import io

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.colors import hsv_to_rgb
from numpy.typing import NDArray
from PIL import Image

SIDE = 112


def cube_picture(cube: NDArray[np.float32], side: int = SIDE) -> bytes:
    """A PNG of a cube (3, h, w), `side` px high and twice as wide: flow on the left, strain on the right.

    Hue is the direction of the flow (red to the right, then by green and blue clockwise as seen), saturation its length
    as a share of the cube's 99th percentile; strain is dark where there is none and bright at its 99th percentile.
    """
    both = np.concatenate([_flow_colours(cube[:2]), _heat(cube[2])], axis=1)
    larger = cv2.resize(both, (2 * side, side), interpolation=cv2.INTER_CUBIC)
    return as_png(larger.astype(np.uint8, copy=False))


def as_png(picture: NDArray[np.uint8]) -> bytes:
    """The PNG of a picture (h, w, 3) uint8 RGB."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _flow_colours(flow: NDArray[np.float32]) -> NDArray[np.uint8]:
    length = np.hypot(flow[0], flow[1])
    hue = np.arctan2(flow[1], flow[0]) / (2 * np.pi) % 1
    coloured = hsv_to_rgb(np.stack([hue, _share(length), np.ones_like(length)], axis=-1))
    picture: NDArray[np.uint8] = np.rint(255 * coloured).astype(np.uint8)
    return picture


def _heat(strain: NDArray[np.float32]) -> NDArray[np.uint8]:
    coloured = mpl.colormaps["magma"](_share(strain))[..., :3]
    picture: NDArray[np.uint8] = np.rint(255 * coloured).astype(np.uint8)
    return picture


def _share(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Values of 0 or more as shares of their 99th percentile, at most 1."""
    top = float(np.percentile(np.abs(values), 99)) or 1.0
    share: NDArray[np.float64] = np.clip(np.abs(values) / top, 0, 1).astype(np.float64)
    return share

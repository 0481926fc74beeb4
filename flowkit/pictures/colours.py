"""Motion as colours: the flow as a colour wheel, the strain as heat."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.errors import InputError
from flowkit.pictures.canvas import Colour, Picture

# The wheel's six arcs, in steps: red to yellow, to green, to cyan, to blue, to magenta, and back to red. More steps
# go where the eye tells more hues apart.
_ARCS = (15, 6, 4, 11, 13, 6)
_HUES = ((255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255), (255, 0, 0))


def flow_to_rgb(flow: NDArray[Any], peak_px: float | None = None) -> Picture:
    """The flow's direction as hue and its length as saturation, on the Middlebury colour wheel.

    Zero is white. To the right (+u) is red, down (+v) is yellow, left is blue-cyan, up is violet: seen on the picture,
    the hues go clockwise. Motion of `peak_px` or more has full saturation.

    Args:
        flow: (2, h, w), order (u, v), pixels, +u right and +v down.
        peak_px: length of full saturation; by default the longest in this flow.

    Returns:
        (h, w, 3) uint8, RGB.

    Raises:
        InputError: if the shape is another, a value is not finite, or peak_px is not above 0.

    Source: Baker, Scharstein, Lewis, Roth, Black, Szeliski: A Database and Evaluation Methodology for Optical Flow,
    ICCV 2007. There, motion beyond the peak is darkened; here it is clipped to it.
    """
    flow = np.asarray(flow, np.float64)
    if flow.ndim != 3 or flow.shape[0] != 2:
        raise InputError(f"flow has shape {flow.shape}; give (2, h, w) with order (u, v)")
    _require_finite(flow, "flow")
    length = np.hypot(flow[0], flow[1])
    saturation = length / _peak(length, peak_px, "peak_px")
    turn = np.arctan2(flow[1], flow[0]) / (2 * np.pi) % 1.0
    stops = np.cumsum((0, *_ARCS))
    hue = np.stack([np.interp(turn * stops[-1], stops, channel) for channel in zip(*_HUES, strict=True)], axis=-1)
    rgb = 255 - np.clip(saturation, 0, 1)[..., None] * (255 - hue)
    return _rounded(rgb)


def colour_wheel(side: int, paper: Colour = (255, 255, 255)) -> Picture:
    """The legend of `flow_to_rgb`: (side, side, 3) uint8, each point coloured as motion from the centre to it."""
    axis = (np.arange(side) + 0.5) / side * 2 - 1
    u, v = np.meshgrid(axis, axis)
    radius = np.hypot(u, v)
    wheel = flow_to_rgb(np.stack([u, v]), 1.0)
    # One pixel of soft edge.
    inside = np.clip((1 - radius) * side / 2, 0, 1)[..., None]
    return _rounded(inside * wheel + (1 - inside) * np.asarray(paper))


def strain_to_rgb(magnitude: NDArray[Any], peak: float | None = None) -> Picture:
    """Strain magnitude (h, w) as a heat map (h, w, 3) uint8 RGB: black is 0, pale yellow is `peak` or more.

    By default the peak is the largest magnitude. Raises InputError for another shape, a value that is not finite, or a
    peak that is not above 0.
    """
    magnitude = np.asarray(magnitude, np.float64)
    if magnitude.ndim != 2:
        raise InputError(f"strain magnitude has shape {magnitude.shape}; give (h, w)")
    _require_finite(magnitude, "strain magnitude")
    level = np.clip(magnitude / _peak(magnitude, peak, "peak"), 0, 1)
    heat = cv2.applyColorMap(_rounded(255 * level), cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(heat[..., ::-1]).astype(np.uint8, copy=False)


def _rounded(levels: NDArray[Any]) -> Picture:
    rounded: Picture = np.rint(levels).astype(np.uint8)
    return rounded


def _require_finite(values: NDArray[np.float64], name: str) -> None:
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise InputError(f"{name} has {bad} values that are NaN or infinite; a picture needs finite ones")


def _peak(values: NDArray[np.float64], peak: float | None, name: str) -> float:
    if peak is None:
        return float(values.max(initial=0.0)) or 1.0
    if not peak > 0:
        raise InputError(f"{name}={peak!r}: must be above 0")
    return peak

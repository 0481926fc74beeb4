"""Flow at landmarks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError


def landmark_flow(flow: NDArray[Any], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The flow at positions between pixels, bilinearly.

    Args:
        flow: (2, h, w), order (u, v), pixels.
        points: (k, 2), order (x, y), pixels of the flow; whole numbers are pixel centres.

    Returns:
        (k, 2), order (u, v), pixels; NaN for points outside of 0..w - 1, 0..h - 1, where there is no flow.
    """
    _, height, width = flow.shape
    x, y = points[:, 0], points[:, 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    left = np.clip(np.floor(np.where(inside, x, 0)).astype(int), 0, max(width - 2, 0))
    top = np.clip(np.floor(np.where(inside, y, 0)).astype(int), 0, max(height - 2, 0))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = x - left, y - top
    field = flow.astype(np.float64)
    upper = field[:, top, left] * (1 - across) + field[:, top, right] * across
    lower = field[:, bottom, left] * (1 - across) + field[:, bottom, right] * across
    sampled: NDArray[np.float64] = np.where(inside, upper * (1 - down) + lower * down, np.nan).T
    return sampled


def require_some_inside(points: NDArray[np.float64], shape: tuple[int, int]) -> None:
    """Raises FrameError if no point (k, 2) lies in a frame of (h, w)."""
    x, y = points[:, 0], points[:, 1]
    if not ((x >= 0) & (x <= shape[1] - 1) & (y >= 0) & (y <= shape[0] - 1)).any():
        raise FrameError(
            f"none of {len(points)} landmarks is inside what is cut out of the frame, {shape[1]} x {shape[0]} px; "
            "correct them, or the face's box"
        )

"""The motion of the head in a flow: the similarity that most of the face agrees on, and what is left without it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDS = 10
STEP_PX = 4
"""Every so many pixels of a flow are fitted: neighbours say the same."""
_TUKEY = 4.685
"""Residuals beyond this many deviations count nothing; 95 % efficient where all is Gaussian (Beaton, Tukey 1974)."""
_MAD_TO_SIGMA = 1.4826
_LEAST_SIGMA_PX = 1e-6


def without_head_motion(flow: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Flows less the motion of the head.

    The head's motion is the similarity u = a x - b y + c, v = b x + a y + d (x, y from the picture's centre) that fits
    the flow best, by iteratively reweighted least squares with Tukey's weights: an expression, which moves a part of
    the face otherwise, counts for nothing once the fit has found the rest.

    Args:
        flow: (n, 2, h, w), order (u, v), px.

    Returns:
        The rest, (n, 2, h, w) float32; and what was removed, (n, 4) float64: a, b (per px), c, d (px).
    """
    _, _, h, w = flow.shape
    across, down = (np.arange(n) - (n - 1) / 2 for n in (w, h))
    y, x = (part.ravel() for part in np.meshgrid(down[::STEP_PX], across[::STEP_PX], indexing="ij"))
    one, zero = np.ones_like(x), np.zeros_like(x)
    design = np.concatenate([np.stack([x, -y, one, zero], axis=1), np.stack([y, x, zero, one], axis=1)])
    sparse = flow[:, :, ::STEP_PX, ::STEP_PX].reshape(len(flow), -1).astype(np.float64)
    removed = np.stack([_fitted(design, values) for values in sparse])
    a, b, c, d = removed.T[..., None, None]
    head = np.stack([a * across - b * down[:, None] + c, b * across + a * down[:, None] + d], axis=1)
    return flow - head.astype(np.float32), removed


def _fitted(design: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The four numbers for one flow: all u of its points and then all v, and how these depend on the numbers."""
    fit = np.array([0.0, 0.0, *np.median(values.reshape(2, -1), axis=1)])
    for _ in range(ROUNDS):
        u, v = (values - design @ fit).reshape(2, -1)
        length = np.hypot(u, v)
        sigma = max(_MAD_TO_SIGMA * float(np.median(length)), _LEAST_SIGMA_PX)
        weight = np.tile(np.clip(1 - (length / (_TUKEY * sigma)) ** 2, 0, None) ** 2, 2)
        weighted = design * weight[:, None]
        fit = np.linalg.lstsq(weighted.T @ design, weighted.T @ values, rcond=None)[0]
    return fit

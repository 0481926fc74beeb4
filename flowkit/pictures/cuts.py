"""Which pairs are no motion but a cut: their frames show different scenes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

STEEPEST = 0.5
"""Change of the flow from a pixel to the next, px / px. Skin that moves stays below, at any size of the frames."""
MOST_STEEP = 0.3
"""Share of the pixels that may be steeper. A head that passes a background by 20 px has 0.2 of a small frame along its
outline, a cut 0.5 to 0.9: what matches nothing is torn everywhere."""

LEAST_GAIN = 0.3
"""Contrast of frame1 that is frame0's, as a share of frame0's. Light changes it by some per cent, a cut leaves 0.1."""


def is_cut(flow: NDArray[Any], gain: float | None = None) -> bool:
    """Whether a flow (2, h, w), px, is torn as it is between different scenes, or its frames have little in common.

    Judged by what a shard holds, so that it needs no frames, which may be gone. A cut into black, where nothing moves,
    is none.

    Args:
        gain: of the pair's quality: by it frame1 would have to be frame0 with more or less contrast; None where the
            shard, of a version before 0.3, has none.
    """
    if gain is not None and gain < LEAST_GAIN:
        return True
    u, v = flow.astype(np.float32, copy=False)
    if min(u.shape) < 2:
        return False
    steepness = sum(np.diff(part, axis=0)[:, :-1] ** 2 + np.diff(part, axis=1)[:-1] ** 2 for part in (u, v))
    return bool(np.mean(steepness > STEEPEST**2) > MOST_STEEP)

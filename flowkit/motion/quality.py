"""What a flow's own frames say of it: residual, noise, light, pixels that left, expected scatter.

All of it comes from the two frames and the flow, at every fourth pixel of every fourth row (of small frames every
second of every second), in a quarter of a millisecond for a face of 224 x 224; whatever computed the flow, in whichever
batch and on however many threads, the numbers have the same bits. docs/algorithm.md, "Quality", has the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

import flowkit._core as _core
from flowkit.errors import InputError
from flowkit.motion.flow import (
    as_array,
    check_frames,
    check_pair,
    grey_range,
    require_displacements,
    require_finite,
    thread_count,
)

Values = NDArray[np.float32]


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
    """Contrast of frame1 over that of frame0, likewise: 1.02 where a lamp has become 2 % brighter. The least-squares
    slope after a shift by whole pixels: what motion is left below a pixel lowers it by up to 1.3 %, and swapping the
    frames does not give its inverse."""
    left: Values
    """Share of the pixels whose match lies outside of frame1, 0 to 1."""
    scatter_px: Values
    """Expected standard deviation of the flow, as a length, averaged over the frame: how much of it another take of the
    same motion would change. From noise, gradients and the flow's own variation, for preset `micro`; px."""


def quality(
    frames0: ArrayLike,
    frames1: ArrayLike,
    flow: ArrayLike,
    *,
    value_range: tuple[float, float] | None = None,
    threads: int | None = None,
) -> Quality:
    """What can be said of flows by their frames.

    Args:
        frames0, frames1: grey frames (n, h, w), or one pair (h, w), as `flowkit.tvl1_flow` takes them, on the CPU.
        flow: (n, 2, h, w) or (2, h, w), px, as `tvl1_flow` gives it.
        value_range: what black and white are in float32 frames; needed for them, refused for the others.
        threads: pairs at a time; all of this process's CPUs by default.

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
    if moves.dtype.kind != "f":
        raise InputError(f"flow is {moves.dtype}: convert it to float32")
    with np.errstate(over="ignore"):  # to infinity, which is refused
        moves = np.ascontiguousarray(moves, np.float32)
    for name, array in (("frames0", first), ("frames1", second)):
        require_finite(name, array)
    require_displacements("flow", moves)
    low, high = grey_range(first.dtype, value_range)
    height, width = first.shape[-2:]
    before, after = (array.reshape(-1, height, width) for array in (first, second))
    batch = moves.reshape(-1, 2, height, width)
    table = _core.flow_quality(before, after, low, high, batch, thread_count(threads))
    if not np.isfinite(table).all():
        bad = int(np.argwhere(~np.isfinite(table))[0, 0])
        raise InputError(f"the quality of pair {bad} is not finite: check the frames' values against {value_range=}")
    return Quality(*np.moveaxis(table.reshape(*first.shape[:-2], -1), -1, 0))

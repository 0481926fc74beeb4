"""Counts the wavefronts of shared memory that the iteration takes (wavefronts.cpp has what they are)."""

from __future__ import annotations

import ctypes

from flowkit import _test_hooks
from flowkit.params import TVL1Params
from tests import fields
from tests.ptx.standin import StandIn

FEWER, MORE = 2, 4


def of_an_iteration(ptx: StandIn, params: TVL1Params, side: int) -> float:
    """Wavefronts a warp and iteration, on average over the warps of a resident level of `side` x `side` pixels.

    What two more iterations add to a launch, so that nothing else counts.
    """
    (plan,) = _test_hooks.iteration_plans(side, side, _of_one_launch(params, MORE).to_dict(), {"variant": "resident"})
    warps = plan["ranks"] * plan["threads"] // 32
    added = _counted(ptx, _of_one_launch(params, MORE), side) - _counted(ptx, _of_one_launch(params, FEWER), side)
    return added / warps / (MORE - FEWER)


def _of_one_launch(params: TVL1Params, iterations: int) -> TVL1Params:
    """Those parameters for one level and warp, without a stop that comes true and what follows the iteration."""
    once = {"levels": 1, "warps": 1, "outer_iterations": 1, "flow_smoothing": 0.0, "refit_steps": 0}
    return params.replace(**once, inner_iterations=iterations, epsilon=min(params.epsilon, 1e-9))


def _counted(ptx: StandIn, params: TVL1Params, side: int) -> int:
    on = ctypes.c_bool.in_dll(ptx.library, "counts_wavefronts")
    count = ctypes.c_uint64.in_dll(ptx.library, "wavefronts")
    frames = fields.facial_batch(1, side, side)
    on.value, count.value = True, 0
    try:
        _, iterations = ptx.core.tvl1_flow_on_gpu(*frames, params.to_dict(), 0, 255, None, 0)
    finally:
        on.value = False
    assert iterations[0] == params.inner_iterations, "none of them was left out"
    return int(count.value)

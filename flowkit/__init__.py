"""flowkit: TV-L1 optical flow and optical strain for facial micro-expressions.

flow = flowkit.tvl1_flow(frames0, frames1)          # (n, 2, h, w) float32, pixels, +u right, +v down
strain = flowkit.strain_magnitude(flow)             # (n, h, w)
cube = flowkit.motion_cube(frames0, frames1)        # (n, 3, h, w): u, v, strain magnitude
shards = flowkit.read("out")                        # what `flowkit extract ... -o out` has written
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from flowkit.cube import motion_cube
from flowkit.flow import tvl1_flow
from flowkit.strain import strain_magnitude, strain_tensor
from flowkit.types import PRESETS, FlowkitError, TVL1Params

if TYPE_CHECKING:
    from flowkit.shard import ShardSet, read

__all__ = [
    "PRESETS",
    "FlowkitError",
    "ShardSet",
    "TVL1Params",
    "motion_cube",
    "read",
    "strain_magnitude",
    "strain_tensor",
    "tvl1_flow",
]


def __getattr__(name: str) -> Any:
    """What reads shards is imported when it is first asked for: flow and strain need NumPy and nothing else."""
    if name in ("ShardSet", "read"):
        return getattr(importlib.import_module("flowkit.shard"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

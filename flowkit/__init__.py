"""flowkit: TV-L1 optical flow and optical strain for facial micro-expressions.

flow = flowkit.tvl1_flow(frames0, frames1)          # (n, 2, h, w) float32, pixels, +u right, +v down
strain = flowkit.strain_magnitude(flow)             # (n, h, w)
cube = flowkit.motion_cube(frames0, frames1)        # (n, 3, h, w): u, v, strain magnitude
onset = flowkit.average_phase(frames)               # (h, w) float32 on 0..255: several frames of one moment
flowkit.extract("talk.mp4", "out", pairs="lag:1")   # into shards, as the command does; again to continue
shards = flowkit.read("out")                        # the shards
picture = flowkit.flow_to_rgb(flow[0])              # (h, w, 3) uint8
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flowkit.errors import FlowkitError
from flowkit.params import PRESETS, TVL1Params
from flowkit.types import Clip

if TYPE_CHECKING:
    from flowkit.datasets.manifest import read_manifest
    from flowkit.extraction.run import extract
    from flowkit.motion.cube import motion_cube
    from flowkit.motion.flow import tvl1_flow
    from flowkit.motion.phase import average_phase
    from flowkit.motion.strain import strain_magnitude, strain_tensor
    from flowkit.output.shard import ShardSet, read
    from flowkit.output.verify import verify
    from flowkit.pictures.colours import flow_to_rgb

    __version__: str

__all__ = [
    "PRESETS",
    "Clip",
    "FlowkitError",
    "ShardSet",
    "TVL1Params",
    "__version__",
    "average_phase",
    "extract",
    "flow_to_rgb",
    "motion_cube",
    "read",
    "read_manifest",
    "strain_magnitude",
    "strain_tensor",
    "tvl1_flow",
    "verify",
]

# Imported when first asked for: arrays in and arrays out need NumPy alone, not the packages for video and Parquet, and
# an extension that cannot be loaded (FLOWKIT_SIMD names a level that is not there) is an error that a command can tell.
_LATER = {
    "ShardSet": "flowkit.output.shard",
    "average_phase": "flowkit.motion.phase",
    "extract": "flowkit.extraction.run",
    "flow_to_rgb": "flowkit.pictures.colours",
    "motion_cube": "flowkit.motion.cube",
    "read": "flowkit.output.shard",
    "read_manifest": "flowkit.datasets.manifest",
    "strain_magnitude": "flowkit.motion.strain",
    "strain_tensor": "flowkit.motion.strain",
    "tvl1_flow": "flowkit.motion.flow",
    "verify": "flowkit.output.verify",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("flowkit-mer")
    if name not in _LATER:
        raise AttributeError(f"module 'flowkit' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATER, "__version__"])

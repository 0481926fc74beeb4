"""What a model on paper expects of the CUDA solver on an H200: the table of docs/cuda.md. It needs no GPU.

    python -m benchmarks.gpu_model

The layout of each level comes from the solver. All else are the figures below, each with its source; none was measured
on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from flowkit import _core, _test_hooks
from flowkit.bench import Size, parse_sizes
from flowkit.params import PRESETS, TVL1Params

MULTIPROCESSORS, CLOCK_HZ, BYTES_PER_S = 132, 1.755e9, 4.3e12
"""Of an H200; the bytes are what a copy is known to reach."""
CLUSTERS_OF = (16, 16, 16, 16, 16, 16, 18, 18)
"""Multiprocessors of each processing cluster, which a cluster of blocks cannot cross: an assumption."""
SCHEDULERS, LANES, CELL = 4, 32, 16
CLUSTER_BARRIERS, BLOCK_BARRIERS = 600, 60
"""Clocks an iteration for its two barriers: a guess."""
LAUNCH = 2000
"""Clocks to bring a region onto the chip and back: a guess."""


@dataclass(frozen=True)
class Costs:
    instructions: float
    """A pixel and iteration: the loop in the SASS of sm_90, by 16 pixels, all of it counted."""
    wavefronts: float
    """Of shared memory, a warp and iteration at 224 x 224: PTX executed, each access by the banks it meets."""
    others: float
    """All other programs, instructions a pixel of the finest level: PTX executed for facial pairs of 224 x 224."""
    iterations: dict[str, float]
    """A level, where pairs stop early: the CPU solver's average over facial pairs."""


COSTS = {
    "opencv": Costs(144, 207, 13_100, {"": 106, "1920x1080": 68}),
    "opencv-cuda": Costs(118, 207, 6_900, {"": 80}),
    "micro": Costs(91, 191, 34_400, {}),
    "fast": Costs(91, 191, 11_800, {}),
    "micro-0.1": Costs(91, 191, 8_600, {}),
    "fast-0.1": Costs(91, 191, 5_500, {}),
}
ROWS = [
    *((preset, size, "") for preset in COSTS for size in ("128x128", "224x224", "340x280")),
    ("micro", "224x224", "tiled"),
    ("opencv", "224x224", "tiled"),
    *((preset, size, "") for preset in ("opencv", "micro") for size in ("640x480", "1920x1080")),
]


def main() -> None:
    print("| preset | size | finest level | pixel-iterations a pair | bytes each | SM-clocks a pair | pairs/s | G/s |")
    print("|---|---|---|---|---|---|---|---|")
    for preset, size, variant in ROWS:
        print(_row(preset, parse_sizes(size)[0], variant))


def _row(preset: str, size: Size, variant: str) -> str:
    params, costs = PRESETS[preset], COSTS[preset]
    plans = _test_hooks.iteration_plans(size.height, size.width, params.to_dict(), {"variant": variant})
    levels = _core.pyramid_sizes(size.height, size.width, params.to_dict())
    fixed = [warps * params.inner_iterations for warps in _warps(params, len(levels))]
    stopped = costs.iterations.get(str(size), costs.iterations.get(""))
    each = fixed if stopped is None else [stopped] * len(levels)
    work = sum(n * height * width for n, (height, width) in zip(each, levels, strict=True))
    clocks = sum(_iteration(plan, costs, n) for plan, n in zip(plans, each, strict=True))
    clocks += costs.others * size.pixels / (SCHEDULERS * LANES)
    pairs = MULTIPROCESSORS * CLOCK_HZ / clocks
    moved = sum(_bytes(plan, n) for plan, n in zip(plans, each, strict=True)) / work
    cells = [f"`{preset}`", f"{size.width} x {size.height}", _layout(plans[0]), f"{work / 1e6:.1f} M", f"{moved:.1f}"]
    cells += [f"{clocks / 1e6:.1f} M", f"{pairs:,.0f}".replace(",", " "), f"{pairs * work / 1e9:.0f}"]
    return f"| {' | '.join(cells)} |"


def _warps(params: TVL1Params, levels: int) -> list[int]:
    """Of each level, full resolution first."""
    return [params.warps] + [params.coarse_warps or params.warps] * (levels - 1)


def _iteration(plan: dict[str, Any], costs: Costs, iterations: float) -> float:
    """Clocks of one multiprocessor that a level's iterations take, those of idle ones counted in."""
    warps = plan["threads"] // LANES
    issue, shared = ceil(warps / SCHEDULERS) * CELL * costs.instructions, warps * costs.wavefronts
    each = max(issue, shared)
    if plan["variant"] == "resident":
        ranks = plan["ranks"]
        at_once = MULTIPROCESSORS if ranks == 1 else sum(cluster // ranks for cluster in CLUSTERS_OF)
        barriers = BLOCK_BARRIERS if ranks == 1 else CLUSTER_BARRIERS
        return (iterations * (each + barriers) + LAUNCH) * MULTIPROCESSORS / at_once
    launches = ceil(iterations / plan["iterations"])
    computing = iterations * (each + BLOCK_BARRIERS) + launches * LAUNCH
    moving = _bytes(plan, iterations) / _tiles(plan) / (BYTES_PER_S / MULTIPROCESSORS / CLOCK_HZ)
    return _tiles(plan) * max(computing, moving)


def _bytes(plan: dict[str, Any], iterations: float) -> float:
    """Read and written by a pair's iterations of a level: eleven floats in, six out a pixel and launch."""
    launches = ceil(iterations / plan["iterations"]) if plan["variant"] == "tiled" else 1
    pixels = plan["columns"] * plan["rows"] * CELL * plan["ranks"] * _tiles(plan)
    return launches * pixels * (11 + 6) * 4


def _tiles(plan: dict[str, Any]) -> int:
    return int(plan["tiles_x"] * plan["tiles_y"])


def _layout(plan: dict[str, Any]) -> str:
    if plan["variant"] == "resident":
        return f"{plan['ranks']} ranks of {plan['threads']} threads"
    return f"{_tiles(plan)} tiles of {4 * plan['columns']} x {4 * plan['rows']}"


if __name__ == "__main__":
    main()

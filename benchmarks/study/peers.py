"""The methods that the study compares: flowkit's presets, and the peers of `flowkit bench` with their defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flowkit
from benchmarks.study.measures import Flow, Frame, Method
from flowkit.bench import methods as bench
from flowkit.bench.methods import DIS_MEDIUM, DUAL_TVL1, OPENCV
from flowkit.params import PRESETS, TVL1Params

__all__ = ["DIS_MEDIUM", "DUAL_TVL1", "OPENCV", "PEERS", "ablations", "methods", "solver"]


def solver(params: TVL1Params) -> Method:
    """flowkit's TV-L1 with these parameters, on one thread."""

    def solve(frame0: Frame, frame1: Frame) -> Flow:
        return flowkit.tvl1_flow(frame0, frame1, params=params, threads=1)

    return solve


def peer(create: Callable[[], Method]) -> Method:
    """A peer with an object a size: DualTVL1 and DIS are spoilt for good by a small image."""
    made: dict[tuple[int, ...], Method] = {}

    def solve(frame0: Frame, frame1: Frame) -> Flow:
        if frame0.shape not in made:
            made[frame0.shape] = create()
        return made[frame0.shape](frame0, frame1)

    return solve


def methods(presets: Mapping[str, TVL1Params]) -> dict[str, Method]:
    """All methods by name, the given presets first; cv2 must be on one thread (cv2.setNumThreads)."""
    peers = {found.name: peer(found.create) for found in bench.PEERS.values() if found.absent() is None}
    return {
        **{f"flowkit {name}": solver(params) for name, params in presets.items()},
        OPENCV: solver(PRESETS["opencv"]),
        "flowkit ipol": solver(PRESETS["ipol"]),
        **peers,
    }


_ABLATIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("data term of single pixels", {"data_term": "pixel"}),
    ("no affine reference", {"affine_reference": False}),
    ("duals from zero on each level", {"carry_dual": False}),
    ("no smoothing", {"smoothing": 0.0}),
    ("theta 0.3", {"theta": 0.3}),
    ("lambda 0.15", {"lambda_": 0.15}),
    ("half the iterations", {"inner_iterations": 0.5}),
    ("half the warps", {"warps": 0.5}),
    ("a = -0.5 in the warp", {"cubic": -0.5}),
    ("a = -0.75 in the warp", {"cubic": -0.75}),
    ("central differences of 3 taps", {"derivative": "central3"}),
    ("scale 0.8", {"scale": 0.8}),
    ("no blur between levels", {"pyramid_blur": 0.0}),
    ("stops by epsilon 0.01", {"epsilon": 0.01}),
)


def ablations(micro: TVL1Params) -> dict[str, Method]:
    """`micro`, then `micro` with one choice undone at a time."""
    found = {"as it is": solver(micro)}
    for words, changes in _ABLATIONS:
        whole = {
            name: max(1, round(value * getattr(micro, name))) if name in ("inner_iterations", "warps") else value
            for name, value in changes.items()
        }
        if micro.replace(**whole) != micro:
            found[words] = solver(micro.replace(**whole))
    return found


PEERS: dict[str, Method] = {
    OPENCV: solver(PRESETS["opencv"]),
    DIS_MEDIUM: peer(bench.PEERS["dis-medium"].create),
}
"""The methods that the searches are measured by."""

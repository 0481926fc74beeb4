"""The methods that the study compares: flowkit's presets and what else one would use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

import flowkit
from benchmarks.study.measures import Flow, Frame, Method
from flowkit.types import PRESETS, TVL1Params

DUAL_TVL1 = "cv2 DualTVL1"
DIS_MEDIUM = "cv2 DIS medium"
OPENCV = "flowkit opencv"
"""The bits of DUAL_TVL1, faster."""


def solver(params: TVL1Params) -> Method:
    """flowkit's TV-L1 with these parameters, on one thread."""

    def solve(frame0: Frame, frame1: Frame) -> Flow:
        return flowkit.tvl1_flow(frame0, frame1, params=params, threads=1)

    return solve


def dual_tvl1(frame0: Frame, frame1: Frame) -> Flow:
    """cv2's DualTVL1 with its defaults; a new object each time, since one keeps fewer scales after a small image."""
    return cv2.optflow.DualTVL1OpticalFlow_create().calc(frame0, frame1, None).transpose(2, 0, 1)


def scikit_image(frame0: Frame, frame1: Frame) -> Flow:
    """scikit-image's TV-L1 with its defaults."""
    from skimage.registration import optical_flow_tvl1

    v, u = optical_flow_tvl1(frame0, frame1)
    return np.stack([u, v]).astype(np.float32)


def dense(create: Callable[[], cv2.DenseOpticalFlow]) -> Method:
    """One of cv2's other methods; an object a size, since DIS keeps a finer scale for good after a small image."""
    made: dict[tuple[int, ...], cv2.DenseOpticalFlow] = {}

    def solve(frame0: Frame, frame1: Frame) -> Flow:
        if frame0.shape not in made:
            made[frame0.shape] = create()
        return made[frame0.shape].calc(frame0, frame1, None).transpose(2, 0, 1)

    return solve


def dis(preset: int) -> Method:
    return dense(lambda: cv2.DISOpticalFlow_create(preset))


def methods(presets: Mapping[str, TVL1Params]) -> dict[str, Method]:
    """All methods by name, the given presets first; cv2 must be on one thread (cv2.setNumThreads)."""
    return {
        **{f"flowkit {name}": solver(params) for name, params in presets.items()},
        OPENCV: solver(PRESETS["opencv"]),
        "flowkit ipol": solver(PRESETS["ipol"]),
        DUAL_TVL1: dual_tvl1,
        "scikit-image TV-L1": scikit_image,
        "cv2 Farneback": dense(lambda: cv2.FarnebackOpticalFlow_create(5, 0.5, False, 15, 3, 5, 1.2)),
        DIS_MEDIUM: dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
        "cv2 DIS fast": dis(cv2.DISOPTICAL_FLOW_PRESET_FAST),
        "cv2 DIS ultrafast": dis(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST),
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
    DIS_MEDIUM: dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
}
"""The methods that the searches are measured by."""

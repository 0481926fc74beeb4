"""Other optical flow on the same GPU beside flowkit's: pairs a second, and the error against the true flow.

A pair a call where the peer takes one pair, frames already on the GPU. cuCIM (pip install cucim-cu13, or cucim-cu12) is
scikit-image on CuPy, and has its order: flow[0] goes down the rows, flow[1] along the columns.
"""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

import flowkit
from benchmarks.gpu_timing import face_pairs, memory_given_back, stacked, wall_seconds
from benchmarks.journal import Absent, Task
from flowkit.bench import Size
from flowkit.bench.methods import PEERS
from flowkit.bench.pairs import FacialPair

BATCHES = (64, 1)
CUCIM = ("optical_flow_tvl1", "optical_flow_ilk")
LARGEST = 640 * 480
"""Larger frames would take the peers minutes."""

Solve = Callable[[Any, Any], Any]
"""From two frames (h, w) uint8 on the GPU to the flow (2, h, w) there, order (u, v), px."""
All = Callable[[], Sequence[Any]]
"""The flows (2, h, w) of all pairs, on the GPU or not."""


def tasks(sizes: Sequence[Size], batches: Sequence[int], presets: Sequence[str]) -> list[Task]:
    """Each method at each size, all methods of a size one after the other."""
    return [
        task
        for size in sizes
        if size.pixels <= LARGEST
        for task in (
            *(_ours(size, preset, batch) for preset in presets for batch in batches),
            *(_peer(size, f"cuCIM {name}", lambda pairs, name=name: one_by_one(cucim(name), pairs)) for name in CUCIM),
            _peer(size, "cv2.cuda DualTVL1", opencv_cuda),
        )
    ]


def _ours(size: Size, preset: str, batch: int) -> Task:
    what = {"part": "peers", "method": f"flowkit {preset}", "size": str(size), "batch": batch}

    def measure() -> Mapping[str, Any]:
        pairs = face_pairs(size)
        if batch == 1:
            return _measured(pairs, one_by_one(lambda *frames: flowkit.tvl1_flow(*frames, preset=preset), pairs))
        return _measured(pairs[:batch], _batched(preset, pairs, batch), batch)

    return Task(what, measure, size.pixels * batch, f"{preset} {batch}", prepare=lambda: face_pairs(size))


def _peer(size: Size, method: str, solver: Callable[[Sequence[FacialPair]], All]) -> Task:
    what = {"part": "peers", "method": method, "size": str(size), "batch": 1}

    def measure() -> Mapping[str, Any]:
        pairs = face_pairs(size)
        return _measured(pairs, solver(pairs))

    return Task(what, measure, size.pixels, method, prepare=lambda: face_pairs(size))


def one_by_one(solve: Solve, pairs: Sequence[FacialPair]) -> All:
    """A call a pair, on frames that are there already."""
    import cupy

    frames = [(cupy.asarray(pair.frame0), cupy.asarray(pair.frame1)) for pair in pairs]
    return lambda: [solve(*both) for both in frames]


def _batched(preset: str, pairs: Sequence[FacialPair], batch: int) -> All:
    import cupy

    frames = [cupy.asarray(frames) for frames in stacked(pairs, batch)]
    return lambda: flowkit.tvl1_flow(*frames, preset=preset)


def cucim(name: str) -> Solve:
    """One of cuCIM's, with its defaults."""
    try:
        registration = importlib.import_module("cucim.skimage.registration")
    except ImportError as error:
        raise Absent(f"{error}; pip install cucim-cu13, or cucim-cu12 for CUDA 12") from error
    return from_rows_and_columns(getattr(registration, name))


def from_rows_and_columns(solve: Solve) -> Solve:
    """Of a function of scikit-image or cuCIM, whose flow is (down, right). It scales uint8 frames to 0..1 itself."""
    return lambda frame0, frame1: solve(frame0, frame1)[::-1]


def opencv_cuda(pairs: Sequence[FacialPair]) -> All:
    """OpenCV's CUDA version with its defaults, flows downloaded, which is a part of its time."""
    if reason := PEERS["opencv-cuda"].absent():
        raise Absent(reason)
    cuda: Any = cv2.cuda
    frames = [(cuda.GpuMat(pair.frame0), cuda.GpuMat(pair.frame1)) for pair in pairs]
    solver = cuda.OpticalFlowDual_TVL1_create()
    return lambda: [solver.calc(*both, None).download().transpose(2, 0, 1) for both in frames]


def _measured(pairs: Sequence[FacialPair], solve: All, batch: int = 0) -> Mapping[str, Any]:
    import cupy

    with memory_given_back():
        seconds, flows = wall_seconds(solve)
        here = [flow if isinstance(flow, np.ndarray) else cupy.asnumpy(flow) for flow in flows[: len(pairs)]]
    count = batch or len(pairs)
    return {
        "pairs_per_s": count / statistics.median(seconds),
        "fastest": count / min(seconds),
        "slowest": count / max(seconds),
        "rounds": len(seconds),
        **errors(pairs, here),
    }


def errors(pairs: Sequence[FacialPair], flows: Sequence[np.ndarray]) -> Mapping[str, Any]:
    """Mean endpoint errors, px: over all pairs, at each amplitude, and of no flow at all."""

    def error(pair: FacialPair, flow: Any) -> float:
        return float(np.hypot(*(np.asarray(flow) - pair.truth)).mean())

    each = [(pair.amplitude_px, error(pair, flow)) for pair, flow in zip(pairs, flows, strict=True)]
    amplitudes = sorted({amplitude for amplitude, _ in each})
    return {
        "error_px": statistics.mean(found for _, found in each),
        "errors_px": {
            str(amplitude): statistics.mean(found for at, found in each if at == amplitude) for amplitude in amplitudes
        },
        "zero_flow_px": statistics.mean(error(pair, np.zeros_like(pair.truth)) for pair in pairs),
    }

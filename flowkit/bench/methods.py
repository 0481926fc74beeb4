"""The methods that are compared: flowkit's presets, and what else one would use."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

import flowkit
from flowkit.bench.pairs import Flow, Frame
from flowkit.errors import InputError
from flowkit.motion.devices import gpus
from flowkit.params import PRESETS

MEASURED = tuple(name for name in PRESETS if not name.endswith(("-0.1", "-phases")))
"""Presets for single pairs, of today: those of older versions are there for shards that are to be made again."""

Solve = Callable[[Frame, Frame], Flow]
"""From two frames (h, w) uint8 to the flow (2, h, w), px."""
Batch = Callable[[Sequence[tuple[Frame, Frame]]], Sequence[Flow]]

OPENCV = "flowkit opencv"
"""Gives the answers of DUAL_TVL1."""
DUAL_TVL1 = "cv2 DualTVL1"
DIS_MEDIUM = "cv2 DIS medium"


@dataclass(frozen=True, slots=True)
class Method:
    """A named method; `make` gives its solver for a batch of pairs of one size on so many threads."""

    name: str
    make: Callable[[int], Batch]


def presets() -> list[Method]:
    """flowkit's, every preset of MEASURED; again on the first GPU where there is one, with the way there and back."""
    on_cpu = [Method(f"flowkit {name}", _preset(name, "cpu")) for name in MEASURED]
    on_gpu = [Method(f"flowkit {name} on GPU", _preset(name, "cuda")) for name in MEASURED] if gpus()[0] else []
    return on_cpu + on_gpu


def peers(names: Sequence[str] | None = None) -> tuple[list[Method], dict[str, str]]:
    """The peers with these short names, all by default, and why any of them is absent, by name.

    Raises:
        InputError: for an unknown name, or one that was asked for and is absent.
    """
    for name in names or ():
        if name not in PEERS:
            raise InputError(f"--against {name}: no such peer; known are {', '.join(PEERS)}")
    found, absent = [], {}
    for short in dict.fromkeys(names or PEERS):
        peer = PEERS[short]
        reason = peer.absent()
        if reason is None:
            found.append(Method(peer.name, _shared_out(peer.create)))
        elif names:
            raise InputError(f"--against {short}: {peer.name} cannot run: {reason}")
        else:
            absent[peer.name] = reason
    return found, absent


def _preset(name: str, device: str) -> Callable[[int], Batch]:
    def make(threads: int) -> Batch:
        def solve(pairs: Sequence[tuple[Frame, Frame]]) -> Sequence[Flow]:
            frames0, frames1 = (np.stack(frames) for frames in zip(*pairs, strict=True))
            return list(flowkit.tvl1_flow(frames0, frames1, preset=name, device=device, threads=threads))

        return solve

    return make


def _shared_out(create: Callable[[], Solve]) -> Callable[[int], Batch]:
    """A peer on threads over pairs, each with a solver of its own: faster than the peer's own threads in a pair.

    `make` creates the solvers anew, because cv2's are spoilt for good by a small image: DualTVL1 keeps its lower
    number of scales, DIS its finer one.
    """

    def make(threads: int) -> Batch:
        solvers = [create() for _ in range(threads)]
        if threads == 1:
            return lambda pairs: [solvers[0](*pair) for pair in pairs]

        pool = ThreadPoolExecutor(threads)  # which is not to be made while a call is timed

        def share(first: int, pairs: Sequence[tuple[Frame, Frame]]) -> list[Flow]:
            return [solvers[first](*pair) for pair in pairs[first::threads]]

        def solve(pairs: Sequence[tuple[Frame, Frame]]) -> Sequence[Flow]:
            shares = list(pool.map(share, range(threads), [pairs] * threads))
            return [shares[i % threads][i // threads] for i in range(len(pairs))]

        return solve

    return make


def _opencv(create: Callable[[], Any]) -> Callable[[], Solve]:
    def make() -> Solve:
        solver = create()

        def solve(frame0: Frame, frame1: Frame) -> Flow:
            flow: Flow = solver.calc(frame0, frame1, None).transpose(2, 0, 1)
            return flow

        return solve

    return make


def _dis(preset: int) -> Callable[[], Solve]:
    return _opencv(lambda: cv2.DISOpticalFlow.create(preset))


def _opencv_cuda() -> Solve:
    """cv2.cuda's DualTVL1 on frames in the CPU's memory, with the way to the GPU and back."""
    cuda: Any = cv2.cuda
    solver = cuda.OpticalFlowDual_TVL1_create()

    def solve(frame0: Frame, frame1: Frame) -> Flow:
        flow: Flow = solver.calc(cuda.GpuMat(frame0), cuda.GpuMat(frame1), None).download().transpose(2, 0, 1)
        return flow

    return solve


def _scikit_image() -> Solve:
    from skimage.registration import optical_flow_tvl1

    def solve(frame0: Frame, frame1: Frame) -> Flow:
        v, u = optical_flow_tvl1(frame0, frame1)  # type: ignore[no-untyped-call]
        return np.stack([u, v]).astype(np.float32)

    return solve


def _without_cuda() -> str | None:
    count = cv2.cuda.getCudaEnabledDeviceCount() if hasattr(cv2, "cuda") else 0
    if count and not hasattr(cv2.cuda, "OpticalFlowDual_TVL1_create"):
        return "this OpenCV has CUDA but not its module cudaoptflow"
    return None if count else "this OpenCV was built without CUDA, or finds no GPU"


def _without_scikit_image() -> str | None:
    found = importlib.util.find_spec("skimage") is not None
    return None if found else "scikit-image is not installed: pip install 'flowkit-mer[demo]'"


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    create: Callable[[], Solve]
    """A new solver with the peer's own defaults."""
    absent: Callable[[], str | None] = lambda: None
    """Why it cannot be used here; None if it can."""


PEERS: dict[str, Peer] = {
    "opencv": Peer(DUAL_TVL1, _opencv(lambda: cv2.optflow.DualTVL1OpticalFlow.create())),
    "scikit-image": Peer("scikit-image TV-L1", _scikit_image, _without_scikit_image),
    "farneback": Peer("cv2 Farneback", _opencv(lambda: cv2.FarnebackOpticalFlow.create(5, 0.5, False, 15, 3, 5, 1.2))),
    "dis-medium": Peer(DIS_MEDIUM, _dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)),
    "dis-fast": Peer("cv2 DIS fast", _dis(cv2.DISOPTICAL_FLOW_PRESET_FAST)),
    "dis-ultrafast": Peer("cv2 DIS ultrafast", _dis(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)),
    "opencv-cuda": Peer("cv2.cuda DualTVL1", _opencv_cuda, _without_cuda),
}
"""By the short names of `--against`; Farneback has no defaults, its parameters are those of OpenCV's example."""

"""TV-L1 presets against OpenCV's DualTVL1, one thread, and a batch on two threads; answers checked against truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

import flowkit
from benchmarks import grid
from benchmarks.grid import Measurement, endpoint_error, measurement, race

PEER = "cv2 DualTVL1"
AGREEMENT_PX = 0.01
PRESETS = ("opencv", "ipol", "micro")
METHODS: dict[str, Callable[[], cv2.DenseOpticalFlow]] = {
    "cv2 Farneback": lambda: cv2.FarnebackOpticalFlow_create(5, 0.5, False, 15, 3, 5, 1.2),
    "cv2 DIS medium": lambda: cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
}


def opencv_flow(frame0: NDArray[np.uint8], frame1: NDArray[np.uint8]) -> NDArray[np.float32]:
    """cv2's DualTVL1 with its defaults; a new object each time, since one keeps fewer scales after a small image."""
    return cv2.optflow.DualTVL1OpticalFlow_create().calc(frame0, frame1, None).transpose(2, 0, 1)


def run(short: bool) -> Iterator[Measurement]:
    """All measurements; AssertionError where an answer is wrong."""
    cv2.setNumThreads(1)
    sizes = (224,) if short else grid.SIZES
    amplitudes = (0.5, 2.0) if short else grid.AMPLITUDES_PX
    for size in sizes:
        pairs = [grid.pair(identity, a, size) for identity in grid.IDENTITIES for a in amplitudes]
        yield from _presets(size, pairs, 3 if short else 5)
        if not short:
            yield from _others(size, pairs)
        yield _threads(size, pairs, 5)


def _errors(solve: Callable[..., NDArray[np.float32]], pairs: list[grid.Pair]) -> dict[str, float]:
    return {"to truth": float(np.mean([endpoint_error(solve(a, b), truth) for a, b, truth in pairs]))}


def _presets(size: int, pairs: list[grid.Pair], repeats: int) -> Iterator[Measurement]:
    peer_flows = [opencv_flow(a, b) for a, b, _ in pairs]
    peer_error = float(np.mean([endpoint_error(f, p[2]) for f, p in zip(peer_flows, pairs, strict=True)]))
    frame0, frame1, _ = pairs[0]
    for preset in PRESETS:

        def ours(frame0: NDArray[np.uint8] = frame0, frame1: NDArray[np.uint8] = frame1, preset: str = preset):  # type: ignore[no-untyped-def]
            return flowkit.tvl1_flow(frame0, frame1, preset=preset, threads=1)

        error = _errors(ours, pairs) | {"peer to truth": peer_error}
        if preset == "opencv":
            flows = [ours(a, b) for a, b, _ in pairs]
            error["to peer"] = max(endpoint_error(f, p) for f, p in zip(flows, peer_flows, strict=True))
            assert error["to peer"] < AGREEMENT_PX, f"preset opencv is {error['to peer']} px from cv2 at {size} px"
            assert error["to truth"] <= peer_error + 1e-4, f"preset opencv: {error}"
        times = race(ours, lambda: opencv_flow(frame0, frame1), repeats)
        yield measurement(f"flowkit {preset}", size, 1, 1, PEER, times, error)


def _others(size: int, pairs: list[grid.Pair]) -> Iterator[Measurement]:
    frame0, frame1, _ = pairs[0]
    for name, create in METHODS.items():
        method = create()

        def other(a: NDArray[np.uint8] = frame0, b: NDArray[np.uint8] = frame1, method: cv2.DenseOpticalFlow = method):  # type: ignore[no-untyped-def]
            return method.calc(a, b, None).transpose(2, 0, 1)

        times = race(other, lambda: opencv_flow(frame0, frame1), 5)
        yield measurement(name, size, 1, 1, PEER, times, _errors(other, pairs))


def _threads(size: int, pairs: list[grid.Pair], repeats: int) -> Measurement:
    """A batch on two threads; the peer is the same batch on one."""
    frames0 = np.stack([a for a, _, _ in pairs] * 4)
    frames1 = np.stack([b for _, b, _ in pairs] * 4)

    def solve(threads: int) -> NDArray[np.float32]:
        return flowkit.tvl1_flow(frames0, frames1, preset="opencv", threads=threads)

    assert np.array_equal(solve(1), solve(2)), "two threads give other bits than one"
    times = race(lambda: solve(2), lambda: solve(1), repeats)
    return measurement("flowkit opencv batch", size, 2, len(frames0), "one thread", times, {})

"""A method on a set: its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from benchmarks.study import measures
from benchmarks.study.faces import Set
from benchmarks.study.measures import Sample
from benchmarks.study.peers import Solve
from benchmarks.study.shots import Shot, shots
from benchmarks.study.stage import KEPT, Flow, Scene, scenes
from flowkit.bench import methods as bench

BATCH = 24


def measure(solve: Solve, faces: Set = "tuning", each: int = 8) -> dict[str, float]:
    """All rows of a method.

    Args:
        solve: from frames (n, h, w) uint8, twice, to flows (n, 2, h, w) px; n, h and w vary.
        faces: the tuning or the report set.
        each: how often looks and places are drawn; 8 is the study's.

    Returns:
        Rows by name, as `goals.GOALS` and `goals.BESIDE` name them.
    """
    return evaluate(solve, shots(faces, each))


def evaluate(solve: Solve, wanted: Sequence[Shot]) -> dict[str, float]:
    """All rows of a method that these shots can give."""
    found: list[Sample] = []
    for batch in batches(wanted):
        first, second = (np.stack(frames) for frames in zip(*((s.frame0, s.frame1) for s in batch), strict=True))
        flows = np.asarray(solve(first, second), np.float32)
        for scene, flow in zip(batch, flows, strict=True):
            found += measures.samples(scene, flow)
        again = [i for i, scene in enumerate(batch) if returns(scene.shot)]
        if again:
            for i, back in zip(again, np.asarray(solve(second[again], first[again]), np.float32), strict=True):
                found.append(("forward-backward", measures.return_error_px(flows[i], back)))
    return measures.rows(found)


def returns(shot: Shot) -> bool:
    """Bumps of 0.5 px that are 14 px wide, and bumps on moving heads."""
    return shot.measure == "head" or (shot.measure == "bump" and (shot.amplitude_px, shot.sigma_px) == (0.5, 14.0))


def batches(wanted: Iterable[Shot]) -> Iterator[list[Scene]]:
    """Scenes of one size, in order within a size."""
    by_size: dict[tuple[int, int], list[Shot]] = {}
    for shot in wanted:
        by_size.setdefault(shot.size, []).append(shot)
    for some in by_size.values():
        for start in range(0, len(some), BATCH):
            yield list(scenes(some[start : start + BATCH]))


def kept(name: str, solve: Solve) -> Solve:
    """A solver whose flows are kept under build/study, by the frames, OpenCV's version and the peers' parameters."""

    def look_up(first: Flow, second: Flow) -> Flow:
        paths = [_path(name, a, b) for a, b in zip(first, second, strict=True)]
        missing = [i for i, path in enumerate(paths) if not path.exists()]
        if missing:
            for i, flow in zip(missing, solve(first[missing], second[missing]), strict=True):
                part = paths[i].with_suffix(".part.npy")
                np.save(part, flow)
                part.replace(paths[i])
        return np.stack([np.load(path) for path in paths])

    return look_up


def _path(name: str, first: Flow, second: Flow) -> Path:
    return KEPT / f"flow-{name}-{hashlib.sha256(_peers() + first.tobytes() + second.tobytes()).hexdigest()[:20]}.npy"


@lru_cache(maxsize=1)
def _peers() -> bytes:
    """What decides the peers' flows, besides the frames."""
    return cv2.__version__.encode() + Path(bench.__file__).read_bytes()

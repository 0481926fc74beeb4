"""Several frames of each phase, averaged before the flow, beside one pair of single frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import flowkit
from benchmarks.study.faces import SEEDS, Set, looks
from benchmarks.study.measures import error_px, gain
from benchmarks.study.motions import setting
from benchmarks.study.scenes import Layer, render, true_flow
from benchmarks.study.shots import HEADINGS, SIDE, Shot
from flowkit.params import TVL1Params
from flowkit.synthetic.render import digitise

FRAMES = 4
DRIFT_PX = 0.3
"""How far the head is, at most, from where it is in a phase's first frame, in the other frames of a drifting phase."""
STRICT = {"refit_from": 10.0, "warps": 6}
"""What averages may ask for: of their smaller noise, more of what is no motion is several times as large."""

Grey = NDArray[Any]


def phases(which: Set, params: TVL1Params) -> dict[str, dict[str, float]]:
    """Rows of single frames, of 4 + 4 frames of a steady head, also with STRICT, and of a drifting one; noise of 1 grey
    level."""
    found: dict[str, dict[str, list[float]]] = {}
    for k, look in enumerate(looks(which)):
        for kind in ("still", "bump"):
            shot = Shot(
                measure="phases",
                kind=kind,
                look=look,
                seed=SEEDS[which] + 900_000 + k,
                amplitude_px=0.5,
                sigma_px=8.0,
                heading=HEADINGS[k % 3],
            )
            for name, flow, truth in _flows(shot, params):
                rows = found.setdefault(name, {})
                for row, value in _rows(kind, flow, truth):
                    rows.setdefault(row, []).append(value)
    return {name: {row: float(np.mean(values)) for row, values in rows.items()} for name, rows in found.items()}


def _flows(shot: Shot, params: TVL1Params) -> list[tuple[str, Grey, Grey]]:
    layers = setting(shot).layers
    truth = true_flow(layers, shot.size).flow
    rng = np.random.default_rng([shot.seed, 4])
    steady, drifting = (_phase_pair(layers, drift, shot.noise, rng) for drift in (0.0, DRIFT_PX))
    single = [phase[0].astype(np.float32) for phase in steady]
    averages = [flowkit.average_phase(phase) for phase in steady]
    return [
        ("single", _solve(single, params), truth),
        ("steady", _solve(averages, params), truth),
        ("strict", _solve(averages, params.replace(**STRICT)), truth),
        ("drifting", _solve([flowkit.average_phase(phase) for phase in drifting], params), truth),
    ]


def _phase_pair(layers: list[Layer], drift: float, noise: float, rng: np.random.Generator) -> list[Grey]:
    """Of each phase FRAMES frames (n, h, w) uint8, the first where the truth has it."""
    phases = []
    for i in (0, 1):
        clean = render(layers, i, SIDE)
        frames = [digitise(clean, noise, rng)]
        for _ in range(FRAMES - 1):
            seen = render(_shifted(layers, rng.uniform(-drift, drift, 2)), i, SIDE) if drift else clean
            frames.append(digitise(seen, noise, rng))
        phases.append(np.stack(frames))
    return phases


def _shifted(layers: list[Layer], step: NDArray[np.float64]) -> list[Layer]:
    def later(motion: Any) -> Any:
        return lambda points: motion(points - step[:, None, None]) + step[:, None, None]

    return [
        dataclasses.replace(layer, backward=(later(layer.backward[0]), later(layer.backward[1]))) for layer in layers
    ]


def _solve(frames: Sequence[Grey], params: TVL1Params) -> Grey:
    return flowkit.tvl1_flow(frames[0], frames[1], params=params, threads=1, value_range=(0, 255))


def _rows(kind: str, flow: Grey, truth: Grey) -> list[tuple[str, float]]:
    everywhere = np.ones(truth.shape[1:], bool)
    if kind == "still":
        return [("still", error_px(flow, truth, everywhere))]
    moving = np.hypot(*truth) > 0.05
    return [
        ("gain", gain(flow, truth, moving)),
        ("error", error_px(flow, truth, everywhere)),
        ("moving", error_px(flow, truth, moving)),
    ]

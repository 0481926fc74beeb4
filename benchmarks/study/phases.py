"""Several frames of each phase, averaged before the flow, beside one pair of single frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import flowkit
from benchmarks.study.faces import SEEDS, Set, looks
from benchmarks.study.measures import Sample, error_px, samples
from benchmarks.study.motions import setting
from benchmarks.study.scenes import Layer, render, shifted
from benchmarks.study.shots import BUMP_AMPLITUDES_PX, HEADINGS, SIDE_RATIOS, Shot
from benchmarks.study.stage import Flow, Scene, stage
from flowkit.synthetic.render import digitise

FRAMES = 4
EACH = 3
"""Scenes of each kind a look."""
DRIFT_PX = 0.3
"""How far the head is, at most, from where it is in a phase's first frame, in the other frames of a drifting phase."""
COMPARED = ("micro", "micro-phases")

Grey = NDArray[Any]


def phases(which: Set) -> dict[str, dict[str, dict[str, float]]]:
    """Rows by preset, by what is solved: "single" frames, averages of 4 + 4 of a "steady" head, those of a "drifting".

    Noise of 1 grey level. `still 1`, `gain` and `moving` by amplitude and `sides` are the study's rows; `error 0.5` is
    that of bumps of 0.5 px over all that is visible.
    """
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for shot in _shots(which):
        scene = stage(shot)
        for frames, pair in _pairs(shot):
            for preset in COMPARED:
                rows = found.setdefault(frames, {}).setdefault(preset, {})
                flow = flowkit.tvl1_flow(*pair, preset=preset, threads=1, value_range=(0, 255))
                for row, value in _rows(scene, flow):
                    rows.setdefault(row, []).append(value)
    return {
        frames: {preset: {row: float(np.mean(values)) for row, values in rows.items()} for preset, rows in by.items()}
        for frames, by in found.items()
    }


def _shots(which: Set) -> Iterator[Shot]:
    for k, look in enumerate(looks(which) * EACH):
        here = {"look": look, "seed": SEEDS[which] + 900_000 + k, "heading": HEADINGS[k % 3]}
        yield Shot(measure="still", kind="still", **here)
        for amplitude in BUMP_AMPLITUDES_PX:
            yield Shot(measure="bump", kind="bump", amplitude_px=amplitude, sigma_px=8.0, **here)
        for amplitude in (0.2, 0.5):
            ratio = SIDE_RATIOS[k % len(SIDE_RATIOS)]
            yield Shot(measure="sides", kind="sides", amplitude_px=amplitude, sigma_px=8.0, ratio=ratio, **here)


def _rows(scene: Scene, flow: Flow) -> Iterator[Sample]:
    yield from samples(scene, flow)
    if (scene.shot.measure, scene.shot.amplitude_px) == ("bump", 0.5):
        yield "error 0.5", error_px(flow, scene.flow, scene.visible)


def _pairs(shot: Shot) -> Iterator[tuple[str, Sequence[Grey]]]:
    layers = setting(shot).layers
    rng = np.random.default_rng([shot.seed, 4])
    steady, drifting = (_phase_pair(shot, layers, drift, rng) for drift in (0.0, DRIFT_PX))
    yield "single", [phase[0].astype(np.float32) for phase in steady]
    yield "steady", [flowkit.average_phase(phase) for phase in steady]
    yield "drifting", [flowkit.average_phase(phase) for phase in drifting]


def _phase_pair(shot: Shot, layers: list[Layer], drift: float, rng: np.random.Generator) -> list[Grey]:
    """Of each phase FRAMES frames (n, h, w) uint8, the first where the truth has it."""
    pair = []
    for i in (0, 1):
        clean = render(layers, i, shot.size)
        frames = [digitise(clean, shot.noise, rng)]
        for _ in range(FRAMES - 1):
            seen = render(shifted(layers, rng.uniform(-drift, drift, 2)), i, shot.size) if drift else clean
            frames.append(digitise(seen, shot.noise, rng))
        pair.append(np.stack(frames))
    return pair

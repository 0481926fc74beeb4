"""Gain against false motion: what a method can have of one for the other, over its weight of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.study.evaluate import evaluate, kept
from benchmarks.study.faces import Set
from benchmarks.study.peers import method, solver
from benchmarks.study.shots import Shot, shots
from flowkit.params import PRESETS, TVL1Params

FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Times which every weight of the data term is taken."""
CURVES = ("micro", "fast", "micro-0.1", "opencv")
POINTS = ("cv2", "dis", "farneback")
COLUMNS = ("still 1", "gain 0.2", "gain 0.5", "gain 2")

Point = dict[str, float]


def weighed(params: TVL1Params, factor: float) -> TVL1Params:
    """The parameters with all weights of the data term, whose names begin with lambda, times a factor."""
    weights = {name: factor * value for name, value in params.to_dict().items() if name.startswith("lambda")}
    return params.replace(**weights)


def frontier(which: Set, each: int) -> dict[str, list[Point]]:
    """Of every preset a point a factor, and one point a peer: false motion at noise 1, px, and gains at sigma 8."""
    wanted = [shot for shot in shots(which, each) if _of_the_frontier(shot)]
    curves = {
        name: [
            {"factor": factor} | _point(evaluate(solver(weighed(PRESETS[name], factor)), wanted)) for factor in FACTORS
        ]
        for name in CURVES
        if name in PRESETS
    }
    points = {name: [{"factor": 1.0} | _point(evaluate(kept(name, method(name, {})), wanted))] for name in POINTS}
    return curves | points


def _of_the_frontier(shot: Shot) -> bool:
    return (shot.measure == "bump" and shot.sigma_px == 8) or (shot.measure == "still" and shot.noise == 1)


def _point(rows: Mapping[str, float]) -> Point:
    return {column: round(rows[column], 5) for column in COLUMNS}


def plot(found: Mapping[str, Sequence[Mapping[str, Any]]], path: Path) -> None:
    """Three panels, an amplitude each; curves over lambda, the preset's own point filled, peers as crosses."""
    figure, panels = plt.subplots(1, 3, figsize=(11, 4), sharey=True, layout="constrained")
    for panel, amplitude in zip(panels, ("0.2", "0.5", "2"), strict=True):
        for number, (name, points) in enumerate(found.items()):
            x, y = [p["still 1"] for p in points], [p[f"gain {amplitude}"] for p in points]
            colour = f"C{number}"
            panel.plot(x, y, "-x" if len(points) > 1 else "X", color=colour, label=name, markersize=6)
            own = [i for i, p in enumerate(points) if p["factor"] == 1]
            if len(points) > 1:
                panel.plot([x[i] for i in own], [y[i] for i in own], "o", color=colour, markersize=9)
        panel.set(xscale="log", xlabel="false motion where nothing moves, px", title=f"bumps of {amplitude} px")
        panel.set_xticks([0.003, 0.01, 0.03, 0.1], ["0.003", "0.01", "0.03", "0.1"])
        panel.tick_params(which="minor", labelbottom=False)
        panel.axhline(1, color="0.8", linewidth=1)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("gain")
    panels[-1].legend(loc="lower right", fontsize=8)
    path.parent.mkdir(exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": path.name}):  # the same file from the same figures
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)

"""What a method can have of one goal for another: gain, sides and edges against false motion, over its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
"""Times which what a curve is over is taken."""
STILL = "still 1"
"""The row that all others are drawn against."""

Point = dict[str, float]


def weighed(params: TVL1Params, factor: float) -> TVL1Params:
    """The parameters with all weights of the data term, whose names begin with lambda, times a factor."""
    weights = {name: factor * value for name, value in params.to_dict().items() if name.startswith("lambda")}
    return params.replace(**weights)


def believing(params: TVL1Params, factor: float) -> TVL1Params:
    """The parameters with the significance that the refit asks for times a factor."""
    return params.replace(refit_from=factor * params.refit_from, refit_whole=factor * params.refit_whole)


@dataclass(frozen=True)
class Curve:
    """A preset whose parameters are changed by a factor."""

    preset: str
    change: Callable[[TVL1Params, float], TVL1Params] = weighed


CURVES = {
    "micro": Curve("micro"),
    "micro, by significance": Curve("micro", believing),
    "fast": Curve("fast"),
    "micro-0.1": Curve("micro-0.1"),
    "opencv": Curve("opencv"),
}
POINTS = ("cv2", "dis", "farneback")
PANELS = {
    "gain 0.2": "gain of bumps of 0.2 px",
    "gain 0.5": "gain of bumps of 0.5 px",
    "gain 2": "gain of bumps of 2 px",
    "sides 0.2": "left and right, 0.2 px: mean |ln|",
    "outline": "error beside an outline, px",
    "lips": "error at lips, px",
}
"""The rows that are drawn, three gains of which more is better and three of which less is."""


def frontier(which: Set, each: int) -> dict[str, list[Point]]:
    """Of every curve a point a factor, and one point a peer: false motion at noise 1, px, and the rows of PANELS, of
    bumps those of sigma 8."""
    wanted = looked_at(which, each)
    curves = {
        name: [
            {"factor": factor} | _point(evaluate(solver(curve.change(PRESETS[curve.preset], factor)), wanted))
            for factor in FACTORS
        ]
        for name, curve in CURVES.items()
    }
    points = {name: [{"factor": 1.0} | _point(evaluate(kept(name, method(name, {})), wanted))] for name in POINTS}
    return curves | points


def looked_at(which: Set, each: int) -> list[Shot]:
    """The shots of a set that `frontier` evaluates."""
    return [shot for shot in shots(which, each) if _of_the_frontier(shot)]


def _of_the_frontier(shot: Shot) -> bool:
    return (
        (shot.measure == "bump" and shot.sigma_px == 8)
        or (shot.measure == "still" and shot.noise == 1)
        or (shot.measure == "sides" and shot.amplitude_px == 0.2)
        or (shot.measure == "edge" and shot.kind in PANELS)
    )


def _point(rows: Mapping[str, float]) -> Point:
    return {row: round(rows[row], 5) for row in (STILL, *PANELS)}


def plot(found: Mapping[str, Sequence[Mapping[str, Any]]], bound: float, path: Path) -> None:
    """A panel a row, gains above; curves over a parameter, the preset's own point filled, peers as crosses; `bound` is
    what sides are of the best unbiased method."""
    figure, panels = plt.subplots(2, 3, figsize=(11, 7.5), sharex=True, layout="constrained")
    for panel, (row, words) in zip(panels.flat, PANELS.items(), strict=True):
        for number, (name, points) in enumerate(found.items()):
            x, y = [p[STILL] for p in points], [p[row] for p in points]
            colour = f"C{number}"
            panel.plot(x, y, "-x" if len(points) > 1 else "X", color=colour, label=name, markersize=6)
            own = [i for i, p in enumerate(points) if p["factor"] == 1]
            if len(points) > 1:
                panel.plot([x[i] for i in own], [y[i] for i in own], "o", color=colour, markersize=9)
        panel.set(xscale="log", title=words, ylim=(0, None))
        panel.set_xticks([0.003, 0.01, 0.03, 0.1], ["0.003", "0.01", "0.03", "0.1"])
        panel.tick_params(which="minor", labelbottom=False)
        panel.grid(alpha=0.3)
        if row.startswith("gain"):
            panel.axhline(1, color="0.8", linewidth=1)
    for panel in panels[1]:
        panel.set_xlabel("false motion where nothing moves, px")
    panels[1, 0].axhline(bound, color="0.5", linewidth=1, linestyle="--")
    panels[1, 0].text(0.1, bound, "Cramer and Rao's bound", ha="right", va="top", fontsize=8, color="0.4")
    panels[1, 1].legend(loc="lower center", ncols=2, fontsize=7)
    path.parent.mkdir(exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": path.name}):  # the same file from the same figures
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)

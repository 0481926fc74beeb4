"""What any method could measure: Cramer and Rao's bound on a bump's amplitude, by width, noise and size of the face."""

from __future__ import annotations

import numpy as np

from benchmarks.study.faces import Set, looks
from benchmarks.study.motions import setting
from benchmarks.study.scenes import lattice, render
from benchmarks.study.shots import HEADINGS, NOISES, SIDE, SIGMAS_PX, Shot
from benchmarks.study.stage import QUANTISATION

PLACES = 4
"""Drawn on every face."""
FACE_SIDES_PX = (112, 224, 448)
RELATIVE_SIGMA = 8 / 224

Bounds = dict[str, dict[str, float]]


def bounds(which: Set) -> dict[str, Bounds]:
    """Medians over faces and places, px: by width of the bump and noise; and by size of the face, noise 1."""
    unit = {sigma: _unit_bounds(which, sigma, SIDE[0]) for sigma in SIGMAS_PX}
    by_width = {
        f"{sigma:g}": {f"{noise:g}": round(_at(unit[sigma], noise, 50), 5) for noise in NOISES} for sigma in SIGMAS_PX
    }
    hard = {f"{sigma:g}": {"1": round(_at(unit[sigma], 1.0, 90), 5)} for sigma in SIGMAS_PX}
    by_size = {}
    for side in FACE_SIDES_PX:
        found = _unit_bounds(which, RELATIVE_SIGMA * side, side)
        by_size[f"{side}"] = {
            "px": round(_at(found, 1.0, 50), 5),
            "per mille": round(1e3 * _at(found, 1.0, 50) / side, 5),
        }
    return {"width": by_width, "hard": hard, "size": by_size}


def _at(unit: list[float], noise: float, percentile: float) -> float:
    return float(np.percentile(unit, percentile) * np.sqrt(2 * (noise**2 + QUANTISATION)))


def _unit_bounds(which: Set, sigma: float, side: int) -> list[float]:
    """Per grey level of noise in the difference of the frames."""
    found = []
    for k, look in enumerate(looks(which)):
        for place in range(PLACES):
            heading = HEADINGS[(k + place) % 3]
            shot = Shot(
                measure="",
                kind="bump",
                look=look,
                seed=1000 * k + place,
                amplitude_px=1.0,
                sigma_px=sigma,
                heading=heading,
                size=(side, side),
            )
            found.append(_unit_bound(shot))
    return found


def _unit_bound(shot: Shot) -> float:
    made = setting(shot)
    (x, y), grid = made.places[0], lattice(*shot.size)
    weight = np.exp(-((grid[0] - x) ** 2 + (grid[1] - y) ** 2) / (2 * shot.sigma_px**2))
    down, across = np.gradient(render(made.layers, 0, shot.size).astype(np.float64))
    angle = {"across": 0.0, "down": np.pi / 2, "aslant": np.pi / 4}[shot.heading]
    return float(1 / np.sqrt(np.sum((weight * (np.cos(angle) * across + np.sin(angle) * down)) ** 2)))

"""What any method could measure, by Cramer and Rao's bound: a bump's amplitude by width, noise and size of the face,
and the ratio of two sides."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.study.faces import Look, Set, looks
from benchmarks.study.measures import side_error
from benchmarks.study.motions import setting
from benchmarks.study.scenes import Field, lattice, slopes
from benchmarks.study.shots import HEADINGS, NOISES, SIDE, SIGMAS_PX, Shot
from benchmarks.study.stage import Scene, bound_px, first_slopes, scenes

PLACES = 2
"""Drawn on every face."""
FACE_SIDES_PX = (112, 224, 336)
RELATIVE_SIGMA = 8 / 224
LARGE_FACES = 4
"""Faces that are also seen at other sizes."""
TAKES = 1000
"""Of each pair of sides, drawn from the bound."""

Bounds = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Spot:
    """A clean frame's slopes (2, h, w), and the place (x, y) px and direction in which something is to move there."""

    slope: Field
    place: tuple[float, float]
    direction: tuple[float, float]

    def bound_px(self, sigma: float, noise: float) -> float:
        """Of the amplitude of a Gaussian bump of this width."""
        grid = lattice(*self.slope.shape[1:])
        weight = np.exp(-((grid[0] - self.place[0]) ** 2 + (grid[1] - self.place[1]) ** 2) / (2 * sigma**2))
        return bound_px(self.slope, np.multiply.outer(self.direction, weight), noise)


def bounds(which: Set) -> dict[str, Bounds]:
    """Medians over faces and places, px: by width of the bump and noise; and by size of the face, noise 1."""
    some = spots(looks(which), SIDE[0], PLACES)
    by_width = {f"{s:g}": {f"{n:g}": _percentile(some, s, n, 50) for n in NOISES} for s in SIGMAS_PX}
    hard = {f"{s:g}": {"1": _percentile(some, s, 1.0, 90)} for s in SIGMAS_PX}
    by_size = {}
    for side in FACE_SIDES_PX:
        found = _percentile(spots(looks(which)[:LARGE_FACES], side, 1), RELATIVE_SIGMA * side, 1.0, 50)
        by_size[f"{side}"] = {"px": found, "per mille": 1e3 * found / side}
    return {"width": by_width, "hard": hard, "size": by_size}


def sides_bound(wanted: Iterable[Shot]) -> dict[str, float]:
    """The row `sides` of each amplitude as the best unbiased method would have it, which knows where both sides are and
    how they move, and not by how much: the gain of each scatters about 1 by its bound."""
    errors: dict[str, list[float]] = {}
    for scene in scenes(shot for shot in wanted if shot.measure == "sides"):
        gains = np.random.default_rng(scene.shot.seed).normal(1.0, side_scatter(scene), (TAKES, 2))
        errors.setdefault(f"{scene.shot.amplitude_px:g}", []).append(float(np.mean([*map(side_error, gains)])))
    return {amplitude: round(float(np.mean(of)), 4) for amplitude, of in errors.items()}


def side_scatter(scene: Scene) -> list[float]:
    """Cramer and Rao's bound on the gain of each of two sides, of its support alone."""
    slope = first_slopes(scene.shot)
    local = scene.flow - scene.head
    return [bound_px(slope, np.where(support, local, 0), scene.shot.noise) for support in scene.supports]


def spots(faces: Sequence[Look], side: int, places: int) -> list[Spot]:
    """So many places on every face, drawn by their number."""
    found = []
    for k, look in enumerate(faces):
        for turn in range(places):
            seed, heading = 1000 * k + turn, HEADINGS[(k + turn) % 3]
            shot = Shot(measure="bound", kind="bump", look=look, seed=seed, size=(side, side), heading=heading)
            made = setting(dataclasses.replace(shot, amplitude_px=1.0, sigma_px=RELATIVE_SIGMA * side))
            angle = {"across": 0.0, "down": np.pi / 2, "aslant": np.pi / 4}[heading]
            direction = (float(np.cos(angle)), float(np.sin(angle)))
            found.append(Spot(slopes(made.layers, shot.size), made.places[0], direction))
    return found


def _percentile(some: Sequence[Spot], sigma: float, noise: float, percent: float) -> float:
    return round(float(np.percentile([spot.bound_px(sigma, noise) for spot in some], percent)), 6)

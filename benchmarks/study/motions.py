"""The moving scenes of the study: expressions, heads, blinks, lips; and the two lists of pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.study.faces import BACKDROPS, REPORT_FACES, TUNE_FACES, face
from benchmarks.study.scenes import (
    SUPERSAMPLING,
    Example,
    Field,
    Layer,
    Map,
    Motion,
    Shot,
    develop,
    everywhere,
    lattice,
    render,
    spline,
    true_flow,
)
from flowkit.synthetic.landmarks import Landmarks
from flowkit.synthetic.motion import Bump, bump_field, expression
from flowkit.synthetic.render import EMOTIONS

Set = Literal["tune", "report"]
Picture = NDArray[np.float32]

KINDS = ("expression", "blink", "head", "lips", "turn", "expression", "shift")
REPORT_KINDS = (*KINDS, "nod")
"""One that no preset was tuned on: a turn out of the plane, which no affine flow describes."""
AMPLITUDES_PX = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0)
LARGE_PX = (5.0, 10.0)
SIZES = ((128, 128), (224, 224), (64, 64), (280, 340), (112, 112), (256, 256))
NOISES = (1.0, 0.5, 2.0, 1.5, 3.0)
QUALITIES = (95, None, 90, 100, 80)
MARGIN = 1.06
"""Side of the picture relative to the frame's longer side: what moves in from outside."""
SEEDS = {"tune": 1_000_000, "report": 5_000_000}
"""No decision was made on a pair of the report set; sets of seeds from 2,000,000 on were seen before the last ones."""


def shots(which: Set, each: int, amplitudes: tuple[float, ...] = AMPLITUDES_PX) -> Iterator[Shot]:
    """`each` pairs of every amplitude. Sizes below 112 px are left out above 2 px, below 224 px above 3 px."""
    names, kinds = (TUNE_FACES, KINDS) if which == "tune" else (REPORT_FACES, REPORT_KINDS)
    for amplitude in amplitudes:
        rng = np.random.default_rng([SEEDS[which], round(100 * amplitude)])
        least = 0 if amplitude <= 2 else 112 if amplitude <= 3 else 224
        sizes = [size for size in SIZES if min(size) >= least]
        columns = [_spread(list(choices), each, rng) for choices in (names, kinds, sizes, NOISES, QUALITIES)]
        for j, (name, kind, size, noise, quality) in enumerate(zip(*columns, strict=True)):
            yield Shot(name, kind, amplitude, size, noise, quality, SEEDS[which] + 1000 * round(10 * amplitude) + j)


def _spread(choices: list[Any], count: int, rng: np.random.Generator) -> list[Any]:
    """`count` of the choices in random order, each as often as any other, give or take one."""
    taken: list[Any] = []
    while len(taken) < count:
        taken += [choices[k] for k in rng.permutation(len(choices))]
    return taken[:count]


def examples(which: Set, each: int, amplitudes: tuple[float, ...]) -> list[Example]:
    """The pairs of `shots`, rendered."""
    return [example(shot) for shot in shots(which, each, amplitudes)]


def example(shot: Shot) -> Example:
    """Render a pair and work out its truth."""
    rng = np.random.default_rng(shot.seed)
    layers = layers_of(shot, rng)
    if rng.uniform() < 0.5:  # the other way round: lids that open, lips that close
        layers = [dataclasses.replace(layer, backward=layer.backward[::-1]) for layer in layers]
    frames = [develop(render(layers, i, shot.size), shot.noise, shot.quality, rng) for i in (0, 1)]
    return Example(shot, frames[0], frames[1], true_flow(layers, shot.size))


def layers_of(shot: Shot, rng: np.random.Generator) -> list[Layer]:
    """The scene, back to front; its largest displacement is the amplitude, to which the head may add 0.3 px."""
    long = max(shot.size)
    side = round(MARGIN * long)
    picture, landmarks = face(shot.face, side * SUPERSAMPLING)
    place = Place(shot.size, side, landmarks)
    nudge = rng.uniform(-0.5, 0.5, 2)
    still = _constant(nudge)
    drift = still
    if shot.kind in ("expression", "blink", "lips"):
        drift = _sum(still, _shift(0.3 * min(1.0, shot.amplitude_px) * np.sqrt(rng.uniform()), rng))
    return [
        Layer(spline(part), depth, (still, drift if motion is None else _sum(drift, motion)))
        for part, depth, motion in _MAKE[shot.kind](shot, place, rng, picture)
    ]


class Place:
    """Where a face is in the frame; lengths relative to the picture's side become pixels."""

    def __init__(self, size: tuple[int, int], side: int, landmarks: Landmarks) -> None:
        self.size, self.side, self.landmarks = size, side, landmarks
        self.corner = ((size[1] - side) / 2, (size[0] - side) / 2)
        self.centre = ((size[1] - 1) / 2, (size[0] - 1) / 2)

    def px(self, point: tuple[float, float]) -> tuple[float, float]:
        return point[0] * self.side + self.corner[0] - 0.5, point[1] * self.side + self.corner[1] - 0.5

    def scaled(self, motion: Motion, amplitude_px: float) -> Motion:
        """The motion with that largest displacement."""
        factor = amplitude_px / float(np.hypot(*motion(lattice(*self.size))).max())
        return lambda points: factor * motion(points)


Part = tuple[Picture, Callable[[Field], Map], Motion | None]


def _bumps(shot: Shot, place: Place, rng: np.random.Generator) -> Motion:
    choices = [units for sets in EMOTIONS.values() for units in sets]
    units = choices[rng.integers(len(choices))]
    bumps = expression(units, place.landmarks, place.side, 1.0, rng)
    moved = [dataclasses.replace(b, x=b.x + place.corner[0], y=b.y + place.corner[1]) for b in bumps]
    return place.scaled(lambda points: bump_field(moved, points), shot.amplitude_px)


def _expression(shot: Shot, place: Place, rng: np.random.Generator, picture: Picture) -> Iterator[Part]:
    yield picture, everywhere, _bumps(shot, place, rng)


def _turn(shot: Shot, place: Place, rng: np.random.Generator, picture: Picture) -> Iterator[Part]:
    yield picture, everywhere, _linear(shot, place, rng)


def _nod(shot: Shot, place: Place, rng: np.random.Generator, picture: Picture) -> Iterator[Part]:
    """The head turns or nods out of the plane: what is nearer to the camera moves further."""
    x, y = place.centre
    across, down = rng.uniform(-1, 1, 2)

    def motion(points: Field) -> Field:
        r2 = ((points[0] - x) / (0.45 * place.side)) ** 2 + ((points[1] - y) / (0.55 * place.side)) ** 2
        depth = np.clip(1 - r2, 0, None)
        return np.stack([across * depth, down * depth])

    yield picture, everywhere, place.scaled(motion, shot.amplitude_px)


def _move(shot: Shot, place: Place, rng: np.random.Generator, picture: Picture) -> Iterator[Part]:
    yield picture, everywhere, _shift(shot.amplitude_px, rng)


def _linear(shot: Shot, place: Place, rng: np.random.Generator) -> Motion:
    """A turn in the plane with a change of scale."""
    angle, zoom = rng.uniform(-1, 1, 2)
    x, y = place.centre[0], place.centre[1] + 0.15 * place.side

    def motion(points: Field) -> Field:
        across, down = points[0] - x, points[1] - y
        return np.stack([zoom * across - angle * down, angle * across + zoom * down])

    return place.scaled(motion, shot.amplitude_px)


def _head(shot: Shot, place: Place, rng: np.random.Generator, picture: Picture) -> Iterator[Part]:
    """The head moves as a whole in front of a background at rest."""
    backdrop, _ = face(BACKDROPS["tune" if shot.face in TUNE_FACES else "report"], picture.shape[0])
    yield 0.4 * (backdrop - backdrop.mean()) + 128, everywhere, None
    x, y = place.centre
    wide, high = 0.36 * place.side, 0.46 * place.side

    def depth(points: Field) -> Map:
        return (1 - np.hypot((points[0] - x) / wide, (points[1] - y) / high)) * wide

    half = dataclasses.replace(shot, amplitude_px=0.5 * shot.amplitude_px)
    yield picture, depth, _sum(_shift(0.5 * shot.amplitude_px, rng), _linear(half, place, rng))


def _blink(shot: Shot, place: Place, rng: np.random.Generator, picture: Picture) -> Iterator[Part]:
    """Lids slide over eyes that stay: skin with two holes in front of the eyes."""
    yield picture, everywhere, None
    eyes = []
    for inner, outer, cheek in zip(
        place.landmarks.brow_inner, place.landmarks.brow_outer, place.landmarks.cheek, strict=True
    ):
        x, y = place.px(((inner[0] + outer[0]) / 2, 0.0))[0], place.px((0.0, 0.6 * inner[1] + 0.4 * cheek[1]))[1]
        eyes.append((x, y))
    wide, high = 0.075 * place.side, 0.035 * place.side

    def depth(points: Field) -> Map:
        inside = [np.hypot((points[0] - x) / wide, (points[1] - y) / high) for x, y in eyes]
        return (np.minimum(*inside) - 1) * high

    lids = [Bump(x, y - high, 0.055 * place.side, 0.0, 1.0) for x, y in eyes]
    lids += [Bump(x, y + high, 0.045 * place.side, 0.0, -0.25) for x, y in eyes]
    yield picture, depth, place.scaled(lambda points: bump_field(lids, points), shot.amplitude_px)


def _lips(shot: Shot, place: Place, rng: np.random.Generator, picture: Picture) -> Iterator[Part]:
    """The jaw drops: upper and lower face part along the mouth's line and show the cavity between them."""
    corners = [place.px(corner) for corner in place.landmarks.mouth_corner]
    x = (corners[0][0] + corners[1][0]) / 2
    y = place.px((0.0, (place.landmarks.upper_lip[1] + place.landmarks.lower_lip[1]) / 2))[1]
    wide = 0.12 * place.side

    def inside(points: Field, high: float) -> Map:
        radius2 = ((points[0] - x) / wide) ** 2 + ((points[1] - y) / high) ** 2
        return np.clip(1 - radius2, 0, None) ** 2

    def jaw(points: Field, sign: float, high: float, strength: float) -> Field:
        weight = strength * inside(points, high)
        return np.stack([np.zeros_like(weight), sign * weight])

    fine = (place.side * SUPERSAMPLING - SUPERSAMPLING * np.array(place.size)) / 2
    grid = np.stack(np.meshgrid(*(np.arange(place.side * SUPERSAMPLING, dtype=float),) * 2))
    points = (grid - fine[::-1, None, None] + 0.5) / SUPERSAMPLING - 0.5
    teeth = 60 + 50 * np.sin(0.9 * 128 / place.side * points[0]) ** 2
    hollow = np.clip(4 * inside(points, 0.1 * place.side), 0, 1)
    yield (picture + hollow * (teeth - picture)).astype(np.float32), everywhere, None
    lower, upper = shot.amplitude_px, 0.3 * shot.amplitude_px
    yield picture, lambda p: y - p[1], lambda p: jaw(p, -1, 0.12 * place.side, upper)
    yield picture, lambda p: p[1] - y, lambda p: jaw(p, +1, 0.16 * place.side, lower)


_MAKE = {
    "expression": _expression,
    "blink": _blink,
    "lips": _lips,
    "head": _head,
    "turn": _turn,
    "nod": _nod,
    "shift": _move,
}


def _shift(length: float, rng: np.random.Generator) -> Motion:
    heading = rng.uniform(0, 2 * np.pi)
    return _constant(np.array([length * np.cos(heading), length * np.sin(heading)]))


def _constant(step: NDArray[np.float64]) -> Motion:
    return lambda points: np.broadcast_to(step.reshape(2, *(1,) * (points.ndim - 1)), points.shape)


def _sum(first: Motion, second: Motion) -> Motion:
    return lambda points: first(points) + second(points)

"""The moving scenes of the study, as layers: local bumps, expressions, heads, blinks, lips."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.study.faces import Picture, face, texture
from benchmarks.study.scenes import SUPERSAMPLING, Field, Layer, Map, Motion, everywhere, lattice, spline
from benchmarks.study.shots import Shot
from flowkit.synthetic.landmarks import Landmarks
from flowkit.synthetic.motion import Bump, bump_field, expression
from flowkit.synthetic.render import EMOTIONS

MARGIN = 1.06
"""Side of the picture relative to the frame's longer side: what moves in from outside."""
COUPLES = ("mouth_corner", "cheek", "brow_inner", "brow_outer", "nose_wing")
"""Landmarks with a left and a right, where muscles move."""
TURN, ZOOM = np.deg2rad(1.0), 0.01
"""How far a head turns or nears in the scenes of `head`, either way."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """Layers back to front; of local motion the places (x, y) px, and the motion of the head alone."""

    layers: list[Layer]
    places: tuple[tuple[float, float], ...] = ()
    head: list[Layer] | None = None


def setting(shot: Shot) -> Setting:
    """What the shot's seed makes of it; both frames are off the picture's grid by the same part of a pixel."""
    rng = np.random.default_rng(shot.seed)
    side = round(MARGIN * max(shot.size))
    picture, landmarks = face(shot.look, side * SUPERSAMPLING)
    place = Place(shot.size, side, landmarks)
    still = _constant(rng.uniform(-0.5, 0.5, 2))
    if shot.kind in _MAKE:
        layers = _staged(shot, place, rng, picture, still)
        return Setting(layers if rng.uniform() < 0.5 else _reversed(layers))
    coefficients = spline(picture)

    def one(motion: Motion | None) -> list[Layer]:
        return [Layer(coefficients, everywhere, (still, still if motion is None else _sum(still, motion)))]

    if shot.kind == "still":
        return Setting(one(None))
    bumps = _bumps_at_places(shot, place, rng)
    places = tuple((bump.x, bump.y) for bump in bumps)

    def local(points: Field) -> Field:
        return bump_field(bumps, points)

    if shot.kind in ("bump", "sides"):
        return Setting(one(local), places)
    head = _head_motion(shot.kind, place, rng)
    return Setting(one(_sum(head, local)), places, one(head))


def _staged(shot: Shot, place: Place, rng: np.random.Generator, picture: Picture, still: Motion) -> list[Layer]:
    """The largest displacement is the amplitude, to which in some kinds the head adds up to 0.3 px."""
    drift = still
    if shot.kind in ("expression", "blink", "lips"):
        drift = _sum(still, _shift(0.3 * min(1.0, shot.amplitude_px) * np.sqrt(rng.uniform()), rng))
    return [
        Layer(spline(part), depth, (still, drift if motion is None else _sum(drift, motion)))
        for part, depth, motion in _MAKE[shot.kind](shot, place, rng, picture)
    ]


def _reversed(layers: list[Layer]) -> list[Layer]:
    """The other way round: lids that open, lips that close."""
    return [dataclasses.replace(layer, backward=layer.backward[::-1]) for layer in layers]


def _bumps_at_places(shot: Shot, place: Place, rng: np.random.Generator) -> list[Bump]:
    """One bump, or a left and a right one of which one is weaker by the shot's ratio; 8 px at least from the border."""
    name = COUPLES[rng.integers(len(COUPLES))] if shot.kind != "sides" else COUPLES[rng.integers(2)]
    jitter = rng.uniform(-3, 3, 2)
    angle = {"across": 0.0, "down": np.pi / 2, "aslant": np.pi / 4}[shot.heading] + np.pi * rng.integers(2)
    first = int(rng.integers(2))
    bumps = []
    for k, strength in zip((first, 1 - first), (1.0, shot.ratio), strict=True):
        x, y = place.px(getattr(place.landmarks, name)[k])
        sign = 1 if k == first else -1  # a smile is wide: the left one goes left
        x, y = np.clip((x + sign * jitter[0], y + jitter[1]), 8, np.array(shot.size[::-1]) - 9)
        length = shot.amplitude_px * strength
        bumps.append(
            Bump(float(x), float(y), shot.sigma_px, sign * length * float(np.cos(angle)), length * float(np.sin(angle)))
        )
    return bumps if shot.kind == "sides" else bumps[:1]


def _head_motion(kind: str, place: Place, rng: np.random.Generator) -> Motion:
    """`head 2` shifts by 2 px, `head turn` turns, `head zoom` nears, `head all` does all, the shift by 1 px."""
    what = kind.split()[1]
    angle = rng.choice([-1, 1]) * (TURN if what in ("turn", "all") else 0.0)
    zoom = rng.choice([-1, 1]) * (ZOOM if what in ("zoom", "all") else 0.0)
    shift = _shift({"1": 1.0, "2": 2.0, "3": 3.0, "all": 1.0}.get(what, 0.0), rng)
    return _sum(shift, _similarity(place, float(angle), float(zoom)))


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
    return place.scaled(_similarity(place, angle, zoom), shot.amplitude_px)


def _similarity(place: Place, angle: float, zoom: float) -> Motion:
    x, y = place.centre[0], place.centre[1] + 0.15 * place.side

    def motion(points: Field) -> Field:
        across, down = points[0] - x, points[1] - y
        return np.stack([zoom * across - angle * down, angle * across + zoom * down])

    return motion


def _outline(shot: Shot, place: Place, rng: np.random.Generator, picture: Picture) -> Iterator[Part]:
    """The head shifts as a whole in front of a background at rest."""
    yield _backdrop(shot, picture), everywhere, None
    yield picture, _head_depth(place), _shift(shot.amplitude_px, rng)


def _head(shot: Shot, place: Place, rng: np.random.Generator, picture: Picture) -> Iterator[Part]:
    """The head shifts and turns in front of a background at rest."""
    yield _backdrop(shot, picture), everywhere, None
    half = dataclasses.replace(shot, amplitude_px=0.5 * shot.amplitude_px)
    motion = _sum(_shift(half.amplitude_px, rng), _linear(half, place, rng))
    yield picture, _head_depth(place), motion


def _backdrop(shot: Shot, picture: Picture) -> Picture:
    return np.clip(128 + 15 * texture(shot.look.skin, picture.shape[0]), 2, 250)


def _head_depth(place: Place) -> Callable[[Field], Map]:
    x, y = place.centre
    wide, high = 0.36 * place.side, 0.46 * place.side
    return lambda points: (1 - np.hypot((points[0] - x) / wide, (points[1] - y) / high)) * wide


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
    "outline": _outline,
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

"""Motion fields of the demo: facial action units as smooth bumps of displacement, with exact true flow.

A frame is made from the neutral picture N by a backward displacement b(y), analytic at every point:

    I1(y) = N(y - b(y)),    I0 = N.

The true flow u obeys I0(x) = I1(x + u(x)), so u(x) = b(x + u(x)): a fixed point, reached by iteration in float64 to
below 1e-9 px, since every field here has |grad b| < 1. Points and displacements are in pixels of the frame, pixel
centres at whole numbers, +x right and +y down; fields are (2, h, w) with order (u, v).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FlowkitError, InputError
from flowkit.synthetic.landmarks import Landmarks, Point

Field = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bump:
    """A displacement (du, dv) at a point, fading as a Gaussian of width sigma; all in pixels."""

    x: float
    y: float
    sigma: float
    du: float
    dv: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """A turn of the head in the picture's plane by `angle` radians about (x, y), and a shift."""

    x: float = 0.0
    y: float = 0.0
    angle: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    def backward(self, points: Field) -> Field:
        """b at points (2, ...): point - b is the point before the move."""
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        across, down = points[0] - self.x, points[1] - self.y
        moved_across, moved_down = across - self.shift[0], down - self.shift[1]
        u = across - (cosine * moved_across + sine * moved_down)
        v = down - (cosine * moved_down - sine * moved_across)
        return np.stack([u, v])

    def part(self, share: float) -> Pose:
        """The same move, only partly made."""
        shift = (share * self.shift[0], share * self.shift[1])
        return Pose(x=self.x, y=self.y, angle=share * self.angle, shift=shift)


def bump_field(bumps: Sequence[Bump], points: Field) -> Field:
    """The sum of the bumps' displacements at points (2, ...)."""
    field = np.zeros_like(points)
    for bump in bumps:
        weight = np.exp(-((points[0] - bump.x) ** 2 + (points[1] - bump.y) ** 2) / (2 * bump.sigma**2))
        field[0] += bump.du * weight
        field[1] += bump.dv * weight
    return field


def true_flow(backward: Callable[[Field], Field], size: int) -> Field:
    """The flow (2, size, size) from the neutral frame to the one that `backward` makes, exact to 1e-9 px.

    Raises FlowkitError if the motion folds the face over, so that no single flow is true.
    """
    grid = pixel_grid(size)
    flow = np.zeros_like(grid)
    for _ in range(200):
        better = backward(grid + flow)
        change = float(np.abs(better - flow).max())
        flow = better
        if change < 1e-10:
            return flow
    raise FlowkitError(f"a motion of {np.abs(flow).max():.3g} px folds the face over; use a smaller amplitude")


def pixel_grid(size: int, supersampling: int = 1) -> Field:
    """Sample positions (2, n, n) of a frame of `size` pixels a side, n = size * supersampling, in frame pixels."""
    centres = (np.arange(size * supersampling) + 0.5) / supersampling - 0.5
    y, x = np.meshgrid(centres, centres, indexing="ij")
    return np.stack([x, y])


# What each action unit moves: landmark, direction of the right one of a couple (or of the single point), width. The
# left one mirrors u. Displacements are relative, widths are fractions of the side.
_ACTION_UNITS: dict[str, tuple[tuple[str, float, float, float], ...]] = {
    "1": (("brow_inner", 0.05, -1.0, 0.060),),
    "2": (("brow_outer", 0.10, -0.9, 0.065),),
    "4": (("brow_inner", -0.55, 0.85, 0.060), ("brow_outer", -0.2, 0.4, 0.060)),
    "6": (("cheek", 0.05, -0.5, 0.075),),
    "9": (("nose_wing", 0.0, -0.7, 0.050),),
    "10": (("nose_wing", 0.10, -0.4, 0.050), ("upper_lip", 0.0, -0.6, 0.050)),
    "12": (("mouth_corner", 0.75, -0.8, 0.080),),
    "26": (("chin", 0.0, 1.0, 0.110), ("lower_lip", 0.0, 0.6, 0.070)),
}


def expression(
    units: Sequence[str],
    landmarks: Landmarks,
    size: int,
    peak_px: float,
    rng: np.random.Generator,
    *,
    asymmetry: float = 0.2,
) -> tuple[Bump, ...]:
    """The bumps of some action units on a face of `size` pixels, the largest displacement being `peak_px`.

    Each unit's strength varies by 20 %, and left against right by up to `asymmetry` (1: one side may be still).
    """
    unknown = [unit for unit in units if unit not in _ACTION_UNITS]
    if unknown or not units:
        raise InputError(f"action units {list(units)!r}: choose some of {', '.join(_ACTION_UNITS)}")
    bumps = []
    for unit in units:
        strength = rng.uniform(0.8, 1.2)
        lean = rng.uniform(-asymmetry, asymmetry)
        for name, du, dv, sigma in _ACTION_UNITS[unit]:
            place = getattr(landmarks, name)
            sides: tuple[tuple[Point, int], ...] = ((place, 0),)
            if isinstance(place[0], tuple):
                sides = ((place[0], -1), (place[1], 1))
            for (x, y), sign in sides:
                weight = strength * (1 + sign * lean)
                mirror = sign or 1
                bumps.append(
                    Bump(x * size - 0.5, y * size - 0.5, sigma * size, weight * mirror * du, weight * dv),
                )
    field = bump_field(bumps, pixel_grid(size))
    scale = peak_px / float(np.hypot(field[0], field[1]).max())
    return tuple(Bump(b.x, b.y, b.sigma, scale * b.du, scale * b.dv) for b in bumps)


def head_pose(size: int, shift_px: float, degrees: float, rng: np.random.Generator) -> Pose:
    """A small random turn of the head in the picture's plane, and a shift of at most `shift_px`."""
    heading = rng.uniform(0, 2 * np.pi)
    length = shift_px * np.sqrt(rng.uniform())
    return Pose(
        x=0.5 * size - 0.5,
        y=0.7 * size - 0.5,
        angle=float(np.deg2rad(rng.uniform(-degrees, degrees))),
        shift=(float(length * np.cos(heading)), float(length * np.sin(heading))),
    )

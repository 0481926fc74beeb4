"""Draws faces. A relief (skull, nose, lips, sockets) is lit by one lamp; eyes, brows, mouth and hair are painted on.

Everything is a smooth function of position, so a face can be drawn at any size. Units: fractions of the picture's side.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.synthetic.landmarks import Landmarks
from flowkit.synthetic.looks import Colour, Looks, blend, draw_looks, landmarks_of

Map = NDArray[Any]


def draw_face(rng: np.random.Generator, side: int) -> tuple[NDArray[np.float32], Landmarks]:
    """A face (side, side, 3) float32 RGB on 0..255, and its landmarks; the same generator state draws the same face."""
    looks = draw_looks(rng)
    brush = Brush(side, rng)
    _paint_backdrop(brush, looks)
    _paint_skin(brush, looks)
    for sign in (-1, 1):
        _paint_eye(brush, looks, sign)
        _paint_brow(brush, looks, sign)
    _paint_nose(brush, looks)
    _paint_mouth(brush, looks)
    _paint_hair(brush, looks)
    return np.clip(brush.canvas, 0, 255), landmarks_of(looks)


class Brush:
    """A canvas of one size, with soft-edged shapes on it: every shape is a map of weights from 0 to 1."""

    def __init__(self, side: int, rng: np.random.Generator) -> None:
        centres = ((np.arange(side) + 0.5) / side).astype(np.float32)
        self.side = side
        self.rng = rng
        self.x, self.y = np.meshgrid(centres, centres)
        self.canvas = np.zeros((side, side, 3), np.float32)

    def paint(self, weight: Map, colour: Colour | Map) -> None:
        """Lay a colour, one for all or a map of them, over the canvas."""
        self.canvas += weight[..., None] * (np.asarray(colour, np.float32) - self.canvas)

    def shade(self, factor: Map) -> None:
        """Multiply the canvas, darker below 1 and lighter above."""
        self.canvas *= factor[..., None]

    def bump(self, x: float, y: float, sx: float, sy: float) -> Map:
        """A Gaussian of height 1."""
        height: Map = np.exp(-0.5 * (((self.x - x) / sx) ** 2 + ((self.y - y) / sy) ** 2))
        return height

    def ellipse(self, x: float, y: float, rx: float, ry: float, soft: float = 0.004) -> Map:
        """1 inside an ellipse, 0 outside, over a border of about `soft`."""
        radius = np.hypot((self.x - x) / rx, (self.y - y) / ry)
        return edge((1 - radius) * min(rx, ry), soft)

    def curve(self, x0: float, x1: float, y: Map, width: Map | float, soft: float = 0.004) -> Map:
        """A stroke along y(x) from x0 to x1, tapering to its ends."""
        along = np.clip((self.x - min(x0, x1)) / abs(x1 - x0), 0, 1)
        taper = np.sqrt(np.clip(4 * along * (1 - along), 0, 1))
        stroke: Map = edge(width * taper - np.abs(self.y - y), soft) * (taper > 0)
        return stroke

    def grain(self, size_x: float, size_y: float) -> Map:
        """Smooth noise of unit variance, with lumps of about the given size."""
        sigma_x, sigma_y = size_x * self.side, size_y * self.side
        # Blurring white noise at the canvas's size keeps the grain's look at every size.
        noise = self.rng.standard_normal((self.side, self.side)).astype(np.float32)
        smooth = cv2.GaussianBlur(noise, (0, 0), sigmaX=max(sigma_x, 0.3), sigmaY=max(sigma_y, 0.3))
        return smooth / float(smooth.std())


def edge(distance: Map, soft: float) -> Map:
    """0 to 1 as a signed distance goes from -soft to +soft, smoothly."""
    t = np.clip(distance / (2 * soft) + 0.5, 0, 1)
    weight: Map = (t * t * (3 - 2 * t)).astype(np.float32)
    return weight


def _tint(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def _head(brush: Brush, looks: Looks) -> Map:
    """About the squared radius of the head's outline, 1 on it: an egg whose lower half narrows to the chin."""
    top = 0.04
    middle = (top + looks.chin_y) / 2
    down = np.clip((brush.y - middle) / (looks.chin_y - middle), 0, 1.2)
    width = looks.width * (1 - looks.jaw * down**1.2)
    # An exponent above 2 makes it a little squarer than an ellipse.
    head: Map = np.abs((brush.x - 0.5) / width) ** 2.3 + np.abs((brush.y - middle) / (looks.chin_y - middle)) ** 2.3
    return head


def _paint_backdrop(brush: Brush, looks: Looks) -> None:
    light = 150 + 50 * (1 - brush.y) + 14 * brush.grain(0.15, 0.15) + 3 * brush.grain(0.006, 0.006)
    brush.paint(np.ones_like(light), np.stack([light, light * 1.01, light * 1.04], axis=-1))
    strands = 0.75 + 0.14 * brush.grain(0.004, 0.06)
    fall = 0.62 if looks.long_hair else 0.40
    back = brush.ellipse(0.5, 0.42, looks.width + 0.052, 0.47, 0.008) * edge(fall - brush.y, 0.02)
    if looks.long_hair:
        back = np.maximum(back, brush.ellipse(0.5, 0.55, looks.width + 0.095, 0.50, 0.01) * edge(brush.y - 0.3, 0.2))
    brush.paint(back, np.asarray(looks.hair, np.float32) * strands[..., None])
    neck = edge(0.60 * looks.width + 0.5 * np.clip(brush.y - 0.9, 0, 1) - np.abs(brush.x - 0.5), 0.01)
    shadow = 0.74 - 0.26 * brush.bump(0.5, looks.chin_y, 0.2, 0.04) + 0.015 * brush.grain(0.006, 0.006)
    brush.paint(neck * edge(brush.y - 0.7, 0.02), np.asarray(looks.skin, np.float32) * shadow[..., None])
    weave = 1 + 0.08 * brush.grain(0.004, 0.004) + 0.08 * brush.grain(0.03, 0.03)
    shirt = np.asarray(looks.shirt, np.float32) * weave[..., None]
    brush.paint(brush.ellipse(0.5, 1.16, 0.62, 0.20, 0.006) * (1 - brush.ellipse(0.5, 0.93, 0.2, 0.07, 0.006)), shirt)
    for sign in (-1, 1):
        ear = brush.ellipse(0.5 + sign * (looks.width + 0.005), looks.eye_y + 0.07, 0.035, 0.075)
        brush.paint(ear, _tint(looks.skin, 0.80))
        brush.shade(1 - 0.25 * brush.bump(0.5 + sign * (looks.width + 0.012), looks.eye_y + 0.07, 0.012, 0.04))


def _relief(brush: Brush, looks: Looks) -> Map:
    """Height of the face above the picture's plane."""
    height = 0.30 * np.sqrt(np.clip(1.02 - _head(brush, looks), 0.0004, None))
    down = np.clip((brush.y - looks.eye_y) / (looks.nose_y - looks.eye_y), 0, 1)
    ridge = np.exp(-0.5 * ((brush.x - 0.5) / (0.016 + 0.012 * down)) ** 2)
    height += (
        ridge * (0.006 + 0.032 * down) * edge(looks.nose_y + 0.012 - brush.y, 0.03) * edge(brush.y - looks.brow_y, 0.05)
    )
    height += 0.026 * brush.bump(0.5, looks.nose_y, 0.026, 0.024)
    height -= 0.010 * brush.bump(0.5, looks.mouth_y - 0.055, 0.014, 0.03)
    height += 0.010 * brush.bump(0.5, looks.mouth_y - 0.018, 0.6 * looks.mouth_dx, 0.012)
    height += 0.014 * brush.bump(0.5, looks.mouth_y + 0.03, 0.5 * looks.mouth_dx, 0.016)
    height -= 0.012 * brush.bump(0.5, looks.mouth_y + 0.075, 0.06, 0.014)
    height += 0.020 * brush.bump(0.5, looks.chin_y - 0.055, 0.05, 0.03)
    for sign in (-1, 1):
        eye_x = 0.5 + sign * looks.eye_dx
        height += 0.016 * brush.bump(eye_x, looks.brow_y - 0.004, 0.075, 0.02)
        height -= 0.020 * brush.bump(eye_x - sign * 0.01, looks.eye_y, 0.06, 0.035)
        height += 0.020 * brush.bump(eye_x + sign * 0.05, looks.nose_y - 0.045, 0.06, 0.05)
        height += 0.014 * brush.bump(0.5 + sign * looks.nose_width * 0.8, looks.nose_y + 0.004, 0.014, 0.016)
        fold = 0.5 + sign * (looks.nose_width + 0.02 + 0.35 * np.clip(brush.y - looks.nose_y, 0, 0.2))
        near = np.exp(-0.5 * ((brush.x - fold) / 0.010) ** 2)
        height -= 0.005 * near * brush.bump(0.5, looks.nose_y + 0.06, 1.0, 0.04)
    return height.astype(np.float32)


def _paint_skin(brush: Brush, looks: Looks) -> None:
    relief = _relief(brush, looks) + 0.0005 * brush.grain(0.006, 0.006) + 0.0009 * brush.grain(0.03, 0.03)
    slope_y, slope_x = np.gradient(relief, 1 / brush.side)
    normal = np.stack([-slope_x, -slope_y, np.ones_like(relief)])
    normal /= np.linalg.norm(normal, axis=0)
    lamp = np.array([looks.light, -0.55, 1.0])
    lit = np.clip(np.tensordot(lamp / np.linalg.norm(lamp), normal, 1), 0, 1)
    tone = np.asarray(looks.skin, np.float32)[None, None] * (0.42 + 0.66 * lit + 0.08 * lit**24)[..., None]
    blotches = 3.0 * brush.grain(0.05, 0.05)
    tone += np.stack([0.6 * blotches, -blotches, -blotches], axis=-1)
    tone += (3.5 * brush.grain(0.003, 0.003) + 3.0 * brush.grain(0.009, 0.009))[..., None]
    for sign in (-1, 1):
        blush = brush.bump(0.5 + sign * (looks.eye_dx + 0.05), looks.nose_y, 0.06, 0.05)
        tone += blush[..., None] * np.array([5, -5, -3], np.float32)
    brush.paint(edge((1 - np.sqrt(_head(brush, looks))) * looks.width, 0.005), tone)
    band = brush.bump(0.5, looks.nose_y - 0.05, 0.16, 0.06)
    spots = edge(brush.grain(0.004, 0.004) - 1.7, 0.4) * band
    brush.paint(0.55 * looks.freckles * spots, _tint(looks.skin, 0.55))
    stubble = edge(brush.y - (looks.mouth_y - 0.06), 0.04) * edge(0.97 - np.sqrt(_head(brush, looks)), 0.06)
    dark = blend((looks.hair, _tint(looks.skin, 0.4)), 0.5)
    brush.paint(looks.beard * stubble * (0.6 + 0.4 * edge(brush.grain(0.003, 0.004), 0.6)), dark)


def _paint_eye(brush: Brush, looks: Looks, sign: int) -> None:
    x, y, size = 0.5 + sign * looks.eye_dx, looks.eye_y, looks.eye_size
    half, tall = 0.062 * size, 0.026 * size
    across = (brush.x - x) / half
    arch = np.clip(1 - across**2, 0, 1)
    tilt = -0.006 * sign * across
    upper, lower = y + tilt - tall * arch**0.8, y + tilt + 0.7 * tall * arch
    brush.shade(1 - 0.22 * brush.bump(x, y, 0.07 * size, 0.036 * size))
    opening = edge(brush.y - upper, 0.003) * edge(lower - brush.y, 0.003) * (np.abs(across) < 1)
    brush.paint(opening, (232, 226, 220))
    radius = np.hypot(brush.x - x, brush.y - (y - 0.003)) / (0.027 * size)
    rays = 1 + 0.18 * np.sin(17 * np.arctan2(brush.y - y, brush.x - x) + 3 * sign)
    iris = np.asarray(looks.iris, np.float32) * ((0.55 + 0.7 * radius * (1.05 - 0.5 * radius)) * rays)[..., None]
    brush.paint(opening * edge((1 - radius) * 0.027, 0.004), iris)
    brush.paint(opening * edge((0.45 - radius) * 0.027, 0.003), (14, 12, 12))
    brush.paint(opening * brush.ellipse(x - 0.008, y - 0.013, 0.006, 0.006), (250, 250, 250))
    brush.shade(1 - 0.35 * opening * edge(upper + 0.008 - brush.y, 0.006))
    ends = (x - half - 0.006, x + half + 0.006)
    brush.paint(0.9 * brush.curve(*ends, upper, 0.0055), (34, 24, 22))
    brush.paint(0.45 * brush.curve(*ends, lower, 0.0028), _tint(looks.skin, 0.42))
    brush.paint(0.5 * brush.curve(*ends, upper - 0.016, 0.0035), _tint(looks.skin, 0.5))
    brush.paint(0.22 * brush.curve(*ends, lower + 0.018, 0.005, 0.008), _tint(looks.skin, 0.6))


def _paint_brow(brush: Brush, looks: Looks, sign: int) -> None:
    inner, outer = 0.5 + sign * (looks.eye_dx - 0.075), 0.5 + sign * (looks.eye_dx + 0.085)
    along = np.clip((brush.x - inner) / (outer - inner), 0, 1)
    y = looks.brow_y + looks.brow_tilt * (1 - 2 * along) - 0.022 * np.sin(np.pi * along**1.3) + 0.012 * along
    shape = brush.curve(inner, outer, y, looks.brow_width * (1.1 - 0.45 * along), 0.006)
    hairs = 0.72 + 0.28 * edge(brush.grain(0.0035, 0.006), 1.0)
    brush.paint(0.92 * shape * hairs, _tint(looks.hair, 0.62))


def _paint_nose(brush: Brush, looks: Looks) -> None:
    for sign in (-1, 1):
        wing = brush.bump(0.5 + sign * (looks.nose_width + 0.006), looks.nose_y + 0.004, 0.007, 0.02)
        brush.shade(1 - 0.32 * wing)
        nostril = brush.ellipse(0.5 + sign * looks.nose_width * 0.55, looks.nose_y + 0.024, 0.015, 0.0075, 0.005)
        brush.paint(0.72 * nostril, _tint(looks.skin, 0.25))
    brush.shade(1 - 0.20 * brush.bump(0.5, looks.nose_y + 0.036, looks.nose_width, 0.009))


def _paint_mouth(brush: Brush, looks: Looks) -> None:
    across = (brush.x - 0.5) / looks.mouth_dx
    arch = np.clip(1 - across**2, 0, 1)
    middle = (
        looks.mouth_y + 0.005 * np.cos(2 * np.pi * np.clip(across, -1, 1)) * arch - 0.006 * np.clip(across, -1, 1) ** 2
    )
    bow = 1 - 0.25 * np.exp(-0.5 * (across / 0.12) ** 2)
    upper, lower = 0.024 * looks.lips * arch**0.9 * bow, 0.034 * looks.lips * arch**0.8
    lip = edge(brush.y - (middle - upper), 0.004) * edge(middle + lower - brush.y, 0.005) * (np.abs(across) < 1)
    red, green, blue = looks.skin
    creases = 1 + 0.05 * brush.grain(0.004, 0.02)
    shade = np.where(brush.y < middle, 0.80, 0.98) * creases
    lip_colour = np.asarray((0.86 * red, 0.55 * green, 0.56 * blue), np.float32) * shade[..., None]
    brush.paint(0.85 * lip, lip_colour)
    brush.shade(1 + 0.16 * brush.bump(0.5, looks.mouth_y + 0.018, 0.05, 0.006))
    brush.paint(
        0.9 * brush.curve(0.5 - looks.mouth_dx - 0.006, 0.5 + looks.mouth_dx + 0.006, middle, 0.0055), (62, 26, 26)
    )
    for sign in (-1, 1):
        brush.shade(1 - 0.3 * brush.bump(0.5 + sign * (looks.mouth_dx + 0.004), looks.mouth_y, 0.012, 0.012))
    brush.shade(1 - 0.14 * brush.bump(0.5, looks.mouth_y + 0.058, 0.05, 0.01))


def _paint_hair(brush: Brush, looks: Looks) -> None:
    waves = 0.012 * np.sin(22 * brush.x + looks.light * 9) + 0.01 * brush.grain(0.03, 0.2)
    skull = brush.ellipse(0.5, 0.42, looks.width + 0.05, 0.46, 0.008)
    line = looks.hairline + waves + 0.20 * np.abs((brush.x - 0.5) / looks.width) ** 5
    inside = skull * edge(line - brush.y, 0.010) * edge(0.42 - brush.y, 0.02)
    if looks.long_hair:
        lock = edge(np.abs(brush.x - 0.5) - (looks.width - 0.02) - 0.3 * waves, 0.008) * edge(brush.y - 0.25, 0.1)
        inside = np.maximum(inside, lock * brush.ellipse(0.5, 0.55, looks.width + 0.09, 0.50, 0.01))
    strands = 1 + 0.15 * brush.grain(0.004, 0.05) + 0.08 * brush.grain(0.02, 0.1)
    gloss = 0.85 + 0.5 * np.exp(-0.5 * ((brush.y - 0.09 - waves) / 0.035) ** 2)
    brush.paint(inside, np.asarray(looks.hair, np.float32) * (strands * gloss)[..., None])

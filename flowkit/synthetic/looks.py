"""What tells the drawn people of the demo apart: proportions, colours, hair, light.

Lengths are fractions of the picture's side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowkit.synthetic.landmarks import Landmarks

Colour = tuple[float, float, float]

_SKINS: tuple[Colour, ...] = ((240, 200, 175), (226, 178, 148), (205, 152, 118), (172, 120, 88), (130, 88, 64))
_HAIRS: tuple[Colour, ...] = ((38, 30, 28), (74, 50, 34), (104, 72, 46), (104, 50, 32), (166, 132, 84))
_EYES: tuple[Colour, ...] = ((52, 36, 28), (86, 58, 36), (84, 104, 70), (70, 96, 120))
_SHIRTS: tuple[Colour, ...] = ((66, 84, 112), (118, 60, 60), (70, 96, 80), (150, 140, 120), (60, 60, 66))


@dataclass(frozen=True, slots=True)
class Looks:
    """What tells one drawn person from another."""

    skin: Colour
    hair: Colour
    iris: Colour
    shirt: Colour
    width: float
    jaw: float
    chin_y: float
    eye_y: float
    eye_dx: float
    eye_size: float
    brow_y: float
    brow_width: float
    brow_tilt: float
    nose_y: float
    nose_width: float
    mouth_y: float
    mouth_dx: float
    lips: float
    hairline: float
    long_hair: bool
    beard: float
    freckles: float
    light: float


def draw_looks(rng: np.random.Generator) -> Looks:
    """One person's looks, at random."""
    tone = rng.uniform(0, len(_SKINS) - 1)
    dark = min(int(tone) + 1, len(_HAIRS) - 1)
    eye_y = rng.uniform(0.385, 0.415)
    long_hair = bool(rng.random() < 0.5)
    return Looks(
        skin=blend(_SKINS, tone),
        hair=_HAIRS[rng.integers(len(_HAIRS) - dark + 1)],
        iris=_EYES[rng.integers(len(_EYES) - dark // 2)],
        shirt=_SHIRTS[rng.integers(len(_SHIRTS))],
        width=rng.uniform(0.30, 0.345),
        jaw=rng.uniform(0.08, 0.22),
        chin_y=rng.uniform(0.90, 0.935),
        eye_y=eye_y,
        eye_dx=rng.uniform(0.125, 0.148),
        eye_size=rng.uniform(0.9, 1.15),
        brow_y=eye_y - rng.uniform(0.078, 0.098),
        brow_width=rng.uniform(0.010, 0.019),
        brow_tilt=rng.uniform(-0.01, 0.014),
        nose_y=rng.uniform(0.575, 0.605),
        nose_width=rng.uniform(0.042, 0.060),
        mouth_y=rng.uniform(0.71, 0.74),
        mouth_dx=rng.uniform(0.10, 0.13),
        lips=rng.uniform(0.75, 1.35),
        hairline=rng.uniform(0.13, 0.2),
        long_hair=long_hair,
        beard=0.0 if long_hair else float(rng.choice([0.0, 0.25, 0.5])),
        freckles=float(rng.choice([0.0, 0.4, 1.0])),
        light=rng.uniform(-0.55, 0.55),
    )


def landmarks_of(looks: Looks) -> Landmarks:
    """Where the muscles of a drawn face act."""

    def couple(dx: float, y: float) -> tuple[tuple[float, float], tuple[float, float]]:
        return (0.5 - dx, y), (0.5 + dx, y)

    return Landmarks(
        brow_inner=couple(looks.eye_dx - 0.06, looks.brow_y + looks.brow_tilt),
        brow_outer=couple(looks.eye_dx + 0.07, looks.brow_y - looks.brow_tilt),
        cheek=couple(looks.eye_dx + 0.05, looks.nose_y - 0.05),
        nose_wing=couple(looks.nose_width + 0.02, looks.nose_y),
        mouth_corner=couple(looks.mouth_dx, looks.mouth_y),
        upper_lip=(0.5, looks.mouth_y - 0.02),
        lower_lip=(0.5, looks.mouth_y + 0.035),
        chin=(0.5, looks.chin_y - 0.05),
    )


def blend(colours: tuple[Colour, ...], position: float) -> Colour:
    index = min(int(position), len(colours) - 2)
    part = position - index
    red, green, blue = (a + part * (b - a) for a, b in zip(colours[index], colours[index + 1], strict=True))
    return red, green, blue

"""The pictures of the study: real portraits and drawn faces, each seen in its own way, in two sets.

The portraits are in the public domain and come with packages: the astronaut (NASA) and Chelsea the cat (CC0) with
scikit-image, Grace Hopper (US Navy) with Matplotlib. People of the tuning set are not in the report set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import cv2
import numpy as np
from matplotlib import cbook
from numpy.typing import NDArray
from skimage import data

from flowkit.params import PRESETS, TVL1Params
from flowkit.synthetic.faces import neutral_face
from flowkit.synthetic.landmarks import Landmarks, Point

Set = Literal["tuning", "report"]
Picture = NDArray[np.float32]


def report_seed(presets: Sequence[TVL1Params]) -> int:
    """Follows from the presets that are judged: whoever changes one gets another report set, which nobody has seen."""
    words = repr([sorted(preset.to_dict().items()) for preset in presets])
    return 10_000_000 + 10_000 * (int(hashlib.sha256(words.encode()).hexdigest()[:8], 16) % 10_000)


JUDGED = ("micro", "fast", "micro-phases")
"""The presets that the report judges."""
SEEDS: dict[Set, int] = {"tuning": 1_200_000, "report": report_seed([PRESETS[name] for name in JUDGED])}
"""Of all that is random in a set."""
SOURCES = {
    "tuning": ("hopper", "drawn", "chelsea", "drawn", "hopper", "drawn", "hopper", "drawn"),
    "report": ("astronaut", "drawn") * 8,
}
"""Twice as many to report on as to tune with: how hard a set is depends on its looks more than on anything else."""
SKINS = {"tuning": ("gravel", "brick"), "report": ("grass", "immunohistochemistry")}
"""Natural textures: low in contrast on some faces, as pores and hair are; and behind heads."""


@dataclass(frozen=True)
class Look:
    """How a source is seen.

    `zoom` 1 is the face alone, below 1 what is around it too. `grain`: grey levels of `skin` on it. `defocus`: sigma of
    a blur, as a fraction of the side; faces out of focus or enlarged are smooth, and the harder ones.
    """

    source: str
    identity: int
    zoom: float
    mirrored: bool
    gamma: float
    contrast: float
    skin: str
    grain: float
    defocus: float


def looks(which: Set) -> tuple[Look, ...]:
    """The set's looks, drawn by its seed."""
    rng = np.random.default_rng(SEEDS[which])
    return tuple(
        Look(
            source=source,
            identity=SEEDS[which] + k,
            zoom=round(float(rng.uniform(0.65, 1.0)), 3),
            mirrored=bool(rng.uniform() < 0.5),
            gamma=round(float(rng.uniform(0.8, 1.25)), 3),
            contrast=round(float(rng.uniform(0.7, 1.0)), 3),
            skin=SKINS[which][int(rng.integers(2))],
            grain=round(float(max(0.0, rng.uniform(-4, 4))), 2),
            defocus=round(float(rng.uniform(0, 1.0)) / 224, 5),
        )
        for k, source in enumerate(SOURCES[which])
    )


# Left, top and side in px of the square that is the face alone, and the landmarks as fractions of it.
_PORTRAITS: dict[str, tuple[tuple[int, int, int], Landmarks | None]] = {
    "astronaut": ((158, 52, 136), None),
    "hopper": (
        (172, 126, 216),
        Landmarks(
            brow_inner=((0.36, 0.24), (0.52, 0.22)),
            brow_outer=((0.12, 0.22), (0.78, 0.21)),
            cheek=((0.17, 0.55), (0.70, 0.55)),
            nose_wing=((0.31, 0.54), (0.55, 0.54)),
            mouth_corner=((0.25, 0.71), (0.63, 0.71)),
            upper_lip=(0.43, 0.69),
            lower_lip=(0.43, 0.75),
            chin=(0.43, 0.90),
        ),
    ),
    "chelsea": ((95, 20, 250), None),
}
_TEXTURES = {
    "gravel": (0, 0, 400),
    "grass": (0, 0, 400),
    "brick": (0, 0, 400),
    "immunohistochemistry": (60, 60, 400),
}


@lru_cache(maxsize=32)
def face(look: Look, side: int) -> tuple[Picture, Landmarks]:
    """A grey picture (side, side) float32 on 0..255, read-only, and the landmarks that move, fractions of the side."""
    if look.source == "drawn":
        picture, landmarks = _drawn(look, side)
    else:
        picture, landmarks = _portrait(look, side)
    if look.mirrored:
        picture, landmarks = picture[:, ::-1], _mirrored(landmarks)
    toned = 255 * (picture / 255) ** look.gamma
    toned = 128 + look.contrast * (toned - 128) + look.grain * texture(look.skin, side)
    seen = cv2.GaussianBlur(np.clip(toned, 2, 250), (0, 0), sigmaX=max(1e-3, look.defocus * side))
    picture = np.ascontiguousarray(seen.astype(np.float32))
    picture.setflags(write=False)
    return picture, landmarks


@lru_cache(maxsize=8)
def texture(name: str, side: int) -> Picture:
    """A natural texture (side, side) without its coarse part, of unit variance, read-only."""
    left, top, crop = _TEXTURES[name]
    grey = _resized(_grey(name)[top : top + crop, left : left + crop], side)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), sigmaX=side / 20)
    fine = (fine / fine.std()).astype(np.float32)
    fine.setflags(write=False)
    return fine


def _drawn(look: Look, side: int) -> tuple[Picture, Landmarks]:
    """The middle of a larger drawing is not sharper, so a drawing is seen whole; `zoom` does not matter."""
    drawn = neutral_face(look.identity % 1000 + 1, side, look.identity)
    return cv2.cvtColor(drawn.picture, cv2.COLOR_RGB2GRAY), drawn.landmarks


def _portrait(look: Look, side: int) -> tuple[Picture, Landmarks]:
    (left, top, crop), known = _PORTRAITS[look.source]
    landmarks = known or neutral_face(0, 64).landmarks
    source = _grey(look.source)
    wide = min(round(crop / look.zoom), min(source.shape))
    x0 = int(np.clip(left - (wide - crop) // 2, 0, source.shape[1] - wide))
    y0 = int(np.clip(top - (wide - crop) // 2, 0, source.shape[0] - wide))

    def moved(point: Point) -> Point:
        return (left + crop * point[0] - x0) / wide, (top + crop * point[1] - y0) / wide

    return _resized(source[y0 : y0 + wide, x0 : x0 + wide], side), _each(landmarks, moved)


def _mirrored(landmarks: Landmarks) -> Landmarks:
    return _each(landmarks, lambda point: (1 - point[0], point[1]), swap=True)


def _each(landmarks: Landmarks, move: Callable[[Point], Point], swap: bool = False) -> Landmarks:
    fields: dict[str, Any] = {}
    for name in Landmarks.__dataclass_fields__:
        value = getattr(landmarks, name)
        if isinstance(value[0], tuple):
            couple = tuple(move(point) for point in value)
            fields[name] = couple[::-1] if swap else couple
        else:
            fields[name] = move(value)
    return Landmarks(**fields)


@lru_cache(maxsize=8)
def _grey(name: str) -> Picture:
    if name == "hopper":
        with cbook.get_sample_data("grace_hopper.jpg", asfileobj=True) as file:
            picture = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_GRAYSCALE)
    else:
        picture = getattr(data, name)()
        if picture.ndim == 3:
            picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return picture.astype(np.float32)


def _resized(picture: Picture, side: int) -> Picture:
    kernel = cv2.INTER_LANCZOS4 if side > picture.shape[0] else cv2.INTER_AREA
    return np.clip(cv2.resize(picture, (side, side), interpolation=kernel), 0, 255).astype(np.float32)

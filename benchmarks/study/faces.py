"""The pictures of the study: drawn faces, the portrait, and textures bundled with scikit-image, in two sets."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from flowkit.synthetic.faces import neutral_face
from flowkit.synthetic.landmarks import Landmarks

TUNE_FACES = ("drawn 5.1", "drawn 5.2", "chelsea", "drawn 5.3", "camera", "drawn 5.4", "moon")
REPORT_FACES = (
    "astronaut",
    "drawn 21.1",
    "drawn 21.2",
    "rocket",
    "drawn 21.3",
    "immunohistochemistry",
    "astronaut",
    "drawn 21.4",
)
BACKDROPS = {"tune": "gravel", "report": "grass"}

# Left, top and side in px of the square that is used of a picture.
_SQUARES = {
    "chelsea": (95, 20, 250),
    "camera": (150, 50, 160),
    "moon": (100, 100, 300),
    "rocket": (190, 90, 300),
    "immunohistochemistry": (60, 60, 400),
    "gravel": (0, 0, 400),
    "grass": (0, 0, 400),
}


@lru_cache(maxsize=24)
def face(name: str, side: int) -> tuple[NDArray[np.float32], Landmarks]:
    """A grey picture (side, side) float32 on 0..255, read-only, and the landmarks that move.

    `drawn S.I` is identity I of seed S; a picture without a face moves at the portrait's landmarks.
    """
    if name in _SQUARES:
        picture, landmarks = _bundled(name, side), neutral_face(0, 64).landmarks
    else:
        seed, identity = (int(n) for n in name.split()[1].split(".")) if name.startswith("drawn") else (0, 0)
        drawn = neutral_face(identity, side, seed)
        picture, landmarks = cv2.cvtColor(drawn.picture, cv2.COLOR_RGB2GRAY), drawn.landmarks
    picture.setflags(write=False)
    return picture, landmarks


def _bundled(name: str, side: int) -> NDArray[np.float32]:
    left, top, crop = _SQUARES[name]
    picture = getattr(data, name)()[top : top + crop, left : left + crop]
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    kernel = cv2.INTER_CUBIC if side > crop else cv2.INTER_AREA
    return np.clip(cv2.resize(picture.astype(np.float32), (side, side), interpolation=kernel), 0, 255)

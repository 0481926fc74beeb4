"""The neutral synthetic faces: the public-domain portrait of scikit-image as identity 0, drawn faces for the rest.

A face is a square picture and the places that its muscles move. Positions are fractions of the picture's side, x to
the right and y down, (0, 0) the upper left corner; "left" is the left of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.errors import InputError
from flowkit.synthetic.drawing import draw_face
from flowkit.synthetic.landmarks import Landmarks


@dataclass(frozen=True, slots=True)
class Face:
    """A neutral face: picture (side, side, 3) float32 RGB on 0..255, read-only, and its landmarks."""

    picture: NDArray[np.float32]
    landmarks: Landmarks


# The face in the 512 x 512 portrait: left, top and side of a square in px, and the landmarks, read off the picture.
_PORTRAIT = (158, 52, 136)
_PORTRAIT_LANDMARKS = Landmarks(
    brow_inner=((0.41, 0.30), (0.60, 0.31)),
    brow_outer=((0.23, 0.29), (0.77, 0.32)),
    cheek=((0.27, 0.51), (0.71, 0.52)),
    nose_wing=((0.39, 0.57), (0.57, 0.57)),
    mouth_corner=((0.33, 0.65), (0.64, 0.66)),
    upper_lip=(0.48, 0.65),
    lower_lip=(0.48, 0.74),
    chin=(0.48, 0.88),
)


@lru_cache(maxsize=32)
def neutral_face(identity: int, side: int, seed: int = 0) -> Face:
    """Identity 0 is the portrait, at any seed; 1, 2, ... are drawn, each (seed, identity) another person.

    `side` is the picture's side in px. Raises InputError if the portrait is asked for and scikit-image is missing.
    """
    if identity < 0 or side < 16:
        raise InputError(f"identity={identity}, side={side}: identity must be 0 or above and side at least 16 px")
    if identity == 0:
        picture, landmarks = _portrait(side), _PORTRAIT_LANDMARKS
    else:
        picture, landmarks = draw_face(np.random.default_rng([seed, identity]), side)
    picture.setflags(write=False)
    return Face(picture, landmarks)


def _portrait(side: int) -> NDArray[np.float32]:
    try:
        from skimage import data
    except ImportError as error:
        raise InputError(
            "the demo needs the portrait in scikit-image, which is not installed: pip install 'flowkit-mer[demo]'"
        ) from error
    left, top, crop = _PORTRAIT
    portrait: NDArray[np.uint8] = data.astronaut()  # type: ignore[no-untyped-call]
    square = portrait[top : top + crop, left : left + crop].astype(np.float32)
    kernel = cv2.INTER_CUBIC if side > crop else cv2.INTER_AREA
    picture: NDArray[np.float32] = np.clip(cv2.resize(square, (side, side), interpolation=kernel), 0, 255)
    return picture

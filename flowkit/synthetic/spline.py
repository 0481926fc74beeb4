"""Cubic splines through pictures, which move what they sample by what they are told and no more.

OpenCV's cubic kernel (a = -0.75) displaces it by up to 0.05 px, by as much as half of which a frame of twice the
resolution would belie its true flow.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.synthetic.motion import Field

Picture = NDArray[np.float32]
_POLE = np.sqrt(3.0) - 2.0
_MIRRORED_PX = 24
"""Beyond each edge: what the recursion begins with there has faded to 1e-13 at the edge."""


def spline(picture: Picture) -> Picture:
    """The coefficients (h, w, c) of the cubic spline through a picture (h, w, c), which is mirrored at its edges.

    Source: Unser, "Splines: a perfect fit for signal and image processing", IEEE Signal Processing Magazine, 1999.
    """
    found = np.pad(picture.astype(np.float64), [(_MIRRORED_PX, _MIRRORED_PX)] * 2 + [(0, 0)], mode="reflect")
    for lines in (found, found.swapaxes(0, 1)):
        lines *= 6.0
        for i in range(1, len(lines)):
            lines[i] += _POLE * lines[i - 1]
        lines[-1] *= _POLE / (_POLE**2 - 1)
        for i in range(len(lines) - 2, -1, -1):
            lines[i] = _POLE * (lines[i + 1] - lines[i])
    inner = slice(_MIRRORED_PX, -_MIRRORED_PX)
    return np.ascontiguousarray(found[inner, inner], np.float32)


def sampled(coefficients: Picture, places: Field) -> Picture:
    """The spline's values (h, w, c) at places (2, h, w), x before y, px.

    Its four weights a side are those of two linear samples (Sigg and Hadwiger, GPU Gems 2, 2005, chapter 20).
    """
    columns, rows = (_linear_samples(along) for along in places)
    total = np.zeros((*places.shape[1:], coefficients.shape[2]), np.float32)
    for row_share, y in rows:
        for column_share, x in columns:
            found = cv2.remap(coefficients, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
            total += (row_share * column_share)[..., None] * found
    return total


def _linear_samples(along: NDArray[np.float64]) -> list[tuple[Picture, Picture]]:
    """The share and the place of each of two linear samples along one axis."""
    whole = np.floor(along)
    t = along - whole
    outer, inner, last = (1 - t) ** 3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6, t**3 / 6
    near = outer + inner
    pairs = (near, whole - 1 + inner / near), (1 - near, whole + 1 + last / (1 - near))
    return [(share.astype(np.float32), place.astype(np.float32)) for share, place in pairs]

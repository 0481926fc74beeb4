"""From a face to what is cut out of each frame: the box around it, or a square that has its eyes level.

Determined once a clip and used for all of its frames: a box of each frame's own would jitter by some tenths of a pixel,
which is as much as a micro-expression moves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError, InputError
from flowkit.faces.face import Face, Point
from flowkit.frames.prepare import Similarity, require_inside
from flowkit.types import Box

FaceFit = Literal["crop", "align"]
Positions = NDArray[np.float64]

EYE_DISTANCE = 0.34
"""Distance of the eyes in an aligned square without margin, as a fraction of its side: from hairline to chin."""
EYE_HEIGHT = 0.38
"""Height of the eyes above the lower edge is 1 - this, in fractions of the same side."""
_NEAREST_EYES_PX = 4.0
_STEEPEST_DEGREES = 60.0
_MOST_OUTSIDE = 0.25
"""Of an aligned square, beyond the frame."""
MOST_MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class Placed:
    """What is cut out of a clip's frames."""

    box: Box
    """In source pixels; with a transform, the pixels that it takes from."""
    shape: tuple[int, int]
    """(height, width) of the result; that of the box where it is not resized."""
    transform: Similarity | None = None
    """From source pixels to the cube's; None for a plain crop."""


def require_margin(margin: float) -> float:
    """The margin, if it is one; else an InputError."""
    if not 0 <= margin <= MOST_MARGIN:
        raise InputError(f"face margin {margin:g}: give a fraction of the face's side from 0 to {MOST_MARGIN:g}")
    return float(margin)


def crop(face: Face, frame_size: tuple[int, int], margin: float = 0.0) -> Placed:
    """The box around a face, grown by `margin` of its side at each edge, within the frame of (height, width).

    A detector's box becomes the square around it; where that would leave the frame it is moved, and where it is
    larger than the frame made smaller. A given box stays as it is, and with a margin is cut off at the frame's edge.

    Raises:
        FrameError: if a given box is not inside the frame, or a face's middle is not.
    """
    height, width = frame_size
    if face.given:
        box = Box(int(face.left), int(face.top), int(face.width), int(face.height))
        require_inside(box, frame_size)
        dx, dy = round(margin * box.width), round(margin * box.height)
        left, top = max(box.left - dx, 0), max(box.top - dy, 0)
        right, bottom = min(box.left + box.width + dx, width), min(box.top + box.height + dy, height)
        return Placed(Box(left, top, right - left, bottom - top), (bottom - top, right - left))
    _require_middle(face.middle, frame_size)
    side = min(round(max(face.width, face.height) * (1 + 2 * margin)), height, width)
    left = min(max(round(face.middle[0] - side / 2), 0), width - side)
    top = min(max(round(face.middle[1] - side / 2), 0), height - side)
    return Placed(Box(left, top, side, side), (side, side))


def align(face: Face, frame_size: tuple[int, int], side_px: int | None, margin: float = 0.0) -> Placed:
    """A square around the face that has its eyes level, always at the same place of the square.

    Without a margin the eyes stand EYE_DISTANCE apart and EYE_HEIGHT below the upper edge, in fractions of the side.
    It is never moved for the frame's sake, since then they would not: beyond the frame its edge is repeated.

    Args:
        side_px: of the result; None for about as many pixels as the square has in the frame.

    Raises:
        FrameError: if the eyes are not known, nearly in one place, one above the other, or outside the frame, or more
            than _MOST_OUTSIDE of the square would be.
    """
    if face.eyes is None:
        raise FrameError("no eyes are known, by which the face could be aligned; give them, or take --face-fit crop")
    (x0, y0), (x1, y1) = sorted(face.eyes)
    apart = math.hypot(x1 - x0, y1 - y0)
    angle = math.atan2(y1 - y0, x1 - x0)
    if apart < _NEAREST_EYES_PX or abs(math.degrees(angle)) > _STEEPEST_DEGREES:
        raise FrameError(
            f"the eyes are {apart:.1f} px apart at {math.degrees(angle):.0f} degrees, by which no face can be aligned; "
            "correct them, or take --face-fit crop"
        )
    # Edge positions from here on, half a pixel more than centres.
    middle = ((x0 + x1) / 2 + 0.5, (y0 + y1) / 2 + 0.5)
    _require_middle(middle, frame_size)
    cosine, sine = math.cos(angle), math.sin(angle)
    side = apart / EYE_DISTANCE
    below = (0.5 - EYE_HEIGHT) * side
    centre = (middle[0] - sine * below, middle[1] + cosine * below)
    side *= 1 + 2 * margin
    _require_mostly_inside(centre, side, angle, frame_size)
    pixels = side_px or max(round(side), 1)
    scale = pixels / side
    a, b = scale * cosine, scale * sine
    # A source pixel's centre + 0.5 is its edge position; the cube's likewise.
    tx = pixels / 2 - 0.5 - a * (centre[0] - 0.5) - b * (centre[1] - 0.5)
    ty = pixels / 2 - 0.5 + b * (centre[0] - 0.5) - a * (centre[1] - 0.5)
    reach = side * (abs(cosine) + abs(sine)) / 2
    return Placed(_enclosing(centre, reach, frame_size), (pixels, pixels), (a, b, tx, -b, a, ty))


def mapped(points: Positions, box: Box, transform: Similarity | None, shape: tuple[int, int]) -> Positions:
    """Source positions (k, 2) as positions in the cube of `shape` (h, w); pixel centres are at whole numbers."""
    if transform is not None:
        matrix = np.array(transform).reshape(2, 3)
        return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], dtype=np.float64)
    scale = np.array([shape[1] / box.width, shape[0] / box.height])
    return np.asarray((points - np.array([box.left, box.top]) + 0.5) * scale - 0.5, dtype=np.float64)


def _require_mostly_inside(centre: Point, side: float, angle: float, frame_size: tuple[int, int]) -> None:
    across, down = np.meshgrid(*(np.linspace(-side / 2, side / 2, 33),) * 2)
    x = centre[0] + across * math.cos(angle) - down * math.sin(angle)
    y = centre[1] + across * math.sin(angle) + down * math.cos(angle)
    outside = 1 - float(((x >= 0) & (x <= frame_size[1]) & (y >= 0) & (y <= frame_size[0])).mean())
    if outside > _MOST_OUTSIDE:
        raise FrameError(
            f"{outside:.0%} of the aligned square of {side:.0f} px would be outside the frame, at most "
            f"{_MOST_OUTSIDE:.0%} may be; give a smaller --face-margin, or take --face-fit crop"
        )


def _enclosing(centre: Point, reach: float, frame_size: tuple[int, int]) -> Box:
    height, width = frame_size
    left, top = max(math.floor(centre[0] - reach), 0), max(math.floor(centre[1] - reach), 0)
    right, bottom = min(math.ceil(centre[0] + reach), width), min(math.ceil(centre[1] + reach), height)
    return Box(left, top, right - left, bottom - top)


def _require_middle(middle: Point, frame_size: tuple[int, int]) -> None:
    height, width = frame_size
    if not (0 <= middle[0] <= width and 0 <= middle[1] <= height):
        raise FrameError(
            f"the face's middle ({middle[0]:.0f}, {middle[1]:.0f}) is outside the frame of {width} x {height} px; "
            "correct its position"
        )

"""A face as it was found or given, and what finds faces in a picture. Positions are pixels of the frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
"""(x, y) in pixels; whole numbers are pixel centres."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face: its box, and where known its eyes and other landmarks."""

    left: float
    """Edges of the box: pixel i reaches from i to i + 1, as in `flowkit.types.Box`."""
    top: float
    width: float
    height: float
    eyes: tuple[Point, Point] | None = None
    """Centres of both eyes, in either order."""
    points: tuple[Point, ...] = ()
    """Landmarks, in the detector's order."""
    score: float = 1.0
    given: bool = False
    """The user's own box: taken as it is."""

    @property
    def middle(self) -> Point:
        """Centre of the box, as an edge position."""
        return self.left + self.width / 2, self.top + self.height / 2

    def moved(self, dx: float, dy: float, scale: float = 1.0) -> Face:
        """The face in a picture that this one was cut out of at (dx, dy), shrunk by `scale` before."""

        def place(point: Point) -> Point:
            # A pixel's centre lies half a pixel behind its edge.
            return (point[0] + 0.5) / scale - 0.5 + dx, (point[1] + 0.5) / scale - 0.5 + dy

        return Face(
            left=self.left / scale + dx,
            top=self.top / scale + dy,
            width=self.width / scale,
            height=self.height / scale,
            eyes=self.eyes and (place(self.eyes[0]), place(self.eyes[1])),
            points=tuple(map(place, self.points)),
            score=self.score,
            given=self.given,
        )


def overlap(a: Face, b: Face) -> float:
    """Intersection over union of two faces' boxes, 0..1."""
    width = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    height = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a.width * a.height + b.width * b.height - shared)


class FaceDetector(Protocol):
    """Finds faces in one picture. A plug-in gives a maker of these under the entry point group of `detectors.py`.

    The same picture has to give the same faces, whichever process and thread asks: the result decides what is cut out.
    One detector is used by one thread at a time.
    """

    @property
    def digest(self) -> str:
        """Fingerprint of all that decides the faces: the content of a model's file, versions, settings."""

    @property
    def sure(self) -> float:
        """The score from which a face is believed."""

    @property
    def faint(self) -> float:
        """The score that suffices where a face is expected, because an earlier frame has one there."""

    def detect(self, picture: NDArray[np.uint8]) -> Sequence[Face]:
        """All faces, however low their score, of a grey picture (h, w) uint8; positions in its pixels.

        Raises:
            FrameError: where the detector cannot take the picture.
        """

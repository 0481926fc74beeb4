"""Facial pairs with their true flow at any size, from drawn faces, so that no optional package is needed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowkit.frames.prepare import parse_size
from flowkit.synthetic import facial_pair
from flowkit.synthetic.render import JPEG_QUALITY

Frame = NDArray[np.uint8]
Flow = NDArray[np.float32]

AMPLITUDES_PX = (0.2, 0.5, 1.0, 2.0)
IDENTITIES = (1, 3)
LARGEST_FACE_PX = 640
"""A larger picture shows several faces side by side, none of which would be larger than this in practice either."""


@dataclass(frozen=True, slots=True, order=True)
class Size:
    """Of a picture, in pixels; its text is WIDTHxHEIGHT."""

    height: int
    width: int

    @classmethod
    def parse(cls, text: str) -> Size:
        """From "224" or "340x280" (width x height); else an InputError."""
        return cls(*parse_size(text))

    @property
    def pixels(self) -> int:
        return self.height * self.width

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True, eq=False)
class FacialPair:
    """Two frames (h, w) uint8 and the true flow (2, h, w), px, of which the expression's largest is `amplitude_px`."""

    amplitude_px: float
    frame0: Frame
    frame1: Frame
    truth: Flow


def facial_pairs(
    size: Size,
    amplitudes_px: Sequence[float] = AMPLITUDES_PX,
    identities: Sequence[int] = IDENTITIES,
    *,
    quality: int | None = JPEG_QUALITY,
) -> list[FacialPair]:
    """A pair of every face at every amplitude, small amplitudes first.

    `quality` is that of the JPEG the frames go through, None for none (and then simplejpeg is not needed).
    """
    make = _one_face if max(size.height, size.width) <= LARGEST_FACE_PX else _many_faces
    return [make(identity, amplitude, size, quality) for amplitude in amplitudes_px for identity in identities]


@functools.lru_cache(maxsize=64)
def _square(identity: int, amplitude_px: float, side: int, quality: int | None) -> FacialPair:
    return FacialPair(amplitude_px, *facial_pair(identity, amplitude_px, side, seed=identity, quality=quality))


def _one_face(identity: int, amplitude_px: float, size: Size, quality: int | None) -> FacialPair:
    """The middle of a square pair; what is cut off the frames is cut off their truth."""
    side = max(size.height, size.width)
    square = _square(identity, amplitude_px, side, quality)
    top, left = (side - size.height) // 2, (side - size.width) // 2
    window = np.s_[..., top : top + size.height, left : left + size.width]
    return FacialPair(
        amplitude_px,
        np.ascontiguousarray(square.frame0[window]),
        np.ascontiguousarray(square.frame1[window]),
        np.ascontiguousarray(square.truth[window]),
    )


def _many_faces(identity: int, amplitude_px: float, size: Size, quality: int | None) -> FacialPair:
    """Equal tiles of one pair, every other one mirrored: its u has the other sign, and its truth stays exact."""
    rows, columns = -(-size.height // LARGEST_FACE_PX), -(-size.width // LARGEST_FACE_PX)
    tile_size = Size(-(-size.height // rows), -(-size.width // columns))
    tile = _one_face(identity, amplitude_px, tile_size, quality)
    mirrored = FacialPair(
        amplitude_px,
        tile.frame0[:, ::-1],
        tile.frame1[:, ::-1],
        tile.truth[..., ::-1] * np.array([-1, 1], np.float32)[:, None, None],
    )
    grid = [[(tile, mirrored)[(row + column) % 2] for column in range(columns)] for row in range(rows)]
    window = np.s_[..., : size.height, : size.width]
    return FacialPair(
        amplitude_px,
        np.ascontiguousarray(np.block([[part.frame0 for part in row] for row in grid])[window]),
        np.ascontiguousarray(np.block([[part.frame1 for part in row] for row in grid])[window]),
        np.ascontiguousarray(np.block([[part.truth for part in row] for row in grid])[window]),
    )

"""Sizes of frames, and how a frame becomes the solver's input: cropped to a box, then resized."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError, InputError
from flowkit.types import Box

Similarity = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f) sends (x, y) to (a x + b y + c, d x + e y + f); pixel centres are at whole numbers."""


LEAST_SIDE = 3
"""Of a frame whose flow can be computed, px: derivatives take a pixel and both its neighbours."""


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) from "224" (a square) or "320x180" (width x height); else an InputError."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})(?:[xX]([1-9][0-9]{0,4}))?", text)
    if not found:
        raise InputError(
            f"size {text!r}: give pixels as one number (224) or as WIDTHxHEIGHT (320x180), {LEAST_SIDE} to 99999"
        )
    width, height = int(found[1]), int(found[2] or found[1])
    if min(width, height) < LEAST_SIDE:
        raise InputError(
            f"size {text!r}: frames of less than {LEAST_SIDE} x {LEAST_SIDE} px have no flow; give at least that"
        )
    return height, width


def prepare(frame: NDArray[Any], box: Box | None, size: tuple[int, int] | None) -> NDArray[Any]:
    """A frame as the solver gets it: cropped to the box, then resized.

    A side that shrinks is averaged over pixel areas (cv2.INTER_AREA), one that grows is interpolated
    (cv2.INTER_CUBIC, saturated to the dtype's range), one that fits is left alone; so a frame of the size already
    comes back unchanged, not resampled.

    Args:
        frame: (h, w) or (h, w, 3), uint8 or uint16.
        box: in pixels of the frame; None for the whole of it.
        size: (height, width) of the result; None keeps the crop's.

    Returns:
        (height, width) or (height, width, 3), of the frame's dtype; a view of the frame if only cropped.

    Raises:
        FrameError: if the box is not inside the frame.
    """
    if box is not None:
        require_inside(box, frame.shape[:2])
        frame = frame[box.top : box.top + box.height, box.left : box.left + box.width]
    if size is None:
        return frame
    # cv2 applies INTER_AREA only where no side grows, so sides shrink first and grow after.
    height, width = frame.shape[:2]
    frame = _resize(frame, (min(height, size[0]), min(width, size[1])), cv2.INTER_AREA)
    return _resize(frame, size, cv2.INTER_CUBIC)


def warp(frame: NDArray[Any], transform: Similarity, shape: tuple[int, int]) -> NDArray[Any]:
    """A frame as the solver gets it by a similarity transform from its positions to those of the result.

    It is sampled once, by Lanczos' kernel of 8 x 8 pixels; where the result is smaller, at a whole multiple of its
    size, whose pixels are then averaged.

    Args:
        frame: (h, w) or (h, w, 3), uint8 or uint16.
        shape: (height, width) of the result.

    Returns:
        (height, width) or (height, width, 3), of the frame's dtype. Beyond the frame its edge is repeated.
    """
    a, b, c, d, e, f = transform
    times = max(math.ceil(1 / math.hypot(a, d) - 1e-6), 1)
    # A pixel's centre + 1/2 is its edge position, which is what a multiple of the size multiplies.
    off = (times - 1) / 2
    matrix = np.array([[times * a, times * b, times * c + off], [times * d, times * e, times * f + off]])
    size = (times * shape[1], times * shape[0])
    fine = cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
    return _resize(fine, shape, cv2.INTER_AREA)


def _resize(frame: NDArray[Any], size: tuple[int, int], filter_: int) -> NDArray[Any]:
    if frame.shape[:2] == tuple(size):
        return frame
    resized: NDArray[Any] = cv2.resize(frame, (size[1], size[0]), interpolation=filter_)
    return resized


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """OpenCV without threads of its own, which would run beside those over pairs."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def require_inside(box: Box, size: tuple[int, ...]) -> None:
    height, width = size
    if box.left < 0 or box.top < 0 or box.left + box.width > width or box.top + box.height > height:
        raise FrameError(
            f"box left={box.left}, top={box.top}, width={box.width}, height={box.height} is not inside "
            f"the frame of {width} x {height} px; correct the box"
        )


def first_size(frames: Iterator[tuple[int, NDArray[Any] | FrameError]]) -> tuple[int, int]:
    """(height, width) of the first of some frames that can be read; else the FrameError of the first one."""
    first_error = None
    with closing(frames):  # type: ignore[type-var]
        for _, frame in frames:
            if not isinstance(frame, FrameError):
                return frame.shape[0], frame.shape[1]
            first_error = first_error or frame
    raise first_error or FrameError("there is no frame")

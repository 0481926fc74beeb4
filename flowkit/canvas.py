"""Paper for pictures: text, scaling, and PNG files. Pictures are (h, w, 3) uint8, order RGB."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.types import OutputError

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

PAPER: Colour = (252, 252, 250)
INK: Colour = (40, 44, 52)
FAINT: Colour = (120, 124, 130)
LINE: Colour = (205, 208, 212)
MARGIN = 20
_PAD = 2


def blank(height: int, width: int) -> Picture:
    """Empty paper."""
    return np.full((height, width, 3), PAPER, np.uint8)


def paste(canvas: Picture, picture: Picture, x: int, y: int) -> None:
    """Put a picture onto a canvas, its upper left corner at (x, y), with a thin frame around it."""
    height, width = picture.shape[:2]
    canvas[y : y + height, x : x + width] = picture
    cv2.rectangle(canvas, (x - 1, y - 1), (x + width, y + height), LINE, 1)


def write_text(
    canvas: Picture, text: str, x: int, baseline: int, *, px: int = 15, ink: Sequence[int] = INK, right: bool = False
) -> None:
    """Write one line onto an RGB picture, in place; `px` is the height of a capital, x its left (or right) end.

    Characters outside ASCII become question marks: OpenCV's built-in font has no others.
    """
    cover, width, ascent = _lettering(text, px)
    rows, columns = cover.shape
    top, left = baseline - ascent, x - _PAD - (width if right else 0)
    # What does not fit on the canvas is cut off.
    window = canvas[max(top, 0) : top + rows, max(left, 0) : left + columns]
    cover = cover[max(-top, 0) :, max(-left, 0) :][: window.shape[0], : window.shape[1]]
    share = cover[..., None] / 255.0
    window[:] = np.rint(share * np.asarray(ink) + (1 - share) * window).astype(np.uint8)


def text_width(text: str, px: int = 15) -> int:
    """Width of a line in pixels, as `write_text` writes it."""
    return _lettering(text, px)[1]


def _lettering(text: str, px: int) -> tuple[NDArray[np.uint8], int, int]:
    """How much ink covers each pixel (0..255), the text's width, and the rows above its baseline."""
    text = text.encode("ascii", "replace").decode()
    fine = 4  # OpenCV's strokes are rough at small sizes: drawn larger and averaged, they are even.
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, fine * px / 22
    stroke = round(1.6 * scale)
    (width, height), below = cv2.getTextSize(text, font, scale, stroke)
    pad = _PAD * fine
    rows, columns = -(-(height + below + 2 * pad) // fine), -(-(width + 2 * pad) // fine)
    mask = np.zeros((rows * fine, columns * fine), np.uint8)
    cv2.putText(mask, text, (pad, pad + height), font, scale, 255, stroke, cv2.LINE_AA)
    cover = cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_AREA)
    return cover.astype(np.uint8, copy=False), width // fine, (pad + height) // fine


def write_png(path: Path, picture: Picture) -> None:
    """Write an RGB picture (h, w, 3) as PNG, whole or not at all; OutputError if it cannot be written."""
    coded = cv2.imencode(".png", picture[..., ::-1])[1]
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(coded.tobytes())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise OutputError(f"picture {str(path)!r} cannot be written: {error}") from error


def fit(picture: Picture, height: int) -> Picture:
    """A picture scaled to a height in pixels, its proportions kept."""
    rows, columns = picture.shape[:2]
    if rows == height:
        return picture
    size = (max(1, round(columns * height / rows)), height)
    kernel = cv2.INTER_CUBIC if height > rows else cv2.INTER_AREA
    return cv2.resize(picture, size, interpolation=kernel).astype(np.uint8, copy=False)

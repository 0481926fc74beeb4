"""Paper for pictures: text, scaling, and files. Pictures are (h, w, 3) uint8, order RGB."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flowkit.errors import InputError, OutputError
from flowkit.output.files import write_whole
from flowkit.pictures.lettering import lettering

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

PAPER: Colour = (252, 252, 250)
INK: Colour = (40, 44, 52)
FAINT: Colour = (120, 124, 130)
LINE: Colour = (205, 208, 212)
MARGIN = 20
FORMATS: Mapping[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": 0}),
    ".webp": ("WEBP", {"lossless": True}),
}
"""By suffix: Pillow's name of the format, and how it is written."""


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
    """Writes one line onto an RGB picture, in place; `px` is the size of the letters, x their left (or right) end.

    What does not fit on the canvas is cut off. A character that no font at hand has is written as its code; see
    `flowkit.pictures.lettering`.
    """
    cover, ascent = lettering(text, px)
    rows, columns = cover.shape
    top, left = baseline - ascent, x - (columns if right else 0)
    window = canvas[max(top, 0) : max(top + rows, 0), max(left, 0) : max(left + columns, 0)]
    cover = cover[max(-top, 0) :, max(-left, 0) :][: window.shape[0], : window.shape[1]]
    share = cover[..., None] / 255.0
    window[:] = np.rint(share * np.asarray(ink) + (1 - share) * window).astype(np.uint8)


def text_width(text: str, px: int = 15) -> int:
    """Width of a line in pixels, as `write_text` writes it."""
    return int(lettering(text, px)[0].shape[1])


def require_format(path: Path) -> None:
    """An InputError for a name whose suffix is none of `FORMATS`."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"picture {str(path)!r}: its name must end in {', '.join(FORMATS)}")


def write_picture(path: Path, picture: Picture) -> None:
    """Write an RGB picture (h, w, 3) as its suffix says, whole or not at all.

    Raises:
        InputError: if the suffix is none of `FORMATS`.
        OutputError: if it cannot be written.
    """
    require_format(path)
    form, options = FORMATS[path.suffix.lower()]
    coded = io.BytesIO()
    try:
        Image.fromarray(picture).save(coded, form, **options)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: _write_bytes(temporary, coded.getvalue()))
    except (OSError, ValueError) as error:
        raise OutputError(f"picture {str(path)!r} cannot be written: {error}") from error


def _write_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def fit(picture: Picture, height: int) -> Picture:
    """A picture scaled to a height in pixels, its proportions kept."""
    rows, columns = picture.shape[:2]
    if rows == height:
        return picture
    size = (max(1, round(columns * height / rows)), height)
    kernel = cv2.INTER_CUBIC if height > rows else cv2.INTER_AREA
    return cv2.resize(picture, size, interpolation=kernel).astype(np.uint8, copy=False)

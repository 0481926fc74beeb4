"""Letters as pixels, in any alphabet for which there is a font.

The font is the file that FLOWKIT_FONT names, else DejaVu Sans (Latin, Greek, Cyrillic and more) where the system or
matplotlib has it, else the one that comes with Pillow. A character that it lacks is written as its code (U+4E2D).
"""

from __future__ import annotations

import importlib.util
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from flowkit.errors import InputError

FONT_VARIABLE = "FLOWKIT_FONT"
_DEJAVU = "DejaVuSans.ttf"
_NOBODY_HAS = "\U0010fffe"
"""Not a character: what a font draws for it, it draws for all that it lacks."""

Font = ImageFont.FreeTypeFont


def lettering(text: str, px: int) -> tuple[NDArray[np.uint8], int]:
    """How much ink covers each pixel of a line of text, (h, w) from 0 to 255, and the rows above its baseline.

    Raises:
        InputError: if FLOWKIT_FONT names no font.
    """
    font = _font(px, os.environ.get(FONT_VARIABLE))
    text = "".join(character if _has(font, character) else f"U+{ord(character):04X}" for character in text)
    ascent, descent = font.getmetrics()
    width = max(1, -int(-font.getlength(text) // 1))
    picture = Image.new("L", (width, ascent + descent))
    ImageDraw.Draw(picture).text((0, 0), text, fill=255, font=font)
    return np.asarray(picture), ascent


@lru_cache(maxsize=64)
def _font(px: int, named: str | None) -> Font:
    if named:
        try:
            return ImageFont.truetype(named, px)
        except OSError as error:
            raise InputError(f"{FONT_VARIABLE}={named!r} is no font file ({error}); name one, or unset it") from error
    for file in (_DEJAVU, _of_matplotlib()):
        try:
            return ImageFont.truetype(file, px)
        except OSError:
            continue
    built_in = ImageFont.load_default(px)
    assert isinstance(built_in, Font)
    return built_in


def _of_matplotlib() -> str:
    """Where matplotlib keeps its font, without importing it; a path that leads nowhere where it is not installed."""
    found = importlib.util.find_spec("matplotlib")
    folder = Path(found.origin).parent if found and found.origin else Path()
    return str(folder / "mpl-data" / "fonts" / "ttf" / _DEJAVU)


@lru_cache(maxsize=4096)
def _has(font: Font, character: str) -> bool:
    if character.isspace():
        return True
    drawn, lacking = font.getmask(character), font.getmask(_NOBODY_HAS)
    return drawn.size != lacking.size or bytes(drawn) != bytes(lacking)

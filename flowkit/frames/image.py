"""One image file in memory: its pixels by OpenCV, and which way up its EXIF says that it is."""

from __future__ import annotations

import threading
import zlib
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_TO_RGB = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
_TO_GREY = {1: None, 3: cv2.COLOR_BGR2GRAY, 4: cv2.COLOR_BGRA2GRAY}
_ORIENTATION = 0x0112
_HEAD_BYTES = 1 << 16
"""EXIF stands at the beginning of a file."""

Image = NDArray[np.uint8] | NDArray[np.uint16]


def decode_image(data: bytes, colour: bool) -> Image:
    """A PNG, BMP or TIFF as (h, w) grey, uint8 or uint16, or (h, w, 3) RGB uint8.

    Raises ValueError or cv2.error where it is damaged or of another kind; nothing is printed.
    """
    if not data:
        raise ValueError("the file is empty")
    if data.startswith(_PNG_MAGIC):
        data = _png_pixels(data)
    with _silence:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("damaged, or no image")
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if pixels.dtype not in (np.uint8, np.uint16) or channels not in (1, 3, 4):
        raise ValueError(
            f"{channels} x {pixels.dtype}, where 1, 3 or 4 channels of 8-bit or 16-bit integers are needed"
        )
    if colour and pixels.dtype == np.uint16:
        pixels = np.round(pixels / 257).astype(np.uint8)
    code = (_TO_RGB if colour else _TO_GREY)[channels]
    image: Image = pixels if code is None else cv2.cvtColor(pixels, code)  # type: ignore[assignment]
    return image


class _Silence:
    """OpenCV's log, silent while any thread decodes: it tells stderr what is wrong with an image."""

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                cv2.utils.logging.setLogLevel(self._before)


_silence = _Silence()


def _png_pixels(data: bytes) -> bytes:
    """A PNG reduced to the chunks that decide its pixels; ValueError where one is damaged or missing.

    OpenCV's PNG reader prints to stderr what it thinks of colour profiles and of damage, and nothing can stop it; and
    some builds return the rows that are there of a file that was cut off.
    """
    kept, at, name = [_PNG_MAGIC], len(_PNG_MAGIC), b""
    while name != b"IEND":
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            raise ValueError("the PNG is truncated")
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise ValueError("the PNG is damaged")
        if name in _PNG_KEPT:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def orientation(data: bytes) -> int:
    """The EXIF orientation, 1 to 8, of a JPEG or PNG; 1, upright, where nothing says it."""
    mark, skipped = (b"eXIf", 4) if data.startswith(_PNG_MAGIC) else (b"Exif\0\0", 6)
    at = data.find(mark, 0, _HEAD_BYTES)
    if at < 0 or data[:2] not in (b"\xff\xd8", _PNG_MAGIC[:2]):
        return 1
    tiff = data[at + skipped : at + skipped + _HEAD_BYTES]
    order: Literal["little", "big"] = "little" if tiff[:2] == b"II" else "big"
    directory = int.from_bytes(tiff[4:8], order)
    for entry in range(int.from_bytes(tiff[directory : directory + 2], order)):
        at = directory + 2 + 12 * entry
        if int.from_bytes(tiff[at : at + 2], order) == _ORIENTATION:
            value = int.from_bytes(tiff[at + 8 : at + 10], order)
            return value if 1 <= value <= 8 else 1
    return 1

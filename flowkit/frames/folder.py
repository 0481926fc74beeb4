"""Frames from a folder of images that are named by number."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.types import FrameError, InputError

JPEG_SUFFIXES = (".jpg", ".jpeg")
IMAGE_SUFFIXES = (*JPEG_SUFFIXES, ".png", ".bmp", ".tif", ".tiff")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xae\x42\x60\x82"
_TO_RGB = {1: cv2.COLOR_GRAY2RGB, 3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGB}
_TO_GREY = {1: None, 3: cv2.COLOR_BGR2GRAY, 4: cv2.COLOR_BGRA2GRAY}

Image = NDArray[np.uint8] | NDArray[np.uint16]


def _decoders() -> str:
    try:
        return f"simplejpeg {version('simplejpeg')}, opencv {cv2.__version__}"
    except PackageNotFoundError:  # no JPEG is read then
        return f"opencv {cv2.__version__}"


class FolderSource:
    """A folder of JPEG, PNG, BMP or TIFF frames; a frame's number is the last integer in its file's name.

    img46.jpg and reg_img046.jpg are 46, 006_05562.jpg is 5562. Hidden files, other files and images without a number
    are ignored; subfolders are not entered.

    Grey: a JPEG's own luma, never a colour decode converted afterwards (they differ by a few levels); other colour
    images are 0.299 R + 0.587 G + 0.114 B rounded (cv2.cvtColor); 16-bit images stay uint16, in grey. Colour: 16-bit
    values are divided by 257 and rounded; alpha is dropped. EXIF orientation is not applied.
    """

    fps: float | None = None
    decoder = _decoders()

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._names = _numbered_images(self.folder)
        self._numbers = sorted(self._names)
        self.first, self.last = self._numbers[0], self._numbers[-1]

    def size(self) -> tuple[int, int]:
        """(height, width) of the first frame; FrameError where it cannot be decoded."""
        height, width = self._decode(self.first, colour=False).shape
        return height, width

    def numbers(self) -> Sequence[int]:
        """The numbers that have a file, ascending."""
        return self._numbers

    def read(self, numbers: Iterable[int], *, colour: bool = False) -> Iterator[tuple[int, Image | FrameError]]:
        """Frames by number, ascending, as `FrameSource.read` says."""
        for number in sorted(set(numbers)):
            try:
                yield number, self._decode(number, colour=colour)
            except FrameError as error:
                yield number, error

    def _decode(self, number: int, *, colour: bool) -> Image:
        if number not in self._names:
            raise FrameError(
                f"{self.folder} has no frame {number}, its frames are {self.first} to {self.last}; "
                "add the file or correct the annotation"
            )
        path = self.folder / self._names[number]
        try:
            data = path.read_bytes()
            return _decode_jpeg(data, colour) if _is_jpeg(path) else _decode_other(data, colour)
        except (OSError, ValueError, cv2.error) as error:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise FrameError(f"{path}: frame {number} cannot be decoded ({why}); restore the file") from error


def _numbered_images(folder: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for path in sorted(folder.iterdir()):
        digits = re.findall("[0-9]+", path.stem)
        if path.name.startswith(".") or path.suffix.lower() not in IMAGE_SUFFIXES or not digits or not path.is_file():
            continue
        number = int(digits[-1])
        if number in names:
            raise InputError(f"{folder}: {names[number]} and {path.name} are both frame {number}; remove one of them")
        names[number] = path.name
    if not names:
        raise InputError(
            f"{folder} has no image named by number ({', '.join(IMAGE_SUFFIXES)}); give a folder of frames"
        )
    return names


def _is_jpeg(path: Path) -> bool:
    return path.suffix.lower() in JPEG_SUFFIXES


def _decode_jpeg(data: bytes, colour: bool) -> NDArray[np.uint8]:
    """Strict, unlike cv2.imread, which returns an image from a truncated file; ValueError where damaged."""
    image: NDArray[np.uint8] = _simplejpeg().decode_jpeg(data, colorspace="RGB" if colour else "GRAY", strict=True)
    return image if colour else image[:, :, 0]


def _simplejpeg() -> ModuleType:
    try:
        return importlib.import_module("simplejpeg")
    except ImportError as error:
        raise FrameError("JPEG frames need simplejpeg, which is not installed: pip install simplejpeg") from error


def _decode_other(data: bytes, colour: bool) -> Image:
    if not data:
        raise ValueError("the file is empty")
    if data.startswith(_PNG_MAGIC) and _PNG_END not in data[-4096:]:
        raise ValueError("the PNG is truncated")  # some builds of OpenCV return the rows that are there
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

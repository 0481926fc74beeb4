"""Frames from a folder of images that are named by number."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError, InputError, StoreError
from flowkit.frames.image import Image, decode_image, orientation
from flowkit.frames.opened import Opened
from flowkit.frames.prepare import first_size
from flowkit.output.store import Place, StorePath, each

JPEG_SUFFIXES = (".jpg", ".jpeg")
IMAGE_SUFFIXES = (*JPEG_SUFFIXES, ".png", ".bmp", ".tif", ".tiff")
_DIGITS = re.compile("[0-9]+")


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
    values are divided by 257 and rounded; alpha is dropped. The EXIF orientation of JPEG and PNG is not applied
    (OpenCV applies that of TIFF); a frame whose orientation is not that of the first is a FrameError, for the two would
    not show a face the same way up.
    """

    fps: float | None = None
    variable: bool | None = None
    pixel_aspect: Fraction | None = None
    decoder = _decoders()

    def __init__(self, folder: Place) -> None:
        self.folder = folder
        self._names = numbered_images(folder)
        self._numbers = sorted(self._names)
        self.first, self.last = self._numbers[0], self._numbers[-1]
        self._orientation = self._first_orientation()

    def only(self, numbers: Iterable[int]) -> FolderSource:
        """See `FrameSource.only`."""
        part = copy.copy(self)
        part._names = {number: self._names[number] for number in numbers if number in self._names}
        part._numbers = sorted(part._names)
        return part

    def size(self) -> tuple[int, int]:
        """See `FrameSource.size`."""
        return first_size(self.read(self._numbers))

    def identity(self) -> str:
        """See `FrameSource.identity`."""
        names = [self._names[number] for number in self._numbers]
        sizes = _sizes(self.folder, names)
        listed = "".join(f"{name}\0{sizes.get(name, '')}\0" for name in names)
        digest = hashlib.sha256(listed.encode(errors="surrogateescape"))  # names of old archives may be no UTF-8
        for name in dict.fromkeys((names[0], names[len(names) // 2], names[-1])):
            with contextlib.suppress(OSError):  # a frame that cannot be read costs its own pairs
                digest.update((self.folder / name).read_bytes())
        return digest.hexdigest()

    def sha256(self) -> str:
        """See `FrameSource.sha256`."""
        names = [self._names[number] for number in self._numbers]
        digests = each(self.folder, self._sha256, names)
        lines = (f"{digest}  {name}\n" for digest, name in zip(digests, names, strict=True))
        return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()

    def numbers(self) -> Sequence[int]:
        """The numbers that have a file, ascending."""
        return self._numbers

    def seconds(self) -> None:
        """See `FrameSource.seconds`: a folder does not say."""

    def read(
        self, numbers: Iterable[int], *, colour: bool = False, opened: Opened | None = None
    ) -> Iterator[tuple[int, Image | FrameError]]:
        """Frames by number, ascending, as `FrameSource.read` says; a folder leaves nothing open."""
        wanted = sorted(set(numbers))
        yield from zip(wanted, each(self.folder, lambda number: self._frame(number, colour), wanted), strict=True)

    def _sha256(self, name: str) -> str:
        return hashlib.sha256((self.folder / name).read_bytes()).hexdigest()

    def _frame(self, number: int, colour: bool) -> Image | FrameError:
        try:
            return self._decode(number, colour=colour)
        except FrameError as error:
            return error

    def _first_orientation(self) -> int:
        """Of the first frame that can be opened; 1, upright, where there is none."""
        for number in self._numbers:
            with contextlib.suppress(OSError):
                if data := (self.folder / self._names[number]).read_bytes():
                    return orientation(data)
        return 1

    def _decode(self, number: int, *, colour: bool) -> Image:
        if number not in self._names:
            raise FrameError(
                f"{self.folder} has no frame {number}, its frames are {self.first} to {self.last}; "
                "add the file or correct the annotation"
            )
        path = self.folder / self._names[number]
        try:
            if isinstance(path, Path) and not stat.S_ISREG(path.stat().st_mode):
                raise ValueError("it is no regular file")
            data = path.read_bytes()
            if not data:
                raise ValueError("the file is empty")
            if (turned := orientation(data)) != self._orientation:
                raise FrameError(
                    f"{path}: frame {number} has the EXIF orientation {turned}, the first frame {self._orientation}; "
                    "turn all frames of the clip the same way up"
                )
            return _decode_jpeg(data, colour) if _is_jpeg(path) else decode_image(data, colour)
        except (OSError, ValueError, cv2.error) as error:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise FrameError(f"{path}: frame {number} cannot be decoded ({why}); restore the file") from error
        except StoreError as error:
            raise FrameError(f"frame {number} cannot be read: {error}") from error


def _sizes(folder: Place, names: Iterable[str]) -> dict[str, int]:
    """The size in bytes of each of these files of a folder, by name; of those that are still there."""
    if isinstance(folder, StorePath):
        return {blob.name: blob.stat().st_size for blob in folder.listing()[1]}
    sizes = {}
    for name in names:
        with contextlib.suppress(OSError):
            sizes[name] = (folder / name).stat().st_size
    return sizes


def _names(folder: Place) -> list[str]:
    """The files in a folder by name, sorted, but for hidden ones."""
    if isinstance(folder, StorePath):
        return sorted(blob.name for blob in folder.listing()[1] if not blob.name.startswith("."))
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and _is_file(entry))


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Regular files only: to open a pipe would wait for who writes into it. A link that cannot be followed is none."""
    with contextlib.suppress(OSError):
        return entry.is_file()
    return False


def numbered_images(folder: Place) -> dict[int, str]:
    """The images of a folder: file name by frame number, which is the last integer in the name.

    Raises:
        FrameError: if the folder cannot be listed.
        InputError: if two images have one number, a number has more than 18 digits, or there is none.
    """
    names: dict[int, str] = {}
    try:
        files = _names(folder)
    except OSError as error:
        raise FrameError(f"{folder} cannot be listed ({error.strerror}); make it readable") from error
    for name in files:
        stem, dot, suffix = name.rpartition(".")
        if not dot or f".{suffix.lower()}" not in IMAGE_SUFFIXES or not (digits := _DIGITS.findall(stem)):
            continue
        number = _number(folder, name, digits[-1])
        if number in names:
            raise InputError(f"{folder}: {names[number]} and {name} are both frame {number}; remove one of them")
        names[number] = name
    if not names:
        gone = ", or does not exist" if isinstance(folder, StorePath) else ""
        raise InputError(
            f"{folder} has no image named by number ({', '.join(IMAGE_SUFFIXES)}){gone}; give a folder of frames"
        )
    return names


def _number(folder: Place, name: str, digits: str) -> int:
    if len(digits.lstrip("0")) > 18:  # int64 holds every number of 18 digits
        raise InputError(f"{folder}: the number in {name} has more than 18 digits; rename the frames")
    return int(digits)


def _is_jpeg(path: Place) -> bool:
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

"""Where frames come from: folders of numbered images and videos.

    source = open_source("clips/sub01.mp4")
    for number, frame in source.read([3, 4, 17]):       # frame: (h, w) uint8, or a FrameError

A `FrameSource` holds no open file: it can be pickled and read in another process.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError, InputError
from flowkit.frames.folder import FolderSource
from flowkit.frames.opened import Opened
from flowkit.output.store import Place, place

if TYPE_CHECKING:
    from flowkit.frames.video import VideoSource

__all__ = [
    "VIDEO_SUFFIXES",
    "FolderSource",
    "FrameSource",
    "VideoSource",
    "is_video",
    "open_source",
]

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".f4v", ".mkv", ".webm", ".avi", ".wmv", ".asf", ".flv", ".ogv", ".mxf"),
    *(".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts"),
)


class FrameSource(Protocol):
    """Frames of one clip, each known by its number."""

    @property
    def first(self) -> int:
        """The lowest frame number."""

    @property
    def last(self) -> int:
        """The highest frame number, inclusive; of a video that was cut off, the last that the file promises."""

    @property
    def fps(self) -> float | None:
        """Frames a second, by the intervals around their median where they vary; None where the source does not say."""

    @property
    def variable(self) -> bool | None:
        """Whether frames come at varying intervals; None where no time stamps say."""

    @property
    def pixel_aspect(self) -> Fraction | None:
        """A pixel's width by its height; None where the source does not say. Frames are given pixel by pixel all the
        same, never stretched."""

    @property
    def decoder(self) -> str:
        """What decodes the frames, with versions: part of what made a result."""

    def only(self, numbers: Iterable[int]) -> FrameSource:
        """The same source with what reading these frames takes, and no more: small where a clip is long."""

    def size(self) -> tuple[int, int]:
        """(height, width) of the first frame that can be read, in pixels; a FrameError where there is none.

        One frame that cannot be read shall cost its own pairs only.
        """

    def identity(self) -> str:
        """SHA-256 (hex) that tells these frames from others put in their place; it survives a move and a copy.

        Of a folder: every frame's name and size, and the content of the first, the middle and the last. Of a video: the
        file's size, and what stands at its beginning, middle and end. A change that keeps all sizes and lies elsewhere
        (one uncompressed frame overwritten by another) goes unnoticed: to read everything takes as long as the
        extraction. The content of a folder's frame that cannot be read is left out. Raises OSError where a video cannot
        be read.
        """

    def sha256(self) -> str:
        """SHA-256 (hex) of all that the frames are read from, as `flowkit.frames.digest.frames_sha256` has it. Raises
        OSError where a file cannot be read.
        """

    def numbers(self) -> Sequence[int]:
        """The numbers that exist, ascending; a folder may have gaps, a video that was cut off ends before `last`."""

    def seconds(self) -> NDArray[np.float64] | None:
        """When each of `numbers()` is shown, in seconds from the first; None where the source does not say."""

    def read(
        self, numbers: Iterable[int], *, colour: bool = False, opened: Opened | None = None
    ) -> Iterator[tuple[int, NDArray[np.uint8] | NDArray[np.uint16] | FrameError]]:
        """One item for each different number, ascending: (number, frame), or (number, FrameError).

        A frame is (h, w) grey, uint8 or uint16; with `colour` it is (h, w, 3) uint8, order RGB. A missing or damaged
        frame does not end the iteration. A video is left open in `opened`, and read on from there: the frames are the
        same, sooner.
        """


def is_video(path: str | Place) -> bool:
    """Whether a file's suffix is that of a video."""
    return Path(str(path)).suffix.lower() in VIDEO_SUFFIXES


def open_source(source: str | Place, *, frame_base: int = 0) -> FrameSource:
    """The frames of a folder of numbered images, or of a video whose first frame has the number `frame_base`.

    Raises InputError where `source` is neither, or PyAV is missing; FrameError where a video cannot be read.
    """
    path = place(source)
    video = path.suffix.lower() in VIDEO_SUFFIXES
    if path.is_dir() if isinstance(path, Path) else not video:
        return FolderSource(path)
    if not path.exists():
        why = "is a link that leads nowhere" if isinstance(path, Path) and path.is_symlink() else "does not exist"
        raise InputError(f"{path} {why}; give a folder of numbered frames or a video file")
    if not path.is_file():  # to open a pipe would wait for who writes into it
        raise InputError(f"{path} is no regular file; give a folder of numbered frames or a video file")
    if not video:
        raise InputError(f"{path} is neither a folder of numbered frames nor a video ({', '.join(VIDEO_SUFFIXES)})")
    try:
        from flowkit.frames.video import VideoSource
    except ModuleNotFoundError as error:
        if error.name != "av":
            raise
        raise InputError(f"{path} is a video, which needs PyAV: pip install av") from error
    return VideoSource(path, frame_base=frame_base)


def __getattr__(name: str) -> Any:
    """PyAV is imported with the first video, so that folders of frames can be read without it."""
    if name == "VideoSource":
        return importlib.import_module("flowkit.frames.video").VideoSource
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

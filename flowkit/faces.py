"""Which part of a frame is the face, and how it becomes the solver's input: one box a clip, crop, resize."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
from numpy.typing import NDArray

from flowkit.types import Box, Clip, FrameError, InputError, fingerprint


class FaceCrop(Protocol):
    """Gives each clip one box, used for all its frames."""

    @property
    def digest(self) -> str:
        """Fingerprint of all that decides the boxes; it belongs to the parameters of a run."""

    def box(self, clip: Clip, size: tuple[int, int]) -> Box | None:
        """The clip's box in source pixels, or None for the whole frame.

        Args:
            size: (height, width) of the clip's first frame.

        Raises:
            FrameError: if the clip has no box, or one that is not inside the frame.
        """


@dataclass(frozen=True, slots=True)
class WholeFrame:
    """No crop."""

    @property
    def digest(self) -> str:
        return fingerprint("none")

    def box(self, clip: Clip, size: tuple[int, int]) -> Box | None:
        return None


@dataclass(frozen=True, slots=True)
class GivenBoxes:
    """Boxes that the user gives, by clip_id."""

    boxes: Mapping[str, Box]

    @property
    def digest(self) -> str:
        return fingerprint({clip_id: dataclasses.astuple(box) for clip_id, box in self.boxes.items()})

    def box(self, clip: Clip, size: tuple[int, int]) -> Box | None:
        box = self.boxes.get(clip.clip_id)
        if box is None:
            raise FrameError(f"{clip.clip_id}: the boxes file has no box for this clip; add one")
        _require_inside(box, size)
        return box


def parse_face(text: str) -> FaceCrop:
    """The face crop that a text names.

    - "none": the whole frame.
    - "boxes:FILE": a CSV or Parquet file with columns clip_id, left, top, width, height, in source pixels.

    Raises:
        InputError: for another text, an unreadable file, a clip_id that occurs twice, or a box that is no box.
    """
    kind, _, rest = text.partition(":")
    if text == "none":
        return WholeFrame()
    if kind == "boxes" and rest:
        return GivenBoxes(_read_boxes(Path(rest)))
    raise InputError(f"face {text!r} is unknown; choose none, or boxes:FILE with a CSV or Parquet file of boxes")


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) from "224" (a square) or "320x180" (width x height); else an InputError."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})(?:[xX]([1-9][0-9]{0,4}))?", text)
    if not found:
        raise InputError(f"size {text!r}: give pixels as one number (224) or as WIDTHxHEIGHT (320x180), 1 to 99999")
    width, height = found[1], found[2] or found[1]
    return int(height), int(width)


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
        _require_inside(box, frame.shape[:2])
        frame = frame[box.top : box.top + box.height, box.left : box.left + box.width]
    if size is None:
        return frame
    # cv2 applies INTER_AREA only where no side grows, so sides shrink first and grow after.
    height, width = frame.shape[:2]
    frame = _resize(frame, (min(height, size[0]), min(width, size[1])), cv2.INTER_AREA)
    return _resize(frame, size, cv2.INTER_CUBIC)


def _resize(frame: NDArray[Any], size: tuple[int, int], filter_: int) -> NDArray[Any]:
    if frame.shape[:2] == tuple(size):
        return frame
    resized: NDArray[Any] = cv2.resize(frame, (size[1], size[0]), interpolation=filter_)
    return resized


def _require_inside(box: Box, size: tuple[int, ...]) -> None:
    height, width = size
    if box.left < 0 or box.top < 0 or box.left + box.width > width or box.top + box.height > height:
        raise FrameError(
            f"box left={box.left}, top={box.top}, width={box.width}, height={box.height} is not inside "
            f"the frame of {width} x {height} px; correct the box"
        )


def _read_boxes(path: Path) -> dict[str, Box]:
    names = [field.name for field in dataclasses.fields(Box)]
    boxes: dict[str, Box] = {}
    from flowkit.datasets.manifest import read_rows, whole_number  # needs pyarrow, and nothing else here does

    for where, row in read_rows(path, required=("clip_id", *names)):
        box = Box(**{name: whole_number(where, name, row[name]) for name in names})
        if box.width <= 0 or box.height <= 0:
            raise InputError(f"{where}: a box of {box.width} x {box.height} px is empty; both must be above 0")
        if row["clip_id"] in boxes:
            raise InputError(f"{where}: the clip has two boxes; keep one")
        boxes[row["clip_id"]] = box
    return boxes

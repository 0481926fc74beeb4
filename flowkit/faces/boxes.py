"""Which part of a frame is the face: one box a clip, for all its frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flowkit.datasets.tables import read_rows, whole_number
from flowkit.errors import FrameError, InputError
from flowkit.frames.prepare import require_inside
from flowkit.types import Box, Clip, fingerprint


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
        require_inside(box, size)
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


def _read_boxes(path: Path) -> dict[str, Box]:
    names = [field.name for field in dataclasses.fields(Box)]
    boxes: dict[str, Box] = {}
    for where, row in read_rows(path, required=("clip_id", *names)):
        box = Box(**{name: whole_number(where, name, row[name]) for name in names})
        if box.width <= 0 or box.height <= 0:
            raise InputError(f"{where}: a box of {box.width} x {box.height} px is empty; both must be above 0")
        if row["clip_id"] in boxes:
            raise InputError(f"{where}: the clip has two boxes; keep one")
        boxes[row["clip_id"]] = box
    return boxes

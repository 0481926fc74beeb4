"""Face boxes that the user gives."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowkit.datasets.tables import column_names, read_columns, whole_number
from flowkit.errors import FrameError, InputError
from flowkit.faces.face import Face, Point
from flowkit.output.store import Place
from flowkit.types import Box, Clip, fingerprint

_BOX = tuple(field.name for field in dataclasses.fields(Box))
_EYES = ("left_eye_x", "left_eye_y", "right_eye_x", "right_eye_y")


@dataclass(frozen=True, slots=True)
class GivenBoxes:
    """Boxes, and where given eyes, by clip_id."""

    faces: Mapping[str, Face]

    @property
    def digest(self) -> str:
        """Fingerprint of all boxes and eyes."""
        return fingerprint(
            {
                clip_id: [face.left, face.top, face.width, face.height, *(face.eyes or ())]
                for clip_id, face in self.faces.items()
            }
        )

    def find(self, clip: Clip) -> Face:
        """The clip's face; a FrameError where the file has none."""
        face = self.faces.get(clip.clip_id)
        if face is None:
            raise FrameError(f"{clip.clip_id}: the boxes file has no box for this clip; add one")
        return face


def read_boxes(path: Place) -> GivenBoxes:
    """Boxes from a CSV or Parquet file with columns clip_id, left, top, width, height, in source pixels.

    Columns left_eye_x, left_eye_y, right_eye_x, right_eye_y, all of them or none, are the centres of the eyes, from the
    left of the picture or of the person; their cells may be empty.

    Raises:
        InputError: for an unreadable file, a clip_id that occurs twice, a box or an eye that is none.
    """
    required = ("clip_id", *_BOX)
    with_eyes = _with_eyes(path, required)
    table = read_columns(path, required, (*required, *with_eyes))
    faces: dict[str, Face] = {}
    for i, clip_id in enumerate(table.cells["clip_id"]):
        where = table.where(i)
        left, top, width, height = (whole_number(where, name, table.cells[name][i]) for name in _BOX)
        if width <= 0 or height <= 0:
            raise InputError(f"{where}: a box of {width} x {height} px is empty; both must be above 0")
        if clip_id in faces:
            raise InputError(f"{where}: the clip has two boxes; keep one")
        eyes = _eyes(where, [table.cells[name][i] for name in with_eyes])
        faces[clip_id] = Face(left, top, width, height, eyes=eyes, given=True)
    return GivenBoxes(faces)


def real_number(where: str, column: str, text: Any) -> float:
    """The finite number that a cell has; an InputError for anything else."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: {column}={text!r} is not a number; give a position in pixels")
    return value


def _with_eyes(path: Place, required: tuple[str, ...]) -> tuple[str, ...]:
    """The eye columns that a file has: all, or none."""
    names = column_names(path, required) if path.is_file() and path.suffix.lower() in (".csv", ".parquet") else []
    there = [name for name in _EYES if name in names]
    if there and len(there) < len(_EYES):
        missing = ", ".join(name for name in _EYES if name not in there)
        raise InputError(f"{path} has the column {there[0]} but not {missing}; give all four, or none")
    return tuple(there)


def _eyes(where: str, cells: list[Any]) -> tuple[Point, Point] | None:
    if not cells or all(cell is None for cell in cells):
        return None
    x0, y0, x1, y1 = (real_number(where, name, cell) for name, cell in zip(_EYES, cells, strict=True))
    return (x0, y0), (x1, y1)

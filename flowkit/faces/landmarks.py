"""Landmarks of a face at the first frame of a pair, from a table or a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from flowkit.datasets.tables import column_names, read_columns, whole_number
from flowkit.errors import FrameError, InputError
from flowkit.faces.boxes import real_number
from flowkit.faces.finding import DetectedFaces
from flowkit.faces.fit import Positions
from flowkit.faces.view import View
from flowkit.output.store import Place, place
from flowkit.types import fingerprint

KINDS = ("none", "csv:FILE", "yunet", "yunet:MODEL.onnx", "onnx:FILE", "mediapipe:FILE.task")


class Landmarks(Protocol):
    """Finds the landmarks of a frame; each thread has its own."""

    @property
    def digest(self) -> str:
        """Fingerprint of all that decides the landmarks; it belongs to the parameters of a run."""

    def find(self, view: View) -> Positions:
        """(k, 2), order (x, y), in pixels of `view.cut`; a FrameError where there are none."""


@dataclass(frozen=True, slots=True)
class GivenLandmarks:
    """Landmarks from a table, in source pixels, by clip_id and frame number; None stands for every frame."""

    points: Mapping[tuple[str, int | None], Positions]

    @property
    def digest(self) -> str:
        return fingerprint(
            sorted([clip_id, str(number), points.tolist()] for (clip_id, number), points in self.points.items())
        )

    def find(self, view: View) -> Positions:
        """See `Landmarks`."""
        points = self.points.get((view.clip_id, view.number), self.points.get((view.clip_id, None)))
        if points is None:
            raise FrameError(f"the landmarks file has none for frame {view.number} of this clip; add them")
        return view.to_cut(points)


class YuNetLandmarks:
    """The five points of YuNet: both eyes, the nose's tip, both corners of the mouth, as the picture's left first.

    Of the clip's face where a detector follows it, else of the largest one. They are those of a look of its own: the
    one that says whether the face is still there is coarser.
    """

    def __init__(self, model: str) -> None:
        """Raises InputError as `make_detector`."""
        self._faces = DetectedFaces("yunet", model)
        self.digest = fingerprint(["yunet", "fine look", self._faces.digest])

    def find(self, view: View) -> Positions:
        """See `Landmarks`."""
        if view.face is None:
            face = self._faces.largest(view.number, view.frame, "its points by --landmarks csv:FILE")
        else:
            face = self._faces.near(view.face, view.number, view.frame)
        return view.to_cut(np.array(face.points))


def parse_landmarks(text: str, face: str = "none") -> Landmarks | None:
    """What a text names, or None for "none".

    - "csv:FILE": a CSV or Parquet file as `read_landmarks` reads it.
    - "yunet:MODEL.onnx", or "yunet" where the faces are found by that (`face` is "yunet:MODEL.onnx"): five points.
    - "onnx:FILE", "mediapipe:FILE.task": see `flowkit.faces.landmark_models`.

    Raises:
        InputError: for another text, whatever is wrong with the file, or a package that is not installed.
    """
    kind, _, rest = text.partition(":")
    if text == "none":
        return None
    if text == "yunet" or (kind == "yunet" and rest):
        face_kind, _, face_model = face.partition(":")
        if not rest and face_kind != "yunet":
            raise InputError("--landmarks yunet needs its model file: yunet:MODEL.onnx, here or behind --face")
        return YuNetLandmarks(rest or face_model)
    if kind == "csv" and rest:
        return read_landmarks(place(rest))
    if kind in ("onnx", "mediapipe") and rest:
        from flowkit.faces.landmark_models import MediaPipeLandmarks, OnnxLandmarks

        return OnnxLandmarks(Path(rest)) if kind == "onnx" else MediaPipeLandmarks(Path(rest))
    raise InputError(f"landmarks {text!r} are unknown; choose one of {', '.join(KINDS)}")


def read_landmarks(path: Place) -> GivenLandmarks:
    """Landmarks from a CSV or Parquet file, a row a point: clip_id, point (from 0), x, y in source pixels, pixel
    centres at whole numbers; and where they differ from frame to frame, frame.

    Raises:
        InputError: for an unreadable file, a value that is no number, or points that are missing or occur twice.
    """
    required = ("clip_id", "point", "x", "y")
    framed = "frame" in column_names(path, required) if path.is_file() else False
    table = read_columns(path, required, (*required, "frame"))
    found: dict[tuple[str, int | None], dict[int, tuple[float, float]]] = {}
    for i, clip_id in enumerate(table.cells["clip_id"]):
        where = table.where(i)
        cell = table.cells["frame"][i] if framed else None
        number = None if cell is None else whole_number(where, "frame", cell)
        point = whole_number(where, "point", table.cells["point"][i])
        points = found.setdefault((clip_id, number), {})
        if point in points:
            raise InputError(f"{where}: point {point} occurs twice in one frame; keep one")
        x, y = (real_number(where, name, table.cells[name][i]) for name in ("x", "y"))
        points[point] = (x, y)
    for (clip_id, number), points in found.items():
        if sorted(points) != list(range(len(points))):
            of = f"clip {clip_id!r}" + ("" if number is None else f" frame {number}")
            raise InputError(f"{path}: {of} has points {sorted(points)}; number them from 0 without a gap")
    return GivenLandmarks({key: np.array([points[i] for i in range(len(points))]) for key, points in found.items()})

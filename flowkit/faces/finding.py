"""Which part of a clip's frames is the face: found once a clip, for all of its frames."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError, InputError
from flowkit.faces.boxes import GivenBoxes, read_boxes
from flowkit.faces.detectors import detector_names, make_detector
from flowkit.faces.face import Face, FaceDetector, Point, overlap
from flowkit.frames import FrameSource
from flowkit.frames.survey import Survey
from flowkit.output.store import place
from flowkit.types import Clip, fingerprint

_LOOK_PX = 640
"""Longer side of what a detector gets of a whole frame: faces of a twentieth of it are still found."""
_AGAIN_PX = 256
"""The same of the surroundings of a face, where it is asked only whether it is still there."""
_AROUND = 0.5
"""Surroundings on each side of a box, in widths and heights of it."""
_STILL = 0.4
"""Overlap with its first box from which a face counts as being there: it may move by some 40 % of its side."""


class FaceCrop(Protocol):
    """Gives each clip one face, which decides what is cut out of all its frames."""

    @property
    def digest(self) -> str:
        """Fingerprint of all that decides the faces; it belongs to the parameters of a run."""

    @property
    def watches(self) -> bool:
        """Whether `again` has to be asked of each frame."""

    def find(self, clip: Clip, survey: Survey) -> Face | None:
        """The clip's face in source pixels, or None for the whole frame; a FrameError where the clip has none."""

    def again(self, face: Face, number: int, frame: NDArray[Any]) -> Face:
        """The face that `find` has given, as it is in a frame (h, w); a FrameError where it is lost."""


@dataclass(frozen=True, slots=True)
class WholeFrame:
    """No crop."""

    watches = False

    @property
    def digest(self) -> str:
        return fingerprint("none")

    def find(self, clip: Clip, survey: Survey) -> None:
        return None

    def again(self, face: Face, number: int, frame: NDArray[Any]) -> Face:
        return face


@dataclass(frozen=True, slots=True)
class GivenFaces:
    """Boxes from a file. Nobody looks whether they have a face in them."""

    boxes: GivenBoxes
    watches = False

    @property
    def digest(self) -> str:
        return self.boxes.digest

    def find(self, clip: Clip, survey: Survey) -> Face:
        return self.boxes.find(clip)

    def again(self, face: Face, number: int, frame: NDArray[Any]) -> Face:
        return face


class DetectedFaces:
    """Faces that a detector finds, on the clip's onset frame, or its first where no onset is annotated."""

    watches = True

    def __init__(self, name: str, argument: str) -> None:
        """Raises InputError as `make_detector`."""
        self._name = name
        self._argument = argument
        self._own = threading.local()
        self.digest = fingerprint([name, self._detector().digest])

    def __reduce__(self) -> tuple[type[DetectedFaces], tuple[str, str]]:
        """Another process makes its own."""
        return DetectedFaces, (self._name, self._argument)

    def find(self, clip: Clip, survey: Survey) -> Face:
        """See `FaceCrop`. Of several faces it is the largest."""
        return self.in_frame(*first_frame(clip, survey))

    def in_frame(self, number: int, source: FrameSource) -> Face:
        """The largest face of a frame that is read from here."""
        with closing(source.read([number])) as frames:  # type: ignore[type-var]
            for _, frame in frames:
                if isinstance(frame, FrameError):
                    raise frame
                return self.largest(number, frame)
        raise FrameError(f"frame {number}, in which the clip's face is looked for, is not there; correct the onset")

    def largest(self, number: int, frame: NDArray[Any], instead: str = "its box by --face boxes:FILE") -> Face:
        """The largest face, weighed by score, of a frame (h, w); a FrameError, with what helps, where none is sure."""
        detector = self._detector()
        faces = self._look(frame, _LOOK_PX)
        sure = [face for face in faces if face.score >= detector.sure]
        if not sure:
            best = f"{max(face.score for face in faces):.2f}" if faces else f"below {detector.faint:.2f}"
            raise FrameError(
                f"no face is found in frame {number} (the best score is {best}, needed is {detector.sure:g}); give "
                f"{instead}"
            )
        return max(sure, key=lambda face: face.width * face.height * face.score)

    def near(self, face: Face, number: int, frame: NDArray[Any]) -> Face:
        """Of the faces of a frame (h, w) whose middle is in another's box, the one that overlaps most with it.

        It is looked for as finely as by `largest`, so its points are as good; those of `again` are not. The other may
        be another detector's. A FrameError where there is no such face.
        """
        there = [found for found in self._look(frame, _LOOK_PX) if _within(found.middle, face)]
        if not there:
            raise FrameError(
                f"no face is found in frame {number} where the clip's is, at ({face.left:.0f}, {face.top:.0f}); give "
                "its points by --landmarks csv:FILE"
            )
        return max(there, key=lambda found: overlap(found, face))

    def again(self, face: Face, number: int, frame: NDArray[Any]) -> Face:
        """See `FaceCrop`: the face nearest to where it was first."""
        height, width = frame.shape
        left, top = max(int(face.left - _AROUND * face.width), 0), max(int(face.top - _AROUND * face.height), 0)
        right = min(int(face.left + (1 + _AROUND) * face.width) + 1, width)
        bottom = min(int(face.top + (1 + _AROUND) * face.height) + 1, height)
        seen = [found.moved(left, top) for found in self._look(frame[top:bottom, left:right], _AGAIN_PX)]
        there = [found for found in seen if overlap(found, face) >= _STILL]
        if not there:
            raise FrameError(
                f"the face is lost in frame {number}: none near its box of {face.width:.0f} x {face.height:.0f} px at "
                f"({face.left:.0f}, {face.top:.0f}); leave the frame out, or give a box by --face boxes:FILE"
            )
        return max(there, key=lambda found: overlap(found, face))

    def _look(self, frame: NDArray[Any], longest: int) -> Sequence[Face]:
        """The faces with at least a faint score in a frame (h, w) that is shrunk to `longest` px first."""
        detector = self._detector()
        scale = min(1.0, longest / max(frame.shape))
        picture = grey8(frame)
        if scale < 1:
            size = (max(round(frame.shape[1] * scale), 1), max(round(frame.shape[0] * scale), 1))
            picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).reshape(size[::-1])
            scale = size[0] / frame.shape[1]
        found = detector.detect(picture)
        return [face.moved(0, 0, scale) for face in found if face.score >= detector.faint]

    def _detector(self) -> FaceDetector:
        """Each thread has its own: OpenCV's cannot be shared."""
        if not hasattr(self._own, "detector"):
            self._own.detector = make_detector(self._name, self._argument)
        detector: FaceDetector = self._own.detector
        return detector


@dataclass(frozen=True, slots=True)
class FoundFaces:
    """What others have found: the face of a clip by clip_id, or why it has none."""

    by: FaceCrop
    found: Mapping[str, Face | str]

    @property
    def digest(self) -> str:
        return self.by.digest

    @property
    def watches(self) -> bool:
        return self.by.watches

    def find(self, clip: Clip, survey: Survey) -> Face:
        face = self.found[clip.clip_id]
        if isinstance(face, str):
            raise FrameError(face)
        return face

    def again(self, face: Face, number: int, frame: NDArray[Any]) -> Face:
        return self.by.again(face, number, frame)


def parse_face(text: str) -> FaceCrop:
    """The face crop that a text names.

    - "none": the whole frame.
    - "boxes:FILE": a CSV or Parquet file as `flowkit.faces.boxes.read_boxes` reads it.
    - "yunet:MODEL.onnx", "haar" or "haar:FILE.xml", and what plug-ins add: see `flowkit.faces.detectors`.

    Raises:
        InputError: for another text, and whatever is wrong with the file.
    """
    kind, colon, rest = text.partition(":")
    if text == "none":
        return WholeFrame()
    if kind == "boxes" and rest:
        return GivenFaces(read_boxes(place(rest)))
    if kind not in detector_names() or (colon and not rest):
        raise InputError(
            f"face {text!r} is unknown; choose none, boxes:FILE with a CSV or Parquet file of boxes, or a detector: "
            f"{', '.join(detector_names())}"
        )
    return DetectedFaces(kind, rest)


def _within(point: Point, face: Face) -> bool:
    return 0 <= point[0] - face.left <= face.width and 0 <= point[1] - face.top <= face.height


def first_frame(clip: Clip, survey: Survey) -> tuple[int, FrameSource]:
    """The frame in which a clip's face is looked for, and what reading it takes; a FrameError as `Survey.opened`."""
    source = survey.opened()
    number = source.numbers()[0] if clip.onset is None else clip.onset
    return number, source.only([number])


def grey8(frame: NDArray[Any]) -> NDArray[np.uint8]:
    """A frame as detectors know pictures: uint8, of deeper ones the range that they use."""
    if frame.dtype == np.uint8:
        return np.ascontiguousarray(frame)
    scaled: NDArray[np.uint8] = (frame * (255.0 / max(int(frame.max()), 1))).astype(np.uint8)
    return scaled

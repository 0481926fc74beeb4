"""YuNet (Wu, Peng and Yu 2023), by OpenCV's FaceDetectorYN and a model file of the user's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError, InputError
from flowkit.faces.face import Face
from flowkit.output.store import require_utf8
from flowkit.types import fingerprint

_OVERLAP = 0.3
_MOST_FACES = 5000
_SMALLEST_PX = 32
"""A picture with a shorter side gives the network nothing to look at."""


class YuNet:
    """See `FaceDetector`. Gives the eyes, and five points: both eyes, the nose's tip, both corners of the mouth."""

    sure = 0.75
    faint = 0.4

    def __init__(self, model: Path) -> None:
        """Raises InputError where the file is not there, or is no such model."""
        self._model = model
        content = read_model(model, "--face yunet:MODEL.onnx")
        self.digest = fingerprint(["yunet", hashlib.sha256(content).hexdigest(), self.sure, self.faint])
        try:
            with _without_warnings():
                self._network: Any = cv2.FaceDetectorYN.create(
                    str(model), "", (_SMALLEST_PX, _SMALLEST_PX), self.faint, _OVERLAP, _MOST_FACES
                )
        except cv2.error as error:
            raise InputError(
                f"{model} cannot be loaded as a YuNet model ({first_line(error)}); give face_detection_yunet_*.onnx"
            ) from error

    def detect(self, picture: NDArray[np.uint8]) -> Sequence[Face]:
        """See `FaceDetector`."""
        height, width = picture.shape
        if min(height, width) < _SMALLEST_PX:
            return []
        try:
            self._network.setInputSize((width, height))
            _, rows = self._network.detect(np.repeat(picture[..., None], 3, 2))
        except cv2.error as error:
            raise FrameError(f"{self._model.name} fails on {width} x {height} px ({first_line(error)})") from error
        return [] if rows is None else [_face(row.tolist()) for row in rows]


@contextmanager
def _without_warnings() -> Iterator[None]:
    """OpenCV 5 warns on stderr, of each network it loads, that none can choose where it runs."""
    log = cv2.utils.logging
    before = log.setLogLevel(log.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        log.setLogLevel(before)


def read_model(path: Path, written: str) -> bytes:
    """A model file's content; an InputError where there is none, naming what was `written`, and as `require_utf8`."""
    require_utf8(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{written}: the model file {path} cannot be read ({error.strerror}); flowkit brings no models, so "
            "download it, and give its path"
        ) from error


def _face(row: list[float]) -> Face:
    """Of x, y, width, height, five points, score."""
    points = tuple((row[i], row[i + 1]) for i in range(4, 14, 2))
    return Face(row[0], row[1], row[2], row[3], eyes=(points[0], points[1]), points=points, score=row[14])


def first_line(error: cv2.error) -> str:
    """What OpenCV says, in short."""
    return str(error.err or error).strip().splitlines()[0]

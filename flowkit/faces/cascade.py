"""Cascades of boosted features (Viola and Jones 2001), by OpenCV: boxes of frontal faces, without eyes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.errors import InputError
from flowkit.faces.face import Face
from flowkit.faces.yunet import read_model
from flowkit.types import fingerprint

FRONTAL = "haarcascade_frontalface_default.xml"
_STEP = 1.1
"""Between two sizes that are tried."""
_SMALLEST = 1 / 8
"""Of a face, as a fraction of the picture's shorter side."""
_HALF_SURE = 5
"""Neighbouring hits that make a score of one half; OpenCV's samples ask for 3 to 5."""


class Cascade:
    """See `FaceDetector`. The score is n / (n + 5) of n hits around a place."""

    sure = 0.5
    faint = 0.2

    def __init__(self, path: Path | None) -> None:
        """`path` of a cascade's .xml; None for the frontal face that OpenCV 4 has with it.

        Raises:
            InputError: where there is none, or the file is no cascade.
        """
        path = path or _installed()
        content = read_model(path, "--face haar")
        self.digest = fingerprint(["haar", hashlib.sha256(content).hexdigest(), _STEP, _SMALLEST])
        if not hasattr(cv2, "CascadeClassifier"):
            raise InputError(
                f"OpenCV {cv2.__version__} has no cascades here; pip install opencv-contrib-python-headless"
            )
        self._cascade = cv2.CascadeClassifier()
        try:
            loaded = self._cascade.load(str(path))
        except (cv2.error, SystemError):  # OpenCV 5 raises both at once
            loaded = False
        if not loaded:
            raise InputError(f"{path} is no cascade that OpenCV can load; give an .xml such as {FRONTAL}")

    def detect(self, picture: NDArray[np.uint8]) -> Sequence[Face]:
        """See `FaceDetector`."""
        smallest = max(int(min(picture.shape) * _SMALLEST), 1)
        boxes, hits = self._cascade.detectMultiScale2(
            picture, scaleFactor=_STEP, minNeighbors=1, minSize=(smallest, smallest)
        )
        return [
            Face(float(left), float(top), float(width), float(height), score=float(count / (count + _HALF_SURE)))
            for (left, top, width, height), count in zip(boxes, hits, strict=True)
        ]


def _installed() -> Path:
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    path = Path(folder) / FRONTAL
    if not folder or not path.is_file():
        raise InputError(
            f"OpenCV {cv2.__version__} brings no cascades (from version 5 on it has none); give the file, as "
            f"--face haar:{FRONTAL}, or take yunet:MODEL.onnx"
        )
    return path

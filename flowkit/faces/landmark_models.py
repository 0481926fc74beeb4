"""Landmarks by models of the user's, in the cropped or aligned face."""

from __future__ import annotations

import hashlib
import importlib
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.errors import FrameError, InputError
from flowkit.faces.finding import grey8
from flowkit.faces.fit import Positions
from flowkit.faces.landmarks import View
from flowkit.faces.yunet import first_line, read_model
from flowkit.frames.prepare import prepare
from flowkit.types import fingerprint


class OnnxLandmarks:
    """A network from an ONNX file, run by OpenCV's dnn module.

    It takes one picture (1, 3 or 1, h, w) float32 on 0..1, grey in each channel, and gives 2 k numbers: x and y in
    turn, as fractions of the picture's width and height. A model with another convention has to be wrapped.
    """

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        """`size` is the (height, width) that it takes; raises InputError where the file is no such network."""
        content = read_model(path, "--landmarks onnx:FILE@SIZE")
        self.digest = fingerprint(["onnx", hashlib.sha256(content).hexdigest(), size])
        self._size = size
        self._alone = threading.Lock()
        try:
            self._network: Any = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
        except cv2.error as error:
            raise InputError(f"{path} cannot be loaded as an ONNX model: {first_line(error)}") from error
        blank, problems = np.zeros(size, np.float32), []
        for self._channels in (3, 1):
            try:
                numbers = self._run(blank)
            except cv2.error as error:
                problems.append(first_line(error))
                continue
            if numbers.size and numbers.size % 2 == 0:
                return
            problems.append(f"it gives {numbers.size} numbers")
        raise InputError(
            f"{path} is no landmark model for pictures of {size[1]} x {size[0]} px, 3 channels or 1, with x and y of "
            f"each point as its result ({'; '.join(problems)}); give the size that it takes behind @"
        )

    def find(self, view: View) -> Positions:
        """See `Landmarks`."""
        picture = prepare(grey8(view.cut), None, self._size).astype(np.float32) / np.float32(255)
        numbers = self._run(picture)
        if not np.isfinite(numbers).all():
            raise FrameError(f"the landmark model gives no finite numbers for frame {view.number}; check the model")
        return _in_cut(numbers.reshape(-1, 2), view)

    def _run(self, picture: NDArray[np.float32]) -> Positions:
        with self._alone:
            self._network.setInput(np.repeat(picture[None, None], self._channels, axis=1))
            return np.array(self._network.forward(), dtype=np.float64).ravel()


class MediaPipeLandmarks:
    """MediaPipe's face landmarker and its .task file: 468 or 478 points."""

    def __init__(self, path: Path) -> None:
        """Raises InputError where mediapipe is not installed, or the file cannot be loaded."""
        content = read_model(path, "--landmarks mediapipe:FILE.task")
        self._mediapipe = _package("mediapipe", "mediapipe:FILE.task")
        self._own = threading.local()
        self._content = content
        self._path = path
        self.digest = fingerprint(["mediapipe", hashlib.sha256(content).hexdigest(), self._mediapipe.__version__])
        self._landmarker()

    def find(self, view: View) -> Positions:
        """See `Landmarks`."""
        picture = np.repeat(grey8(view.cut)[..., None], 3, 2)
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=picture)
        faces = self._landmarker().detect(image).face_landmarks
        if not faces:
            raise FrameError(
                f"MediaPipe finds no face in what is cut out of frame {view.number}; give a --face-margin, or csv:FILE"
            )
        return _in_cut(np.array([(point.x, point.y) for point in faces[0]], dtype=np.float64), view)

    def _landmarker(self) -> Any:
        """Each thread has its own."""
        if not hasattr(self._own, "landmarker"):
            tasks = self._mediapipe.tasks
            options = tasks.vision.FaceLandmarkerOptions(
                base_options=tasks.BaseOptions(model_asset_buffer=self._content), num_faces=1
            )
            try:
                self._own.landmarker = tasks.vision.FaceLandmarker.create_from_options(options)
            except Exception as error:
                reason = str(error).splitlines()[0]
                raise InputError(f"{self._path} cannot be loaded as a face landmarker: {reason}") from error
        return self._own.landmarker


def _in_cut(fractions: Positions, view: View) -> Positions:
    """Fractions of the picture's sides, from edge to edge, as pixels."""
    height, width = view.cut.shape
    return fractions * [width, height] - 0.5


def _package(name: str, written: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"--landmarks {written} needs {name}, which is not installed: pip install {name}") from error

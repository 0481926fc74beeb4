"""Landmarks by models of the user's, in the cropped or aligned face."""

from __future__ import annotations

import hashlib
import importlib
import threading
from pathlib import Path
from typing import Any

import numpy as np

from flowkit.errors import FrameError, InputError
from flowkit.faces.finding import grey8
from flowkit.faces.fit import Positions
from flowkit.faces.view import View
from flowkit.faces.yunet import read_model
from flowkit.frames.prepare import prepare
from flowkit.onnx_files import onnx_digest, onnx_session
from flowkit.types import fingerprint


class OnnxLandmarks:
    """A network from an ONNX file, run by onnxruntime on one thread.

    It takes one picture (1, c, h, w) float32 on 0..1, h and w fixed, c being 3 or 1, grey in each channel, and gives
    2 k numbers: x and y in turn, as fractions of the picture's width and height. A model with another convention has
    to be wrapped. OpenCV's dnn module will not do: that of 5.0 gives other numbers for some valid networks.
    """

    def __init__(self, path: Path) -> None:
        """Raises InputError where onnxruntime is not installed, or the file is no such network."""
        content = read_model(path, "--landmarks onnx:FILE")
        runtime = _package("onnxruntime", "onnx:FILE")
        self.digest = fingerprint(["onnx", onnx_digest(path, content), runtime.__version__])
        try:
            self._session: Any = onnx_session(runtime, path)
        except Exception as error:
            raise InputError(f"{path} cannot be loaded as an ONNX model: {str(error).splitlines()[0]}") from error
        given, results = self._session.get_inputs(), self._session.get_outputs()
        shape = given[0].shape
        fixed = len(shape) == 4 and shape[1] in (1, 3) and all(isinstance(side, int) and side > 0 for side in shape[2:])
        if len(given) != 1 or len(results) != 1 or not fixed or given[0].type != "tensor(float)":
            raise InputError(
                f"{path} takes {[(one.type, one.shape) for one in given]} and gives {len(results)} results; a landmark "
                "model takes one float32 picture of (1, 3 or 1, height, width), its size fixed, and gives one result"
            )
        self._name, self._channels, self._size = given[0].name, shape[1], (shape[2], shape[3])

    def find(self, view: View) -> Positions:
        """See `Landmarks`."""
        picture = prepare(grey8(view.cut), None, self._size).astype(np.float32) / np.float32(255)
        given = np.repeat(picture[None, None], self._channels, axis=1)
        numbers = np.asarray(self._session.run(None, {self._name: given})[0], dtype=np.float64).ravel()
        if not numbers.size or numbers.size % 2 or not np.isfinite(numbers).all():
            raise FrameError(
                f"the landmark model gives {numbers.size} numbers for frame {view.number}, not a finite x and y of "
                "each point; check the model"
            )
        return _in_cut(numbers.reshape(-1, 2), view)


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

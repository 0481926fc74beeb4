"""A classifier that the user gives as a file: ONNX or TorchScript, with the order of its labels.

ONNX is run by onnxruntime, since OpenCV's dnn module, that of 5.0, gives other numbers for some valid networks.
TorchScript needs torch.
"""

from __future__ import annotations

import hashlib
import importlib.util
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from flowkit.errors import InputError
from flowkit.onnx_files import onnx_digest, onnx_session
from flowkit.output.store import require_utf8

CHANNELS = ("rgb", "bgr", "grey")
SCORES = ("logits", "probabilities")
_SUM_TOLERANCE = 1e-3
_OUTPUT_TYPES = ("tensor(float)", "tensor(double)", "tensor(float16)")

_Run = Callable[[NDArray[np.float32]], NDArray[Any]]
"""From a picture as `_prepared` to what the model gives for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How pictures go into a model, and what comes out of it. Raises InputError for a value that cannot be used."""

    labels: tuple[str, ...]
    """In the order of the model's outputs, in lower case."""
    size: int = 224
    """Side of the square that the model takes, px."""
    channels: str = "rgb"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Subtracted from pixels on 0 to 1, a channel each, in the order of `channels`; ImageNet's by default."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """What they are divided by then."""
    outputs: tuple[int, int] | None = None
    """First and end of the outputs that are these labels, where the model gives several attributes in one row."""
    scores: str = "logits"

    def __post_init__(self) -> None:
        if len(self.labels) < 2 or len(set(self.labels)) < len(self.labels) or not all(self.labels):
            raise InputError(f"labels {','.join(self.labels)!r}: give at least two, each once, in the model's order")
        if self.channels not in CHANNELS:
            raise InputError(f"channels {self.channels!r} is unknown; choose {', '.join(CHANNELS)}")
        if self.scores not in SCORES:
            raise InputError(f"scores {self.scores!r} is unknown; choose {', '.join(SCORES)}")
        if self.size < 1:
            raise InputError(f"size {self.size}: give the model's side in pixels, at least 1")
        count = 1 if self.channels == "grey" else 3
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != count or (name == "std" and min(values) <= 0):
                raise InputError(
                    f"{name} {values}: give {count} for channels {self.channels}" + ", above 0" * (name == "std")
                )
        if self.outputs is not None and self.outputs[1] - self.outputs[0] != len(self.labels):
            first, end = self.outputs
            raise InputError(f"outputs {first}:{end} are {end - first} for {len(self.labels)} labels; give one a label")


class Classifier:
    """A model and how it is read. Threads may share one.

    Raises:
        InputError: if the file is missing or no such model, what runs it is missing (onnxruntime, for TorchScript
            torch), or the outputs are not what the reading says.
    """

    def __init__(self, path: Path, reading: Reading) -> None:
        self.path = path
        self.reading = reading
        if not path.is_file():
            raise InputError(f"model {str(path)!r} is no file; give an .onnx or a TorchScript .pt")
        self._lock = threading.Lock()
        self._run, self.runtime, self.digest = _opened(path)
        blank = np.full((1, reading.size, reading.size, 3), 127, np.uint8)
        self.probabilities(blank)

    def __reduce__(self) -> tuple[Callable[..., Classifier], tuple[Path, Reading, str]]:
        """Another process opens the model anew."""
        return _opened_again, (self.path, self.reading, self.digest)

    @property
    def source(self) -> str:
        """What a guess of this model is marked with."""
        return f"{self.path.name} sha256:{self.digest[:16]} {self.runtime} labels {','.join(self.reading.labels)}"

    def probabilities(self, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(n, labels), each row with sum 1, of pictures (n, size, size, 3) RGB.

        Raises:
            InputError: if the model cannot take the pictures, or gives what it should not.
        """
        rows = []
        for picture in pictures:  # one by one: exported models are often fixed to a batch of one
            with self._lock:
                rows.append(self._row(self._run(_prepared(picture, self.reading))))
        return np.stack(rows)

    def _row(self, given: NDArray[Any]) -> NDArray[np.float64]:
        reading = self.reading
        values = np.asarray(given, np.float64).ravel()
        if reading.outputs is not None:
            if reading.outputs[1] > values.size:
                raise InputError(
                    f"{self.path.name} gives {values.size} outputs and --outputs goes to {reading.outputs[1]}; lower it"
                )
            values = values[slice(*reading.outputs)]
        if values.size != len(reading.labels):
            raise InputError(
                f"{self.path.name} gives {values.size} outputs for {len(reading.labels)} labels "
                f"({','.join(reading.labels)}); name all in the model's order, or say which they are (--outputs)"
            )
        if not np.isfinite(values).all():
            raise InputError(f"{self.path.name} gives {values.tolist()}; check size, mean and std")
        adds_to_one = bool(values.min() >= 0 and abs(values.sum() - 1) < _SUM_TOLERANCE)
        if reading.scores == "probabilities":
            if not adds_to_one:
                raise InputError(f"{self.path.name} gives {values.tolist()}, no probabilities; try scores logits")
            return np.asarray(values / values.sum())
        if adds_to_one:
            raise InputError(
                f"{self.path.name} gives {values.tolist()}, which look like probabilities; say --scores probabilities"
            )
        exponential = np.exp(values - values.max())
        return np.asarray(exponential / exponential.sum())


def parse_labels(text: str) -> tuple[str, ...]:
    """The labels of "White,Black,Asian", in order, in lower case: flowkit compares labels so."""
    return tuple(label.strip().casefold() for label in text.split(","))


def parse_numbers(name: str, text: str) -> tuple[float, ...]:
    """The numbers of "0.485,0.456,0.406"."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise InputError(f"{name} {text!r}: give numbers, separated by commas") from error


def parse_outputs(text: str | None) -> tuple[int, int] | None:
    """Which outputs "0:7" stands for: from the first up to the second, which is not among them."""
    if text is None:
        return None
    first, colon, end = text.partition(":")
    if not (colon and first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise InputError(f"outputs {text!r}: give FIRST:END, as 0:7 for the first seven")
    return int(first), int(end)


def _prepared(picture: NDArray[np.uint8], reading: Reading) -> NDArray[np.float32]:
    """(1, channels, size, size) float32."""
    if reading.channels == "grey":
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)[..., None]
    elif reading.channels == "bgr":
        picture = picture[..., ::-1]
    mean, std = (np.array(each, np.float32) for each in (reading.mean, reading.std))
    values = (picture.astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def _opened_again(path: Path, reading: Reading, digest: str) -> Classifier:
    """A classifier in one of several processes, which have a thread each; InputError if it is another file now."""
    if path.suffix.lower() != ".onnx":
        import torch

        torch.set_num_threads(1)
    classifier = Classifier(path, reading)
    if classifier.digest != digest:
        raise InputError(f"{str(path)!r} was replaced while it was in use; run the same command again")
    return classifier


def _opened(path: Path) -> tuple[_Run, str, str]:
    """What runs a model, the runtime's name and version, and the model's digest."""
    if path.suffix.lower() == ".onnx":
        return _onnx(path)
    if path.suffix.lower() in (".pt", ".pth", ".ts"):
        return _torchscript(path)
    raise InputError(f"model {str(path)!r}: its name must end in .onnx, or in .pt for TorchScript")


def _onnx(path: Path) -> tuple[_Run, str, str]:
    require_utf8(path)
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"{str(path)!r} is ONNX, which needs onnxruntime: pip install 'flowkit-mer[landmarks]'"
        ) from error
    digest = onnx_digest(path, path.read_bytes())
    try:
        session = onnx_session(onnxruntime, path)
    except Exception as error:
        raise InputError(f"{str(path)!r} cannot be read as ONNX ({_first_line(error)}); export it anew") from error
    name = _input_name(path, session)

    def run(values: NDArray[np.float32]) -> NDArray[Any]:
        try:
            return np.asarray(session.run(None, {name: values})[0])
        except Exception as error:
            raise InputError(
                f"{path.name} cannot take {values.shape} ({_first_line(error)}); check --size and --channels"
            ) from error

    return run, f"onnxruntime {onnxruntime.__version__}", digest


def _input_name(path: Path, session: Any) -> str:
    """What a network calls its picture; an InputError where it does not take one and give one row of numbers."""
    given, results = session.get_inputs(), session.get_outputs()
    if len(results) != 1:
        names = ", ".join(one.name for one in results)
        raise InputError(f"{str(path)!r} has {len(results)} outputs ({names}); export one of them")
    types = [one.type for one in given]
    if types != ["tensor(float)"]:
        raise InputError(f"{str(path)!r} takes {types}; export it with one float32 picture as its only input")
    if results[0].type not in _OUTPUT_TYPES:
        raise InputError(f"{str(path)!r} gives {results[0].type}; export it with a row of numbers as its output")
    return str(given[0].name)


def _torchscript(path: Path) -> tuple[_Run, str, str]:
    if importlib.util.find_spec("torch") is None:
        raise InputError(f"{str(path)!r} is TorchScript, which needs torch: pip install torch, or export it to ONNX")
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is deprecated is for those who make such files
        try:
            model = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{str(path)!r} is no TorchScript ({_first_line(error)}); save the model by torch.jit.save"
            ) from error
    model.eval()

    def run(values: NDArray[np.float32]) -> NDArray[Any]:
        try:
            with torch.inference_mode():
                given = model(torch.from_numpy(values))
        except RuntimeError as error:
            raise InputError(
                f"{path.name} cannot take {values.shape} ({_first_line(error)}); check --size and --channels"
            ) from error
        if not isinstance(given, torch.Tensor):
            raise InputError(f"{path.name} gives a {type(given).__name__}; export one of its outputs")
        return np.asarray(given.numpy())

    with path.open("rb") as file:
        return run, f"torch {torch.__version__}", hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)

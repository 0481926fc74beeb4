"""Networks whose weights are in a file beside them, as torch's exporter writes them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest

from flowkit.errors import InputError
from flowkit.faces.landmarks import parse_landmarks
from flowkit.labels.classifier import Classifier, Reading
from tests.faces.networks import light_centre
from tests.labels.conftest import PLAIN, RGB, onnx_model

pytest.importorskip("onnxruntime")


def apart(path: Path, weights: str) -> Path:
    """The network with all its weights in a file of its own."""
    onnx.save_model(
        onnx.load(path), path, save_as_external_data=True, location=weights, size_threshold=0, convert_attribute=True
    )
    return path


def with_other_weights(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[: 4 * 3] = np.float32([9, 9, 9]).tobytes()
    path.write_bytes(content)


@pytest.mark.parametrize("weights", ["w", "model.onnx.data", "weights-" * 18 + "of-a-long-name"])
def test_a_classifiers_source_is_of_its_weights_wherever_they_are(tmp_path, monkeypatch, weights):
    whole, parted = onnx_model(tmp_path / "whole.onnx"), apart(onnx_model(tmp_path / "model.onnx"), weights)
    assert (tmp_path / weights).stat().st_size
    monkeypatch.chdir(tmp_path.parent)
    reading = Reading(labels=tuple(RGB), **PLAIN)
    first, second = (Classifier(path, reading) for path in (whole, parted))
    assert first.digest == hashlib.sha256(whole.read_bytes()).hexdigest()
    pictures = np.stack([np.full((8, 8, 3), colour, np.uint8) for colour in RGB.values()])
    assert np.array_equal(first.probabilities(pictures), second.probabilities(pictures))
    with_other_weights(tmp_path / weights)
    third = Classifier(parted, reading)
    assert not np.array_equal(first.probabilities(pictures), third.probabilities(pictures))
    assert third.source != second.source


def test_landmarks_are_found_by_a_network_whose_weights_are_apart(tmp_path, monkeypatch):
    path = tmp_path / "light.onnx"
    path.write_bytes(light_centre(24, 32))
    apart(path, "light.data")
    monkeypatch.chdir(tmp_path.parent)
    before = parse_landmarks(f"onnx:{path}").digest
    with_other_weights(tmp_path / "light.data")
    assert parse_landmarks(f"onnx:{path}").digest != before


def test_weights_that_are_not_there_are_named(tmp_path):
    path = apart(onnx_model(tmp_path / "model.onnx"), "model.data")
    (tmp_path / "model.data").unlink()
    with pytest.raises(InputError, match=r"cannot be read as ONNX \(.*model\.data"):
        Classifier(path, Reading(labels=tuple(RGB), **PLAIN))


@pytest.mark.parametrize("remark", ["Lab 3, Tampere", "a\0b", "", "."])
def test_a_remark_on_a_location_is_no_file(tmp_path, remark):
    path = onnx_model(tmp_path / "model.onnx")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"location": remark})
    onnx.save_model(model, path)
    assert Classifier(path, Reading(labels=tuple(RGB), **PLAIN)).digest == hashlib.sha256(path.read_bytes()).hexdigest()

"""A model's outputs become probabilities of the labels that the user names, and nothing is assumed of them."""

import hashlib
import importlib
import os
import sys

import numpy as np
import pytest
from onnx import helper

from flowkit.errors import InputError
from flowkit.labels.classifier import Classifier, Reading, parse_labels, parse_numbers, parse_outputs
from tests.labels.conftest import GAIN, PLAIN, SIDE, onnx_model, saved, striding_model, torchscript_model

LABELS = ("red", "green", "blue")
PICTURE = np.empty((1, SIDE, SIDE, 3), np.uint8)
PICTURE[...] = (204, 51, 102)


def softmax(values):
    return np.exp(values) / np.exp(values).sum()


@pytest.mark.parametrize(("kind", "runtime"), [("onnx", "onnxruntime"), ("pt", "torch")])
def test_probabilities_are_the_softmax_of_what_the_model_gives(tmp_path, kind, runtime):
    path = (onnx_model if kind == "onnx" else torchscript_model)(tmp_path / f"m.{kind}")
    classifier = Classifier(path, Reading(labels=LABELS, **PLAIN))
    found = classifier.probabilities(np.concatenate([PICTURE, PICTURE[..., ::-1]]))
    expected = softmax(GAIN * np.array([0.8, 0.2, 0.4]))
    assert found == pytest.approx(np.stack([expected, expected[::-1]]), abs=1e-5)
    assert classifier.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    version = importlib.import_module(runtime).__version__
    expected = f"m.{kind} sha256:{classifier.digest[:16]} {runtime} {version} labels red,green,blue"
    assert classifier.source == expected


def test_a_convolution_that_pads_at_the_end_alone_sees_the_right_pixels(tmp_path):
    picture = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    picture[:, ::2, ::2, 0] = picture[:, 1::2, 1::2, 1] = 255
    found = Classifier(striding_model(tmp_path / "m.onnx"), Reading(labels=LABELS, **PLAIN)).probabilities(picture)
    assert found[0] == pytest.approx(softmax(GAIN * np.array([1.0, 0.0, 0.0])), abs=1e-5)


def test_onnx_without_its_runtime_names_the_extra(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    told = r"colours.onnx' is ONNX, which needs onnxruntime: pip install 'flowkit-mer\[landmarks\]'"
    with pytest.raises(InputError, match=told):
        Classifier(model, Reading(labels=LABELS, **PLAIN))


def test_a_network_of_several_pictures_or_results_is_refused(tmp_path):
    nodes = [helper.make_node("Add", ["x", "z"], ["y"]), helper.make_node("Neg", ["x"], ["n"])]
    sides = [1, 3, SIDE, SIDE]
    path = saved(tmp_path / "m.onnx", nodes[:1], {}, {"y": sides}, inputs=("x", "z"))
    with pytest.raises(InputError, match=r"takes \['tensor\(float\)', 'tensor\(float\)'\]; export it with one float32"):
        Classifier(path, Reading(labels=LABELS, **PLAIN))
    path = saved(tmp_path / "m.onnx", nodes, {}, {"y": sides, "n": sides}, inputs=("x", "z"))
    with pytest.raises(InputError, match=r"has 2 outputs \(y, n\); export one of them"):
        Classifier(path, Reading(labels=LABELS, **PLAIN))


def test_pictures_of_another_size_than_the_networks_are_told(model):
    with pytest.raises(InputError, match=r"cannot take \(1, 3, 9, 9\) \(.*invalid dimensions.*\); check --size and"):
        Classifier(model, Reading(labels=LABELS, **PLAIN | {"size": 9}))


def test_channels_and_normalisation_are_as_asked(model):
    turned = Classifier(model, Reading(labels=LABELS, channels="bgr", **PLAIN))
    assert turned.probabilities(PICTURE)[0] == pytest.approx(softmax(GAIN * np.array([0.4, 0.2, 0.8])), abs=1e-5)
    scaled = Reading(labels=LABELS, size=SIDE, mean=(0.8, 0.1, 0.0), std=(1.0, 0.5, 2.0))
    expected = softmax(GAIN * np.array([0.0, 0.2, 0.2]))
    assert Classifier(model, scaled).probabilities(PICTURE)[0] == pytest.approx(expected, abs=1e-5)


def test_some_of_the_outputs_can_be_the_labels(tmp_path):
    path = onnx_model(tmp_path / "m.onnx", outputs=5)
    found = Classifier(path, Reading(labels=LABELS, outputs=(0, 3), **PLAIN)).probabilities(PICTURE)
    assert found[0].argmax() == 0
    with pytest.raises(InputError, match=r"m.onnx gives 5 outputs for 3 labels \(red,green,blue\); name all in the"):
        Classifier(path, Reading(labels=LABELS, **PLAIN))
    with pytest.raises(InputError, match="gives 5 outputs and --outputs goes to 6; lower it"):
        Classifier(path, Reading(labels=LABELS, outputs=(3, 6), **PLAIN))


def test_probabilities_are_not_taken_for_logits(tmp_path):
    path = onnx_model(tmp_path / "m.onnx", softmax=True)
    with pytest.raises(InputError, match="look like probabilities; say --scores probabilities"):
        Classifier(path, Reading(labels=LABELS, **PLAIN))
    found = Classifier(path, Reading(labels=LABELS, scores="probabilities", **PLAIN)).probabilities(PICTURE)
    assert found[0] == pytest.approx(softmax(GAIN * np.array([0.8, 0.2, 0.4])), abs=1e-5)


def test_logits_are_not_taken_for_probabilities(model):
    with pytest.raises(InputError, match="no probabilities; try scores logits"):
        Classifier(model, Reading(labels=LABELS, scores="probabilities", **PLAIN))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.onnx", None, "is no file; give an .onnx or a TorchScript .pt"),
        ("m.onnx", b"hello", "cannot be read as ONNX"),
        (os.fsdecode(b"gr\xf6\xdfe.onnx"), b"hello", "has bytes that are no UTF-8; rename that file or folder"),
        ("m.pt", b"hello", "is no TorchScript"),
        ("m.h5", b"hello", "its name must end in .onnx, or in .pt for TorchScript"),
    ],
)
def test_what_is_no_model_is_said(tmp_path, name, content, sentence):
    if content:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        Classifier(tmp_path / name, Reading(labels=LABELS, **PLAIN))


@pytest.mark.parametrize(
    ("reading", "sentence"),
    [
        ({"labels": ("red",)}, "labels 'red': give at least two"),
        ({"labels": ("red", "red")}, "give at least two, each once, in the model's order"),
        ({"channels": "yuv"}, "channels 'yuv' is unknown"),
        ({"channels": "grey"}, r"mean .* give 1 for channels grey"),
        ({"std": (1.0, 0.0, 1.0)}, "std .* give 3 for channels rgb, above 0"),
        ({"outputs": (0, 2)}, "outputs 0:2 are 2 for 3 labels"),
        ({"scores": "odds"}, "scores 'odds' is unknown"),
    ],
)
def test_a_reading_that_cannot_be_used_is_refused(reading, sentence):
    with pytest.raises(InputError, match=sentence):
        Reading(**({"labels": LABELS} | reading))


def test_texts_become_values():
    assert parse_labels("White, Black,ASIAN") == ("white", "black", "asian")
    assert parse_numbers("mean", "0.5,1") == (0.5, 1.0)
    assert parse_outputs("0:7") == (0, 7)
    for text in ("7", "7:0", "a:b"):
        with pytest.raises(InputError, match="give FIRST:END"):
            parse_outputs(text)
    with pytest.raises(InputError, match="mean 'x': give numbers"):
        parse_numbers("mean", "x")

"""OpenCV's FaceDetectorYN on a network of YuNet's form, and on the real one where its file is at hand."""

import os
import shutil

import numpy as np
import pytest

from flowkit.errors import InputError
from flowkit.faces.finding import parse_face
from flowkit.faces.yunet import YuNet
from tests.faces.models import yunet_model
from tests.faces.networks import POINTS, SQUARE, yunet


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("yunet") / "squares.onnx"
    path.write_bytes(yunet())
    return path


def squares(*places):
    picture = np.zeros((128, 192), np.uint8)
    for left, top, light in places:
        picture[top : top + SQUARE, left : left + SQUARE] = light
    return picture


def test_faces_have_box_eyes_points_and_score(model):
    (found,) = YuNet(model).detect(squares((96, 32, 255), (0, 64, 20)))
    assert (found.left, found.top, found.width, found.height) == pytest.approx((96, 32, SQUARE, SQUARE))
    assert np.array(found.points) == pytest.approx(np.array([96, 32]) + SQUARE * np.array(POINTS))
    assert found.eyes == found.points[:2]
    assert found.score == pytest.approx(1, abs=1e-3)


def test_faint_faces_are_seen_with_their_score(model):
    detector = YuNet(model)
    faces = detector.detect(squares((96, 32, 255), (0, 64, 90)))
    assert sorted(face.score for face in faces) == pytest.approx([(90 / 255) ** 0.5, 1], abs=0.01)
    assert detector.faint < (90 / 255) ** 0.5 < detector.sure


def test_pictures_of_any_size(model):
    detector = YuNet(model)
    assert detector.detect(np.zeros((20, 400), np.uint8)) == []
    assert len(detector.detect(np.full((32, 64), 255, np.uint8))) == 2
    assert len(detector.detect(np.full((70, 40), 255, np.uint8))) >= 2


def test_the_digest_is_of_the_model(model, tmp_path):
    other = tmp_path / "other.onnx"
    other.write_bytes(model.read_bytes())
    assert parse_face(f"yunet:{other}").digest == parse_face(f"yunet:{model}").digest
    other.write_bytes(model.read_bytes().replace(b"test", b"best"))
    assert parse_face(f"yunet:{other}").digest != parse_face(f"yunet:{model}").digest


def test_a_model_that_is_missing_or_is_none_is_told(tmp_path):
    with pytest.raises(InputError, match="needs its model file"):
        parse_face("yunet")
    with pytest.raises(InputError, match=r"absent.onnx cannot be read .*; flowkit brings no models"):
        parse_face(f"yunet:{tmp_path / 'absent.onnx'}")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(InputError, match="cannot be loaded as a YuNet model"):
        parse_face(f"yunet:{tmp_path / 'text.onnx'}")


def test_a_path_that_is_no_utf8_is_refused(model, tmp_path):
    """OpenCV ends the process on it."""
    odd = shutil.copy(model, tmp_path / os.fsdecode(b"gr\xf6\xdfe.onnx"))
    with pytest.raises(InputError, match="has bytes that are no UTF-8; rename that file or folder"):
        parse_face(f"yunet:{odd}")


def test_the_real_model_finds_the_portrait(capfd):
    detector = YuNet(yunet_model())
    assert capfd.readouterr().err == ""
    data = pytest.importorskip("skimage.data")
    picture = np.ascontiguousarray(data.astronaut().mean(axis=2).astype(np.uint8))
    faces = detector.detect(picture)
    best = max(faces, key=lambda face: face.score)
    assert best.score > YuNet.sure
    # Read off the picture: the eyes.
    assert np.array(sorted(best.eyes)) == pytest.approx(np.array([(202, 107), (247, 108)]), abs=6)

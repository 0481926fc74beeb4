"""Cascades: the portrait's face is found, with one that is at hand everywhere."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from flowkit.errors import InputError
from flowkit.faces.cascade import FRONTAL, Cascade
from flowkit.faces.finding import parse_face
from tests.faces.cascades import lbp_cascade

INSTALLED = Path(cv2.data.haarcascades) / FRONTAL


@pytest.fixture(scope="module")
def portrait():
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut().mean(axis=2).astype(np.uint8))


def require_the_face(cascade, picture):
    best = max(cascade.detect(picture), key=lambda face: face.score)
    assert best.score >= cascade.sure
    x, y = best.middle
    # Read off the picture: the face, from hairline to chin, is 100 px high around (224, 118).
    assert abs(x - 224) < 15
    assert abs(y - 118) < 20
    assert 80 < best.width < 160
    assert best.eyes is None


def test_a_given_cascade_finds_the_portrait(portrait, tmp_path):
    cascade = Cascade(lbp_cascade(tmp_path))
    require_the_face(cascade, portrait)
    assert [face for face in cascade.detect(np.full((200, 200), 90, np.uint8)) if face.score >= cascade.sure] == []


@pytest.mark.skipif(not INSTALLED.is_file(), reason=f"OpenCV {cv2.__version__} brings no cascades")
def test_the_installed_cascade_finds_the_portrait(portrait):
    require_the_face(Cascade(None), portrait)


@pytest.mark.skipif(INSTALLED.is_file(), reason=f"OpenCV {cv2.__version__} brings cascades")
def test_without_one_the_remedy_is_told():
    with pytest.raises(InputError, match=f"OpenCV .* brings no cascades .*haar:{FRONTAL}, or take yunet:MODEL.onnx"):
        parse_face("haar")


def test_what_is_no_cascade_is_told(tmp_path):
    with pytest.raises(InputError, match=r"absent\.xml cannot be read"):
        parse_face(f"haar:{tmp_path / 'absent.xml'}")
    (tmp_path / "other.xml").write_text("<opencv_storage></opencv_storage>")
    with pytest.raises(InputError, match=r"other\.xml is no cascade that OpenCV can load"):
        parse_face(f"haar:{tmp_path / 'other.xml'}")
    with pytest.raises(InputError, match="face 'haar:' is unknown"):
        parse_face("haar:")


def test_the_digest_is_of_the_file(tmp_path):
    path = lbp_cascade(tmp_path)
    before = Cascade(path).digest
    path.write_text(path.read_text() + "\n")
    assert Cascade(path).digest != before

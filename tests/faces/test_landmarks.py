"""Landmarks from tables and models, in pixels of the cube."""

import importlib.util

import numpy as np
import pytest

from flowkit.errors import FrameError, InputError
from flowkit.faces.face import Face
from flowkit.faces.fit import mapped
from flowkit.faces.landmarks import parse_landmarks
from flowkit.faces.view import View
from flowkit.types import Box
from tests.faces.networks import SQUARE, light_centre, yunet
from tests.onnx_files import model, node

HEADER = "clip_id,frame,point,x,y\n"


def view(number=1, cut=None, face=None, frame=None):
    """A frame of 40 x 60 px, of which (10, 5) .. (30, 25) is cut out and made twice as large."""
    return View(
        "a",
        number,
        np.zeros((40, 60), np.uint8) if frame is None else frame,
        np.zeros((40, 40), np.uint8) if cut is None else cut,
        face,
        lambda points: mapped(points, Box(10, 5, 20, 20), None, (40, 40)),
    )


def table(folder, text, header=HEADER):
    path = folder / "marks.csv"
    path.write_text(header + text, encoding="utf-8")
    return f"csv:{path}"


def test_a_table_gives_each_frame_its_points_and_the_others_the_clip_s(tmp_path):
    given = parse_landmarks(table(tmp_path, "a,,1,12,6\na,,0,10,5\na,4,0,20,15\nb,1,0,0,0\n"))
    assert given.find(view(1)).tolist() == [[0.5, 0.5], [4.5, 2.5]]
    assert given.find(view(4)).tolist() == [[20.5, 20.5]]
    only = parse_landmarks(table(tmp_path, "a,0,20,15\n", header="clip_id,point,x,y\n"))
    assert only.find(view(9)).tolist() == [[20.5, 20.5]]
    framed = parse_landmarks(table(tmp_path, "a,4,0,20,15\n"))
    with pytest.raises(FrameError, match="has none for frame 3 of this clip"):
        framed.find(view(3))


def test_the_digest_is_of_the_points(tmp_path):
    digests = [
        parse_landmarks(table(tmp_path, text)).digest for text in ("a,1,0,2,3\n", "a,1,0,2.0,3\n", "a,2,0,2,3\n")
    ]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,1,0,2,3\na,1,2,2,3\n", r"clip 'a' frame 1 has points \[0, 2\]; number them from 0"),
        ("a,,0,2,3\na,,0,2,3\n", "line 3, clip 'a': point 0 occurs twice"),
        ("a,1,0,left,3\n", "line 2, clip 'a': x='left' is not a number"),
        ("a,1,0,nan,3\n", "x='nan' is not a number"),
        ("a,1,nose,2,3\n", "point='nose' is not a whole number"),
        ("a,1.5,0,2,3\n", "frame='1.5' is not a whole number"),
    ],
)
def test_a_bad_row_is_told(tmp_path, text, told):
    with pytest.raises(InputError, match=told):
        parse_landmarks(table(tmp_path, text))


@pytest.mark.parametrize(
    "text", ["", "none:", "csv", "csv:", "csv:absent.csv", "dlib", "yunet", "yunet:absent", "mesh:a"]
)
def test_unusable_text_is_refused(text):
    with pytest.raises(InputError):
        parse_landmarks(text)
    assert parse_landmarks("none") is None


def in_cut(x, y):
    return pytest.approx([2 * (x - 10 + 0.5) - 0.5, 2 * (y - 5 + 0.5) - 0.5])


def light_squares(*places):
    """A frame with a face of the network's for each (left, top, light)."""
    frame = np.zeros((96, 96), np.uint8)
    for left, top, light in places:
        frame[top : top + SQUARE, left : left + SQUARE] = light
    return frame


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    path = tmp_path_factory.mktemp("yunet") / "squares.onnx"
    path.write_bytes(yunet())
    return path


def test_yunet_gives_the_points_of_its_own_look_whichever_detector_follows_the_face(squares, tmp_path):
    """That a face is still there is seen in a picture that is shrunk further: its points are not good enough."""
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(squares.read_bytes())
    coarse = Face(62, 30, 34, 34, points=((1.0, 1.0),) * 5)
    shown = view(face=coarse, frame=light_squares((64, 32, 255)))
    finders = [
        parse_landmarks("yunet", f"yunet:{squares}"),
        parse_landmarks(f"yunet:{squares}", f"yunet:{squares}"),
        parse_landmarks(f"yunet:{copy}", f"yunet:{squares}"),
        parse_landmarks(f"yunet:{squares}", "haar"),
    ]
    for finder in finders:
        assert finder.find(shown)[2] == in_cut(80, 48)
        assert finder.find(shown).shape == (5, 2)
    assert len({finder.digest for finder in finders}) == 1


def test_yunet_s_points_are_those_of_the_clip_s_face(squares):
    finder = parse_landmarks(f"yunet:{squares}", "none")
    frame = light_squares((0, 32, 100), (64, 32, 255))  # faint and sure
    assert finder.find(view(frame=frame))[2] == in_cut(80, 48)
    assert finder.find(view(face=Face(2, 30, 32, 32), frame=frame))[2] == in_cut(16, 48)
    needed = r"\(the best score is below 0.40, needed is 0.75\); give its points by --landmarks csv:FILE"
    with pytest.raises(FrameError, match="no face is found in frame 3 " + needed):
        finder.find(view(3, frame=light_squares()))
    with pytest.raises(FrameError, match=r"no face is found in frame 3 where the clip's is, at \(0, 0\); give its"):
        finder.find(view(3, face=Face(0, 0, 32, 32), frame=frame))


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 1), (np.uint8, 3), (np.uint16, 3)])
def test_a_network_sees_the_cut_face_in_its_own_size(tmp_path, dtype, channels):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "light.onnx"
    path.write_bytes(light_centre(24, 32, points=2, channels=channels))
    finder = parse_landmarks(f"onnx:{path}")
    y, x = np.mgrid[:48, :96]
    light = np.exp(-((x - 60.0) ** 2 + (y - 17.0) ** 2) / 32) * np.iinfo(dtype).max
    points = finder.find(view(cut=light.astype(dtype)))
    assert points == pytest.approx(np.array([[60.0, 17.0], [60.0, 17.0]]), abs=0.1)


def test_what_is_no_network_is_told(tmp_path):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "text.onnx"
    path.write_text("no network")
    with pytest.raises(InputError, match="cannot be loaded as an ONNX model"):
        parse_landmarks(f"onnx:{path}")
    with pytest.raises(InputError, match=r"absent\.onnx cannot be read"):
        parse_landmarks(f"onnx:{tmp_path / 'absent.onnx'}")
    path.write_bytes(yunet())
    with pytest.raises(InputError, match="and gives 12 results; a landmark model takes"):
        parse_landmarks(f"onnx:{path}")
    path.write_bytes(model((1, 8), [node("Relu", ["input"], "output")], {}, {"output": (1, 8)}))
    with pytest.raises(InputError, match=r"takes .*, \[1, 8\].* and gives 1 results; a landmark model"):
        parse_landmarks(f"onnx:{path}")


@pytest.mark.skipif(importlib.util.find_spec("mediapipe") is not None, reason="mediapipe is installed")
def test_mediapipe_is_asked_for_by_name(tmp_path):
    (tmp_path / "face.task").write_bytes(b"bundle")
    with pytest.raises(InputError, match="needs mediapipe, which is not installed: pip install mediapipe"):
        parse_landmarks(f"mediapipe:{tmp_path / 'face.task'}")

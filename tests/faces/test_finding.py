"""Detectors, plug-ins among them: one face a clip, and whether later frames still have it."""

import cv2
import numpy as np
import pytest

from flowkit.errors import FrameError, InputError
from flowkit.faces.detectors import detector_names
from flowkit.faces.face import Face, overlap
from flowkit.faces.finding import parse_face
from flowkit.frames.survey import survey
from flowkit.types import Clip
from tests.faces.plugin import install


def frame(*squares, size=(120, 160), dtype=np.uint8):
    """A dim frame with light squares at (left, top, side)."""
    picture = np.full(size, 20, dtype)
    for left, top, side in squares:
        picture[top : top + side, left : left + side] = 240
    return picture


def clip(folder, frames, **options):
    """A clip of frames 1, 2, ..."""
    folder.mkdir()
    for number, picture in enumerate(frames, start=1):
        assert cv2.imwrite(str(folder / f"{number}.png"), picture)
    return Clip(clip_id="c", source=str(folder), **options)


def find(face, made):
    return face.find(made, survey([made])["c"])


@pytest.mark.usefixtures("brightest")
def test_a_plug_in_finds_the_face_of_the_onset_frame(tmp_path):
    assert "brightest" in detector_names()
    frames = [frame(), frame((50, 40, 30)), frame((60, 40, 30))]
    face = parse_face("brightest")
    found = find(face, clip(tmp_path / "a", frames, onset=2))
    assert (found.left, found.top, found.width, found.height) == (50, 40, 30, 30)
    assert face.watches
    with pytest.raises(FrameError, match=r"found in frame 1 \(the best score is below 0.50, needed is 0.9\)"):
        find(face, clip(tmp_path / "b", frames))
    frames[0][10:40, 10:40] = 240
    frames[0][10:25, 10:25] = 20  # three quarters of its box
    with pytest.raises(FrameError, match=r"found in frame 1 \(the best score is 0.75, needed is 0.9\)"):
        find(face, clip(tmp_path / "d", frames))
    with pytest.raises(FrameError, match="has no frame 7, its frames are 1 to 3"):
        find(face, clip(tmp_path / "c", frames, onset=7))


@pytest.mark.usefixtures("brightest")
def test_of_several_faces_it_is_the_largest(tmp_path):
    assert (
        find(parse_face("brightest"), clip(tmp_path / "a", [frame((5, 5, 20), (70, 60, 40), (5, 80, 30))])).left == 70
    )


@pytest.mark.usefixtures("brightest")
@pytest.mark.parametrize(("size", "dtype"), [((600, 1300), np.uint8), ((120, 160), np.uint16)])
def test_large_and_deep_frames_are_seen_in_their_own_pixels(tmp_path, size, dtype):
    face = parse_face("brightest:180")
    found = find(face, clip(tmp_path / "a", [frame((60, 40, 64), size=size, dtype=dtype)]))
    assert (found.left, found.top, found.width) == pytest.approx((60, 40, 64), abs=2.1)
    # Centres are half a pixel off edges, at every scale.
    assert found.eyes[0] == pytest.approx((found.left + 0.3 * found.width, found.top + 0.4 * found.height), abs=1)


@pytest.mark.usefixtures("brightest")
def test_a_face_may_move_by_a_part_of_itself_and_is_then_lost(tmp_path):
    face = parse_face("brightest")
    first = find(face, clip(tmp_path / "a", [frame((60, 40, 40))]))
    for left, top in ((60, 40), (75, 40), (50, 48)):
        again = face.again(first, 5, frame((left, top, 40), (0, 0, 8)))
        assert (again.left, again.top) == (left, top)
        assert again.eyes[0] == pytest.approx((left + 12, top + 16))
    for squares in ([], [(82, 40, 40)], [(0, 0, 30)]):
        with pytest.raises(FrameError, match=r"lost in frame 5: none near its box of 40 x 40 px at \(60, 40\)"):
            face.again(first, 5, frame(*squares))


@pytest.mark.usefixtures("brightest")
def test_the_argument_and_the_detector_decide_the_digest():
    digests = {parse_face(text).digest for text in ("brightest", "brightest:199", "brightest:200", "none")}
    assert len(digests) == 3


def test_an_unknown_detector_is_told_with_those_that_there_are():
    with pytest.raises(InputError, match=r"face 'retina:x' is unknown; choose none, boxes:FILE .*: haar, yunet"):
        parse_face("retina:x")


def test_two_packages_cannot_have_one_name(tmp_path, monkeypatch):
    install(tmp_path / "a", monkeypatch, "haar = tests.faces.brightest:make", package="one")
    with pytest.raises(InputError, match=r"'haar' is claimed by flowkit itself, tests.faces.brightest:make of one"):
        parse_face("haar")


@pytest.mark.parametrize(
    ("point", "argument", "told"),
    [
        ("tests.faces.absent:make", "", "ModuleNotFoundError"),
        ("tests.faces.brightest:make", ":many", "ValueError"),
        ("builtins:str", "", "AttributeError"),
    ],
)
def test_a_broken_plug_in_is_named(tmp_path, monkeypatch, point, argument, told):
    install(tmp_path / "a", monkeypatch, f"broken = {point}")
    with pytest.raises(InputError, match=rf"'broken' \({point} of brightest\) cannot be used: {told}"):
        parse_face(f"broken{argument}")


def test_overlap_of_boxes():
    a = Face(0, 0, 10, 10)
    assert overlap(a, a) == 1
    assert overlap(a, Face(5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert overlap(a, Face(10, 0, 10, 10)) == 0

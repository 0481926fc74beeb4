"""The frames of one clip, cropped to a face that each of them still has to show."""

import cv2
import numpy as np
import pytest

from flowkit.errors import FrameError
from flowkit.extraction import clip_frames
from flowkit.extraction.clip_frames import ClipFrames, Surveys
from flowkit.faces.finding import parse_face
from flowkit.frames.survey import survey_source
from flowkit.keyframes.reselect import reselect
from flowkit.keyframes.spot import spot
from flowkit.types import Clip
from tests.clips import video
from tests.faces.brightest import Brightest
from tests.faces.plugin import install

LEAVES = [(60, 40), (61, 40), (62, 40), None, (62, 40)]


@pytest.fixture(autouse=True)
def brightest(tmp_path, monkeypatch):
    install(tmp_path / "site", monkeypatch, "brightest = tests.faces.brightest:make")


def lit(folder, places, light=240, dtype=np.uint8):
    """A clip whose frames 1, 2, ... have a light square of 40 px at each place, or none."""
    folder.mkdir()
    for number, place in enumerate(places, start=1):
        frame = np.full((120, 160), light // 12, dtype)
        if place is not None:
            frame[place[1] : place[1] + 40, place[0] : place[0] + 40] = light
        assert cv2.imwrite(str(folder / f"{number}.png"), frame)
    return Clip(clip_id="c", source=str(folder))


@pytest.mark.parametrize("colour", [False, True])
def test_a_frame_without_the_face_is_none(tmp_path, colour):
    frames = ClipFrames(lit(tmp_path / "c", LEAVES), parse_face("brightest"), (32, 32))
    there = dict(frames.read([1, 2, 3, 5], colour=colour))
    assert list(there) == [1, 2, 3, 5]
    assert there[1].shape == ((32, 32, 3) if colour else (32, 32))
    with pytest.raises(FrameError, match=r"^the face is lost in frame 4: none near its box of 40 x 40 px at"):
        list(frames.read(range(1, 6), colour=colour))


@pytest.mark.parametrize("colour", [False, True])
def test_each_frame_is_looked_at_once(tmp_path, monkeypatch, colour):
    frames = ClipFrames(lit(tmp_path / "c", LEAVES[:3]), parse_face("brightest"))
    looks = []
    detect = Brightest.detect
    monkeypatch.setattr(Brightest, "detect", lambda self, picture: looks.append(picture) or detect(self, picture))
    assert len(list(frames.read([1, 2, 3, 3], colour=colour))) == 3
    assert [look.shape for look in looks] == [(81, 81)] * 3  # around the box only


def test_frames_in_colour_are_looked_at_in_grey_as_extraction_does(tmp_path):
    """Of deep pictures, colour has the upper eight bits, in which a dark face is not seen."""
    frames = ClipFrames(lit(tmp_path / "c", LEAVES[:3], light=3000, dtype=np.uint16), parse_face("brightest"))
    assert max(frame.max() for _, frame in frames.read([1, 2, 3], colour=True)) < 20


def test_nobody_looks_whether_given_boxes_have_a_face(tmp_path):
    (tmp_path / "boxes.csv").write_text("clip_id,left,top,width,height\nc,60,40,40,40\n")
    for face in (parse_face(f"boxes:{tmp_path / 'boxes.csv'}"), None):
        folder = tmp_path / ("whole" if face is None else "boxed")
        assert len(list(ClipFrames(lit(folder, LEAVES), face).read(range(1, 6)))) == 5


def test_a_video_is_surveyed_once_for_those_of_its_clips_that_follow_each_other(tmp_path, monkeypatch):
    films = [str(video(tmp_path / name, 12)) for name in ("a.mp4", "b.mp4")]
    surveyed, surveys = [], Surveys()
    monkeypatch.setattr(clip_frames, "survey_source", lambda *key: surveyed.append(key[0]) or survey_source(*key))
    for number, film in enumerate([films[0]] * 3 + [films[1]] * 2):
        ((found, _),) = ClipFrames(Clip(clip_id=f"c{number}", source=film), surveys=surveys).read([number])
        assert found == number
    assert surveyed == films


@pytest.mark.parametrize("search", [reselect, spot])
def test_clips_of_one_video_are_searched_together_as_each_alone(tmp_path, search):
    film = str(video(tmp_path / "a.mp4", 40))
    clips = [Clip(clip_id=f"c{i}", source=film, onset=i, apex=i + 5, offset=i + 12) for i in range(0, 25, 5)]
    together = search(clips, workers=3)
    assert [one.apex for one in together] == [search([clip])[0].apex for clip in clips]

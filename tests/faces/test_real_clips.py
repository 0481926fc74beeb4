"""Faces in real video: found where they are, missed where they are not, and lost when they leave.

The clips are not the project's: FLOWKIT_TEST_CLIPS names the folder that has them.
"""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from flowkit.errors import FrameError
from flowkit.extraction.run import extract
from flowkit.faces.face import Face
from flowkit.faces.finding import parse_face
from flowkit.faces.fit import align, crop
from flowkit.faces.landmarks import parse_landmarks
from flowkit.faces.view import View
from flowkit.faces.yunet import YuNet
from flowkit.frames import open_source
from flowkit.frames.prepare import prepare, warp
from flowkit.frames.survey import survey
from flowkit.keyframes.reselect import reselect
from flowkit.keyframes.spot import spot
from flowkit.motion.flow import tvl1_flow
from flowkit.motion.stabilise import head_motion, mean_flow, parse_stabilise, without_motion
from flowkit.output.shard import read
from flowkit.types import Clip
from tests.faces.cascades import lbp_cascade
from tests.faces.models import yunet_model

pytestmark = pytest.mark.skipif("FLOWKIT_TEST_CLIPS" not in os.environ, reason="FLOWKIT_TEST_CLIPS names no folder")

EXPRESSIONS = "pexels_expressions.mp4"
EYES = {
    0: (370.4, 179.1, 470.3, 172.6),
    48: (396.9, 155.8, 496.4, 164.6),
    96: (384.4, 207.2, 488.6, 211.8),
    144: (380.5, 154.2, 483.6, 157.1),
    192: (384.5, 131.0, 484.7, 131.5),
    240: (401.4, 134.5, 503.6, 136.5),
    288: (400.7, 132.7, 503.4, 136.6),
    336: (408.1, 139.2, 515.5, 145.7),
    384: (437.5, 150.9, 538.4, 158.1),
}
"""Centres of the eyes in some frames of it, found by another program (MediaPipe's face mesh): x and y of either."""
BOXED = (0, 48, 192, 240, 288)
"""Those in which the cascade finds the face."""


def clip(name, **options):
    return Clip(clip_id=name, source=str(Path(os.environ["FLOWKIT_TEST_CLIPS"]) / name), **options)


@pytest.fixture(scope="module")
def haar(tmp_path_factory):
    return f"haar:{lbp_cascade(tmp_path_factory.mktemp('cascade'))}"


@pytest.fixture(scope="module")
def frames():
    """Every frame of the expressions that a test needs, by number."""
    numbers = sorted({number + more for number in EYES for more in (0, 3)})
    return dict(open_source(clip(EXPRESSIONS).source).read(numbers))


def test_the_box_is_on_the_face(haar):
    faces = parse_face(haar)
    for number in BOXED:
        face = faces.find(clip(EXPRESSIONS, onset=number), survey([clip(EXPRESSIONS)])[EXPRESSIONS])
        box = crop(face, (360, 640)).box
        eyes = np.array(EYES[number]).reshape(2, 2) - (box.left, box.top)
        across, down = eyes.mean(axis=0) / (box.width, box.height)
        assert 0.4 < across < 0.6
        assert 0.3 < down < 0.5
        assert 0.25 < np.hypot(*(eyes[0] - eyes[1])) / box.width < 0.55


def test_pairs_fail_from_where_the_face_is_lost(haar, tmp_path):
    # It has left at frame 72 and does not come back.
    leaves = clip("face_noface.mov", onset=48, offset=96)
    extract([leaves], tmp_path / "out", pairs="lag:8", preset="fast", size=32, face=haar, workers=1)
    shards = read(tmp_path / "out")
    assert [row["frame0"] for row in shards] == list(range(48, 64))
    failures = shards.failures().to_pylist()
    assert len(failures) == 25
    assert failures[0]["error"].startswith("face_noface.mov: the face is lost in frame 72: none near its box of ")


def test_a_clip_without_a_face_has_failures_only(haar, tmp_path):
    summary = extract([clip("no_face.mp4")], tmp_path / "out", pairs="lag:30", preset="fast", face=haar, workers=1)
    assert summary.computed == 0
    for row in read(tmp_path / "out").failures().to_pylist():
        assert row["error"].startswith("no_face.mp4: no face is found in frame 0 (the best score is ")


def likeness(pictures):
    """Mean correlation of pictures with each other."""
    each = np.corrcoef([picture[16:-16, 16:-16].ravel() for picture in pictures])
    return float(each[np.triu_indices(len(pictures), 1)].mean())


def test_aligned_faces_lie_on_each_other_as_boxes_do_not(haar, frames):
    faces, found = parse_face(haar), survey([clip(EXPRESSIONS)])[EXPRESSIONS]
    boxed, aligned = [], []
    for number in BOXED:
        x0, y0, x1, y1 = EYES[number]
        placed = align(Face(0, 0, 1, 1, eyes=((x0, y0), (x1, y1))), (360, 640), 128)
        aligned.append(warp(frames[number], placed.transform, placed.shape))
        box = crop(faces.find(clip(EXPRESSIONS, onset=number), found), (360, 640)).box
        boxed.append(prepare(frames[number], box, (128, 128)))
    assert likeness(aligned) > likeness(boxed) + 0.05


def test_eyes_that_yunet_finds_are_where_another_program_has_them(frames):
    detector = YuNet(yunet_model())
    away = []
    for number, eyes in EYES.items():
        face = max(detector.detect(frames[number].astype(np.uint8)), key=lambda found: found.score)
        assert face.score > YuNet.sure
        away += list(np.hypot(*(np.array(sorted(face.eyes)) - np.array(eyes).reshape(2, 2)).T))
    # The eyes are 100 px apart.
    assert np.mean(away) < 6
    assert np.max(away) < 15


def test_faces_that_yunet_aligns_lie_on_each_other_as_boxes_do_not(haar, frames):
    boxes, eyes = parse_face(haar), parse_face(f"yunet:{yunet_model()}")
    found = survey([clip(EXPRESSIONS)])[EXPRESSIONS]
    boxed, aligned = [], []
    for number in BOXED:
        placed = align(eyes.find(clip(EXPRESSIONS, onset=number), found), (360, 640), 128)
        aligned.append(warp(frames[number], placed.transform, placed.shape))
        box = crop(boxes.find(clip(EXPRESSIONS, onset=number), found), (360, 640)).box
        boxed.append(prepare(frames[number], box, (128, 128)))
    assert likeness(aligned) > likeness(boxed) + 0.05


def test_yunet_loses_a_face_where_it_leaves_and_finds_none_where_none_is(tmp_path):
    leaves, empty = clip("face_noface.mov", onset=48, offset=96), clip("no_face.mp4", onset=0, offset=40)
    face = f"yunet:{yunet_model()}"
    extract([leaves, empty], tmp_path / "out", pairs="lag:8", preset="fast", size=32, face=face, workers=1)
    shards = read(tmp_path / "out")
    assert [row["frame0"] for row in shards] == list(range(48, 64))
    failures = shards.failures().to_pylist()
    assert failures[0]["error"].startswith("face_noface.mov: the face is lost in frame 72: none near its box of ")
    assert failures[-1]["error"].startswith("no_face.mp4: no face is found in frame 0 (the best score is ")


def test_the_points_of_yunet_are_those_of_the_look_that_placed_the_face(frames):
    """They are looked for as finely as the clip's face, not as coarsely as whether a face is still there."""
    model = yunet_model()
    faces = parse_face(f"yunet:{model}")
    finder = parse_landmarks("yunet", f"yunet:{model}")
    first = faces.largest(0, frames[0])
    away, coarse = [], []
    for number in EYES:
        placed = faces.largest(number, frames[number])
        seen = faces.again(first, number, frames[number])
        points = finder.find(View(EXPRESSIONS, number, frames[number], frames[number], seen, lambda points: points))
        assert points.tolist() == [list(point) for point in placed.points]
        for some, eyes in ((away, points[:2]), (coarse, seen.eyes)):
            some += list(np.hypot(*(np.array(sorted(map(tuple, eyes))) - np.array(EYES[number]).reshape(2, 2)).T))
    assert np.mean(away) < 0.85 * np.mean(coarse)


@pytest.mark.parametrize("work", [spot, reselect])
def test_keyframes_are_not_chosen_among_frames_without_the_face(work):
    # It has left at frame 72; all three keyframes of the second have it.
    face = parse_face(f"yunet:{yunet_model()}")
    leaves, stays = (clip("face_noface.mov", onset=50, apex=apex, offset=90) for apex in (72, 58))
    stays = dataclasses.replace(stays, offset=62)
    lost, found = work([leaves, stays], face=face, size=(32, 32))
    assert isinstance(lost, FrameError)
    assert str(lost).startswith("the face is lost in frame 72: none near its box of ")
    assert not isinstance(found, FrameError)


def test_a_stabilised_pair_has_less_motion_of_the_head(frames):
    """Over 3 frames, the flow between the eyes, where no muscle moves much."""
    between = parse_stabilise("nose:0.42,0.36,0.16,0.14")
    before, after = [], []
    for number, (x0, y0, x1, y1) in EYES.items():
        placed = align(Face(0, 0, 1, 1, eyes=((x0, y0), (x1, y1))), (360, 640), 128)
        frame0, frame1 = (warp(frames[number + more], placed.transform, placed.shape) for more in (0, 3))
        steady = without_motion(frame0, frame1, head_motion(frame0, frame1, parse_stabilise("similarity")))
        flows = tvl1_flow(np.stack([frame0, frame0]), np.stack([frame1, steady]), preset="fast")
        for flow, motion in zip(flows, (before, after), strict=True):
            motion.append(np.hypot(*mean_flow(flow, between)))
    assert np.mean(before) > 1
    assert np.mean(after) < 0.5 * np.mean(before)
    assert np.median(after) < 0.4 * np.median(before)

"""The apex is found where the face has moved most, and its confidence says how clearly."""

import dataclasses
import os
import re
import signal

import numpy as np
import pytest

from flowkit.datasets import read_manifest, write_manifest
from flowkit.datasets.revision import Revision
from flowkit.errors import FrameError, InputError
from flowkit.faces.finding import parse_face
from flowkit.keyframes.revise import put_spotted
from flowkit.keyframes.shifts import table_of
from flowkit.keyframes.spot import SpotRule, Spotted, peak, spot, spot_clip
from flowkit.synthetic.dataset import make_dataset
from tests.clips import frame_folder, video
from tests.extraction.engines.test_survey import when_it_hangs
from tests.keyframes.conftest import lit
from tests.planted import APEX, OFFSET, ONSET, annotated


def test_apexes_of_the_demo_are_found(tmp_path):
    clips = read_manifest(make_dataset(tmp_path, subjects=8, clips=3, size=64, seed=3, difficulty="easy"))
    unspotted = [dataclasses.replace(clip, apex=None) for clip in clips]
    found, with_head = spot(unspotted, workers=2), spot(unspotted, SpotRule(head="none"), workers=2)
    off, off_with_head = (
        np.array([abs(new.apex - clip.apex) for new, clip in zip(some, clips, strict=True)])
        for some in (found, with_head)
    )
    assert len(off) == 72
    assert np.mean(off <= 2) >= 0.95
    assert np.mean(off <= 1) >= 0.9
    assert off_with_head.sum() > 2 * off.sum()
    assert all(0 <= new.confidence <= 1 for new in found)
    assert found[0].frames == tuple(range(2, 10))


def test_a_drifting_head_takes_the_confidence_unless_it_is_taken_out(drifting_head):
    clip = annotated(drifting_head, apex=None)
    found, drifted = spot_clip(clip, SpotRule()), spot_clip(clip, SpotRule(head="none"))
    assert abs(found.apex - APEX) <= 1
    assert found.confidence > 0.9
    assert drifted.confidence < 0.5


def test_ends_are_the_sources_only_where_that_is_asked_for(still_head):
    clip = annotated(still_head, onset=None, apex=None, offset=None)
    (failed,) = spot([clip])
    assert isinstance(failed, FrameError)
    assert str(failed) == "no onset is annotated; annotate it, or take the clip's ends (--ends first-last)"
    found = spot_clip(clip, SpotRule(ends="first-last"))
    assert (found.frames[0], found.frames[-1]) == (2, 80)
    assert (found.onset, found.offset) == (1, 80)
    assert abs(found.apex - APEX) <= 2


@pytest.mark.parametrize(
    ("scores", "at", "confidence"),
    [
        ([0.2, 0.6, 1.0, 0.5, 0.1], 2, 0.9),
        ([0.2, 0.4, 0.6, 0.8, 1.0], 4, 0.0),
        ([1.0, 0.8, 0.2], 0, 0.8),
        ([0.9, 1.0, 0.2], 1, 0.8),
        ([0.1, 1.0, 0.7], 1, 0.3),
    ],
)
def test_confidence_is_the_fall_behind_the_peak(scores, at, confidence):
    """Before it the score has risen from 0, that of the onset."""
    cells = np.array(scores)[:, None] * np.ones(10)
    found = peak(range(5, 5 + len(scores)), cells, cells)
    assert found.apex == 5 + at
    assert found.confidence == pytest.approx(confidence)


def test_only_moving_regions_count():
    motion = np.full((5, 100), 0.01)
    motion[:, 7] = [0.2, 0.5, 1.0, 0.4, 0.1]
    motion[4, 50:] = 0.15  # much of the frame, but little
    assert peak(range(5), motion, motion, moving=0.01).apex == 2
    assert peak(range(5), motion, motion, moving=1.0).apex == 4


def test_flow_and_strain_count_alike():
    motion, strain = np.array([[10.0], [9.0], [0.0]]), np.array([[0.0], [0.001], [0.0]])
    assert peak(range(3), motion, strain).apex == 1


@pytest.mark.parametrize(
    ("clip", "sentence"),
    [
        ({"onset": OFFSET - 1}, "onset 69 and offset 70 leave no frame between them; annotate the apex by hand"),
        ({"onset": OFFSET}, "onset 70 and offset 70 leave no frame between them"),
        ({"onset": OFFSET + 1}, "onset 71, offset 70 are not in this order; correct the annotation"),
        ({"offset": 90}, "has no frame 81"),
        ({"offset": 900_000_000_000}, "has no frame 81"),
        ({"onset": 300_000_000_000, "offset": 900_000_000_000}, "has no frame 300000000000"),
        ({"onset": -300_000_000_000}, "has no frame -300000000000"),
    ],
)
def test_what_has_no_apex_is_said(still_head, clip, sentence):
    (failed,) = spot([annotated(still_head, **({"apex": None} | clip))])
    assert isinstance(failed, FrameError)
    assert sentence in str(failed)


@pytest.mark.usefixtures("brightest")
def test_a_clip_whose_face_is_lost_keeps_its_frames_and_says_why(tmp_path):
    clips = [annotated(lit(tmp_path / str(lost), lost_at=lost), 1, None, 6) for lost in (4, None)]
    clips = [dataclasses.replace(clip, clip_id=name) for clip, name in zip(clips, ("leaves", "stays"), strict=True)]
    write_manifest(clips, tmp_path / "m.csv")
    revision = Revision(tmp_path / "m.csv")
    outcome = put_spotted(revision, spot(clips, face=parse_face("brightest")), SpotRule())
    ((clip_id, reason),) = outcome.failures
    assert clip_id == "leaves"
    assert reason.startswith("the face is lost in frame 4: none near its box of 40 x 40 px at (60, 40); leave the")
    assert revision.column("keyframes_error") == [reason, None]
    assert [(clip.onset, clip.offset) for clip in revision.clips] == [(1, 6)] * 2
    assert [apex is None for apex in revision.column("apex")] == [True, False]


def test_clips_that_failed_have_no_shift(tmp_path):
    clips = [dataclasses.replace(annotated(tmp_path), clip_id=name) for name in ("spotted", "failed", "left alone")]
    write_manifest(clips, tmp_path / "m.csv")
    frames = tuple(range(ONSET + 1, OFFSET + 1))
    found = Spotted(APEX + 10, 1.0, frames, np.zeros(len(frames)))
    outcome = put_spotted(Revision(tmp_path / "m.csv"), [found, FrameError("frame 3 is damaged"), None], SpotRule())
    assert [(shift.clip_id, shift.frames) for shift in outcome.shifts] == [("spotted", 10)]
    assert outcome.failures == [("failed", "frame 3 is damaged")]
    (row,) = table_of(outcome.shifts)
    assert (row.clips, row.moved.mean, row.absolute.mean) == (1, 1.0, 10.0)


def test_a_still_clip_has_no_apex(tmp_path):
    folder = frame_folder(tmp_path, [1], size=(16, 16))
    for number in (2, 3, 4):
        (folder / f"img{number}.png").write_bytes((folder / "img1.png").read_bytes())
    (failed,) = spot([annotated(folder, 1, None, 4)])
    assert "nothing moves between onset and offset" in str(failed)


@pytest.mark.parametrize(
    ("rule", "sentence"), [({"moving": 0.0}, "moving 0: give a share"), ({"head": "affine"}, "choose similarity, none")]
)
def test_a_rule_that_cannot_be_used_is_refused(rule, sentence):
    with pytest.raises(InputError, match=sentence):
        SpotRule(**rule)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda process: os.kill(process, signal.SIGSEGV), r"its worker process died 4 times \(signal 11\)"),
        (lambda process: None, "not done within the time limit of 8 s"),
    ],
)
def test_a_video_whose_decoder_crashes_or_hangs_costs_its_own_clips(tmp_path, act, reason):
    (tmp_path / "hangs.mp4").write_text("ffconcat version 1.0\nfile pipe\n")
    os.mkfifo(tmp_path / "pipe")
    sound = video(tmp_path / "sound.mp4", 8)
    clips = [annotated(tmp_path / "hangs.mp4", apex=None, onset=0, offset=7)]
    clips += [annotated(sound, apex=None, onset=0, offset=7)]
    with when_it_hangs(tmp_path / "pipe", act):
        lost, found = spot(clips, time_limit_s=8)
    assert re.match(reason, str(lost))
    assert isinstance(found, Spotted)

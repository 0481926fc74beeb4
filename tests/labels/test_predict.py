"""Guesses are means over several frames, stand apart from what was given, and say which model made them."""

import pickle

import cv2
import numpy as np
import pytest

from flowkit.datasets import write_manifest
from flowkit.datasets.revision import Revision
from flowkit.errors import FrameError, InputError
from flowkit.faces.finding import parse_face
from flowkit.labels.classifier import Classifier, Reading
from flowkit.labels.predict import Guess, predict, put_guesses, spread
from tests.faces.plugin import install
from tests.labels.conftest import GAIN, PLAIN, RGB, clip, coloured

LABELS = ("red", "green", "blue")


@pytest.fixture
def classifier(model):
    return Classifier(model, Reading(labels=LABELS, **PLAIN))


def expected(name):
    values = np.exp(GAIN * np.array(RGB[name]) / 255)
    return values / values.sum()


def test_probabilities_are_averaged_over_frames_between_onset_and_offset(classifier, manifest):
    red, green, damaged = predict(Revision(manifest).clips, classifier, frames=4, workers=2)
    assert (red.label, red.frames) == ("red", (1, 3, 4, 6))
    assert red.probabilities == pytest.approx(expected("red"), abs=1e-5)
    assert (green.label, green.frames) == ("green", (2, 3, 4, 5))
    assert green.probabilities == pytest.approx((3 * expected("green") + expected("red")) / 4, abs=1e-5)
    assert green.probability == max(green.probabilities)
    assert isinstance(damaged, FrameError)
    assert "img4.png" in str(damaged)


def test_guesses_stand_apart_with_the_models_digest(classifier, manifest):
    revision = Revision(manifest)
    revision.put("ethnicity", ["green", None, None])
    failures = put_guesses(revision, "ethnicity", predict(revision.clips, classifier, frames=3), classifier)
    assert revision.column("ethnicity") == ["green", None, None]
    assert revision.column("ethnicity_guess") == ["red", "green", None]
    first = revision.column("ethnicity_guess_source")[0]
    assert first == f"model guess of {classifier.source}, frames 1 3 6"
    assert revision.column("ethnicity_guess_probabilities")[0].startswith("red 0.")
    assert [clip_id for clip_id, _ in failures] == ["toy/2/c"]
    assert revision.column("ethnicity_guess_error")[:2] == [None, None]


def test_a_frame_without_the_face_leaves_its_clip_without_a_guess(classifier, tmp_path, monkeypatch):
    install(tmp_path / "site", monkeypatch, "brightest = tests.faces.brightest:make")
    clips = []
    for name, lost in (("leaves", 3), ("stays", None)):
        folder = coloured(tmp_path / name, ["green"] * 4)
        for number in range(1, 5):
            frame = np.full((64, 64, 3), 20, np.uint8)
            if number != lost:
                frame[16:48, 16:48] = (210, 255, 210)
            assert cv2.imwrite(str(folder / f"img{number}.png"), frame)
        clips.append(clip(f"toy/1/{name}", folder))
    write_manifest(clips, tmp_path / "m.csv")
    revision = Revision(tmp_path / "m.csv")
    guesses = predict(clips, classifier, face=parse_face("brightest"))
    ((clip_id, reason),) = put_guesses(revision, "ethnicity", guesses, classifier)
    assert clip_id == "toy/1/leaves"
    assert reason.startswith("the face is lost in frame 3: none near its box of 32 x 32 px at (16, 16); leave")
    assert revision.column("ethnicity_guess") == [None, "green"]


def test_equal_probabilities_are_no_guess(classifier, tmp_path):
    folder = coloured(tmp_path / "grey", ["red"])
    cv2.imwrite(str(folder / "img1.png"), np.full((8, 8, 3), 90, np.uint8))
    (failed,) = predict([clip("toy/1/grey", folder)], classifier)
    assert str(failed) == "red and green and blue are equally probable (0.333); label the clip by hand"


def test_frames_are_spread_evenly():
    assert spread(clip("a/1/x"), range(1, 101), 5) == [1, 26, 51, 75, 100]
    assert spread(clip("a/1/x", onset=10, offset=12), range(1, 101), 5) == [10, 11, 12]
    assert spread(clip("a/1/x", onset=10, offset=20), [1, 11, 19, 30], 1) == [11]
    with pytest.raises(FrameError, match="no frame lies between onset 40 and offset 50"):
        spread(clip("a/1/x", onset=40, offset=50), [1, 2], 3)


def test_no_frames_are_refused(classifier):
    with pytest.raises(InputError, match="frames=0: give at least 1"):
        predict([], classifier, frames=0)
    assert Guess("a", (0.4, 0.6), (1,)).probability == 0.6


def test_other_processes_guess_the_same(classifier, tmp_path, monkeypatch):
    install(tmp_path / "site", monkeypatch, "brightest = tests.faces.brightest:make")
    clips = []
    for name in ("green", "red"):
        folder = coloured(tmp_path / name, ["blue"] * 3)
        for number in range(1, 4):
            frame = np.full((64, 64, 3), 20, np.uint8)
            frame[16:48, 16:48] = (210, 255, 210) if name == "green" else (210, 210, 255)
            assert cv2.imwrite(str(folder / f"img{number}.png"), frame)
        clips.append(clip(f"toy/1/{name}", folder))
    here, elsewhere = (predict(clips, classifier, face=parse_face("brightest"), workers=count) for count in (1, 2))
    assert here == elsewhere
    assert [one.label for one in here] == ["green", "red"]


def test_a_model_that_is_replaced_meanwhile_is_refused(classifier):
    carried = pickle.dumps(classifier)
    assert pickle.loads(carried).source == classifier.source
    classifier.path.write_bytes(classifier.path.read_bytes() + b"\x7a\x00")
    with pytest.raises(InputError, match="was replaced while it was in use; run the same command again"):
        pickle.loads(carried)

"""Re-selection finds planted keyframes, moves by no more than its range, and invents nothing."""

import itertools
from fractions import Fraction

import cv2
import numpy as np
import pytest

from flowkit.errors import FrameError, InputError
from flowkit.faces.finding import parse_face
from flowkit.frames import FolderSource
from flowkit.keyframes.metrics import METRICS, pixel_distances
from flowkit.keyframes.reselect import Rule, parse_range, reselect, reselect_clip
from tests.clips import frame_folder
from tests.keyframes.conftest import lit
from tests.planted import APEX, OFFSET, ONSET, annotated

FAR = 3
PLANTED = (ONSET, APEX, OFFSET)


def found(clip, **rule):
    new = reselect_clip(clip, Rule(**rule))
    return new.onset, new.apex, new.offset


def test_planted_keyframes_are_found_exactly_from_every_annotation_within_the_range(still_head):
    off = list(itertools.product(range(FAR + 1), repeat=3))
    clips = [annotated(still_head, ONSET - i, APEX + j, OFFSET + k) for i, j, k in off]
    results = reselect(clips, workers=2)
    assert len(results) == 64
    assert [(new.onset, new.apex, new.offset) for new in results] == [PLANTED] * 64
    assert all(new.allowed[0] == FAR for new in results)
    assert results[0].gain == 1.0
    assert min(new.gain for new in results[16:]) > 1.0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("direction", ["outward", "both"])
def test_planted_keyframes_are_found_in_other_directions(without_noise, metric, direction):
    annotation = (ONSET + 2, APEX - 1, OFFSET - 2)
    assert found(annotated(without_noise, *annotation), metric=metric, direction=direction) == PLANTED


def test_flow_without_the_head_finds_what_a_drift_hides_from_pixels(drifting_head):
    clip = annotated(drifting_head, ONSET - 2, APEX + 3, OFFSET + 3)
    assert found(clip, metric="stabilised-flow") == PLANTED
    assert found(clip, metric="pixels") != PLANTED
    assert found(clip, metric="flow") != PLANTED


def test_nothing_moves_beyond_the_range(still_head):
    clip = annotated(still_head, ONSET - 6, APEX, OFFSET)
    assert found(clip) == (ONSET - 3, APEX, OFFSET)
    assert found(clip, range=Fraction(1, 6)) == PLANTED
    short = reselect_clip(annotated(still_head, 33, 40, 48), Rule())
    assert (short.onset, short.apex, short.offset, short.allowed) == (33, 40, 48, (0, 0))


def test_equal_distances_keep_the_annotated_frames(tmp_path):
    frame_folder(tmp_path, range(1, 41))
    for number in range(1, 41):
        cv2.imwrite(str(tmp_path / f"img{number}.png"), np.full((16, 16), 7, np.uint8))
    new = reselect_clip(annotated(tmp_path, 1, 21, 40), Rule())
    assert (new.onset, new.apex, new.offset, new.gain) == (1, 21, 40, 1.0)


def test_pixels_are_subtracted_as_numbers():
    dark, light = np.zeros((2, 2), np.uint8), np.full((2, 2), 200, np.uint8)
    assert pixel_distances([light], [dark])[0, 0] == pixel_distances([dark], [light])[0, 0] == 400.0


@pytest.mark.parametrize(
    ("clip", "sentence"),
    [
        ({"apex": None}, "no apex is annotated; annotate it, or find one by flowkit keyframes spot"),
        ({"onset": 40}, "onset 40, apex 40, offset 70 are not in this order; correct the annotation"),
        ({"offset": 30}, "onset 10, apex 40, offset 30 are not in this order"),
        ({"onset": 50, "offset": None}, "onset 50, apex 40 are not in this order"),
        ({"apex": 500_000_000_000, "offset": 900_000_000_000}, "has no frame 500000000000"),
        ({"offset": 90}, "has no frame 90, its frames are 1 to 80; add the file or correct the annotation"),
    ],
)
def test_what_cannot_be_chosen_is_said(still_head, clip, sentence):
    (result,) = reselect([annotated(still_head, **clip)])
    assert isinstance(result, FrameError)
    assert sentence in str(result)


def test_a_missing_frame_is_not_replaced(tmp_path):
    frame_folder(tmp_path, [number for number in range(1, 41) if number != 3], size=(16, 16))
    (result,) = reselect([annotated(tmp_path, 1, 21, 40)])
    assert isinstance(result, FrameError)
    assert "3" in str(result)


@pytest.mark.usefixtures("brightest")
def test_a_frame_without_the_face_is_none_to_choose(tmp_path):
    source = lit(tmp_path / "c", lost_at=20)
    face = parse_face("brightest")
    (result,) = reselect([annotated(source, 1, 21, 40)], face=face)
    assert isinstance(result, FrameError)
    assert str(result).startswith("the face is lost in frame 20: none near its box of 40 x 40 px at (60, 40); leave")
    (result,) = reselect([annotated(source, 1, 25, 40)], face=face)
    assert not isinstance(result, FrameError)  # its range ends before


def test_frames_are_decoded_once(still_head, monkeypatch):
    decoded = []
    decode = FolderSource.read

    def counted(self, numbers, **how):
        for number, frame in decode(self, numbers, **how):
            decoded.append(number)
            yield number, frame

    monkeypatch.setattr(FolderSource, "read", counted)
    reselect_clip(annotated(still_head), Rule())
    assert decoded == [1, *range(10, 14), *range(37, 41), *range(67, 71)]  # the first for its size


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"range": Fraction(0)}, "range 0: give a share of the interval above 0 and at most 1"),
        ({"direction": "left"}, "direction 'left' is unknown; choose inward, outward, both"),
        ({"metric": "ssim"}, "metric 'ssim' is unknown; choose pixels, flow, stabilised-flow"),
        ({"preset": "best"}, "preset 'best' is unknown"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused(rule, sentence):
    with pytest.raises(InputError, match=sentence):
        Rule(**rule)


def test_a_range_is_exact():
    assert parse_range("0.29") * 100 == 29
    with pytest.raises(InputError, match="range 'a tenth' is no number"):
        parse_range("a tenth")

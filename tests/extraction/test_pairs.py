"""Pair plans on real folders of frames."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from flowkit.errors import InputError
from flowkit.extraction.pairs import plan_pairs
from flowkit.extraction.plans import PairPlan, parse_plan
from flowkit.frames.survey import Survey, survey_source
from flowkit.types import Clip, Pair
from tests.videos import write_video

UNREADABLE = Survey(None, None, "", "the source was asked, though the annotation suffices")


@pytest.fixture
def frames(tmp_path) -> Path:
    """Frames 3..9 without 5."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for number in (3, 4, 6, 7, 8, 9):
        assert cv2.imwrite(str(folder / f"img{number}.png"), np.zeros((8, 8), np.uint8))
    return folder


def planned(plan: str, clip: Clip, survey: Survey | None = None) -> list[Pair]:
    return list(plan_pairs(clip, parse_plan(plan), survey or survey_source(clip.source, clip.frame_base)))


def numbers(pairs: list[Pair]) -> list[tuple[int | None, int | None]]:
    assert [pair.error for pair in pairs] == [None] * len(pairs)
    return [(pair.frame0, pair.frame1) for pair in pairs]


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("onset-apex", PairPlan("onset-apex")),
        ("onset-apex-offset", PairPlan("onset-apex-offset")),
        ("onset-all", PairPlan("onset-all")),
        ("lag:5", PairPlan("lag", lag_frames=5)),
        ("lag:0.1s", PairPlan("lag", lag_s=0.1)),
        ("lag:2s", PairPlan("lag", lag_s=2.0)),
        ("lag:1e-05s", PairPlan("lag", lag_s=1e-5)),
    ],
)
def test_text_and_plan_round_trip(text, plan):
    assert parse_plan(text) == plan
    assert str(plan) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "apex",
        "onset-apex ",
        "lag",
        "lag:",
        "lag:0",
        "lag:-1",
        "lag:1.5",
        "lag:0.0s",
        "lag:s",
        "lag:nans",
        "lag:1e400s",
        "lag:5f",
    ],
)
def test_unknown_plan_lists_the_known_ones(text):
    with pytest.raises(InputError) as caught:
        parse_plan(text)
    for words in (repr(text), "onset-apex", "onset-apex-offset", "onset-all", "lag:5", "lag:0.1s"):
        assert words in str(caught.value)


def test_keyframe_pairs_need_no_source():
    clip = Clip(clip_id="a", source="absent", onset=46, apex=59, offset=86)
    assert planned("onset-apex", clip, UNREADABLE) == [Pair(clip=clip, role="onset-apex", frame0=46, frame1=59)]
    assert planned("onset-apex-offset", clip, UNREADABLE) == [
        Pair(clip=clip, role="onset-apex", frame0=46, frame1=59),
        Pair(clip=clip, role="apex-offset", frame0=59, frame1=86),
    ]


@pytest.mark.parametrize(
    ("onset", "apex", "offset", "errors"),
    [
        (1, None, 9, ["a: no apex is annotated"] * 2),
        (None, 5, 9, ["a: no onset is annotated", None]),
        (1, 5, None, [None, "a: no offset is annotated"]),
        (1, 10, 9, ["a: apex 10 is outside [onset, offset] = [1, 9]"] * 2),
        (6, 5, 9, ["a: apex 5 is outside [onset, offset] = [6, 9]"] * 2),
        (6, 5, None, ["a: apex 5 is outside [onset, offset] = [6, ?]", "a: no offset is annotated"]),
        (9, 9, 5, ["a: offset 5 is before onset 9"] * 2),
        (1, 1, 9, [None, None]),
        (1, 9, 9, [None, None]),
    ],
)
def test_impossible_keyframe_pairs_say_why(onset, apex, offset, errors):
    clip = Clip(clip_id="a", source="absent", onset=onset, apex=apex, offset=offset)
    pairs = planned("onset-apex-offset", clip, UNREADABLE)
    assert [pair.error for pair in pairs] == errors
    assert [(pair.role, pair.frame0, pair.frame1) for pair in pairs] == [
        ("onset-apex", onset, apex),
        ("apex-offset", apex, offset),
    ]
    assert planned("onset-apex", clip, UNREADABLE) == pairs[:1]


def test_onset_all_ends_at_the_offset_or_at_the_last_frame(frames):
    clip = Clip(clip_id="a", source=str(frames), onset=4, offset=7)
    assert numbers(planned("onset-all", clip, UNREADABLE)) == [(4, 5), (4, 6), (4, 7)]
    clip = Clip(clip_id="a", source=str(frames), onset=4)
    pairs = planned("onset-all", clip)
    assert numbers(pairs) == [(4, 5), (4, 6), (4, 7), (4, 8), (4, 9)]
    assert {pair.role for pair in pairs} == {"onset-all"}


def test_lag_covers_the_annotated_interval_or_the_whole_source(frames):
    whole = [(3, 5), (4, 6), (5, 7), (6, 8), (7, 9)]
    assert numbers(planned("lag:2", Clip(clip_id="a", source=str(frames)))) == whole
    assert numbers(planned("lag:2", Clip(clip_id="a", source=str(frames), onset=4))) == whole
    annotated = Clip(clip_id="a", source=str(frames), onset=4, offset=7)
    assert numbers(planned("lag:2", annotated, UNREADABLE)) == [(4, 6), (5, 7)]
    assert numbers(planned("lag:3", annotated, UNREADABLE)) == [(4, 7)]


@pytest.mark.parametrize(
    ("plan", "fps", "lag"),
    [
        *(("lag:0.1s", 200, 20), ("lag:0.1s", 30, 3), ("lag:0.1s", 25, 3), ("lag:0.1s", 23.976, 2)),
        *(("lag:0.01s", 30, 1), ("lag:1e-05s", 200, 1)),
        # Halves, of which no floating point product is one: 14.5, 28.5, 31.5, and 1.5 of an NTSC rate.
        *(("lag:0.29s", 50, 15), ("lag:0.57s", 50, 29), ("lag:0.35s", 90, 32), ("lag:0.05005s", 30000 / 1001, 2)),
    ],
)
def test_lag_in_seconds_is_the_nearest_number_of_frames(plan, fps, lag):
    clip = Clip(clip_id="a", source="absent", fps=fps, onset=1, offset=100)
    assert numbers(planned(plan, clip, UNREADABLE)) == [(i, i + lag) for i in range(1, 101 - lag)]


def test_lag_in_seconds_takes_the_frame_rate_of_the_video(tmp_path):
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 20.0, (32, 32))
    for grey in range(6):
        writer.write(np.full((32, 32, 3), 40 * grey, np.uint8))
    writer.release()
    clip = Clip(clip_id="a", source=str(path), frame_base=1)
    assert numbers(planned("lag:0.2s", clip)) == [(1, 5), (2, 6)]


@pytest.mark.parametrize(
    ("plan", "clip", "frame0", "told"),
    [
        ("onset-all", {}, None, "no onset is annotated"),
        ("onset-all", {"onset": 7, "offset": 7}, 7, "offset 7 is not after onset 7"),
        ("onset-all", {"onset": 7, "offset": 4}, 7, "offset 4 is not after onset 7"),
        ("onset-all", {"onset": 9}, 9, "the source's last frame 9 is not after onset 9"),
        ("onset-all", {"onset": 4, "source": "absent"}, None, "absent"),
        ("lag:7", {}, None, "a lag of 7 does not fit into frames 3 to 9"),
        ("lag:4", {"onset": 4, "offset": 7}, None, "a lag of 4 does not fit into frames 4 to 7"),
        ("lag:1", {"onset": 7, "offset": 4}, None, "offset 4 is before onset 7"),
        ("lag:0.1s", {}, None, "needs the frame rate"),
        ("lag:1", {"source": "absent"}, None, "absent"),
    ],
)
def test_clip_without_a_possible_pair_has_one_failing_pair(frames, plan, clip, frame0, told):
    clip = Clip(clip_id="a", **{"source": str(frames)} | clip)
    (pair,) = planned(plan, clip)
    assert (pair.role, pair.frame0, pair.frame1) == (plan.partition(":")[0], frame0, None)
    assert pair.error is not None
    assert pair.error.startswith("a: ")
    assert told in pair.error


def test_pair_ids_depend_on_clip_role_and_frames_alone(frames):
    first = planned("lag:5", Clip(clip_id="b", source=str(frames)))[0]
    assert first.pair_id == Pair(clip=Clip(clip_id="b", source="moved"), role="lag", frame0=3, frame1=8).pair_id


def test_a_source_that_cannot_be_opened_is_one_failed_pair():
    (pair,) = planned("lag:5", Clip(clip_id="bad", source="absent"))
    assert (pair.frame0, pair.frame1) == (None, None)
    assert "absent does not exist" in str(pair.error)


# ---- far away, and many


def test_an_offset_beyond_the_source_is_one_failed_pair(frames):
    clip = Clip(clip_id="a", source=str(frames), onset=7, offset=999999999999999)
    *inside, beyond = planned("lag:1", clip)
    assert numbers(inside) == [(7, 8), (8, 9)]
    assert beyond.error == "a: offset 999999999999999 is beyond the last frame 9; correct the annotation or the source"
    *inside, beyond = planned("onset-all", clip)
    assert numbers(inside) == [(7, 8), (7, 9)]
    assert (beyond.frame0, beyond.frame1) == (7, 999999999999999)
    assert "offset 999999999999999 is beyond the last frame 9" in str(beyond.error)


def test_an_onset_before_the_source_is_one_failed_pair(frames):
    clip = Clip(clip_id="a", source=str(frames), onset=-999999999999, offset=4)
    before, *inside = planned("lag:1", clip)
    assert (before.frame0, before.error) == (
        -999999999999,
        "a: onset -999999999999 is before the first frame 3; correct the annotation or the source",
    )
    assert numbers(inside) == [(3, 4)]
    (before,) = planned("onset-all", clip)
    assert "onset -999999999999 is before the first frame 3" in str(before.error)


@pytest.mark.parametrize("plan", ["lag:1", "onset-all"])
def test_an_annotation_wholly_beyond_the_source_is_one_failed_pair(frames, plan):
    (pair,) = planned(plan, Clip(clip_id="a", source=str(frames), onset=20, offset=90))
    assert "is beyond the last frame 9" in str(pair.error)


def test_a_folder_with_a_huge_gap_is_planned_over_the_frames_that_exist(tmp_path):
    for number in (0, 1, 2, 3_000_000, 3_000_001, 999_999_999_999_999):
        assert cv2.imwrite(str(tmp_path / f"i{number}.png"), np.zeros((8, 8), np.uint8))
    clip = Clip(clip_id="a", source=str(tmp_path))
    assert numbers(planned("lag:1", clip)) == [(i, i + 1) for i in (0, 1, 2, 3_000_000, 3_000_001)]
    onset = Clip(clip_id="a", source=str(tmp_path), onset=1)
    assert numbers(planned("onset-all", onset)) == [(1, i) for i in (2, 3_000_000, 3_000_001, 999_999_999_999_999)]


def test_a_source_that_cannot_be_opened_is_not_planned_without_end():
    clip = Clip(clip_id="a", source="absent", onset=1, offset=999999999999999)
    for plan in ("lag:1", "onset-all"):
        (pair,) = planned(plan, clip, UNREADABLE)
        assert "the source was asked" in str(pair.error)


@pytest.mark.parametrize("plan", ["onset-apex", "onset-all", "lag:1"])
def test_a_number_that_no_table_holds_is_one_failed_pair(frames, plan):
    (pair,) = planned(plan, Clip(clip_id="a", source=str(frames), onset=3, apex=10**20, offset=9))
    assert (pair.frame0, pair.frame1) == (None, None)
    assert f"apex {10**20} is no frame number" in str(pair.error)


# ---- seconds where the rate varies


def test_lag_in_seconds_goes_by_the_time_stamps_where_the_rate_varies(tmp_path):
    stamps = np.cumsum([0, *[40] * 5, *[20] * 6]).tolist()  # 25 fps to frame 5, then 50
    path = write_video(tmp_path / "a.mp4", "libx264", {}, stamps, count=12)
    clip = Clip(clip_id="a", source=str(path), frame_base=1)
    pairs = numbers(planned("lag:0.08s", clip))
    nearest = [(i, int(np.abs(np.array(stamps) - stamps[i] - 80).argmin())) for i in range(12)]
    assert pairs == [(i + 1, j + 1) for i, j in nearest if stamps[i] + 80 <= stamps[-1]]
    assert {j - i for i, j in pairs} == {2, 3, 4}
    told = Clip(clip_id="a", source=str(path), frame_base=1, fps=25.0)  # what the manifest says comes first
    assert {j - i for i, j in numbers(planned("lag:0.08s", told))} == {2}


def test_lag_in_seconds_takes_the_later_of_two_and_the_next_at_least(tmp_path):
    path = write_video(tmp_path / "a.mp4", "libx264", {}, [0, 40, 80, 160, 240, 260], count=6)
    clip = Clip(clip_id="a", source=str(path))
    assert numbers(planned("lag:0.04s", clip)) == [(0, 1), (1, 2), (2, 3), (3, 4)]  # a next frame would be at 300
    assert numbers(planned("lag:0.001s", clip)) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    with pytest.raises(AssertionError):
        numbers(planned("lag:9s", clip))

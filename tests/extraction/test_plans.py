"""Pair plans as texts, and lists of pairs."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowkit.errors import InputError
from flowkit.extraction.pairs import plan_pairs
from flowkit.extraction.plans import PairPlan, parse_plan
from flowkit.extraction.request import ExtractRequest
from flowkit.frames.survey import Survey
from flowkit.types import Clip, Pair
from tests.clips import dataset, parts_of

ABSENT = Survey(None, None, "", "the source was asked, though the annotation suffices")


def planned(plan: str, **clip) -> list[Pair]:
    return list(plan_pairs(Clip(clip_id="a", source="absent", **clip), parse_plan(plan), ABSENT))


def frames(pairs: list[Pair]) -> list[tuple[int | None, int | None]]:
    assert [pair.error for pair in pairs] == [None] * len(pairs)
    return [(pair.frame0, pair.frame1) for pair in pairs]


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("onset:mid16", PairPlan("onset-mid", middles=16)),
        ("window:30,10", PairPlan("window", window=(30, 10))),
        ("mdmd:12", PairPlan("mdmd", lag_frames=12)),
        ("onset-apex:4+4", PairPlan("onset-apex", phases=(4, 4))),
        ("onset-apex:1+3", PairPlan("onset-apex", phases=(1, 3))),
        ("onset-apex-offset:4+5+6", PairPlan("onset-apex-offset", phases=(4, 5, 6))),
        ("lag:4:4+4", PairPlan("lag", lag_frames=4, phases=(4, 4))),
        ("lag:0.2s:3+3", PairPlan("lag", lag_s=0.2, phases=(3, 3))),
    ],
)
def test_text_and_plan_round_trip(text, plan):
    assert parse_plan(text) == plan
    assert str(plan) == plan.digest == text


def test_the_automatic_lag_is_told_in_seconds():
    assert str(parse_plan("lag:auto")) == "lag:0.2s"
    assert str(parse_plan("lag:auto:4+4")) == "lag:0.2s:4+4"
    assert frames(planned("lag:auto", fps=30.0, onset=1, offset=9)) == [(1, 7), (2, 8), (3, 9)]
    assert frames(planned("lag:auto", fps=200.0, onset=0, offset=41)) == [(0, 40), (1, 41)]
    (pair,) = planned("lag:auto", onset=0, offset=41)
    assert "the source was asked" in str(pair.error)  # for its rate


@pytest.mark.parametrize(
    "text",
    [
        *("onset:mid0", "onset:mid", "onset:16", "onset:mid10000", "window:1,1", "window:5", "window:5,0", "mdmd:0"),
        *(
            "mdmd:0.1s",
            "list:",
            "onset-apex:4",
            "onset-apex:0+4",
            "onset-apex:1+1",
            "onset-apex:65+4",
            "onset-apex:4+4+4",
        ),
        *(
            "onset-apex-offset:4+4",
            "lag:3:4+4",
            "lag:5:4",
            "onset-all:4+4",
            "onset:mid16:4+4",
            "mdmd:12:4+4",
            "lag:auto:0+2",
        ),
    ],
)
def test_what_is_no_plan_lists_the_plans(text):
    with pytest.raises(InputError, match=r"onset-apex:4\+4 .*window:30,10, mdmd:12, list:FILE") as caught:
        parse_plan(text)
    assert repr(text) in str(caught.value)


# ---- frames


def test_middle_frames_are_spread_between_onset_and_offset():
    assert frames(planned("onset:mid3", onset=10, apex=12, offset=18)) == [(10, 12), (10, 14), (10, 16)]
    assert frames(planned("onset:mid2", onset=0, offset=10)) == [(0, 3), (0, 7)]  # 3.33, 6.67
    assert frames(planned("onset:mid1", onset=0, offset=5)) == [(0, 3)]  # 2.5: a half goes up
    pairs = planned("onset:mid16", onset=1, offset=100)
    assert {pair.role for pair in pairs} == {"onset-mid"}
    assert len({pair.frame1 for pair in pairs}) == 16
    steps = [b - a for (_, a), (_, b) in zip(frames(pairs), frames(pairs)[1:], strict=False)]
    assert set(steps) <= {5, 6}


def test_too_few_middle_frames_are_all_and_a_failure_that_says_so():
    *inside, last = planned("onset:mid16", onset=3, offset=7)
    assert frames(inside) == [(3, 4), (3, 5), (3, 6)]
    assert (last.frame0, last.frame1) == (3, 7)
    assert last.error == "a: 16 frames between onset 3 and offset 7 were asked for and 3 are there; ask for fewer"
    assert [str(pair.error) for pair in planned("onset:mid4", onset=3, offset=4)] == [
        "a: 4 frames between onset 3 and offset 4 were asked for and 0 are there; ask for fewer"
    ]
    for clip, told in (
        ({"onset": 3}, "no offset"),
        ({"offset": 3}, "no onset"),
        ({"onset": 3, "offset": 3}, "not after"),
    ):
        (pair,) = planned("onset:mid2", **clip)
        assert told in str(pair.error)


def test_windows_pair_their_first_frame_with_each_other_one_and_cover_all():
    pairs = planned("window:3,2", onset=1, offset=8)
    assert frames(pairs) == [(1, 2), (1, 3), (3, 4), (3, 5), (5, 6), (5, 7), (6, 7), (6, 8)]
    assert frames(planned("window:3,2", onset=1, offset=5)) == [(1, 2), (1, 3), (3, 4), (3, 5)]
    (pair,) = planned("window:6,2", onset=1, offset=5)
    assert pair.error == "a: a window of 6 frames does not fit into frames 1 to 5"


def test_mdmd_has_both_lags_of_each_anchor_and_both_neighbours_of_each_frame():
    pairs = planned("mdmd:2", onset=1, offset=7)
    found = frames(pairs)
    assert [(pair.frame0, pair.frame1) for pair in pairs if pair.role == "mdmd-2k"] == [(1, 5), (2, 6), (3, 7)]
    near = [(pair.frame0, pair.frame1) for pair in pairs if pair.role == "mdmd-k"]
    assert near == [(1, 3), (2, 4), (3, 5), (4, 6), (5, 7)]
    assert len(set(found)) == len(found)
    for i in range(1 + 2, 7 - 2 + 1):
        assert {(i - 2, i), (i, i + 2)} <= set(near)
    (pair,) = planned("mdmd:4", onset=1, offset=7)
    assert pair.error == "a: twice the lag of 4 does not fit into frames 1 to 7"


# ---- phases


def test_phases_begin_at_the_onset_lie_around_the_apex_and_end_at_the_offset():
    apex, offset = planned("onset-apex-offset:4+4+3", onset=10, apex=20, offset=30)
    assert (apex.frames0, apex.frames1) == ((10, 11, 12, 13), (19, 20, 21, 22))
    assert (offset.frames0, offset.frames1) == ((19, 20, 21, 22), (28, 29, 30))
    assert (apex.role, apex.frame0, apex.frame1, offset.role, offset.frame0) == (
        "onset-apex",
        10,
        20,
        "apex-offset",
        20,
    )
    (odd,) = planned("onset-apex:1+3", onset=10, apex=20)
    assert (odd.frames0, odd.frames1) == (None, (19, 20, 21))
    assert odd.needed == (10, 20, 19, 21)


@pytest.mark.parametrize(
    ("clip", "room"),
    [
        ({"onset": 10, "apex": 15, "offset": 17}, True),
        ({"onset": 10, "apex": 14, "offset": 17}, False),  # 13 would be in both
        ({"onset": 10, "apex": 15, "offset": 16}, False),  # 17 is beyond the offset
        ({"onset": 10, "apex": 15}, True),
    ],
)
def test_phases_without_room_fail(clip, room):
    (pair,) = planned("onset-apex:4+4", **clip)
    assert (pair.error is None) == room
    if not room:
        assert f"phases of 4+4 frames at 10 and {clip['apex']} have no room" in str(pair.error)
        assert pair.needed == ()


def test_the_phases_of_a_lag_lie_around_its_frames_and_stay_inside():
    pairs = planned("lag:5:4+4", onset=1, offset=10)
    assert frames(pairs) == [(2, 7), (3, 8)]
    assert (pairs[0].frames0, pairs[0].frames1) == ((1, 2, 3, 4), (6, 7, 8, 9))
    (pair,) = planned("lag:8:4+4", onset=1, offset=10)
    assert pair.error == "a: a lag of 8 with phases of 4+4 does not fit into frames 1 to 10"
    (*_, met) = planned("lag:0.1s:4+4", onset=1, offset=8, fps=20.0)
    assert met.error == ("a: phases of 4+4 frames at 4 and 6 have no room within frames 1 to 8; ask for shorter ones")


def test_phases_have_ids_of_their_own():
    ids = {planned(f"onset-apex{phases}", onset=10, apex=40)[0].pair_id for phases in ("", ":4+4", ":4+3", ":1+4")}
    assert len(ids) == 4


# ---- lists


def table(tmp_path, text: str):
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    return path


def test_a_list_gives_its_pairs_with_their_roles(tmp_path):
    path = table(tmp_path, "clip_id,frame0,frame1,role\na,5,9,rise\na,9,5,\nb,1,2,rise\n")
    pairs = planned(f"list:{path}")
    assert [(pair.role, pair.frame0, pair.frame1) for pair in pairs] == [("rise", 5, 9), ("list", 9, 5)]
    pq.write_table(pa.table({"clip_id": ["a"], "frame0": [5], "frame1": [9]}), tmp_path / "p.parquet")
    assert frames(planned(f"list:{tmp_path / 'p.parquet'}")) == [(5, 9)]


def test_a_clip_that_is_not_listed_fails_and_a_listed_one_that_is_not_there_is_refused(tmp_path):
    clips = dataset(tmp_path, clips=2)
    path = table(tmp_path, f"clip_id,frame0,frame1\n{clips[0].clip_id},1,3\n")
    (part,) = parts_of(clips, ExtractRequest.parse(pairs=f"list:{path}"))
    assert [pair.error for pair in part.pairs] == [
        None,
        f"toy/sub02/ep01: {path} has no pair of this clip; add one",
    ]
    with path.open("a") as file:
        file.write("gone,1,3\n")
    with pytest.raises(InputError, match="has pairs of clip 'gone', which is not in the source"):
        parts_of(clips, ExtractRequest.parse(pairs=f"list:{path}"))


def test_an_edited_list_is_another_request_and_a_moved_one_is_not(tmp_path):
    text = "clip_id,frame0,frame1\na,1,3\n"
    path = table(tmp_path, text)
    before = ExtractRequest.parse(pairs=f"list:{path}")
    moved = path.rename(tmp_path / "moved.csv")
    assert ExtractRequest.parse(pairs=f"list:{moved}").parameters_hash == before.parameters_hash
    moved.write_text(text.replace("3", "4"))
    assert ExtractRequest.parse(pairs=f"list:{moved}").parameters_hash != before.parameters_hash


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("clip_id,frame0\na,1\n", "no column 'frame1'"),
        ("clip_id,frame0,frame1\na,1,x\n", "line 2, clip 'a': frame1='x' is not a whole number"),
        ("clip_id,frame0,frame1\na,1,\n", "line 2, clip 'a': frame1 is empty"),
        ("clip_id,frame0,frame1\na,1,2\na,1,2\n", "line 3, clip 'a': the pair list 1, 2 occurs twice"),
        ("clip_id,frame0,frame1\n", "has no pairs"),
        (f"clip_id,frame0,frame1,role\na,1,2,{'r' * 101}\n", "role='rrrr"),
    ],
)
def test_a_list_that_is_none_says_where(tmp_path, text, told):
    with pytest.raises(InputError, match=told):
        parse_plan(f"list:{table(tmp_path, text)}")

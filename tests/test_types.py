"""Identities depend on what they should, and no more."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from flowkit.types import Clip, Pair, clips_of_columns, fingerprint


def test_a_fingerprint_is_that_of_the_canonical_json():
    text = '{"a":[1,2.5,null,true],"b":"ü"}'
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert fingerprint({"b": "ü", "a": [1, 2.5, None, True]}) == expected
    assert fingerprint({"a": (1, 2.5, None, True), "b": "ü"}) == expected
    assert fingerprint({"b": "u", "a": [1, 2.5, None, True]}) != expected
    with pytest.raises(ValueError, match="JSON"):
        fingerprint({"a": float("nan")})


def test_a_pair_id_is_the_clip_the_role_and_the_frames_and_nothing_else():
    clip = Clip(clip_id="casme2/sub01/EP02_01f", source="/data/a")
    pair = Pair(clip=clip, role="onset-apex", frame0=46, frame1=59)
    assert pair.pair_id == hashlib.sha256(b'["casme2/sub01/EP02_01f","onset-apex",46,59]').hexdigest()[:16]
    moved = dataclasses.replace(clip, source="/elsewhere", subject="sub01", emotion="happiness", fps=200.0)
    assert dataclasses.replace(pair, clip=moved, error="unreadable").pair_id == pair.pair_id
    others = [
        dataclasses.replace(pair, clip=dataclasses.replace(clip, clip_id="casme2/sub01/EP02_02f")),
        dataclasses.replace(pair, role="apex-offset"),
        dataclasses.replace(pair, frame0=47),
        dataclasses.replace(pair, frame1=None),
    ]
    assert len({pair.pair_id, *(other.pair_id for other in others)}) == 5


@pytest.mark.parametrize("clip_id", ["a", 'quotes " and \\', "Ünïcode 試", "tab\tand\nline", "\x7f\u2028"])
@pytest.mark.parametrize("frames", [(0, 1), (None, None), (-5, None), (7, 10**12)])
def test_a_pair_id_is_the_fingerprint_of_what_makes_the_pair(clip_id, frames):
    pair = Pair(clip=Clip(clip_id=clip_id, source="s"), role="onset-apex", frame0=frames[0], frame1=frames[1])
    assert pair.pair_id == fingerprint([clip_id, "onset-apex", *frames])[:16]


def test_clips_of_columns_are_those_made_one_by_one():
    columns = {"source": ["x", "y"], "apex": [3, None], "clip_id": ["a", "b"], "defects": [(), ("blurred",)]}
    clips = clips_of_columns(columns, 2)
    expected = [
        Clip(clip_id="a", source="x", apex=3),
        Clip(clip_id="b", source="y", defects=("blurred",)),
    ]
    assert clips == expected
    assert [*map(hash, clips)] == [*map(hash, expected)]
    assert [dataclasses.asdict(clip) for clip in clips] == [dataclasses.asdict(clip) for clip in expected]

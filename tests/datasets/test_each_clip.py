"""Clip by clip: what goes wrong with one is its own, but a store that gives no answer ends the work."""

import pytest

from flowkit.datasets.each_clip import each_clip
from flowkit.errors import FrameError, InputError, Interrupted, OutputError
from flowkit.types import Clip

CLIPS = [Clip(clip_id=name, source="none") for name in "abc"]


def raising(*errors):
    """Work that gives a clip's name, or raises its error where it has one."""
    by_clip = dict(zip("abc", errors, strict=True))

    def work(clip):
        if by_clip[clip.clip_id] is not None:
            raise by_clip[clip.clip_id]
        return clip.clip_id

    return work


@pytest.mark.parametrize("workers", [1, 2])
def test_a_clips_trouble_of_any_kind_is_its_own(workers):
    lost = FrameError("frame 3 is damaged")
    assert each_clip(CLIPS, raising(None, lost, None), workers=workers) == ["a", lost, "c"]
    found = each_clip(CLIPS, raising(InputError("no frames"), OutputError("no cube"), KeyError("x")), workers=workers)
    assert [type(one) for one in found] == [FrameError] * 3
    assert [str(one) for one in found] == ["no frames", "no cube", "unexpected KeyError: 'x'; report it"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_store_that_gives_no_answer_ends_the_work(workers):
    gone = Interrupted("s3://bucket gives no answer")
    with pytest.raises(Interrupted, match="s3://bucket gives no answer"):
        each_clip(CLIPS, raising(None, gone, None), workers=workers)

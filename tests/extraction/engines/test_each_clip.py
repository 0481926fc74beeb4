"""Clip by clip: what goes wrong with one is its own, but a store that gives no answer ends the work."""

import functools
import os

import pytest

from flowkit.errors import FrameError, InputError, Interrupted, OutputError
from flowkit.extraction.engines.each_clip import each_clip
from flowkit.types import Clip
from tests.extraction.engines import faults
from tests.extraction.engines.test_survey import workers

CLIPS = [Clip(clip_id=name, source="none") for name in "abc"]


def name(clip, troubles):
    """A clip's name, unless it has a trouble: an exception, or what befalls its process."""
    trouble = troubles.get(clip.clip_id, lambda: None)
    if isinstance(trouble, Exception):
        raise trouble
    trouble()
    return clip.clip_id


def named(troubles, **how):
    found = each_clip(CLIPS, functools.partial(name, troubles=troubles), **how)
    assert workers() == []
    return [(type(one), str(one)) if isinstance(one, Exception) else one for one in found]


@pytest.mark.parametrize("count", [1, 2])
def test_a_clips_trouble_of_any_kind_is_its_own(count):
    lost = FrameError("frame 3 is damaged")
    assert named({"b": lost}, workers=count) == ["a", (FrameError, "frame 3 is damaged"), "c"]
    troubles = {"a": InputError("no frames"), "b": OutputError("no cube"), "c": KeyError("x")}
    assert named(troubles, workers=count) == [
        (FrameError, text) for text in ("no frames", "no cube", "unexpected KeyError: 'x'; report it")
    ]


@pytest.mark.parametrize("count", [1, 2])
def test_a_store_that_gives_no_answer_ends_the_work(count):
    with pytest.raises(Interrupted, match="s3://bucket gives no answer"):
        named({"b": Interrupted("s3://bucket gives no answer")}, workers=count)
    assert workers() == []


@pytest.mark.parametrize(
    ("fault", "limit_s", "reason"),
    [
        (
            faults.die,
            1800,
            "its worker process died 4 times (signal 9), perhaps for want of memory; mend the clip, or give fewer "
            "--workers",
        ),
        (faults.hang, 5, "not done within the time limit of 5 s; mend the clip, or raise the limit"),
    ],
)
def test_what_a_clip_does_to_its_process_is_its_own(fault, limit_s, reason):
    assert named({"b": fault}, workers=2, time_limit_s=limit_s) == ["a", (FrameError, reason), "c"]


def test_each_clip_is_told_once_it_is_done():
    told = []
    assert named({"a": faults.die}, workers=2, report=told.append)[1:] == ["b", "c"]
    assert told == [1, 2, 3]
    assert each_clip([], functools.partial(name, troubles={}), workers=2) == []


def test_folders_of_images_are_done_here_by_one_worker_and_videos_never():
    def processes(source):
        return each_clip([Clip(clip_id="a", source=source)], _process)

    assert processes("folder") == [os.getpid()]
    assert processes("video.mp4") != [os.getpid()]


def _process(clip):
    return os.getpid()


class Gone:
    """Work that another process cannot take over."""

    def __reduce__(self):
        return _refuse, ()

    def __call__(self, clip):
        raise AssertionError(clip)


def _refuse():
    raise InputError("model 'm.onnx' is no file")


def test_work_that_cannot_begin_says_why():
    with pytest.raises(InputError, match=r"model 'm\.onnx' is no file"):
        each_clip(CLIPS, Gone(), workers=2)


@pytest.mark.parametrize(("how", "told"), [({"workers": 0}, "workers=0"), ({"time_limit_s": 0}, "time_limit_s=0")])
def test_what_makes_no_sense_is_refused(how, told):
    with pytest.raises(InputError, match=told):
        named({}, **how)

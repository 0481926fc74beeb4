"""The frame rate comes from time stamps, and says whether it varies."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from flowkit.frames import VideoSource
from flowkit.frames.rate import Rate, rate_of_stamps
from tests.videos import VFR, numbered_picture, write_video

MS = Fraction(1, 1000)


def rate(stamps: list[int], *stated: Fraction | None, tick_s: Fraction = MS) -> Rate:
    return rate_of_stamps(np.array(stamps, np.int64), tick_s, stated)


def test_a_stated_rate_that_the_stamps_contradict_is_not_believed() -> None:
    assert rate([40 * i for i in range(95)], Fraction(2367, 100)) == Rate(25.0, False)


def test_rounded_stamps_take_the_stated_rate_that_fits() -> None:
    ntsc = Fraction(30000, 1001)
    stamps = [round(1000 * i / ntsc) for i in range(300)]
    assert rate(stamps, Fraction(30), ntsc) == Rate(float(ntsc), False)
    found = rate(stamps)
    assert found.variable is False
    assert found.fps == pytest.approx(float(ntsc), rel=1e-4)
    assert rate([round(1000 * i / 240) for i in range(480)], Fraction(240)) == Rate(240.0, False)


def test_a_mixture_varies_and_its_rate_is_the_median_interval() -> None:
    stamps = np.cumsum([0, *[40] * 50, *[20] * 60]).tolist()
    assert rate(stamps, Fraction(33)) == Rate(50.0, True)
    assert rate([0, 40, 80, 160, 200], Fraction(25)) == Rate(25.0, True)  # a frame was lost


LOST = [i for i in range(60) if i not in (10, 25, 40)]


def test_a_lost_frame_is_seen_where_a_tick_is_a_whole_interval() -> None:
    stated = Fraction(30)
    assert rate(list(range(60)), stated, tick_s=1 / stated) == Rate(30.0, False)
    assert rate([*range(30), *range(31, 60)], stated, tick_s=1 / stated) == Rate(30.0, True)
    assert rate(LOST, stated, tick_s=1 / stated) == Rate(30.0, True)
    assert rate(LOST, Fraction(57 * 30, 60), stated, tick_s=1 / stated) == Rate(30.0, True)  # a mean over the gaps


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv"])
def test_containers_agree_on_frames_that_were_lost(tmp_path: Path, name: str) -> None:
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuvj420p"
        for stamp in LOST:
            picture = av.VideoFrame.from_ndarray(numbered_picture(stamp), format="rgb24")
            picture.pts, picture.time_base = stamp, Fraction(1, 30)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    source = VideoSource(tmp_path / name)
    assert (source.fps, source.variable) == (30.0, True)


@pytest.mark.parametrize("fps", [24, 30, 60, 90, 120, 200, 240, 300, 500])
def test_a_lost_frame_leaves_the_stated_rate_of_rounded_stamps(fps: int) -> None:
    stamps = [round(Fraction(1000 * i, fps)) for i in range(600) if i != 300]
    assert rate(stamps, Fraction(fps)) == Rate(float(fps), True)
    assert rate(stamps, Fraction(599 * fps, 600), Fraction(fps)) == Rate(float(fps), True)
    found = rate(stamps, None, Fraction(1000))
    assert found.variable is True
    assert found.fps == pytest.approx(fps, rel=2e-3)


def test_gaps_alone_leave_the_shorter_interval() -> None:
    assert rate([0, 20, 60], Fraction(33)) == Rate(50.0, True)


def test_jitter_of_a_camera_is_a_constant_rate() -> None:
    jitter = np.random.default_rng(0).integers(-2, 3, 200)
    found = rate((40 * np.arange(200) + jitter).tolist())
    assert found.variable is False
    assert found.fps == pytest.approx(25, abs=0.01)


@pytest.mark.parametrize("stamps", [[], [7], [5, 5, 5], [3, 1, 2]])
def test_stamps_that_say_nothing_leave_what_is_stated(stamps: list[int]) -> None:
    assert rate(stamps, None, Fraction(25)) == Rate(25.0, None)
    assert rate(stamps) == Rate(None, None)


def test_a_video_says_when_each_frame_is_shown(tmp_path: Path) -> None:
    source = VideoSource(write_video(tmp_path / "a.mp4", "libx264", {}, VFR))
    assert source.variable is True
    np.testing.assert_allclose(source.seconds(), (np.array(VFR) - VFR[0]) / 1000, atol=1e-9)
    assert VideoSource(write_video(tmp_path / "b.mp4", "mpeg4", {}, rate=30)).variable is False

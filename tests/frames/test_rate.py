"""The frame rate comes from time stamps, and says whether it varies."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from flowkit.frames import VideoSource
from flowkit.frames.rate import Rate, rate_of_stamps
from tests.videos import VFR, write_video

MS = Fraction(1, 1000)


def rate(stamps: list[int], *stated: Fraction | None) -> Rate:
    return rate_of_stamps(np.array(stamps, np.int64), MS, stated)


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

"""Clips with planted keyframes, made once."""

import cv2
import numpy as np
import pytest

from tests.faces.plugin import install
from tests.planted import planted


@pytest.fixture
def brightest(tmp_path, monkeypatch):
    install(tmp_path / "site", monkeypatch, "brightest = tests.faces.brightest:make")


def lit(folder, *, lost_at=None):
    """Frames 1 to 40 with a light, textured square of 40 px that drifts, but for one."""
    folder.mkdir()
    texture = np.random.default_rng(0).integers(215, 255, (40, 40), dtype=np.uint8)
    for number in range(1, 41):
        frame = np.full((120, 160), 20, np.uint8)
        if number != lost_at:
            left = 60 + (number - 1) // 4
            frame[40:80, left : left + 40] = texture
        assert cv2.imwrite(str(folder / f"img{number}.png"), frame)
    return folder


@pytest.fixture(scope="package")
def still_head(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("still") / "clip")


@pytest.fixture(scope="package")
def without_noise(tmp_path_factory):
    """A grey level of noise moves the flow's choice by a frame, which is not what these tests are about."""
    return planted(tmp_path_factory.mktemp("clean") / "clip", noise=0.0)


@pytest.fixture(scope="package")
def drifting_head(tmp_path_factory):
    return planted(tmp_path_factory.mktemp("drifting") / "clip", drift_px=4.0, noise=0.0)

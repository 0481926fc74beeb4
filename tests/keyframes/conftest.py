"""Clips with planted keyframes, made once."""

import pytest

from tests.planted import planted


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

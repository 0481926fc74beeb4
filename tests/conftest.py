"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

cv2.setNumThreads(1)


@pytest.fixture
def rng() -> np.random.Generator:
    """The same random numbers in every run."""
    return np.random.default_rng(20240501)


@pytest.fixture(params=["baseline", "x86-64-v3", "x86-64-v4"])
def simd(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once at each SIMD level that this machine has."""
    from flowkit import _core

    if request.param not in _core.simd_levels():
        pytest.skip(f"this machine has no {request.param}")
    _core.set_simd(request.param)
    yield request.param
    _core.set_simd("auto")

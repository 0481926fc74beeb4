"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.ptx import build
from tests.ptx.standin import StandIn

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


@pytest.fixture(scope="session")
def ptx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """flowkit's extension with the PTX of the kernels in the place of a GPU (tests/ptx), built once a run."""
    if reason := build.missing():
        pytest.skip(f"the PTX cannot be built: {reason}")
    return build.build(tmp_path_factory.mktemp("ptx"))


@pytest.fixture(scope="session")
def ptx(ptx_file: Path) -> StandIn:
    return StandIn(ptx_file)

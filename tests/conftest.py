"""Fixtures that several test files share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from filelock import FileLock

from flowkit.output.store_client import forget
from tests.ptx import build
from tests.ptx.standin import StandIn

cv2.setNumThreads(1)
# Where pytest was started in the background SIGINT is ignored, and the commands that tests interrupt would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests go first: where several processes share the files, none is left alone with a long one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def signals_kept() -> Iterator[None]:
    """For what sets the handlers of a whole process: they are as before after the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def rng() -> np.random.Generator:
    """The same random numbers in every run."""
    return np.random.default_rng(20240501)


@pytest.fixture
def simd_restored() -> Iterator[None]:
    """Whatever SIMD level the test sets, the next one has the machine's again."""
    from flowkit import _core

    yield
    _core.set_simd("auto")


@pytest.fixture(params=["baseline", "x86-64-v3", "x86-64-v4"])
def simd(request: pytest.FixtureRequest, simd_restored: None) -> str:
    """Runs the test once at each SIMD level that this machine has."""
    from flowkit import _core

    if request.param not in _core.simd_levels():
        pytest.skip(f"this machine has no {request.param}")
    _core.set_simd(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A local S3 server with an empty bucket, which this process and those that it starts will use."""
    from tests.bucket import Bucket  # GPU machines that run some of the tests lack its server

    server = Bucket(tmp_path_factory.mktemp("s3"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        patch.setenv("FLOWKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        forget()
        yield server
    server.kill()
    forget()


@pytest.fixture(scope="session")
def ptx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """flowkit's extension with the PTX of the kernels in the place of a GPU (tests/ptx), built once a run."""
    pytest.importorskip("pybind11")
    if reason := build.missing():
        pytest.skip(f"the PTX cannot be built: {reason}")
    here = tmp_path_factory.getbasetemp()
    # The processes of one run share it.
    folder = (here.parent if "PYTEST_XDIST_WORKER" in os.environ else here) / "ptx"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        built = list(folder.glob("_core*"))
        return built[0] if built else build.build(folder)


@pytest.fixture(scope="session")
def ptx(ptx_file: Path) -> StandIn:
    return StandIn(ptx_file)

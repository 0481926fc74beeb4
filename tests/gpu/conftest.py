"""Tests of this folder need a GPU that this build can use; elsewhere each is skipped, saying why."""

from __future__ import annotations

import pytest

from flowkit import _core


@pytest.fixture(autouse=True)
def gpu() -> None:
    devices, reason = _core.cuda_devices()
    if not devices:
        pytest.skip(f"no usable GPU: {reason}")

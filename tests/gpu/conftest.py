"""Tests of this folder need a GPU that this build can use; elsewhere each is skipped, saying why."""

from __future__ import annotations

import pytest

from flowkit.motion.devices import gpus


@pytest.fixture(autouse=True)
def gpu() -> None:
    usable, reason = gpus()
    if not usable:
        pytest.skip(f"no usable GPU: {reason}")

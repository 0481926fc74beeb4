"""Tests of this folder need a GPU that this build can use; elsewhere each is skipped, saying why.

With FLOWKIT_REQUIRE_GPU in the environment each fails instead: benchmarks/gpu_check.sh sets it, for there a skip would
look like a pass.
"""

from __future__ import annotations

import os

import pytest

from flowkit.motion.devices import gpus


@pytest.fixture(autouse=True)
def gpu() -> None:
    usable, reason = gpus()
    if usable:
        return
    if os.environ.get("FLOWKIT_REQUIRE_GPU"):
        pytest.fail(f"no usable GPU: {reason}")
    pytest.skip(f"no usable GPU: {reason}")

"""Every kernel once, on small images and few iterations: what benchmarks/gpu_check.sh runs under compute-sanitizer.

Frames come from the CPU and go back, so that no array library, which the sanitizer would watch too, is imported.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import flowkit
from flowkit import _core
from flowkit.params import PRESETS, TVL1Params
from tests import fields

pytestmark = pytest.mark.sanitizer

SHORT = {"warps": 1, "levels": 2, "outer_iterations": 2, "inner_iterations": 5}
VARIANTS = ["resident", "tiled", "tiled:3"]


def short(preset: str, **changes: Any) -> TVL1Params:
    return PRESETS[preset].replace(**(SHORT | changes))


def assert_the_cpus(params: TVL1Params, *frames: NDArray[Any], range_: tuple[float, float] = (0, 255)) -> None:
    flow, iterations = _core.tvl1_flow_on_gpu(*frames, params.to_dict(), *range_, None, 0)
    expected, counts = _core.tvl1_flow(*frames, params.to_dict(), *range_, None, 2)
    difference = np.abs(flow - expected)
    assert difference.mean() <= 1e-4
    assert (difference < 1e-3).mean() >= 0.999
    assert np.abs(iterations - counts).max() <= 1


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset(preset):
    """A width that is no multiple of four."""
    assert_the_cpus(short(preset), *fields.facial_batch(2, 33, 42))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("preset", ["opencv", "micro"])
def test_each_variant_of_the_iteration(monkeypatch, preset, variant):
    """With and without the test that stops early."""
    monkeypatch.setenv("FLOWKIT_CUDA_VARIANT", variant)
    assert_the_cpus(short(preset), *fields.facial_batch(3, 45, 50))


@pytest.mark.parametrize("preset", ["opencv", "micro"])
def test_a_cluster(preset):
    """An image that one block cannot hold on any GPU: ranks write into each other's shared memory."""
    assert_the_cpus(short(preset, levels=1, outer_iterations=1), *fields.facial_batch(1, 100, 130))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_frames_of_other_types(dtype):
    range_ = {np.uint16: (0, 65535), np.float32: (-16, 300)}[dtype]
    frames = [np.ascontiguousarray(f.astype(dtype)[:, ::-1, ::2]) for f in fields.facial_batch(2, 33, 61)]
    assert_the_cpus(short("micro", border="zero"), *frames, range_=range_)


@pytest.mark.parametrize("feature", ["tensor", "magnitude", "cube", "half_cube"])
def test_strain_and_the_motion_cube(rng, feature):
    flow = rng.standard_normal((5, 2, 33, 47)).astype(np.float32)
    strain = flowkit.strain_magnitude(flow)
    cube = np.concatenate([flow, strain[:, None]], axis=1)
    expected = {"tensor": flowkit.strain_tensor(flow), "magnitude": strain, "cube": cube}
    found = _core.flow_feature_on_gpu(feature, flow, 0)
    if feature == "half_cube":
        assert np.array_equal(found.view(np.float16), cube.astype(np.float16))
    else:
        assert np.array_equal(found, expected[feature])

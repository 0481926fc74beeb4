"""The compiled kernels and the code that launches them, on the host, against the CPU solver (tests/ptx/__init__.py)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import flowkit
from benchmarks import gpu_model
from flowkit import _core
from flowkit.params import PRESETS, TVL1Params
from tests import fields
from tests.ptx import wavefronts
from tests.ptx.standin import StandIn

SIZES = [(3, 3), (17, 29), (48, 37), (100, 90), (224, 224), (280, 340)]
"""On the last three ranks share the level, the last one is tiled."""
VARIANTS = ["resident", "tiled", "tiled:3"]
TODAY = [preset for preset in PRESETS if not preset.endswith("-0.1")]
"""Older ones take a part of the same paths."""


def assert_the_cpus(ptx: StandIn, params: TVL1Params, *frames: NDArray[Any], **options: Any) -> NDArray[np.int32]:
    range_, start = options.get("range_", (0, 255)), options.get("initial_flow")
    expected, counts = _core.tvl1_flow(*frames, params.to_dict(), *range_, start, 2)
    device = options.get("device", 0)
    flow, iterations = ptx.core.tvl1_flow_on_gpu(*frames, params.to_dict(), *range_, start, device)
    assert np.abs(flow - expected).mean() <= 1e-4
    assert (np.abs(flow - expected) < 1e-3).mean() >= 0.999
    if _core.simd_level() != "baseline":  # that one rounds twice now and then
        assert np.array_equal(flow, expected)
        assert iterations.tolist() == counts.tolist()
    return iterations


@pytest.mark.parametrize(
    ("preset", "size"),
    [(preset, size) for preset in PRESETS for size in (SIZES if preset in TODAY else SIZES[3:4])],
    ids=str,
)
def test_each_preset_has_the_bits_of_the_cpu_solver(ptx, preset, size):
    assert_the_cpus(ptx, PRESETS[preset], *fields.facial_batch(1, *size))


@pytest.mark.parametrize("preset", TODAY)
def test_approximations_that_are_off_by_four_ulps_hardly_matter(ptx, monkeypatch, preset):
    """Roots and quotients start from approximations, and a GPU's are not the host's. Bounds: docs/cuda.md, "Tests"."""
    frames, params = fields.facial_batch(1, 224, 224), PRESETS[preset].to_dict()
    # The kernels have the CPU's bits, as tested above, and take longer.
    exact, _ = _core.tvl1_flow(*frames, params, 0, 255, None, 2)
    if _core.simd_level() == "baseline":
        exact, _ = ptx.core.tvl1_flow_on_gpu(*frames, params, 0, 255, None, 0)
    monkeypatch.setenv("FLOWKIT_PTX_ULPS", "4")
    flow, _ = ptx.core.tvl1_flow_on_gpu(*frames, params, 0, 255, None, 0)
    difference = np.abs(flow - exact)
    assert difference.mean() <= 2.6e-6
    assert difference.max() <= 7e-4
    assert preset != "opencv" or np.array_equal(flow, exact)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("preset", PRESETS)
def test_each_variant_of_the_iteration(ptx, monkeypatch, preset, variant):
    monkeypatch.setenv("FLOWKIT_CUDA_VARIANT", variant)
    assert_the_cpus(ptx, PRESETS[preset].replace(warps=2, levels=2), *fields.facial_batch(3, 52, 45))


@pytest.mark.parametrize("rule", ["every", "cadenced"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_pair_of_a_batch_stops_by_itself(ptx, monkeypatch, variant, rule):
    """More pairs than teams run at a time."""
    monkeypatch.setenv("FLOWKIT_CUDA_VARIANT", variant)
    params = PRESETS["opencv"].replace(stop_rule=rule, warps=2, levels=2)
    iterations = assert_the_cpus(ptx, params, *fields.facial_batch(11, 40, 33))
    assert len(set(iterations.tolist())) > 2


def test_a_cluster_of_many_ranks(ptx):
    """Seven blocks, each with its band of the image."""
    frames = fields.facial_pair(224, 0.8)[:2]
    params = PRESETS["opencv"].replace(levels=1, warps=1, outer_iterations=2)
    assert_the_cpus(ptx, params, *(frame[None] for frame in frames))


@pytest.mark.parametrize("preset", gpu_model.COSTS)
def test_shared_memory_serves_the_iteration_without_bank_conflicts(ptx, preset):
    """Wavefronts a warp and iteration, and that the model on paper reckons with so many.

    176 are the least: five constants of 16 pixels, and eight edges of four pixels, each written once and read twice on
    average. Where edges lie cell by cell, four lanes meet in a bank, and there are 455 and more.
    """
    counted = wavefronts.of_an_iteration(ptx, PRESETS[preset], 224)
    assert counted == pytest.approx(gpu_model.COSTS[preset].wavefronts, abs=0.5)
    assert counted < 176 * 1.2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_frames(ptx, dtype):
    range_ = {np.uint8: (0, 255), np.uint16: (0, 65535), np.float32: (-16, 300)}[dtype]
    frames = [f.astype(dtype)[:, ::-1, ::2] for f in fields.facial_batch(3, 40, 61)]
    assert_the_cpus(ptx, PRESETS["micro"].replace(border="zero", warps=1), *frames, range_=range_)


def test_an_initial_flow(ptx):
    start = np.stack([fields.bump(33, 40, a, -0.4, 12.0) for a in (0.5, 1.0)]).astype(np.float32)
    assert_the_cpus(ptx, PRESETS["micro"].replace(warps=1), *fields.facial_batch(2, 33, 40), initial_flow=start)


def test_strain_and_the_motion_cube(ptx, rng):
    flow = rng.standard_normal((5, 2, 33, 47)).astype(np.float32)
    strain = flowkit.strain_magnitude(flow)
    cube = np.concatenate([flow, strain[:, None]], axis=1)
    assert np.array_equal(ptx.core.flow_feature_on_gpu("tensor", flow, 0), flowkit.strain_tensor(flow))
    assert np.array_equal(ptx.core.flow_feature_on_gpu("magnitude", flow, 0), strain)
    assert np.array_equal(ptx.core.flow_feature_on_gpu("cube", flow, 0), cube)
    halves = ptx.core.flow_feature_on_gpu("half_cube", flow, 0)
    assert np.array_equal(halves.view(np.float16), cube.astype(np.float16))

"""The cube is the flow and its strain magnitude, bit for bit, and nothing more."""

from __future__ import annotations

import numpy as np
import pytest

import flowkit
from flowkit.errors import InputError
from tests import fields

PAIRS = [
    tuple(np.rint(f).astype(np.uint8) for f in fields.textured_pair(fields.bump(40, 33, u, 0.5, 9), seed=i))
    for i, u in enumerate((0.0, 0.6, 1.2))
]
FRAMES0, FRAMES1 = (np.stack(frames) for frames in zip(*PAIRS, strict=True))


@pytest.mark.parametrize("variant", ["standard", "meb", "softnet"])
@pytest.mark.parametrize("preset", ["micro", "opencv"])
def test_a_cube_is_flow_and_magnitude(simd, preset, variant):
    cube = flowkit.motion_cube(FRAMES0, FRAMES1, preset=preset, variant=variant)
    assert cube.shape == (3, 3, 40, 33)
    assert cube.dtype == np.float32
    assert cube.flags.c_contiguous
    flow = flowkit.tvl1_flow(FRAMES0, FRAMES1, preset=preset)
    assert np.array_equal(cube[:, :2], flow)
    assert np.array_equal(cube[:, 2], flowkit.strain_magnitude(flow, variant=variant))
    assert cube[1:, 2].max() > 0.01


def test_a_single_pair_gives_a_single_cube_with_the_same_bits():
    cubes, iterations = flowkit.motion_cube(FRAMES0, FRAMES1, preset="opencv", return_iterations=True)
    single, count = flowkit.motion_cube(FRAMES0[2], FRAMES1[2], preset="opencv", return_iterations=True)
    assert single.shape == (3, 40, 33)
    assert np.array_equal(single, cubes[2])
    assert iterations.shape == (3,)
    assert iterations.dtype == np.int32
    assert count == iterations[2]


def test_options_reach_the_solver():
    floats = [frames.astype(np.float32) / 255 for frames in (FRAMES0, FRAMES1)]
    options = {"params": {"warps": 2, "lambda_": 0.05}, "threads": 2, "value_range": (0, 1)}
    cube = flowkit.motion_cube(*floats, **options)
    assert np.array_equal(cube[:, :2], flowkit.tvl1_flow(*floats, **options))
    assert not np.array_equal(cube, flowkit.motion_cube(*floats, value_range=(0, 1)))


def test_a_still_pair_has_a_zero_cube():
    assert not flowkit.motion_cube(FRAMES0[0], FRAMES0[0]).any()


def test_refusals_are_those_of_flow_and_strain():
    with pytest.raises(InputError, match=r"frames1.*32"):
        flowkit.motion_cube(FRAMES0, FRAMES1[..., 1:])
    with pytest.raises(InputError, match="preset='faster'"):
        flowkit.motion_cube(FRAMES0, FRAMES1, preset="faster")


def test_a_variant_that_there_is_not_is_refused_before_the_solver_runs(monkeypatch):
    monkeypatch.setattr("flowkit.motion.cube.tvl1_flow", None)
    with pytest.raises(InputError, match="variant='sobel': choose one of standard, meb, softnet"):
        flowkit.motion_cube(FRAMES0, FRAMES1, variant="sobel")


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_out_is_filled_and_returned(dtype):
    out = np.full((3, 3, 40, 33), np.nan, dtype)
    cube = flowkit.motion_cube(FRAMES0, FRAMES1, preset="fast", out=out)
    assert cube is out
    assert np.array_equal(out, flowkit.motion_cube(FRAMES0, FRAMES1, preset="fast").astype(dtype))


def read_only() -> np.ndarray:
    out = np.empty((3, 3, 40, 33), np.float32)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (7, "out is of type int: give a NumPy array"),
        (np.empty((3, 3, 40, 32), np.float32), r"out has shape \(3, 3, 40, 32\): frames of .* need \(3, 3, 40, 33\)"),
        (np.empty((3, 40, 33), np.float32), r"out has shape \(3, 40, 33\)"),
        (np.empty((3, 3, 40, 33)), "out is float64: give float32 or float16"),
        (np.empty((3, 3, 40, 33), np.int32), "out is int32"),
        (read_only(), "out is read-only"),
    ],
)
def test_an_out_that_the_result_does_not_go_into_is_refused_before_the_solver_runs(monkeypatch, out, message):
    monkeypatch.setattr("flowkit.motion.cube.tvl1_flow", None)
    with pytest.raises(InputError, match=message):
        flowkit.motion_cube(FRAMES0, FRAMES1, out=out)

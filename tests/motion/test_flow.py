"""The compiled solver: against the float64 reference, itself (batch, threads, SIMD), OpenCV and physics."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

import flowkit
from flowkit import _core
from flowkit.params import PRESETS, TVL1Params
from tests import fields
from tests.peers import cv2_flow
from tests.reference import tvl1

THREADS = Path("/proc/self/task")
# Fixed, modest counts: rounding grows with warps and levels where the border is zero, and nowhere else.
FIXED = {
    name: params.replace(epsilon=0.0, warps=3, inner_iterations=15)
    for name, params in PRESETS.items()
    if name != "opencv"
} | {"opencv": PRESETS["opencv"].replace(epsilon=0.0, levels=2, warps=2, outer_iterations=2, inner_iterations=5)}
BASE = TVL1Params(
    epsilon=0.0, warps=3, outer_iterations=2, inner_iterations=8, median=0, cubic=-0.5, border="clamp", min_side=8
)
OPTIONS = {
    "border zero": {"border": "zero", "levels": 1},
    "border off": {"border": "off"},
    "border off-taps": {"border": "off-taps"},
    "central5": {"derivative": "central5"},
    "median 3": {"median": 3},
    "median 5": {"median": 5},
    "cubic -0.75": {"cubic": -0.75},
    "cubic 0": {"cubic": 0.0},
    "corner": {"grid": "corner"},
    "centre, cubic down": {"pyramid_kernel": "cubic"},
    "corner, cubic down": {"grid": "corner", "pyramid_kernel": "cubic"},
    "centre, cubic up": {"upsampling": "cubic"},
    "corner, cubic up": {"grid": "corner", "upsampling": "cubic"},
    "true ratio": {"upsampling_exact": True, "scale": 0.7},
    "halving": {"scale": 0.5, "pyramid_blur": 0.6},
    "large blur": {"scale": 0.3, "pyramid_blur": 1.0},
    "smoothing": {"smoothing": 1.3},
    "stretch": {"stretch": True},
    "diagonal": {"depth": "diagonal", "levels": 64, "scale": 0.5},
    "one level": {"levels": 1},
    "coarse warps": {"coarse_warps": 7, "warps": 1},
    "weights": {"tau": 0.2, "lambda_": 0.07, "theta": 0.4},
    "gradient floor": {"gradient_floor": 30.0},
    "patch": {"data_term": "patch"},
    "carried dual": {"carry_dual": True},
    "carried dual, corner": {"carry_dual": True, "grid": "corner", "scale": 0.5},
    "cauchy": {"data_term": "patch", "residual_norm": "cauchy"},
    "high pass": {"high_pass": 4.0},
    "high pass of residuals": {"high_pass": 4.0, "high_pass_residual": True, "border": "off"},
    "high pass of patches' residuals": {"high_pass": 3.0, "high_pass_residual": True, "data_term": "patch"},
    "refit": {"lambda_": 0.02, "refit_steps": 1, "refit_sigma": 4.0, "refit_from": 0.5, "refit_whole": 3.0},
    "refit with credit, the first step wider": {
        "lambda_": 0.02,
        "refit_steps": 2,
        "refit_sigma": 3.0,
        "refit_smoothing": 1.0,
        "refit_widening": 1.5,
        "refit_from": 0.5,
        "refit_whole": 9.0,
        "refit_credit": 6.0,
    },
    "refit as wide as can be": {
        "lambda_": 0.02,
        "refit_steps": 1,
        "refit_sigma": 10.0,
        "refit_smoothing": 12.0,
        "refit_widening": 2.0,
        "refit_from": 0.5,
        "refit_whole": 3.0,
    },
    "refit of the less noisy": {"lambda_": 0.02, "refit_steps": 1, "refit_from": 0.0, "refit_noise_limit": 1.2},
    "smoothed flow": {"flow_smoothing": 2.0},
    "smoothed flow with edges": {"flow_smoothing": 3.0, "flow_edge": 0.02},
    "refit twice, not smoothed": {"lambda_": 0.02, "refit_steps": 2, "refit_sigma": 2.5, "refit_smoothing": 0.0},
    "small patch": {"data_term": "patch", "patch_sigma": 0.7, "residual_scale": 1.0, "border": "off"},
}


@functools.cache
def reference(h: int, w: int, params: TVL1Params, initial: bool = False) -> tuple[np.ndarray, int]:
    image0, image1, flow = fields.facial_crop(h, w)
    return tvl1.tvl1_flow(image0, image1, params, flow + 0.2 if initial else None)


# ---- against the reference


@pytest.mark.parametrize(
    "size", [(3, 3), (5, 7), (16, 16), (17, 33), (31, 64), (67, 45), (7, 110), (130, 101)], ids=str
)
@pytest.mark.parametrize("preset", FIXED)
def test_each_preset_agrees_with_the_reference(simd, preset, size):
    image0, image1, _ = fields.facial_crop(*size)
    expected, iterations = reference(*size, FIXED[preset])
    flow, count = flowkit.tvl1_flow(image0, image1, params=FIXED[preset], return_iterations=True)
    assert flow.shape == (2, *size)
    assert flow.dtype == np.float32
    assert np.abs(flow - expected).max() < 1e-3
    assert count == iterations
    assert min(size) < 16 or np.abs(expected).max() > 0.02, "there is something to agree on"


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_agrees_with_the_reference_and_matters(simd, option):
    size, params = (49, 38), BASE.replace(**OPTIONS[option])
    image0, image1, _ = fields.facial_crop(*size)
    expected, _ = reference(*size, params)
    flow = flowkit.tvl1_flow(image0, image1, params=params)
    assert np.abs(flow - expected).max() < 5e-4
    assert np.abs(expected - reference(*size, BASE)[0]).max() > 1.5e-3, "the option changes nothing here"


OLD_BITS = {
    "opencv": "8e613fd5de1d3111",
    "opencv-cuda": "12f916685184c6f3",
    "ipol": "9395cdf6e814198e",
    "micro-0.1": "a9d9e75cf85f30a5",
    "fast-0.1": "b3a1a7b1d5d07c70",
}
"""SHA-256 of what flowkit 0.2 made of `grain_pair`, at every SIMD level."""


def grain_pair() -> tuple[np.ndarray, np.ndarray]:
    """Two pairs of grain that moves by 1.25 px, made of whole numbers alone: (2, 64, 80) uint8, twice."""
    sums = np.random.default_rng(12).integers(0, 256, (2, 71, 90)).cumsum(1).cumsum(2)
    mean = (sums[:, 7:, 7:] - sums[:, :-7, 7:] - sums[:, 7:, :-7] + sums[:, :-7, :-7]) // 49
    wide = np.clip((mean - 127) * 4 + 127, 0, 255)
    return wide[:, :, 1:-2].astype(np.uint8), ((3 * wide[:, :, 2:-1] + wide[:, :, 3:]) // 4).astype(np.uint8)


@pytest.mark.parametrize("preset", OLD_BITS)
def test_older_presets_have_the_bits_they_had(simd, preset):
    flow = flowkit.tvl1_flow(*grain_pair(), preset=preset)
    assert hashlib.sha256(flow.astype("<f4").tobytes()).hexdigest()[:16] == OLD_BITS[preset]


def turning(h: int, w: int, angle: float) -> np.ndarray:
    """A turn about the centre with a small bump on it: nearly affine, so that the affine reference is on."""
    y, x = np.mgrid[:h, :w]
    turn = angle * np.stack([-(y - (h - 1) / 2), x - (w - 1) / 2])
    return turn + fields.bump(h, w, 0.2, 0.1, w / 8)


def test_the_affine_reference_agrees_with_the_reference_and_frees_a_turn(simd):
    params = BASE.replace(affine_reference=True, scale=0.5, theta=0.1, inner_iterations=20)
    truth = turning(65, 54, 0.03)
    image0, image1 = fields.textured_pair(truth)
    expected, _ = tvl1.tvl1_flow(image0, image1, params)
    frames = [image.astype(np.float32) for image in (image0, image1)]
    error = {}
    for on in (True, False):
        flow = flowkit.tvl1_flow(*frames, params=params.replace(affine_reference=on), value_range=(0, 255))
        error[on] = fields.endpoint_error(flow, truth)[4:-4, 4:-4].mean()
        assert not on or np.abs(flow - expected).max() < 5e-4
    assert error[True] < 0.6 * error[False]


@pytest.mark.parametrize("data_term", ["pixel", "patch"])
def test_fast_rounding_changes_little_and_something(simd, data_term):
    image0, image1, _ = fields.facial_crop(49, 38)
    params = BASE.replace(data_term=data_term)
    slow, fast = (flowkit.tvl1_flow(image0, image1, params=params.replace(rounding=r)) for r in ("opencv", "fast"))
    expected, _ = reference(49, 38, params)
    assert 0 < np.abs(slow - fast).max() < 1e-4
    assert np.abs(fast - expected).max() < 5e-4


@pytest.mark.parametrize("grid", ["centre", "corner"])
def test_an_initial_flow_agrees_with_the_reference(simd, grid):
    size, params = (49, 38), BASE.replace(grid=grid, warps=1, outer_iterations=1, inner_iterations=3)
    image0, image1, truth = fields.facial_crop(*size)
    expected, _ = reference(*size, params, initial=True)
    start = (truth + 0.2).astype(np.float32)
    assert np.abs(flowkit.tvl1_flow(image0, image1, params=params, initial_flow=start) - expected).max() < 5e-4
    assert np.abs(expected - reference(*size, params)[0]).max() > 0.02


@pytest.mark.parametrize("rule", ["every", "cadenced"])
def test_it_stops_where_the_reference_stops(simd, rule):
    params = BASE.replace(epsilon=0.01, stop_rule=rule, outer_iterations=10, inner_iterations=30, median=3)
    image0, image1, _ = fields.facial_crop(49, 38)
    expected, iterations = reference(49, 38, params)
    flow, count = flowkit.tvl1_flow(image0, image1, params=params, return_iterations=True)
    assert count == iterations < 10 * 30 * 3
    assert np.abs(flow - expected).max() < 1e-3


# ---- the same bits, whatever the company


@pytest.mark.parametrize("preset", PRESETS)
def test_a_pair_has_the_same_bits_alone_in_a_batch_and_on_any_threads(simd, preset):
    frames0, frames1 = fields.textured_batch(64, 33, 30)
    params = PRESETS[preset].replace(warps=2)
    one, iterations = flowkit.tvl1_flow(frames0, frames1, params=params, threads=1, return_iterations=True)
    two, again = flowkit.tvl1_flow(frames0, frames1, params=params, threads=2, return_iterations=True)
    assert one.shape == (64, 2, 33, 30)
    assert np.array_equal(one, two)
    assert iterations.dtype == np.int32
    assert np.array_equal(iterations, again)
    for i in (0, 1, 17, 63):
        alone, count = flowkit.tvl1_flow(frames0[i], frames1[i], params=params, return_iterations=True)
        assert np.array_equal(alone, one[i])
        assert count == iterations[i]
    reversed_ = flowkit.tvl1_flow(frames0[::-1], frames1[::-1], params=params)
    assert np.array_equal(reversed_[::-1], one)


@pytest.mark.parametrize("preset", PRESETS)
def test_threads_without_a_pair_of_their_own_help_and_change_no_bit(preset):
    frames0, frames1 = fields.textured_batch(2, 260, 300)
    params = PRESETS[preset].replace(warps=1)
    one, iterations = flowkit.tvl1_flow(frames0, frames1, params=params, threads=1, return_iterations=True)
    for threads in (2, 4, 6, 19):
        more, again = flowkit.tvl1_flow(frames0, frames1, params=params, threads=threads, return_iterations=True)
        assert np.array_equal(one, more)
        assert np.array_equal(iterations, again)


@pytest.mark.skipif(not THREADS.is_dir(), reason="threads are counted in /proc")
@pytest.mark.parametrize(
    ("preset", "side", "most"),
    [("opencv", 64, 1), ("micro", 224, 1), ("opencv-cuda", 260, 1), ("fast", 260, 10), ("micro", 260, 16)],
)
def test_threads_that_a_pair_has_no_work_for_are_not_started(preset, side, most):
    """Small levels and the cadenced stop are for one thread, and no sweep has more than 16 iterations."""
    frames = [frames[0] for frames in fields.textured_batch(1, side, side)]
    params = PRESETS[preset].replace(warps=1)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        before = len(list(THREADS.iterdir()))
        flow = pool.submit(flowkit.tvl1_flow, *frames, params=params, threads=64)
        seen = before
        while not flow.done():
            seen = max(seen, len(list(THREADS.iterdir())))
    assert seen - before <= most - 1


@pytest.mark.skipif(not THREADS.is_dir(), reason="memory is read in /proc")
def test_a_call_leaves_64_mib_at_most_to_later_ones():
    """Of 16 blocks of up to 32 MiB each, whatever their number."""
    program = """if True:
        import re, numpy as np, flowkit
        from pathlib import Path
        held = lambda: int(re.search(r"VmRSS:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
        changes = {"warps": 1, "outer_iterations": 1, "inner_iterations": 1, "median": 0, "levels": 1}
        frames = np.zeros((16, 600, 600), np.uint8)
        flowkit.tvl1_flow(frames[:, :32, :32], frames[:, :32, :32], preset="opencv", params=changes, threads=16)
        before = held()
        for _ in range(2):
            flowkit.tvl1_flow(frames, frames, preset="opencv", params=changes, threads=16)
        print(held() - before)
    """
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert float(done.stdout) < 64 + 16


def test_each_pair_stops_by_itself():
    frames0, frames1 = fields.textured_batch(8, 40, 40)
    _, iterations = flowkit.tvl1_flow(frames0, frames1, preset="opencv", return_iterations=True)
    assert iterations[1] < iterations[7] / 2
    assert len(set(iterations.tolist())) > 3


@pytest.mark.parametrize("preset", PRESETS)
def test_the_three_kinds_of_grey_values_mean_the_same(preset):
    frames0, frames1 = fields.textured_batch(2, 40, 36)
    expected = flowkit.tvl1_flow(frames0, frames1, preset=preset)
    wide = [frames.astype(np.uint16) * 257 for frames in (frames0, frames1)]
    assert np.array_equal(flowkit.tvl1_flow(*wide, preset=preset), expected)
    floats = [frames.astype(np.float32) for frames in (frames0, frames1)]
    assert np.array_equal(flowkit.tvl1_flow(*floats, preset=preset, value_range=(0, 255)), expected)
    shifted = [frames / 2 - 16 for frames in floats]  # exact in float32, and so is the way back
    assert np.array_equal(flowkit.tvl1_flow(*shifted, preset=preset, value_range=(-16, 111.5)), expected)


def test_a_zero_to_one_range_is_the_same_to_rounding():
    frames0, frames1 = fields.textured_batch(2, 40, 36)
    floats = [frames.astype(np.float32) / 255 for frames in (frames0, frames1)]
    flow = flowkit.tvl1_flow(*floats, value_range=(0, 1))
    assert np.abs(flow - flowkit.tvl1_flow(frames0, frames1)).max() < 1e-3


@pytest.mark.usefixtures("simd_restored")
@pytest.mark.parametrize("preset", PRESETS)
def test_simd_levels_have_the_same_bits(preset):
    frames0, frames1 = fields.textured_batch(3, 61, 50)
    flows = {}
    for level in _core.simd_levels():
        _core.set_simd(level)
        assert _core.simd_level() == level
        flows[level] = flowkit.tvl1_flow(frames0, frames1, params=FIXED[preset])
    _core.set_simd("auto")
    assert _core.simd_level() == _core.simd_levels()[-1]
    for level, flow in flows.items():
        assert np.array_equal(flow, flows["baseline"]), level


def test_the_environment_forces_a_simd_level():
    def level(name: str) -> subprocess.CompletedProcess[str]:
        code = "from flowkit import _core; print(_core.simd_level())"
        environment = os.environ | {"FLOWKIT_SIMD": name}
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )

    assert level("baseline").stdout.strip() == "baseline"
    assert level("").stdout.strip() == _core.simd_levels()[-1], "empty is as not set"
    unknown = level("avx1024")
    assert unknown.returncode != 0
    assert "avx1024" in unknown.stderr


# ---- physics


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [(3, 3), (20, 24), (64, 64)], ids=str)
def test_constant_and_identical_images_have_no_flow(rng, preset, size):
    dark, bright = np.full(size, 10, np.uint8), np.full(size, 200, np.uint8)
    assert not flowkit.tvl1_flow(dark, bright, preset=preset).any()
    image = rng.integers(0, 256, size, np.uint8)
    assert np.abs(flowkit.tvl1_flow(image, image, preset=preset)).max() < 1e-4


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("move", [(0.5, 0.0), (0.0, 0.5), (-1.25, 0.75)], ids=["right", "down", "left and down"])
def test_a_translation_is_recovered(preset, move):
    """+u to the right and +v downwards: a wrong sign or order would miss by a pixel."""
    truth = fields.translation(64, 72, *move)
    frames = [np.rint(frame).astype(np.uint8) for frame in fields.textured_pair(truth)]
    flow = flowkit.tvl1_flow(*frames, preset=preset)
    bias = 0.05 if PRESETS[preset].cubic == -0.5 else 0.05 + 0.048  # what a = -0.75 adds, at most
    assert np.abs(flow[:, 8:-8, 8:-8].mean(axis=(1, 2)) - np.array(move)).max() < bias
    assert fields.endpoint_error(flow, truth, margin=8).mean() < bias + 0.01


@pytest.mark.parametrize("size", [(64, 80), (24, 300)], ids=str)
@pytest.mark.parametrize("preset", ["opencv", "ipol", "micro"])
def test_a_pyramid_ends_where_a_side_no_longer_shrinks(preset, size):
    """Levels of 4 x 4 px would follow one another, or of 4 px by ever fewer, and each raise what it was given."""
    truth = fields.translation(*size, 1.0, 0.5)
    frames = [np.rint(frame).astype(np.uint8) for frame in fields.textured_pair(truth)]
    for scale in (0.9, 0.95):
        params = PRESETS[preset].replace(scale=scale, min_side=3, levels=64)
        sizes = _core.pyramid_sizes(*size, params.to_dict())
        assert sizes == tvl1.level_sizes(*size, params)
        assert all(coarse < fine for level in itertools.pairwise(sizes) for fine, coarse in zip(*level, strict=True))
        assert fields.endpoint_error(flowkit.tvl1_flow(*frames, params=params), truth, margin=4).mean() < 0.1


@pytest.mark.parametrize("preset", PRESETS)
def test_a_smooth_field_is_recovered(preset):
    for truth in (
        fields.bump(72, 64, 1.0, -0.6, 14),
        fields.rotation(72, 64, 0.02),
        fields.stretch(72, 64, 0.02, -0.01),
    ):
        flow = flowkit.tvl1_flow(*[np.rint(f).astype(np.uint8) for f in fields.textured_pair(truth)], preset=preset)
        assert fields.endpoint_error(flow, truth, margin=8).mean() < 0.12


@pytest.mark.parametrize("preset", FIXED)
def test_transposed_images_swap_u_and_v(preset):
    image0, image1, _ = fields.facial_crop(67, 45)
    flow = flowkit.tvl1_flow(image0, image1, params=FIXED[preset])
    turned = flowkit.tvl1_flow(image0.T, image1.T, params=FIXED[preset])
    assert np.abs(turned[::-1].transpose(0, 2, 1) - flow).max() < 1e-3


@pytest.mark.parametrize("preset", PRESETS)
def test_a_zero_initial_flow_is_none(preset):
    frames0, frames1 = fields.textured_batch(2, 40, 36)
    start = np.zeros((2, 2, 40, 36), np.float32)
    given = flowkit.tvl1_flow(frames0, frames1, preset=preset, initial_flow=start)
    assert np.array_equal(given, flowkit.tvl1_flow(frames0, frames1, preset=preset))


def test_an_initial_flow_helps_where_the_motion_is_too_large():
    truth = fields.translation(64, 80, 10.0, -3.0)
    frames = [np.rint(frame).astype(np.uint8) for frame in fields.textured_pair(truth)]
    lost = flowkit.tvl1_flow(*frames, params={"levels": 1})
    found = flowkit.tvl1_flow(*frames, params={"levels": 1}, initial_flow=(truth + 0.5).astype(np.float32))
    assert fields.endpoint_error(lost, truth, margin=12).mean() > 2
    assert fields.endpoint_error(found, truth, margin=12).mean() < 0.1


# ---- against OpenCV


# cv2.resize is IPP's, cv2.remap uses fused multiply-adds: only with both does OpenCV 5 round as docs/algorithm.md says.
SAME_ROUNDING = (
    int(cv2.__version__.split(".")[0]) >= 5 and cv2.useOptimized() and cv2.ipp.useIPP() and len(_core.simd_levels()) > 1
)


@pytest.mark.parametrize(("side", "amplitude_px"), [(128, 0.2), (128, 0.5), (128, 1.0), (128, 2.0), (224, 1.0)])
def test_the_opencv_preset_is_opencv(side, amplitude_px):
    """Rounding alone moves a whole run by 0.01 px and more, so near means equal rounding here."""
    image0, image1, truth = fields.facial_pair(side, amplitude_px)
    theirs = cv2.optflow.DualTVL1OpticalFlow_create().calc(image0, image1, None).transpose(2, 0, 1)
    flow = flowkit.tvl1_flow(image0, image1, preset="opencv")
    assert fields.endpoint_error(flow, theirs).mean() < (0.01 if SAME_ROUNDING else 0.03)
    ours = fields.endpoint_error(flow, truth).mean()
    assert ours < 1.02 * fields.endpoint_error(theirs, truth).mean() + 1e-3


@pytest.mark.skipif(not SAME_ROUNDING, reason="this OpenCV or this processor rounds otherwise")
@pytest.mark.parametrize("size", [(3, 3), (16, 16), (31, 64), (40, 137), (130, 101)], ids=str)
@pytest.mark.parametrize(
    "changes",
    [{}, {"median": 3}, {"scale": 0.5}, {"scale": 0.7, "levels": 7}, {"lambda_": 0.3, "tau": 0.2, "theta": 0.35}],
    ids=str,
)
def test_the_opencv_preset_has_opencvs_bits(size, changes):
    params = PRESETS["opencv"].replace(**changes)
    image0, image1, truth = fields.facial_crop(*size)
    flow = flowkit.tvl1_flow(image0, image1, params=params)
    assert np.array_equal(flow, cv2_flow(image0, image1, params))
    start = (truth + 0.3).astype(np.float32)
    flow = flowkit.tvl1_flow(image0, image1, params=params, initial_flow=start)
    assert np.array_equal(flow, cv2_flow(image0, image1, params, start))


@pytest.mark.skipif(not SAME_ROUNDING, reason="this OpenCV or this processor rounds otherwise")
@pytest.mark.parametrize("size", [(31, 64), (130, 101), (260, 300)], ids=str)
def test_a_warp_ends_at_the_epsilon_at_which_opencvs_ends(simd, size):
    """To epsilon's last bit, between two of cv2's flows: so the sum of squared changes is rounded as it is there."""
    image0, image1, _ = fields.facial_crop(*size)

    def params(epsilon):
        return PRESETS["opencv"].replace(
            levels=1, warps=1, outer_iterations=1, inner_iterations=300, median=0, epsilon=epsilon
        )

    low, high = 0.005, 0.02
    ends = cv2_flow(image0, image1, params(high))
    while low < (middle := (low + high) / 2) < high:
        same = np.array_equal(cv2_flow(image0, image1, params(middle)), ends)
        low, high = (low, middle) if same else (middle, high)
    for epsilon in (low, high):
        theirs = cv2_flow(image0, image1, params(epsilon))
        assert np.array_equal(theirs, ends) == (epsilon == high)
        for threads in (1, 2):
            assert np.array_equal(flowkit.tvl1_flow(image0, image1, params=params(epsilon), threads=threads), theirs)


@pytest.mark.skipif(not SAME_ROUNDING, reason="this OpenCV or this processor rounds otherwise")
def test_gradients_count_as_zero_from_where_they_do_in_opencv():
    """FLT_EPSILON: a ramp whose squared slope is barely above it, and so little motion that the step is not cut off."""
    slope = np.float32(3.458e-4)
    assert 2.0**-23 < slope**2 < 1.2e-7
    ramp = np.tile(np.arange(48, dtype=np.float32) * slope, (40, 1))
    frames = ramp / 255, (ramp + slope * np.float64(1e-5)).astype(np.float32) / 255
    flow = flowkit.tvl1_flow(*frames, preset="opencv", value_range=(0, 1))
    assert np.array_equal(flow, cv2_flow(*frames, PRESETS["opencv"]))
    higher = flowkit.tvl1_flow(*frames, preset="opencv", params={"gradient_floor": 1.2e-7}, value_range=(0, 1))
    assert not np.array_equal(flow, higher)

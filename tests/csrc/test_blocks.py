"""The block programs of the CUDA solver, run thread by thread on the host, against the CPU solver.

What a GPU must agree to is |difference| <= 1e-4 px on average and < 1e-3 px in 99.9 % of the pixels. Here more holds:
every operation of a pixel is the CPU's, in its order, so the bits are the same. Only the sums of squared changes, which
decide when to stop, are taken in another order: where a sum comes within rounding of the threshold, a solver could stop
one iteration apart from the other. That happens to none of the pairs below.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import flowkit
from flowkit import _core, _test_hooks
from flowkit.params import PRESETS, TVL1Params
from tests import fields

SIZES = [(3, 3), (5, 17), (16, 16), (33, 31), (64, 64), (130, 101), (29, 53)]
VIEWS = [lambda a: a[:, ::-1, ::-1], lambda a: a.transpose(0, 2, 1), lambda a: a[:, ::2, 1::3]]
FEW_THREADS = {"variant": "tiled", "max_threads": 64}  # several tiles even of small images
BASE = TVL1Params(
    epsilon=0.0, warps=2, outer_iterations=2, inner_iterations=8, median=0, cubic=-0.5, border="clamp", min_side=8
)


def blocks(
    frames0: NDArray[Any],
    frames1: NDArray[Any],
    params: TVL1Params,
    range_: tuple[float, float] = (0, 255),
    initial_flow: NDArray[np.float32] | None = None,
    **limits: Any,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    return _test_hooks.tvl1_flow_blocks(frames0, frames1, params.to_dict(), *range_, initial_flow, limits)


def cpu(
    frames0: NDArray[Any],
    frames1: NDArray[Any],
    params: TVL1Params,
    range_: tuple[float, float] = (0, 255),
    initial_flow: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    return _core.tvl1_flow(frames0, frames1, params.to_dict(), *range_, initial_flow, 1)


def assert_the_cpus(params: TVL1Params, *frames: NDArray[Any], **options: Any) -> NDArray[np.int32]:
    """The blocks' result has the bits of the CPU solver; returns the iterations."""
    if frames[0].ndim == 2:
        frames = tuple(f[None] for f in frames)
    known = {key: options[key] for key in ("range_", "initial_flow") if key in options}
    expected, counts = cpu(*frames, params, **known)
    flow, iterations = blocks(*frames, params, **options)
    assert min(flow.shape[2:]) < 5 or np.abs(expected).max() > 0.01, "there is something to agree on"
    assert np.array_equal(flow, expected)
    assert iterations.tolist() == counts.tolist()
    return iterations


def plan(h: int, w: int, params: TVL1Params, **limits: Any) -> dict[str, Any]:
    """How the full resolution is iterated."""
    return _test_hooks.iteration_plans(h, w, params.to_dict(), limits)[0]


# ---- the whole solver


@pytest.mark.parametrize("limits", [{"variant": "resident"}, FEW_THREADS], ids=["resident", "tiled"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_has_the_bits_of_the_cpu_solver(preset, size, limits):
    iterations = assert_the_cpus(PRESETS[preset], *fields.facial_crop(*size)[:2], **limits)
    assert iterations[0] > 0


@pytest.mark.parametrize("order", ["reverse", "shuffled"])
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("limits", [{"max_threads": 96}, FEW_THREADS], ids=["resident", "tiled"])
def test_the_order_of_threads_and_teams_does_not_matter(preset, limits, order):
    """What a thread reads in a phase, no other one writes in it; what a team reads in a launch, no other team."""
    frames0, frames1 = fields.textured_batch(3, 45, 50)
    forward, counts = blocks(frames0, frames1, PRESETS[preset], order="forward", **limits)
    other, other_counts = blocks(frames0, frames1, PRESETS[preset], order=order, **limits)
    assert np.array_equal(forward, other)
    assert np.array_equal(counts, other_counts)


@pytest.mark.parametrize(("max_threads", "ranks"), [(512, 1), (128, 2), (96, 3), (32, 8)])
@pytest.mark.parametrize("h", [64, 61, 57])
@pytest.mark.parametrize("preset", ["opencv", "opencv-cuda", "micro"])
def test_ranks_share_a_level_in_bands(preset, h, max_threads, ranks):
    params = PRESETS[preset].replace(levels=1, warps=2)
    chosen = plan(h, 62, params, max_threads=max_threads)
    assert (chosen["variant"], chosen["ranks"]) == ("resident", ranks)
    assert_the_cpus(params, *fields.facial_crop(h, 62)[:2], max_threads=max_threads)


@pytest.mark.parametrize("iterations", [1, 3, 4, 8])
@pytest.mark.parametrize("preset", ["opencv", "ipol", "micro"])
@pytest.mark.parametrize("size", [(47, 57), (70, 33), (19, 101)], ids=str)
def test_tiles_overlap_by_as_many_pixels_as_iterations(size, preset, iterations):
    params = PRESETS[preset].replace(levels=2, warps=2)
    limits = {"variant": "tiled", "max_threads": 64, "tile_iterations": iterations}
    chosen = plan(*size, params, **limits)
    assert chosen["tiles_x"] * chosen["tiles_y"] > 1
    assert_the_cpus(params, *fields.facial_crop(*size)[:2], **limits)


@pytest.mark.parametrize("beyond", [0, 1])
def test_the_last_tile_may_be_almost_empty(beyond):
    """Image sides that the tiles cover exactly, and one pixel more, which takes another tile."""
    limits = {"variant": "tiled", "max_threads": 32, "tile_iterations": 4}
    sides = [n for n in range(20, 140) if plan(n, 9, BASE, **limits)["tiles_y"] == 3]
    h = max(sides) + beyond
    assert plan(h, 9, BASE, **limits)["tiles_y"] == 3 + beyond
    for size in ((h, 9), (9, h), (h, h)):
        assert_the_cpus(BASE, *fields.facial_crop(*size)[:2], **limits)


def test_a_level_is_resident_where_it_fits_and_tiled_where_it_does_not():
    params = PRESETS["micro"]
    chosen = _test_hooks.iteration_plans(480, 640, params.to_dict(), {})
    assert [p["variant"] for p in chosen[:3]] == ["tiled", "tiled", "resident"]
    assert plan(224, 224, params)["ranks"] == 7
    assert plan(256, 256, params)["ranks"] == 8
    for shared_bytes in (65536, 101376, 166912, 232448):
        chosen_at = plan(1080, 1920, params, shared_bytes=shared_bytes, max_ranks=1)
        assert chosen_at["shared_bytes"] <= shared_bytes
        assert chosen_at["threads"] <= 512
    with pytest.raises(ValueError, match="no plan of the iteration for 50 x 40 px fits 1000 bytes"):
        plan(40, 50, params, shared_bytes=1000)


def test_the_variant_can_be_chosen():
    params = PRESETS["micro"]
    assert plan(64, 64, params, variant="")["variant"] == "resident"
    assert plan(64, 64, params, variant="tiled")["iterations"] == 8
    tiled = plan(64, 64, params, variant="tiled:3")
    assert (tiled["variant"], tiled["iterations"]) == ("tiled", 3)
    for word in ("tile", "tiled:", "tiled:0", "tiled:x", "tiled:-1", "resident:2", "tiled:99999"):
        with pytest.raises(ValueError, match=f"FLOWKIT_CUDA_VARIANT={word}: give resident, tiled, or tiled:N"):
            plan(64, 64, params, variant=word)


def test_a_launch_of_tiles_is_as_long_as_the_others():
    """50 iterations take seven launches of at most eight, 18 take three: of eight and of six."""
    for inner, iterations in ((50, 8), (18, 6), (5, 5), (30, 8), (9, 5)):
        params = BASE.replace(inner_iterations=inner)
        assert plan(64, 64, params, **FEW_THREADS)["iterations"] == iterations


# ---- stopping


@pytest.mark.parametrize("limits", [{}, {"max_threads": 96}, FEW_THREADS], ids=["one rank", "ranks", "tiled"])
@pytest.mark.parametrize("rule", ["every", "cadenced"])
def test_each_pair_stops_by_itself(rule, limits):
    frames0, frames1 = fields.textured_batch(3, 40, 44)
    tiny = PRESETS["opencv"].replace(stop_rule=rule, epsilon=1e-9, outer_iterations=2, warps=2)
    iterations = assert_the_cpus(tiny, frames0, frames1, **limits)
    assert iterations[1] <= 2 * 2 * 5, "the still pair stops in its first iteration, or its second where that is tested"
    assert iterations[2] == 2 * 2 * 30 * 5, "the others never"
    usual = assert_the_cpus(PRESETS["opencv"].replace(stop_rule=rule), frames0, frames1, **limits)
    assert usual[0] != usual[2]


@pytest.mark.parametrize("epsilon", [0.002, 0.005, 0.01, 0.02, 0.05])
@pytest.mark.parametrize("median", [0, 3])
@pytest.mark.parametrize("inner", [6, 8, 13])
def test_a_stop_inside_a_launch_of_tiles_is_exact(inner, median, epsilon):
    """Also in the first launch after a median, and in the last one of a warp."""
    params = BASE.replace(epsilon=epsilon, median=median, inner_iterations=inner, outer_iterations=3, warps=3, levels=2)
    iterations = assert_the_cpus(params, *fields.textured_batch(3, 33, 38), tile_iterations=8, **FEW_THREADS)
    assert len(set(iterations.tolist())) > 1


@pytest.mark.parametrize("rule", ["every", "cadenced"])
def test_a_stop_at_an_outer_iterations_end(rule):
    params = BASE.replace(epsilon=0.01, stop_rule=rule, median=5, inner_iterations=3, outer_iterations=20)
    for limits in ({"max_threads": 64}, FEW_THREADS):
        assert_the_cpus(params, *fields.textured_batch(4, 33, 38), **limits)


# ---- what goes in


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    "view", [lambda a: a[:, ::-1, ::-1], lambda a: a.transpose(0, 2, 1), lambda a: a[:, ::2, 1::3]]
)
def test_any_frames(view, dtype):
    range_ = {np.uint8: (0, 255), np.uint16: (0, 65535), np.float32: (-16, 300)}[dtype]
    frames = [view(f.astype(dtype)) for f in fields.textured_batch(3, 40, 39)]
    # With zeros outside the image, black is not only an offset that both frames share.
    assert_the_cpus(BASE.replace(border="zero"), *frames, range_=range_)


@pytest.mark.parametrize("grid", ["centre", "corner"])
@pytest.mark.parametrize("levels", [1, 3])
def test_an_initial_flow(grid, levels):
    params = BASE.replace(grid=grid, levels=levels, warps=1)
    frames = [image[None] for image in fields.facial_crop(41, 38)[:2]]
    start = np.stack([fields.bump(41, 38, 1.2, -0.4, 9.0)]).astype(np.float32)
    assert_the_cpus(params, *frames, initial_flow=start)
    assert np.abs(blocks(*frames, params, initial_flow=start)[0] - blocks(*frames, params)[0]).max() > 0.01


@pytest.mark.parametrize("limits", [{"max_threads": 96}, FEW_THREADS], ids=["resident", "tiled"])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_batch_is_each_pair_alone(preset, limits):
    frames0, frames1 = fields.textured_batch(5, 33, 40)
    params = PRESETS[preset].replace(warps=2)
    together, iterations = blocks(frames0, frames1, params, **limits)
    assert_the_cpus(params, frames0, frames1, **limits)
    for i in range(5):
        alone, count = blocks(frames0[i : i + 1], frames1[i : i + 1], params, **limits)
        assert np.array_equal(alone[0], together[i])
        assert count[0] == iterations[i]


@pytest.mark.parametrize(
    "options",
    [
        {"border": "zero"},
        {"border": "off"},
        {"border": "off-taps"},
        {"derivative": "central5"},
        {"median": 3},
        {"median": 5},
        {"pyramid_kernel": "cubic", "grid": "corner"},
        {"upsampling": "cubic"},
        {"upsampling_exact": True, "scale": 0.7},
        {"scale": 0.3, "pyramid_blur": 1.0},
        {"smoothing": 1.3, "stretch": True},
        {"coarse_warps": 3, "warps": 1},
        {"gradient_floor": 30.0},
        {"data_term": "patch", "patch_sigma": 0.7, "residual_scale": 1.0},
        {"data_term": "patch", "patch_sigma": 20.0},
        {"data_term": "patch", "epsilon": 0.01, "rounding": "fast"},
        {"data_term": "patch", "residual_norm": "cauchy"},
        {"high_pass": 4.0, "border": "off"},
        {"high_pass": 4.0, "high_pass_residual": True, "border": "off", "rounding": "fast"},
        {"high_pass": 3.0, "high_pass_residual": True, "border": "off", "data_term": "patch", "refit_steps": 1},
        {"lambda_": 0.02, "refit_steps": 2, "refit_sigma": 4.0, "refit_from": 0.5, "refit_whole": 3.0},
        {
            "lambda_": 0.02,
            "refit_steps": 2,
            "refit_widening": 1.5,
            "refit_from": 0.5,
            "refit_whole": 9.0,
            "refit_credit": 6.0,
        },
        {"lambda_": 0.02, "refit_steps": 1, "refit_from": 0.0, "refit_noise_limit": 1.2},
        {"lambda_": 0.02, "refit_steps": 1, "refit_sigma": 20.0, "refit_smoothing": 0.0, "refit_from": 0.0},
        {"flow_smoothing": 2.0},
        {"flow_smoothing": 20.0, "flow_edge": 0.02},
        {"carry_dual": True, "grid": "corner", "scale": 0.5},
        {"affine_reference": True},
        {"affine_reference": True, "rounding": "fast"},
        {"affine_reference": True, "data_term": "patch"},
    ],
    ids=str,
)
@pytest.mark.parametrize("limits", [{"max_threads": 64}, FEW_THREADS], ids=["resident", "tiled"])
def test_each_option(options, limits):
    assert_the_cpus(BASE.replace(**options), *fields.facial_crop(49, 38)[:2], **limits)


@pytest.mark.parametrize("limits", [{"max_threads": 96}, FEW_THREADS], ids=["resident", "tiled"])
def test_the_affine_reference_of_a_turn(limits):
    """A flow that is nearly affine, so that the reference is not zero, nor the slope behind the last column and row."""
    y, x = np.mgrid[:45, :54]
    turn = 0.03 * np.stack([-(y - 22.0), x - 26.5]) + fields.bump(45, 54, 0.2, 0.1, 7)
    images = [np.rint(image).astype(np.uint8) for image in fields.textured_pair(turn)]
    params = BASE.replace(affine_reference=True, theta=0.1, inner_iterations=20, warps=3)
    assert_the_cpus(params, *images, **limits)
    plain = params.replace(affine_reference=False)
    assert not np.array_equal(*(blocks(*(i[None] for i in images), p)[0] for p in (params, plain)))


def test_a_gradient_too_small_to_divide_by_counts_as_zero(simd):
    """A square below the normal numbers, for which quotients are made, also where the parameters set no floor."""
    ramp = np.broadcast_to(np.float32(3e-20) * np.arange(9, dtype=np.float32), (5, 9))
    frames1 = np.ascontiguousarray(ramp)[None]
    frames0 = frames1.copy()
    frames0[0, :, 0] = 2e-41  # the residual there is within lambda theta |g|^2, which is 4e-41
    params = BASE.replace(gradient_floor=0.0, levels=1, warps=1, outer_iterations=1, inner_iterations=3)
    flow, _ = blocks(frames0, frames1, params)
    assert np.array_equal(flow, cpu(frames0, frames1, params)[0])
    floored, _ = cpu(frames0, frames1, params.replace(gradient_floor=1e-30))
    assert np.array_equal(flow, floored)
    assert flow.any()


# ---- the cube, and the arithmetic


@pytest.mark.parametrize("size", [(3, 3), (17, 20), (40, 33)], ids=str)
def test_strain_and_the_motion_cube(rng, size):
    flow = rng.standard_normal((3, 2, *size)).astype(np.float32)
    flow[0] *= 1e-6
    flow[1] *= 3e4
    assert np.array_equal(_test_hooks.flow_feature_blocks("tensor", flow), flowkit.strain_tensor(flow))
    assert np.array_equal(_test_hooks.flow_feature_blocks("magnitude", flow), flowkit.strain_magnitude(flow))
    cube = _test_hooks.flow_feature_blocks("cube", flow)
    assert np.array_equal(cube[:, :2], flow)
    assert np.array_equal(cube[:, 2], flowkit.strain_magnitude(flow))
    with np.errstate(over="ignore"):
        halves = _test_hooks.flow_feature_blocks("half_cube", flow).view(np.float16)
        assert np.array_equal(halves, cube.astype(np.float16))


@pytest.mark.parametrize("order", ["forward", "reverse", "shuffled"])
@pytest.mark.parametrize("size", [(3, 3), (17, 23), (40, 33)], ids=str)
def test_flows_that_are_not_finite(size, order):
    flows, finite = fields.spoiled_flows(*size)
    flags = _test_hooks.flow_finite_blocks(flows, {"order": order})
    assert flags.dtype == np.uint8
    assert flags.tolist() == finite.astype(int).tolist()


def test_halves_are_rounded_to_nearest_even():
    """Every half, and the floats just below, at and above the midpoint of each two."""
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middle = (halves + np.append(halves[1:], np.float32(65536))) / 2
    around = [halves, middle, np.nextafter(middle, np.float32(0)), np.nextafter(middle, np.float32(1e9))]
    values = np.concatenate([*around, [np.inf, np.nan], np.zeros(64, np.float32)])[: 4 * 0x7C00 + 2]
    values = np.concatenate([values, -values]).astype(np.float32)
    values = np.resize(values, (1, 2, 3, -(-values.size // 6)))
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16)
    assert np.array_equal(
        _test_hooks.flow_feature_blocks("half_cube", values).view(np.float16)[:, :2], expected, equal_nan=True
    )


def test_roots_and_quotients_are_rounded_correctly(rng):
    """In the range of the iteration; on the host, where the approximation that a GPU starts from is exact already."""

    def floats(n: int, low: int, high: int) -> NDArray[np.float32]:
        return np.ldexp(rng.uniform(1, 2, n), rng.integers(low, high, n)).astype(np.float32)

    n = 1_000_000
    a, b = floats(n, -60, 60), floats(n, -60, 60)
    edges = np.array([1, 1 + 2**-23, 2 - 2**-23, 4 - 2**-22, 3, 5, 255], np.float32)
    a, b = np.append(a, np.repeat(edges, edges.size)), np.append(b, np.tile(edges, edges.size))
    assert np.array_equal(_test_hooks.scalar_arithmetic("quotient", a, b), a / b)
    assert np.array_equal(_test_hooks.scalar_arithmetic("quotient", -a, b), -a / b)
    assert np.array_equal(_test_hooks.scalar_arithmetic("floored_root", a, b), np.sqrt(a))
    assert _test_hooks.scalar_arithmetic("floored_root", np.zeros(1, np.float32), b)[0] == 2.0**-50
    x, y = floats(n, -30, 8), floats(n, -30, 8)
    exact = np.sqrt(x.astype(np.float64) ** 2 + y.astype(np.float64) ** 2).astype(np.float32)
    assert np.array_equal(_test_hooks.scalar_arithmetic("length", x, y), exact)


LENGTHS = ["length", "length_by_quotient", "length_in_double"]


def test_the_three_ways_to_a_length_agree(rng):
    """That of the GPU and the two of the CPU kernels, on components of like size, whose squares lose most bits."""
    n = 4_000_000
    x, y = (rng.uniform(-0.5, 0.5, n).astype(np.float32) for _ in range(2))
    for name in LENGTHS:
        off = _test_hooks.scalar_arithmetic(name, x, y).view(np.int32) - rounded_length(x, y).view(np.int32)
        assert np.abs(off).max() <= 1, name
        assert np.count_nonzero(off) <= (n / 1e6 if name == "length" else 0), name


def test_a_cpu_rounds_lengths_that_are_all_but_halfway_between_two_floats():
    """Of 10^8 random vectors those three that a Newton step alone rounds to the other side."""
    x = np.array([*map(float.fromhex, ("-0x1.40d622p-2", "-0x1.4ea15cp-3", "-0x1.68172cp-2"))], np.float32)
    y = np.array([*map(float.fromhex, ("0x1.ae8702p-2", "-0x1.1376aap-2", "-0x1.55e602p-4"))], np.float32)
    for name in LENGTHS[1:]:
        assert np.array_equal(_test_hooks.scalar_arithmetic(name, x, y), rounded_length(x, y)), name


def rounded_length(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sqrt(x.astype(np.float64) ** 2 + y.astype(np.float64) ** 2).astype(np.float32)


def test_lengths_of_nothing_are_lost_beside_one():
    zero, one = np.zeros(1, np.float32), np.float32(1)
    for name in LENGTHS:
        assert one + _test_hooks.scalar_arithmetic(name, zero, zero)[0] == one

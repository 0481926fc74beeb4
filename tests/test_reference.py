"""Is the float64 reference right? OpenCV and SciPy decide where they compute the same, physics elsewhere."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import ndimage

from flowkit.params import PRESETS
from tests import fields
from tests.peers import cv2_flow
from tests.reference import quality, strain, tvl1

OPENCV = PRESETS["opencv"]
TWO_LEVELS = {"levels": 2, "warps": 2, "outer_iterations": 2, "inner_iterations": 5}
opencv5 = pytest.mark.skipif(
    int(cv2.__version__.split(".")[0]) < 5, reason="OpenCV before version 5 rounds the warp to 1/32 px"
)


def crop(h: int, w: int, amplitude_px: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An h x w part of a facial pair, and its true flow."""
    image0, image1, flow = fields.facial_pair(144, amplitude_px)
    part = np.s_[40 : 40 + h, 30 : 30 + w]
    return image0[part].copy(), image1[part].copy(), flow[:, *part]


# ---- against OpenCV


@opencv5
@pytest.mark.parametrize("size", [(3, 3), (5, 7), (16, 16), (17, 33), (31, 64), (67, 45), (101, 97)])
@pytest.mark.parametrize(
    "changes",
    [
        {"levels": 1, "warps": 1, "outer_iterations": 1, "inner_iterations": 20, "median": 0},
        {"levels": 1, "warps": 3, "outer_iterations": 2, "inner_iterations": 5, "median": 5},
        {"levels": 1, "warps": 2, "outer_iterations": 3, "inner_iterations": 3, "median": 3},
        TWO_LEVELS,
        {"levels": 3, "scale": 0.5, "warps": 2, "outer_iterations": 1, "inner_iterations": 10},
        {**TWO_LEVELS, "lambda_": 0.05, "tau": 0.2, "theta": 0.4},
    ],
    ids=["one warp", "median 5", "median 3", "two levels", "scale 0.5", "weights"],
)
def test_it_computes_what_opencv_computes(size, changes):
    """With equal fixed iterations the two differ by float32's rounding only.

    At a zero border that rounding grows from warp to warp and from level to level, hence the modest counts.
    """
    params = OPENCV.replace(epsilon=0.0, **changes)
    image0, image1, _ = crop(*size)
    flow, iterations = tvl1.tvl1_flow(image0, image1, params)
    difference = fields.endpoint_error(cv2_flow(image0, image1, params), flow)
    assert difference.mean() < 2e-5
    assert difference.max() < 2e-3
    per_level = params.warps * params.outer_iterations * params.inner_iterations
    assert iterations == per_level * len(tvl1.level_sizes(*size, params))


@opencv5
def test_an_initial_flow_means_the_same_as_for_opencv():
    params = OPENCV.replace(epsilon=0.0, levels=3, warps=2, outer_iterations=1, inner_iterations=5)
    image0, image1, truth = crop(67, 45, 2.0)
    start = truth + 0.25
    ours, _ = tvl1.tvl1_flow(image0, image1, params, start)
    assert fields.endpoint_error(cv2_flow(image0, image1, params, start), ours).max() < 1e-3
    without, _ = tvl1.tvl1_flow(image0, image1, params)
    assert fields.endpoint_error(without, ours).mean() > 0.1


@opencv5
@pytest.mark.parametrize("levels", [1, 2])
def test_it_stops_where_opencv_stops(levels):
    """A run stopped an iteration early or late differs by 1e-3 px and more."""
    params = OPENCV.replace(levels=levels, warps=2)
    image0, image1, _ = crop(80, 72)
    flow, _ = tvl1.tvl1_flow(image0, image1, params)
    assert fields.endpoint_error(cv2_flow(image0, image1, params), flow).mean() < 1e-4


def test_with_default_parameters_it_is_as_accurate_as_opencv():
    """Rounding alone moves a whole run with a zero border by 0.01 px; cv2 without its SIMD is that far from cv2."""
    image0, image1, truth = fields.facial_pair(128, 1.0)
    flow, _ = tvl1.tvl1_flow(image0, image1, OPENCV)
    theirs = cv2_flow(image0, image1, OPENCV)
    assert fields.endpoint_error(theirs, flow).mean() < 0.03
    ours = fields.endpoint_error(flow, truth).mean()
    assert ours == pytest.approx(fields.endpoint_error(theirs, truth).mean(), rel=0.05)


def test_only_the_zero_border_is_ill_conditioned():
    """Where noise of 1e-5 grey values in the input grows in the flow, whole runs of two solvers cannot be compared."""
    image0, image1, _ = fields.facial_pair(96, 1.0)
    noise = np.random.default_rng(1).uniform(-1e-5, 1e-5, (2, 96, 96))
    change = {}
    for name, params in PRESETS.items():
        flow, _ = tvl1.tvl1_flow(image0, image1, params)
        noisy, _ = tvl1.tvl1_flow(image0 + noise[0], image1 + noise[1], params)
        change[name] = fields.endpoint_error(flow, noisy).max()
    assert max(change[name] for name in ("opencv-cuda", "ipol", "micro")) < 1e-3
    assert change["opencv"] > 1e-2


@pytest.mark.parametrize("kernel", ["cubic", "lanczos"])
def test_pictures_are_sampled_as_opencv_does_where_it_does_not_round_the_place(kernel):
    rng = np.random.default_rng(1)
    picture = rng.uniform(0, 255, (40, 53))
    x, y = (rng.integers(-6 * 32, (side + 6) * 32, (30, 30)) / 32 for side in (53, 40))
    ours, theirs = (warp(picture, x, y, kernel) for warp in (quality.sampled, quality.remapped))
    assert np.abs(ours - theirs).max() < 1e-3


# ---- its parts


def test_the_zero_border_warp_is_cv2_remap(rng):
    image = rng.uniform(0, 255, (23, 31)).astype(np.float32)
    flow = 3 * rng.standard_normal((2, 23, 31))
    x, y = fields.grid(23, 31)
    theirs = cv2.remap(image, (x + flow[0]).astype(np.float32), (y + flow[1]).astype(np.float32), cv2.INTER_CUBIC)
    ours, on = tvl1.warp(image.astype(float), flow, -0.75, "zero")
    assert on.all()
    assert np.abs(ours - theirs).max() < (2e-3 if cv2.__version__ >= "5" else 20)


@pytest.mark.parametrize("border", ["clamp", "off", "off-taps"])
def test_other_borders_clamp(rng, border):
    image = rng.uniform(0, 255, (9, 11))
    flow = 3 * rng.standard_normal((2, 9, 11))
    ours, on = tvl1.warp(image, flow, -0.5, border)
    padded, _ = tvl1.warp(np.pad(image, 30, mode="edge"), np.pad(flow, ((0, 0), (30, 30), (30, 30))), -0.5, "clamp")
    assert ours == pytest.approx(padded[30:-30, 30:-30])
    x, y = fields.grid(9, 11)
    x, y = x + flow[0], y + flow[1]
    inside = (x >= 0) & (x <= 10) & (y >= 0) & (y <= 8)
    taps = (np.floor(x) >= 1) & (np.floor(x) <= 8) & (np.floor(y) >= 1) & (np.floor(y) <= 6)
    assert np.array_equal(on, {"clamp": np.ones_like(inside), "off": inside, "off-taps": taps}[border])


def test_catmull_rom_is_exact_on_quadratics_and_opencvs_kernel_is_biased_on_a_ramp(rng):
    x, y = fields.grid(20, 20)
    flow = rng.uniform(-1, 1, (2, 20, 20))
    quadratic = (x + flow[0]) ** 2 - 3 * (x + flow[0]) * (y + flow[1])
    warped, on = tvl1.warp(x**2 - 3 * x * y, flow, -0.5, "off-taps")
    assert warped[on] == pytest.approx(quadratic[on])
    t = np.linspace(0, 1, 201)
    place = [sum(k * tvl1.cubic_weight(s - k, -0.75) for k in (-1, 0, 1, 2)) for s in t]
    assert np.abs(place - t).max() == pytest.approx(0.048, abs=5e-4)


def test_gaussian_is_scipys(rng):
    image = rng.uniform(0, 255, (12, 9))
    for sigma in (0.3, 0.8, 1.04, 3.0):
        theirs = ndimage.gaussian_filter(image, sigma, mode="nearest", radius=int(np.ceil(4 * sigma)))
        assert tvl1.gaussian(image, sigma) == pytest.approx(theirs)


@pytest.mark.parametrize("side", [3, 5])
def test_median_is_cv2s(rng, side):
    image = rng.uniform(-3, 3, (11, 7)).astype(np.float32)
    assert np.array_equal(tvl1.median(image.astype(float), side), cv2.medianBlur(image, side))


def test_derivatives_are_exact_for_polynomials_inside_and_clamped_at_the_border():
    x, y = fields.grid(9, 8)
    dx, dy = tvl1.derivatives(x**2 + 5 * y, "central3")
    assert dx[:, 1:-1] == pytest.approx((2 * x)[:, 1:-1])
    assert (dx[0, 0], dy[0, 0], dy[4, 4]) == (0.5, 2.5, 5)
    dx, dy = tvl1.derivatives(x**4 + y**3, "central5")
    assert dx[:, 2:-2] == pytest.approx((4 * x**3)[:, 2:-2])
    assert dy[2:-2] == pytest.approx((3 * y**2)[2:-2])


def test_linear_resize_is_cv2s_and_the_grids_lie_where_the_page_says(rng):
    image = rng.uniform(0, 255, (30, 41)).astype(np.float32)
    theirs = cv2.resize(image, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_LINEAR)
    assert tvl1.resize(image, (24, 33), 1.25, 1.25, "linear", "centre") == pytest.approx(theirs, abs=1e-3)
    ramp = np.arange(40.0)[None] + np.zeros((4, 1))
    for kernel in ("linear", "cubic"):
        centre = tvl1.resize(ramp, (4, 20), 1.0, 2.0, kernel, "centre")[0]
        corner = tvl1.resize(ramp, (4, 20), 1.0, 2.0, kernel, "corner")[0]
        assert centre[2:-2] == pytest.approx((2 * np.arange(20) + 0.5)[2:-2])
        assert corner[2:-2] == pytest.approx(2 * np.arange(20)[2:-2])


def test_upsampled_flow_grows_with_its_image():
    coarse = fields.translation(11, 20, 2.0, 3.0)
    for kernel in ("linear", "cubic"):
        params = PRESETS["micro"].replace(scale=0.5, upsampling=kernel)
        u, v = tvl1.upsample(coarse, (22, 39), params)
        assert u == pytest.approx(np.full((22, 39), 2.0 * 39 / 20))
        assert v == pytest.approx(np.full((22, 39), 3.0 * 22 / 11))
        nominal = tvl1.upsample(coarse, (22, 39), params.replace(upsampling_exact=False))
        assert nominal == pytest.approx(fields.translation(22, 39, 4.0, 6.0))


def test_level_sizes():
    assert tvl1.level_sizes(224, 224, OPENCV)[-1] == (91, 91)
    assert tvl1.level_sizes(30, 25, OPENCV) == [(30, 25), (24, 20), (19, 16)]
    assert tvl1.level_sizes(45, 50, OPENCV.replace(scale=0.5)) == [(45, 50), (22, 25)]  # 22.5 to even, not up
    assert tvl1.level_sizes(5, 7, OPENCV) == [(5, 7)]
    assert len(tvl1.level_sizes(224, 224, PRESETS["ipol"])) == 5  # 1 + floor(log2(316.8 / 16))
    assert tvl1.level_sizes(7, 200, PRESETS["ipol"]) == [(7, 200), (4, 100)]  # and not 2 x 50
    assert [len(tvl1.level_sizes(n, n, PRESETS["micro"].replace(min_side=16))) for n in (31, 33, 64)] == [2, 2, 3]
    deep = OPENCV.replace(scale=0.9, min_side=3, levels=64)
    assert tvl1.level_sizes(64, 80, deep)[-2:] == [(5, 7), (4, 6)]  # and not 4 x 5, 4 x 4, 4 x 4, 4 x 4 ...


def test_divergence_is_the_negative_adjoint_of_the_forward_gradient(rng):
    z, p = rng.standard_normal((7, 5)), rng.standard_normal((2, 7, 5))
    p[0, :, -1] = p[1, -1] = 0  # as in the solver, where the forward gradient is 0 there
    gx, gy = np.zeros((2, 7, 5))
    gx[:, :-1], gy[:-1] = np.diff(z, axis=1), np.diff(z, axis=0)
    div = [[tvl1.divergence(p, y, x) for x in range(5)] for y in range(7)]
    assert np.sum(gx * p[0] + gy * p[1]) == pytest.approx(-np.sum(z * div))


def test_a_cadenced_stop_tests_odd_iterations_that_the_last_error_leaves_due(monkeypatch):
    """The error falls as 8, 7, 6 ... times epsilon^2. Tested: 1 (e 7), then nothing until the counter is below 1
    again, at 9: that error is below the limit."""
    errors = iter([8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.5, 1.2, 0.9, 0.8])
    monkeypatch.setattr(tvl1, "primal_step", lambda *_: next(errors))
    params = OPENCV.replace(epsilon=1.0, stop_rule="cadenced", median=0, outer_iterations=1, inner_iterations=99)
    zero = np.zeros((4, 4))
    _, n = tvl1.iterate(np.zeros((2, 4, 4)), np.zeros((2, 2, 4, 4)), zero, zero, zero, params)
    assert n == 10


# ---- physics


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("move", [(0.4, 0.0), (0.0, -0.7), (1.5, 1.0)])
def test_a_translation_is_recovered(preset, move):
    truth = fields.translation(64, 72, *move)
    flow, _ = tvl1.tvl1_flow(*fields.textured_pair(truth), PRESETS[preset])
    assert fields.endpoint_error(flow, truth, margin=8).mean() < 0.06


@pytest.mark.parametrize("preset", PRESETS)
def test_transposed_images_swap_u_and_v(preset):
    image0, image1, _ = crop(48, 37)
    params = PRESETS[preset].replace(epsilon=0.0, levels=2, warps=2, outer_iterations=1, inner_iterations=8)
    flow, _ = tvl1.tvl1_flow(image0, image1, params)
    turned, _ = tvl1.tvl1_flow(image0.T, image1.T, params)
    assert turned[::-1].transpose(0, 2, 1) == pytest.approx(flow, abs=1e-7)


def test_the_iteration_lowers_the_energy_that_tvl1_minimises():
    """sum |grad u| + |grad v| + lambda |rho|, from a warp at zero flow."""
    image0, image1, _ = crop(60, 60)
    params = OPENCV.replace(border="clamp", median=0, epsilon=0.0, outer_iterations=1, inner_iterations=300)
    gx, gy = tvl1.derivatives(image1.astype(float), "central3")
    rho_c = image1.astype(float) - image0

    def energy(flow):
        variation = sum(np.hypot(np.diff(z, axis=1)[:-1], np.diff(z, axis=0)[:, :-1]).sum() for z in flow)
        return variation + params.lambda_ * np.abs(rho_c + gx * flow[0] + gy * flow[1]).sum()

    zero = np.zeros((2, 60, 60))
    flow, _ = tvl1.iterate(zero, np.zeros((2, 2, 60, 60)), gx, gy, rho_c, params)
    rng = np.random.default_rng(0)
    assert energy(flow) < 0.7 * energy(zero)
    assert all(energy(flow) < energy(flow + 0.05 * rng.standard_normal(flow.shape)) for _ in range(20))


def test_scikit_image_finds_the_same_motion():
    """Another program, other choices (bilinear warp, nearest upsampling): near, and in (row, column) order."""
    from skimage.registration import optical_flow_tvl1

    truth = fields.bump(64, 64, 1.2, -0.8, 12)
    image0, image1 = fields.textured_pair(truth)
    v, u = optical_flow_tvl1(image0 / 255, image1 / 255, attachment=255 * 0.15)
    flow, _ = tvl1.tvl1_flow(image0, image1, PRESETS["micro"])
    assert fields.endpoint_error(flow, np.stack([u, v]), margin=6).mean() < 0.1
    assert fields.endpoint_error(flow, truth, margin=6).mean() < 0.08


def test_constant_and_identical_images_have_no_flow(rng):
    image = rng.uniform(0, 255, (20, 24))
    for params in PRESETS.values():
        assert not tvl1.tvl1_flow(np.full((20, 24), 10.0), np.full((20, 24), 200.0), params)[0].any()
        assert np.abs(tvl1.tvl1_flow(image, image, params)[0]).max() < 1e-9


# ---- strain


def test_reference_strain_of_affine_flows_is_exact():
    assert strain.strain_tensor(fields.stretch(6, 7, 0.25, -0.5))[0] == pytest.approx(np.full((6, 7), 0.25))
    assert strain.strain_tensor(fields.stretch(6, 7, 0.25, -0.5))[1] == pytest.approx(np.full((6, 7), -0.5))
    assert strain.strain_tensor(fields.shear(6, 7, 0.5))[2] == pytest.approx(np.full((6, 7), 0.25))
    assert not strain.strain_magnitude(fields.translation(6, 7, 3, -2)).any()
    assert strain.strain_magnitude(fields.spin(6, 7, 0.01)) == pytest.approx(np.zeros((6, 7)), abs=1e-15)
    finite = strain.strain_magnitude(fields.rotation(6, 7, 0.1))
    assert finite == pytest.approx(np.full((6, 7), np.sqrt(2) * (1 - np.cos(0.1))))

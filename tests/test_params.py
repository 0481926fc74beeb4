"""Parameters refuse what cannot be computed, by name and value; presets are those of their sources."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import flowkit
from flowkit.errors import InputError
from flowkit.params import PRESETS, TVL1Params, params_label, resolve_params
from tests import fields


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("tau", 0.0, "above 0 and at most 0.25"),
        ("tau", 0.26, "above 0 and at most 0.25"),
        ("tau", float("nan"), "above 0"),
        ("lambda_", -0.1, "above 0"),
        ("lambda_", 1.1e4, "above 0 and at most 10000"),
        ("theta", 0.0, "from 1e-6 to 1e6"),
        ("theta", 1e-45, "from 1e-6 to 1e6"),
        ("epsilon", -1e-3, "0 .no test. or above"),
        ("epsilon", float("inf"), "0 .no test. or above, and below 1e6"),
        ("epsilon", 1e6, "0 .no test. or above, and below 1e6"),
        ("levels", 0, "from 1 to 64"),
        ("levels", 2.0, "a whole number"),
        ("levels", True, "a whole number"),
        ("scale", 1.0, "from 0.1 to 0.95"),
        ("scale", "0.5", "a number"),
        ("min_side", 2, "from 3 to 1000000 px"),
        ("min_side", 2**31, "from 3 to 1000000 px"),
        ("warps", 0, "from 1 to 1000"),
        ("coarse_warps", -1, "from 0 .as warps. to 1000"),
        ("outer_iterations", 0, "from 1 to"),
        ("inner_iterations", 0, "from 1 to 100000 "),
        ("inner_iterations", 100_001, "from 1 to 100000 "),
        ("median", 4, "0 .none., 3 or 5"),
        ("cubic", 0.5, "from -1 to 0"),
        ("gradient_floor", -1.0, "0 or above, and below 1e6"),
        ("gradient_floor", 1e6, "0 or above, and below 1e6"),
        ("smoothing", 21.0, "0 .none., or from 0.01 to 20 px"),
        ("smoothing", 1e-170, "0 .none., or from 0.01 to 20 px"),
        ("pyramid_blur", -0.1, "0 .none., or from 0.01 to 20 px"),
        ("pyramid_blur", 1e-300, "0 .none., or from 0.01 to 20 px"),
        ("residual_norm", "huber", "one of charbonnier, cauchy"),
        ("high_pass", 0.1, "0 .none., or from 0.3 to 100 px"),
        ("refit_steps", -1, "from 0 to 100"),
        ("refit_sigma", 0.0, "from 0.3 to 20 px"),
        ("refit_smoothing", 21.0, "0 .none., or from 0.01 to 20 px"),
        ("refit_smoothing", 1e-170, "0 .none., or from 0.01 to 20 px"),
        ("refit_widening", 0.5, r"from 1 to 2\.85714 \(patches of 20 px at most\)"),
        ("refit_from", -1.0, "0 or above, and below 1e6"),
        ("refit_from", 1e6, "0 or above, and below 1e6"),
        ("refit_whole", 6.0, "above refit_from by 1e-6"),
        ("refit_whole", 6.0 + 1e-7, "above refit_from by 1e-6"),
        ("refit_whole", 1e7, "above refit_from by 1e-6, and at most 1e6"),
        ("refit_credit", -1.0, "from 0 to 1e6"),
        ("refit_noise_limit", 0.5, "from 1 to 1e6"),
        ("flow_smoothing", 21.0, "0 .none., or from 0.01 to 20 px"),
        ("flow_smoothing", 1e-170, "0 .none., or from 0.01 to 20 px"),
        ("flow_edge", 0.0, "from 1e-6 to 1e6 px"),
        ("stretch", 1, "true or false"),
        ("upsampling_exact", "yes", "true or false"),
        ("border", "reflect", "one of zero, clamp, off, off-taps"),
        ("derivative", "sobel", "one of central3, central5"),
        ("stop_rule", "never", "one of every, cadenced"),
        ("depth", "max", "one of side, diagonal"),
        ("grid", "center", "one of centre, corner"),
        ("pyramid_kernel", "area", "one of linear, cubic"),
        ("upsampling", "nearest", "one of linear, cubic"),
    ],
)
def test_a_bad_parameter_is_refused_by_name_and_value(name, value, rule):
    with pytest.raises(InputError, match=rf"^{name}=.*must be {rule}") as refusal:
        TVL1Params(**{name: value})
    assert repr(value) in str(refusal.value)


def test_the_first_patch_of_the_refit_is_at_most_as_wide_as_patches_can_be():
    widest = PRESETS["micro"].replace(refit_sigma=6.0, refit_widening=20 / 6.0)
    frame = np.random.default_rng(0).integers(0, 256, (30, 34), dtype=np.uint8)
    assert not flowkit.tvl1_flow(frame, frame, params=widest, device="cpu").any()
    with pytest.raises(InputError, match=r"^refit_widening=3\.33.*: must be from 1 to 2 \(patches of 20 px at most"):
        widest.replace(refit_sigma=10.0)


@pytest.mark.parametrize("changes", [{"warps": 1000}, {"warps": 1, "coarse_warps": 1000}], ids=str)
def test_iterations_of_a_level_are_at_most_ten_million(changes):
    most = PRESETS["micro"].replace(outer_iterations=10, inner_iterations=1000, **changes)
    with pytest.raises(InputError, match=r"^inner_iterations=1001: must be from 1 to 1000 .10 million iterations a"):
        most.replace(inner_iterations=1001)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "bound",
    [
        {"lambda_": 1e-300},
        {"lambda_": 1e4},
        {"theta": 1e-6},
        {"theta": 1e6},
        {"min_side": 10**6},
        dict.fromkeys(("smoothing", "pyramid_blur", "flow_smoothing", "refit_smoothing"), 0.01),
        {"refit_steps": 1, "refit_from": 0.0, "refit_whole": 1e-6},
    ],
    ids=str,
)
def test_the_flow_is_finite_at_the_bounds(preset, bound):
    frames = fields.facial_crop(40, 36)[:2]
    patches = PRESETS[preset].data_term == "patch"
    if patches and bound.get("lambda_", 0) == 1e4:
        bound = {"lambda_": 1e4, "theta": 1e-3}
    if patches and bound.get("theta", 0) == 1e6:
        bound = {"lambda_": 1e-5, "theta": 1e6}
    params = PRESETS[preset].replace(**{"warps": 1, "outer_iterations": 1, "inner_iterations": 5, **bound})
    assert np.isfinite(flowkit.tvl1_flow(*frames, params=params, device="cpu")).all()


def test_of_patches_the_product_of_lambda_and_theta_has_a_bound():
    """Beyond, the determinant of their systems has lost its digits; of pixels there are none."""
    frames = fields.facial_crop(40, 36)[:2]
    for theta in (1e-3, 0.05, 1.0, 1e6):
        most = min(10 / theta, 1e4)
        bound = PRESETS["micro"].replace(lambda_=most, theta=theta, warps=1, inner_iterations=5)
        assert np.isfinite(flowkit.tvl1_flow(*frames, params=bound, device="cpu")).all()
        assert PRESETS["ipol"].replace(lambda_=1e4, theta=theta).theta == theta
    with pytest.raises(InputError, match=r"^lambda_=201\.0: must be at most 200 where theta is 0\.05 .10 for the prod"):
        PRESETS["micro"].replace(lambda_=201.0)
    with pytest.raises(InputError, match=r"^lambda_=0\.2: must be at most 0\.1 where theta is 100 "):
        PRESETS["micro"].replace(theta=100.0)


def test_whole_numbers_are_numbers():
    assert TVL1Params(epsilon=0).epsilon == 0


def test_numbers_of_numpy_are_numbers():
    """And are Python's from then on, so that they can be written as JSON."""
    given = TVL1Params(warps=np.int64(3), lambda_=np.float32(0.25), high_pass=np.int32(4))
    assert given == TVL1Params(warps=3, lambda_=0.25, high_pass=4)
    assert json.loads(json.dumps(given.to_dict())) == given.to_dict()
    for name, value, rule in (("warps", np.float32(3), "a whole number"), ("lambda_", np.bool_(True), "a number")):
        with pytest.raises(InputError, match=f"{name}=.*: must be {rule}"):
            TVL1Params(**{name: value})


def test_parameters_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["micro"].tau = 0.1
    with pytest.raises(TypeError):
        PRESETS["micro"] = TVL1Params()


def test_the_presets_are_those_of_the_sources():
    opencv = PRESETS["opencv"]
    assert (opencv.tau, opencv.lambda_, opencv.theta, opencv.epsilon) == (0.25, 0.15, 0.3, 0.01)
    assert (opencv.levels, opencv.scale, opencv.warps) == (5, 0.8, 5)
    assert (opencv.outer_iterations, opencv.inner_iterations, opencv.median) == (10, 30, 5)
    assert PRESETS["ipol"].scale == 0.5
    assert PRESETS["ipol"].stretch
    assert PRESETS["opencv-cuda"].border == "clamp"
    assert PRESETS["micro"].epsilon == 0
    assert set(PRESETS) == {"opencv", "opencv-cuda", "ipol", "micro", "micro-phases", "fast", "micro-0.1", "fast-0.1"}


def test_resolve_params_takes_a_preset_overrides_or_a_full_set():
    assert resolve_params() == PRESETS["micro"]
    assert resolve_params("ipol") is PRESETS["ipol"]
    assert resolve_params("ipol", {}) == PRESETS["ipol"]
    changed = resolve_params("opencv", {"lambda_": 0.3, "median": 0})
    assert changed == dataclasses.replace(PRESETS["opencv"], lambda_=0.3, median=0)
    full = TVL1Params(warps=7)
    assert resolve_params("ipol", full) is full


@pytest.mark.parametrize(
    ("preset", "params", "label"),
    [
        ("micro", None, "micro"),
        ("micro", {"lambda_": 0.2}, "micro"),
        ("micro", {"lambda_": 0.3}, "micro + lambda_=0.3"),
        ("opencv", {"warps": 3, "stretch": True, "border": "off"}, "opencv + border=off, stretch=True, warps=3"),
        ("micro", PRESETS["micro"].replace(lambda_=0.3), "micro + lambda_=0.3"),
        ("micro-0.1", PRESETS["fast-0.1"], "micro-0.1 + inner_iterations=18, min_side=8, theta=0.045, warps=2"),
        ("fast", PRESETS["fast"], "fast"),
    ],
)
def test_a_label_names_the_preset_and_what_was_changed(preset, params, label):
    assert params_label(preset, resolve_params(preset, params)) == label


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"'opencv5'.*opencv, opencv-cuda, ipol, micro"):
        resolve_params("opencv5")
    with pytest.raises(InputError, match=r"'lamda' is no TV-L1 parameter.*lambda_"):
        resolve_params("micro", {"lamda": 0.1})
    with pytest.raises(InputError, match="warps=0"):
        PRESETS["micro"].replace(warps=0)


def test_a_dictionary_of_parameters_makes_the_same_parameters():
    for params in PRESETS.values():
        assert TVL1Params(**params.to_dict()) == params


def test_lambda_has_both_names():
    for name in ("lambda", "lambda_"):
        assert resolve_params("micro", {name: 0.2}).lambda_ == 0.2
    with pytest.raises(InputError, match=r"lambda=0.1 and lambda_=0.2 are one parameter"):
        resolve_params("micro", {"lambda": 0.1, "lambda_": 0.2})

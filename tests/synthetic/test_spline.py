"""Splines are SciPy's, and what is rendered with them moves by its true flow."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates, shift, spline_filter
from scipy.optimize import minimize_scalar

from flowkit.synthetic.motion import Pose
from flowkit.synthetic.render import Performance
from flowkit.synthetic.spline import sampled, spline


@pytest.mark.parametrize("size", [(40, 52), (5, 9)])
def test_a_spline_is_that_of_scipy(rng, size):
    picture = rng.uniform(0, 255, (*size, 3)).astype(np.float32)
    planes = [spline_filter(picture[..., c].astype(float), order=3, mode="mirror") for c in range(3)]
    coefficients = np.stack(planes, axis=-1)
    np.testing.assert_allclose(spline(picture), coefficients, atol=1e-3)
    y, x = np.indices(size) + rng.uniform(-2, 2, (2, *size))
    expected = [
        map_coordinates(coefficients[..., c], [y, x], order=3, mode="mirror", prefilter=False) for c in range(3)
    ]
    np.testing.assert_allclose(sampled(spline(picture), np.stack([x, y])), np.stack(expected, -1), atol=0.02)


def test_a_ramp_stays_a_ramp():
    """As OpenCV's cubic kernel does not have it."""
    picture = np.tile(np.arange(64, dtype=np.float32)[None, :, None], (64, 1, 3))
    y, x = np.full((2, 1, 21), 30.0)
    x += np.linspace(0, 1, 21)
    np.testing.assert_allclose(sampled(spline(picture), np.stack([x, y]))[0, :, 0], x[0], atol=2e-4)


@pytest.mark.parametrize("move_px", [0.05, 0.1, 0.2, 0.35, 0.5])
def test_a_head_is_rendered_where_its_true_flow_says(move_px):
    """Its shift is found again by splines of the fifth order, and not by those that it is made of."""
    performance = Performance(2, 96, [], Pose(shift=(move_px, -move_px / 2)))
    before, after = (performance.frame(share, share)[..., 1].astype(float) for share in (0.0, 1.0))
    inner = np.s_[12:-12, 12:-12]

    def residual(share):
        moved = shift(before, (-share * move_px / 2, share * move_px), order=5, mode="mirror")
        return float(np.square((moved - after)[inner]).sum())

    found = minimize_scalar(residual, bounds=(0.5, 1.5), method="bounded", options={"xatol": 1e-4}).x
    assert abs(found - 1) * move_px < 0.002

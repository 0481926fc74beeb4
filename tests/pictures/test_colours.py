"""Colours that mean what they say: direction is hue, length is saturation, strain is heat."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flowkit.errors import InputError
from flowkit.pictures.colours import colour_wheel, flow_to_rgb, strain_to_rgb


def constant(u: float, v: float) -> np.ndarray:
    return np.broadcast_to(np.array([u, v])[:, None, None], (2, 4, 5))


def hue(u: float, v: float) -> float:
    """Degrees on OpenCV's hue circle: red 0, yellow 60, green 120, cyan 180, blue 240, magenta 300."""
    colour = flow_to_rgb(constant(u, v), 1.0)[:1, :1].astype(np.float32) / 255
    return float(cv2.cvtColor(colour, cv2.COLOR_RGB2HSV)[0, 0, 0])


@pytest.mark.parametrize(
    ("u", "v", "low", "high"),
    [(1, 0, 0, 0), (0, 1, 50, 65), (-1, 0, 180, 200), (0, -1, 240, 270), (1, 1, 20, 40), (-1, 1, 80, 140)],
)
def test_direction_is_hue(u: float, v: float, low: float, high: float) -> None:
    assert low <= hue(u, v) <= high


def test_every_direction_has_its_own_colour_and_neighbours_are_alike() -> None:
    angles = np.linspace(0, 2 * np.pi, 181)
    colours = flow_to_rgb(np.stack([np.cos(angles), np.sin(angles)])[:, None], 1.0)[0].astype(int)
    np.testing.assert_array_equal(colours[0], colours[-1])
    assert np.abs(np.diff(colours, axis=0)).max() < 60
    assert np.abs(colours[:90] - colours[90:-1]).sum(axis=1).min() > 200
    assert len(np.unique(colours[:-1], axis=0)) == 180


def test_length_is_saturation_and_zero_is_white() -> None:
    assert (flow_to_rgb(constant(0, 0)) == 255).all()
    assert (flow_to_rgb(constant(0, 0), 2.0) == 255).all()
    lightness = [int(flow_to_rgb(constant(length, 0), 2.0)[0, 0, 1]) for length in (0, 0.5, 1, 2, 5)]
    assert lightness == [255, 191, 128, 0, 0]


def test_without_a_peak_the_longest_motion_has_full_colour() -> None:
    flow = np.zeros((2, 3, 3), np.float32)
    flow[0, 1, 1] = 0.03
    rgb = flow_to_rgb(flow)
    np.testing.assert_array_equal(rgb[1, 1], (255, 0, 0))
    assert (rgb[0] == 255).all()


def test_the_legend_is_the_wheel_itself() -> None:
    wheel = colour_wheel(101)
    assert wheel.shape == (101, 101, 3)
    assert (wheel[0, 0] == 255).all()
    assert (wheel[50, 50] > 250).all()
    np.testing.assert_allclose(wheel[50, 90], flow_to_rgb(constant(80 / 101, 0), 1.0)[0, 0], atol=2)
    np.testing.assert_allclose(wheel[90, 50], flow_to_rgb(constant(0, 80 / 101), 1.0)[0, 0], atol=2)


@pytest.mark.parametrize("shape", [(3, 4, 4), (4, 4), (1, 2, 4, 4)])
def test_a_flow_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="give \\(2, h, w\\)"):
        flow_to_rgb(np.zeros(shape))


def test_values_that_have_no_colour_are_refused() -> None:
    with pytest.raises(InputError, match="peak_px=0"):
        flow_to_rgb(constant(1, 0), 0)
    with pytest.raises(InputError, match="1 values that are NaN"):
        flow_to_rgb(np.array([[[np.nan, 0.0]], [[0.0, 0.0]]]))
    with pytest.raises(InputError, match=r"strain magnitude has shape \(2, 3, 3\)"):
        strain_to_rgb(np.zeros((2, 3, 3)))


def test_strain_is_heat() -> None:
    heat = strain_to_rgb(np.array([[0.0, 0.05, 0.1, 0.3]]), 0.1).astype(int)
    brightness = heat[0].sum(axis=1)
    assert brightness[0] < 10
    assert brightness[0] < brightness[1] < brightness[2] == brightness[3]
    assert heat[0, 2, 0] > heat[0, 2, 2]  # pale yellow in RGB, not pale blue
    np.testing.assert_array_equal(strain_to_rgb(np.zeros((2, 2))), strain_to_rgb(np.zeros((2, 2)), 1.0))

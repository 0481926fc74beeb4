"""What is said of a flow's quality, against noise, light and motion that are known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import flowkit
from flowkit.errors import InputError
from flowkit.motion.quality import Quality, quality
from flowkit.synthetic.render import facial_pair

SIDE = 112


def values(found: Quality) -> dict[str, float]:
    return {name: float(getattr(found, name)) for name in Quality.__slots__}


def test_identical_frames_leave_nothing():
    frame, *_ = facial_pair(1, 0.5, SIDE, 0)
    found = values(quality(frame, frame, flowkit.tvl1_flow(frame, frame)))
    assert found == {"residual": 0, "noise": 0, "brightness": 0, "gain": 1, "left": 0, "scatter_px": 0}


@pytest.mark.parametrize("noise", [1.0, 2.0, 4.0])
def test_the_noise_is_found_under_motion(noise):
    for identity, amplitude in ((1, 0.3), (2, 1.0), (3, 2.0)):
        frame0, frame1, _ = facial_pair(identity, amplitude, SIDE, 5, noise=noise, quality=None)
        found = quality(frame0, frame1, flowkit.tvl1_flow(frame0, frame1))
        sigma = np.hypot(noise, 12**-0.5)  # and rounding
        assert float(found.noise) == pytest.approx(sigma, rel=0.15)
        # A normal difference of two frames has a mean size of 2 sigma / sqrt(pi), a twentieth less without its tail.
        assert float(found.residual) == pytest.approx(2 * sigma / np.sqrt(np.pi), rel=0.15)


def test_jpeg_does_not_hide_noise_as_it_does_from_a_laplacian():
    frame0, frame1, _ = facial_pair(1, 0.5, SIDE, 5, noise=2.0, quality=75)
    kernel = np.float32([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    laplacian = np.sqrt(np.pi / 2) / 6 * np.abs(cv2.filter2D(frame0.astype(np.float32), -1, kernel)).mean()
    assert laplacian < 1.2
    assert float(quality(frame0, frame1, flowkit.tvl1_flow(frame0, frame1)).noise) > 1.7


@pytest.mark.parametrize(("gain", "offset"), [(1.02, 0.0), (0.97, 0.0), (1.0, 3.0), (1.02, -2.0)])
def test_a_change_of_light_is_found(gain, offset):
    frame0, frame1, _ = facial_pair(2, 0.5, SIDE, 3, noise=1.0, quality=None)
    frame0, frame1 = (np.clip(frame, 20, 235).astype(np.float32) for frame in (frame0, frame1))
    lit = gain * frame1 + offset
    found = quality(frame0, lit, flowkit.tvl1_flow(frame0, lit, value_range=(0, 255)), value_range=(0, 255))
    assert float(found.gain) == pytest.approx(gain, abs=0.003)
    assert float(found.brightness) == pytest.approx((lit - frame1).mean(), abs=0.2)


def test_light_is_found_where_the_head_has_moved_far():
    frame, *_ = facial_pair(1, 0.5, SIDE + 16, 0, noise=0.5, quality=None)
    frame = np.clip(frame, 20, 235).astype(np.float32)
    flow = np.stack([np.full((SIDE, SIDE), value, np.float32) for value in (9.0, -4.0)])
    frame0, frame1 = frame[4 : 4 + SIDE, 12 : 12 + SIDE], 1.02 * frame[8 : 8 + SIDE, 3 : 3 + SIDE]
    found = quality(frame0, frame1, flow, value_range=(0, 255))
    assert float(found.gain) == pytest.approx(1.02, abs=0.003)
    assert float(found.left) == pytest.approx(1 - (1 - 9 / SIDE) * (1 - 4 / SIDE), abs=0.02)


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("amplitude", [0.01, 1.0])
def test_the_expected_scatter_is_the_measured_one(noise, amplitude):
    """What another take of the same motion would change, by six takes; within the factor 1.5 that is promised."""
    rng = np.random.default_rng(8)
    clean0, clean1, _ = facial_pair(1, amplitude, SIDE, 2, noise=0.0, quality=None)
    takes = [
        np.clip(np.rint(clean + noise * rng.standard_normal((6, SIDE, SIDE))), 0, 255).astype(np.uint8)
        for clean in (clean0, clean1)
    ]
    flow = flowkit.tvl1_flow(*takes)
    measured = float(np.sqrt(flow.var(axis=0, ddof=1).sum(axis=0)).mean())
    expected = float(quality(*takes, flow).scatter_px.mean())
    assert 1 / 1.5 < expected / measured < 1.5, (expected, measured)


def test_a_pair_s_quality_does_not_depend_on_its_batch_or_on_the_depth():
    pairs = [facial_pair(identity, 0.7, 48, 1) for identity in (1, 2, 3)]
    frames0, frames1 = (np.stack([pair[which] for pair in pairs]) for which in (0, 1))
    flow = flowkit.tvl1_flow(frames0, frames1)
    together = quality(frames0, frames1, flow)
    deep = quality(frames0.astype(np.uint16) * 257, frames1.astype(np.uint16) * 257, flow)
    for name in Quality.__slots__:
        batch: NDArray[np.float32] = getattr(together, name)
        assert (batch.shape, batch.dtype) == ((3,), np.float32)
        alone = [getattr(quality(frames0[i], frames1[i], flow[i]), name) for i in range(3)]
        np.testing.assert_array_equal(batch, alone)
        np.testing.assert_allclose(getattr(deep, name), batch, atol=1e-3)


@pytest.mark.parametrize("side", [3, 4, 5, 9])
def test_tiny_frames_have_a_quality(side):
    frame = np.random.default_rng(0).integers(0, 255, (side, side + 1), dtype=np.uint8)
    flow = np.zeros((2, side, side + 1), np.float32)
    assert values(quality(frame, frame, flow))["residual"] == 0
    assert values(quality(frame, frame, flow + 100))["left"] == 1


def test_shapes_that_do_not_fit_are_refused():
    frame = np.zeros((8, 8), np.uint8)
    with pytest.raises(InputError, match=r"flow \(2, 8, 9\)"):
        quality(frame, frame, np.zeros((2, 8, 9), np.float32))


def test_frames_of_two_types_are_refused():
    frame = np.zeros((8, 8), np.uint8)
    with pytest.raises(InputError, match="frames0 is uint8 and frames1 uint16: they must be equal"):
        quality(frame, frame.astype(np.uint16), np.zeros((2, 8, 8), np.float32))


@pytest.mark.parametrize("name", ["frames0", "frames1", "flow"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(name, value):
    arrays = {"frames0": np.zeros((8, 8)), "frames1": np.zeros((8, 8)), "flow": np.zeros((2, 8, 8))}
    arrays = {key: array.astype(np.float32) for key, array in arrays.items()}
    arrays[name][..., 3, 5] = value
    with pytest.raises(InputError, match=f"{name} is {value} at .*: every value must be finite"):
        quality(**arrays, value_range=(0, 1))

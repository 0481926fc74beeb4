"""Rendered pairs: the true flow warps one frame onto the other, noise has no bias."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flowkit.synthetic import facial_pair
from flowkit.synthetic.motion import Pose, pixel_grid
from flowkit.synthetic.render import digitise
from tests.synthetic.test_motion import perform


def warped_back(frame: np.ndarray, flow: np.ndarray) -> np.ndarray:
    x, y = (pixel_grid(frame.shape[0]) + flow).astype(np.float32)
    return cv2.remap(frame, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("identity", [0, 2])
@pytest.mark.parametrize("units", [("6", "12"), ("4", "9"), ("1", "2", "26")])
def test_the_true_flow_warps_the_second_frame_onto_the_first(identity: int, units: tuple[str, ...]) -> None:
    performance = perform(identity, units, 2.0, Pose(x=48, y=60, angle=0.003, shift=(0.2, -0.2)))
    before, after = (cv2.cvtColor(performance.frame(a, a), cv2.COLOR_RGB2GRAY) for a in (0.0, 1.0))
    inner = np.s_[4:-4, 4:-4]
    right = np.abs(warped_back(after, performance.flow(1, 1)) - before)[inner]
    unmoved = np.abs(after - before)[inner]
    opposite = np.abs(warped_back(after, -performance.flow(1, 1)) - before)[inner]
    # What is left is the sampling of a picture of 96 px, at the sharpest edges.
    assert right.mean() < 0.8
    assert right.mean() < 0.3 * unmoved.mean() < 0.3 * opposite.mean()
    assert np.percentile(right, 99) < 0.3 * np.percentile(unmoved, 99)


def test_sensor_noise_has_the_given_sigma_and_no_bias() -> None:
    flat = np.full((200, 200), 120.4, np.float32)
    noisy = digitise(flat, 1.0, np.random.default_rng(0)).astype(float)
    assert noisy.mean() == pytest.approx(120.4, abs=0.03)
    assert noisy.std() == pytest.approx(np.sqrt(1 + 1 / 12), abs=0.03)


@pytest.mark.parametrize("identity", [0, 1, 3])
def test_a_facial_pair_carries_motion_that_flow_can_find(identity: int) -> None:
    before, after, flow = facial_pair(identity, 1.5, 128, 5)
    assert before.dtype == after.dtype == np.uint8
    assert before.shape == after.shape == (128, 128)
    assert flow.shape == (2, 128, 128)
    assert flow.dtype == np.float32
    assert 1.2 < np.hypot(*flow).max() < 2.0
    found = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(before, after, None).transpose(2, 0, 1)
    assert np.hypot(*(found - flow)).mean() < 0.5 * np.hypot(*flow).mean()


def test_a_facial_pair_is_repeatable_and_its_seed_counts() -> None:
    one, same, other = (facial_pair(1, 1.0, 64, seed) for seed in (4, 4, 5))
    for a, b in zip(one, same, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(one[2] - other[2]).max() > 0.1

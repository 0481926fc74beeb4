"""Motion that is exactly known: head and muscles move as they are told."""

from __future__ import annotations

import numpy as np
import pytest

from flowkit.errors import FlowkitError, InputError
from flowkit.synthetic.faces import neutral_face
from flowkit.synthetic.motion import Pose, expression, pixel_grid, true_flow
from flowkit.synthetic.render import EMOTIONS, Performance

SIZE = 96


def perform(identity: int, units: tuple[str, ...], peak_px: float, pose: Pose) -> Performance:
    landmarks = neutral_face(identity, 2 * SIZE).landmarks
    bumps = expression(units, landmarks, SIZE, peak_px, np.random.default_rng(1))
    return Performance(identity, SIZE, bumps, pose)


def test_a_shift_of_the_head_is_a_constant_flow() -> None:
    flow = perform(1, ("12",), 1e-9, Pose(shift=(0.7, -0.4))).flow(1.0, 1.0)
    np.testing.assert_allclose(flow[0], 0.7, atol=1e-6)
    np.testing.assert_allclose(flow[1], -0.4, atol=1e-6)


def test_a_shift_moves_the_picture_to_the_right_and_down() -> None:
    performance = perform(1, ("12",), 1e-9, Pose(shift=(1.0, 2.0)))
    before, after = performance.frame(0, 0), performance.frame(1, 1)
    np.testing.assert_allclose(after[10:-10, 10:-10], before[8:-12, 9:-11], atol=0.05)


def test_a_turn_of_the_head_is_a_rotation() -> None:
    angle, x, y = 0.02, 40.0, 60.0
    flow = perform(1, ("12",), 1e-9, Pose(x=x, y=y, angle=angle)).flow(1.0, 1.0)
    across, down = pixel_grid(SIZE) - np.array([x, y])[:, None, None]
    turned = np.stack([np.cos(angle) * across - np.sin(angle) * down, np.sin(angle) * across + np.cos(angle) * down])
    np.testing.assert_allclose(flow, turned - np.stack([across, down]), atol=1e-6)


@pytest.mark.parametrize("units", [units for sets in EMOTIONS.values() for units in sets])
def test_an_expression_peaks_where_it_is_asked_to(units: tuple[str, ...]) -> None:
    flow = perform(2, units, 1.5, Pose()).flow(1.0, 0.0)
    assert np.hypot(*flow).max() == pytest.approx(1.5, rel=0.02)
    assert np.hypot(*flow)[0].max() < 0.2


def test_muscles_pull_as_in_a_face() -> None:
    def at(units: tuple[str, ...], place: tuple[float, float]) -> np.ndarray:
        x, y = (round(SIZE * part) for part in place)
        return perform(2, units, 1.0, Pose()).flow(1.0, 0.0)[:, y, x]

    landmarks = neutral_face(2, 2 * SIZE).landmarks
    left, right = landmarks.mouth_corner
    assert at(("12",), left)[0] < -0.2 < 0.2 < at(("12",), right)[0]
    assert at(("12",), left)[1] < -0.2 > at(("12",), right)[1]
    left, right = landmarks.brow_inner
    assert at(("4",), left)[0] > 0.1 > -0.1 > at(("4",), right)[0]
    assert at(("4",), left)[1] > 0.3 < at(("4",), right)[1]
    assert at(("1", "2"), left)[1] < -0.3 > at(("1", "2"), right)[1]
    assert at(("1", "2", "26"), landmarks.chin)[1] > 0.3


def test_the_fixed_point_inverts_the_backward_field() -> None:
    def backward(points: np.ndarray) -> np.ndarray:
        return np.stack([0.1 * points[0] - 2.0, 0.05 * points[1]])

    # y - b(y) = x at y = (x - 2) / 0.9 and y / 0.95.
    x, y = pixel_grid(32)
    np.testing.assert_allclose(true_flow(backward, 32), [(x - 2) / 0.9 - x, y / 0.95 - y], atol=1e-9)


def test_a_motion_that_folds_the_face_is_refused() -> None:
    with pytest.raises(FlowkitError, match="smaller amplitude"):
        perform(1, ("12",), 60.0, Pose()).flow(1.0, 0.0)


def test_unknown_action_units_are_listed() -> None:
    with pytest.raises(InputError, match=r"'99'.*choose some of 1, 2, 4"):
        expression(["99"], neutral_face(1, 64).landmarks, 64, 1.0, np.random.default_rng(0))

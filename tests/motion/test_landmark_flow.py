"""Flow between pixels."""

import numpy as np
import pytest

from flowkit.errors import FrameError
from flowkit.motion.landmark_flow import landmark_flow, require_some_inside


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_linear_field_is_read_exactly(dtype):
    y, x = np.mgrid[:6, :9].astype(float)
    flow = np.stack([0.5 * x - 0.25 * y, x * y / 16]).astype(dtype)
    points = np.array([[0.0, 0.0], [8.0, 5.0], [3.25, 1.5], [7.5, 4.75]])
    expected = np.stack([0.5 * points[:, 0] - 0.25 * points[:, 1], points[:, 0] * points[:, 1] / 16], axis=1)
    assert landmark_flow(flow, points) == pytest.approx(expected, abs=1e-3 if dtype is np.float16 else 1e-6)


def test_there_is_no_flow_outside():
    points = np.array([[-0.1, 2], [8.1, 2], [3, -1], [3, 5.5], [3, 5]])
    found = landmark_flow(np.ones((2, 6, 9), np.float32), points)
    assert np.isnan(found[:4]).all()
    assert found[4].tolist() == [1, 1]
    require_some_inside(points, (6, 9))
    with pytest.raises(FrameError, match="none of 4 landmarks is inside what is cut out of the frame, 9 x 6 px"):
        require_some_inside(points[:4], (6, 9))


def test_one_pixel_has_one_flow():
    assert landmark_flow(np.full((2, 1, 1), 3.0), np.zeros((1, 2))).tolist() == [[3, 3]]

"""The motion of the head is told from that of a part of the face."""

import numpy as np
import pytest

from flowkit.keyframes.head_motion import without_head_motion

HEAD = np.array([0.01, 0.02, 0.5, -0.25])
"""a, b (per px), c, d (px)."""


def moving_head(height=60, width=80, noise_px=0.02):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width].astype(float)
    x, y = x - (width - 1) / 2, y - (height - 1) / 2
    a, b, c, d = HEAD
    flow = np.stack([a * x - b * y + c, b * x + a * y + d]) + rng.normal(0, noise_px, (2, height, width))
    return flow[None].astype(np.float32)


def test_a_similarity_is_removed_and_an_expression_stays():
    flow = moving_head()
    flow[0, 1, 40:55, 10:40] -= 3.0
    rest, removed = without_head_motion(flow)
    assert removed[0] == pytest.approx(HEAD, abs=1e-3 * np.array([0.2, 0.2, 5, 5]).max())
    assert rest[0, 1, 40:55, 10:40].mean() == pytest.approx(-3.0, abs=0.02)
    assert np.hypot(*rest[0])[:38].mean() < 0.04


def test_where_nothing_moves_nothing_is_removed():
    rest, removed = without_head_motion(np.zeros((2, 2, 16, 16), np.float32))
    assert not rest.any()
    assert not removed.any()

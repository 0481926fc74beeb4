"""Facial pairs of every size, with their truth."""

from __future__ import annotations

import cv2
import numpy as np

from flowkit.bench import Size, facial_pairs
from flowkit.bench import pairs as pairs_module


def residual(pair, flow) -> float:
    """Mean grey-value difference of frame0 and frame1 sampled where the flow says."""
    y, x = np.indices(pair.frame0.shape, np.float32)
    warped = cv2.remap(pair.frame1, x + flow[0], y + flow[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return float(np.abs(warped.astype(float) - pair.frame0).mean())


def test_a_crop_keeps_the_truth_of_its_square(pairs):
    square, crop = facial_pairs(Size(64, 64), (2.0,))[0], next(pair for pair in pairs if pair.amplitude_px == 2)
    assert crop.frame0.shape == (48, 64)
    assert np.array_equal(crop.frame1, square.frame1[8:56])
    assert np.array_equal(crop.truth, square.truth[:, 8:56])


def test_a_picture_of_many_faces_has_the_truth_of_each(monkeypatch):
    monkeypatch.setattr(pairs_module, "LARGEST_FACE_PX", 96)
    (pair,) = facial_pairs(Size(150, 190), (2.0,), (1,))
    assert pair.frame0.shape == (150, 190)
    assert pair.truth.shape == (2, 150, 190)
    across = pair.truth * np.array([-1, 1], np.float32)[:, None, None]
    for tile in (np.s_[..., :75, :95], np.s_[..., :75, 95:], np.s_[..., 75:, :95], np.s_[..., 75:, 95:]):
        part = pairs_module.FacialPair(2.0, pair.frame0[tile], pair.frame1[tile], pair.truth[tile])
        assert residual(part, part.truth) < 0.8 * residual(part, np.zeros_like(part.truth))
        assert residual(part, part.truth) < 0.8 * residual(part, across[tile])

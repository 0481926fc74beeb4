"""Cuts are told from motion by what a shard holds: the flow, and the gain of its quality."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flowkit import tvl1_flow
from flowkit.motion.quality import quality
from flowkit.pictures.cuts import is_cut
from tests.clips import texture


@pytest.mark.parametrize("preset", ["micro", "fast", "opencv"])
@pytest.mark.parametrize("size", [48, 160])
def test_two_scenes_are_a_cut_and_a_moving_one_is_not(preset: str, size: int) -> None:
    frame, other = (texture(0, (size, size + 12), seed=seed) for seed in (1, 2))
    here = np.ascontiguousarray(frame[:, :size])
    # A head that passes a background of another texture: the flow is torn along its outline.
    disc = np.zeros((size, size), np.uint8)
    cv2.circle(disc, (size // 2, size // 2), size // 3, 1, -1)
    behind = np.ascontiguousarray(other[:, :size])
    passed = np.roll(disc, size // 12, axis=1)
    pairs = {
        "cut": (here, np.ascontiguousarray(other[:, :size])),
        "still": (here, here),
        "pan": (here, np.ascontiguousarray(frame[:, 4 : size + 4])),
        "head": (np.where(disc, here, behind), np.where(passed, np.roll(here, size // 12, axis=1), behind)),
    }
    found = {}
    for name, (a, b) in pairs.items():
        flow = tvl1_flow(a[None], b[None], preset=preset)
        found[name] = is_cut(flow[0], float(quality(a[None], b[None], flow).gain[0]))
    assert found == {"cut": True, "still": False, "pan": False, "head": False}


@pytest.mark.parametrize("preset", ["micro-0.1", "fast-0.1", "opencv"])
def test_flow_that_is_torn_is_a_cut_where_nothing_else_is_known(preset: str) -> None:
    frame, other = (texture(0, (96, 96), seed=seed) for seed in (1, 2))
    assert is_cut(tvl1_flow(frame, other, preset=preset))
    assert not is_cut(tvl1_flow(frame, frame, preset=preset))


def test_a_single_pixel_is_no_cut() -> None:
    assert not is_cut(np.full((2, 1, 1), 90, np.float32))

"""Crop and resize: what the solver gets of a frame."""

import cv2
import numpy as np
import pytest

from flowkit.errors import FrameError, InputError
from flowkit.frames.prepare import LEAST_SIDE, parse_size, prepare
from flowkit.motion.flow import SMALLEST_SIDE
from flowkit.types import Box


def ramp(height, width, dtype=np.uint8):
    """Row number in tens, column number in parts: each pixel says where it is."""
    return (10 * np.arange(height)[:, None] + np.arange(width)).astype(dtype)


def test_size_is_a_side_or_width_by_height():
    assert parse_size("224") == (224, 224)
    assert parse_size("320x180") == (180, 320)
    for text in ("", "0", "0x5", "-3", "12.5", "5x", "x5", "1x2x3", "224 "):
        with pytest.raises(InputError, match="WIDTHxHEIGHT"):
            parse_size(text)
    assert parse_size("3x4") == (4, 3)
    for text in ("1", "2", "2x99", "99x2"):
        with pytest.raises(InputError, match=rf"size '{text}': frames of less than 3 x 3 px have no flow; give at"):
            parse_size(text)


def test_the_least_size_is_that_of_the_solver():
    assert LEAST_SIDE == SMALLEST_SIDE


def test_crop_is_the_box_exactly():
    frame = ramp(10, 10)
    cropped = prepare(frame, Box(left=2, top=5, width=3, height=2), None)
    assert cropped.tolist() == [[52, 53, 54], [62, 63, 64]]
    colour = prepare(np.dstack([frame] * 3), Box(left=2, top=5, width=3, height=2), (2, 3))
    assert colour.tolist() == np.dstack([cropped] * 3).tolist()


@pytest.mark.parametrize("box", [Box(16, 0, 5, 4), Box(0, 7, 5, 4), Box(-1, 0, 5, 4), Box(0, -1, 5, 4)])
def test_a_box_outside_the_frame_is_refused(box):
    with pytest.raises(FrameError, match="not inside the frame of 20 x 10 px"):
        prepare(ramp(10, 20), box, None)


@pytest.mark.parametrize("size", [None, (10, 12)])
def test_frame_of_the_size_comes_back_itself(size):
    frame = ramp(10, 12)
    assert prepare(frame, None, size) is frame


def test_shrinking_averages_areas():
    frame = np.random.default_rng(0).integers(0, 65536, (12, 8), dtype=np.uint16)
    shrunk = prepare(frame, None, (6, 2))
    means = frame.reshape(6, 2, 2, 4).mean(axis=(1, 3))
    assert shrunk.dtype == np.uint16
    assert np.abs(shrunk - means).max() <= 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_growing_is_cubic(dtype):
    frame = np.random.default_rng(0).integers(0, 256, (6, 5), dtype=np.uint8).astype(dtype)
    grown = prepare(frame, None, (12, 15))
    assert grown.dtype == dtype
    assert np.array_equal(grown, cv2.resize(frame, (15, 12), interpolation=cv2.INTER_CUBIC))


def test_sides_are_treated_apart():
    """Averaging rows of equal pairs loses nothing, so only the columns' interpolation is left."""
    rows = np.random.default_rng(0).integers(0, 256, (6, 5), dtype=np.uint8)
    mixed = prepare(np.repeat(rows, 2, axis=0), None, (6, 15))
    assert np.array_equal(mixed, prepare(rows, None, (6, 15)))


def test_colour_keeps_its_channels():
    frame = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    resized = prepare(frame, Box(left=1, top=1, width=6, height=4), (2, 3))
    assert resized.shape == (2, 3, 3)
    for channel in range(3):
        alone = prepare(np.ascontiguousarray(frame[..., channel]), Box(left=1, top=1, width=6, height=4), (2, 3))
        assert np.array_equal(resized[..., channel], alone)

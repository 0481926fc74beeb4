"""From a face to what is cut out: squares within the frame, and eyes that are level at one place."""

import math

import cv2
import numpy as np
import pytest

from flowkit.errors import FrameError, InputError
from flowkit.faces.face import Face
from flowkit.faces.fit import EYE_DISTANCE, EYE_HEIGHT, align, crop, mapped, require_margin
from flowkit.frames.prepare import prepare, warp
from flowkit.types import Box

FRAME = (240, 320)


def spots(positions, sigma=2.0):
    """A frame with a round spot of light at each position."""
    y, x = np.mgrid[: FRAME[0], : FRAME[1]]
    light = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)) for px, py in positions)
    return np.round(250 * light).astype(np.uint8)


def middle(picture):
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    light = picture / picture.sum(dtype=float)
    return float((x * light).sum()), float((y * light).sum())


def test_a_detected_box_becomes_the_square_around_its_middle():
    placed = crop(Face(100, 60, 40, 60), FRAME)
    assert placed.box == Box(90, 60, 60, 60)
    assert (placed.shape, placed.transform) == ((60, 60), None)
    assert crop(Face(100, 60, 40, 60), FRAME, margin=0.25).box == Box(75, 45, 90, 90)


@pytest.mark.parametrize(
    ("face", "box"),
    [
        (Face(-20, -10, 60, 60), Box(0, 0, 60, 60)),
        (Face(290, 200, 60, 60), Box(260, 180, 60, 60)),
        (Face(10, -40, 300, 320), Box(40, 0, 240, 240)),
    ],
)
def test_a_square_is_moved_into_the_frame_and_no_larger_than_it(face, box):
    assert crop(face, FRAME).box == box


def test_a_given_box_stays_as_it_is_and_a_margin_ends_at_the_frame():
    given = Face(10, 60, 40, 60, given=True)
    assert crop(given, FRAME).box == Box(10, 60, 40, 60)
    assert crop(given, FRAME, margin=0.5).box == Box(0, 30, 70, 120)
    with pytest.raises(FrameError, match="not inside the frame"):
        crop(Face(300, 60, 40, 60, given=True), FRAME, margin=0.5)


def test_a_face_beside_the_frame_is_refused():
    with pytest.raises(FrameError, match=r"middle \(350, 90\) is outside the frame of 320 x 240 px"):
        crop(Face(320, 60, 60, 60), FRAME)


@pytest.mark.parametrize("degrees", [-25, 0, 10])
@pytest.mark.parametrize("apart", [20.0, 60.0])
@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_aligned_eyes_are_level_at_their_place(degrees, apart, margin):
    angle = math.radians(degrees)
    half = np.array([math.cos(angle), math.sin(angle)]) * apart / 2
    eyes = (tuple(np.array([158.3, 101.6]) + half), tuple(np.array([158.3, 101.6]) - half))
    placed = align(Face(0, 0, 1, 1, eyes=eyes), FRAME, 96, margin)
    scale = 96 / (1 + 2 * margin)
    expected_y = 48 - (0.5 - EYE_HEIGHT) * scale - 0.5
    for eye, side in ((eyes[1], -1), (eyes[0], 1)):
        expected = (47.5 + side * EYE_DISTANCE * scale / 2, expected_y)
        assert mapped(np.array([eye]), placed.box, placed.transform, placed.shape)[0] == pytest.approx(expected)
        # And there the picture has it, whether it is enlarged or made smaller on the way.
        picture = warp(spots([eye], sigma=apart / 12), placed.transform, placed.shape)
        assert middle(picture) == pytest.approx(expected, abs=0.03)


def test_alignment_takes_about_as_many_pixels_as_there_are():
    placed = align(Face(0, 0, 1, 1, eyes=((140, 100), (180, 100))), FRAME, None)
    assert placed.shape == (118, 118)
    assert placed.box.width == pytest.approx(40 / EYE_DISTANCE, abs=2)
    assert math.hypot(placed.transform[0], placed.transform[3]) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("eyes", "told"),
    [
        (None, "no eyes are known"),
        (((100, 100), (102, 100)), "2.0 px apart"),
        (((100, 100), (102, 140)), "at 87 degrees"),
        (((400, 100), (440, 100)), "outside the frame"),
        (((4, 4), (100, 4)), "of the aligned square of 282 px would be outside"),
    ],
)
def test_eyes_that_align_nothing_are_told(eyes, told):
    with pytest.raises(FrameError, match=told):
        align(Face(0, 0, 1, 1, eyes=eyes), FRAME, 96)


@pytest.mark.parametrize("size", [(60, 60), (35, 30), (90, 150)])
def test_positions_follow_a_crop_and_its_resizing(size):
    box, point = Box(100, 60, 60, 60), (131.4, 88.2)
    picture = prepare(spots([point], sigma=4.0), box, size)
    assert mapped(np.array([point]), box, None, size)[0] == pytest.approx(middle(picture), abs=0.05)


def test_warping_by_nothing_changes_nothing_and_shrinking_averages():
    frame = np.random.default_rng(0).integers(0, 255, (48, 64), dtype=np.uint8)
    assert np.array_equal(warp(frame, (1, 0, 0, 0, 1, 0), (48, 64)), frame)
    halved = warp(frame, (0.5, 0, -0.25, 0, 0.5, -0.25), (24, 32))
    assert np.abs(halved - frame.reshape(24, 2, 32, 2).mean(axis=(1, 3))).max() <= 0.51
    colour = warp(np.dstack([frame] * 3), (1, 0, 3, 0, 1, 5), (48, 64))
    assert np.array_equal(colour[5:, 3:, 1], frame[:-5, :-3])
    deep = warp(frame.astype(np.uint16) * 257, (1, 0, 3, 0, 1, 5), (48, 64))
    assert (deep.dtype, cv2.absdiff(deep[5:, 3:] // 257, frame[:-5, :-3].astype(np.uint16)).max()) == (np.uint16, 0)


def test_a_margin_is_a_fraction():
    assert require_margin(0.25) == 0.25
    for margin in (-0.1, 2.1, math.nan):
        with pytest.raises(InputError, match="face margin"):
            require_margin(margin)

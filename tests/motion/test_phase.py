"""Averages of phases: the noise they leave, heads that tremble, blinks and dropped frames."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import flowkit
from flowkit.errors import InputError
from flowkit.motion.phase import Moves, _along_rows, _Fit, moved
from flowkit.synthetic.faces import neutral_face
from flowkit.synthetic.motion import Pose, expression
from flowkit.synthetic.render import SUPERSAMPLING, Performance, digitise

SIDE = 128
Frames = NDArray[np.uint8]


REST = Pose()


@lru_cache
def performance(identity: int, pose: Pose = REST) -> Performance:
    landmarks = neutral_face(identity, SIDE * SUPERSAMPLING).landmarks
    bumps = expression(("6", "12"), landmarks, SIDE, 1.0, np.random.default_rng(identity))
    return Performance(identity, SIDE, bumps, pose)


@lru_cache
def clean(identity: int, amplitude: float, pose: Pose = REST) -> NDArray[np.float32]:
    frame = performance(identity, pose).frame(amplitude, 1.0)
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32, copy=False)


def takes(
    identity: int,
    amplitude: float,
    rng: np.random.Generator,
    poses: tuple[Pose, ...] = (REST,) * 4,
    noise: float = 1.0,
) -> Frames:
    return np.stack([digitise(clean(identity, amplitude, pose), noise, rng) for pose in poses])


def average_flow(onset: Frames, apex: Frames) -> NDArray[np.float32]:
    frames = (flowkit.average_phase(phase) for phase in (onset, apex))
    return flowkit.tvl1_flow(*frames, value_range=(0, 255))


def length(flow: NDArray[np.float32]) -> float:
    return float(np.hypot(flow[0], flow[1]).mean())


def test_four_frames_halve_what_noise_moves():
    """By a preset that is nearly linear in the noise; `micro` adds what is significant, which noise sometimes is."""
    rng = np.random.default_rng(1)
    one, four = [], []
    for identity in (1, 2, 3):
        onset, apex = takes(identity, 0.0, rng), takes(identity, 0.0, rng)
        averages = flowkit.average_phase(onset), flowkit.average_phase(apex)
        one.append(length(flowkit.tvl1_flow(onset[0], apex[0], preset="micro-0.1")))
        four.append(length(flowkit.tvl1_flow(*averages, preset="micro-0.1", value_range=(0, 255))))
    assert np.mean(four) < 0.5 * np.mean(one), (one, four)


def test_the_noise_of_an_average_is_that_of_a_frame_over_the_root_of_their_number():
    frames = takes(1, 0.0, np.random.default_rng(2), (REST,) * 9, noise=2.0)
    left = (flowkit.average_phase(frames) - clean(1, 0.0))[clean(1, 0.0) > 10]
    assert left.std() == pytest.approx(np.hypot(2.0, 12**-0.5) / 3, rel=0.05)
    assert abs(left.mean()) < 0.05


def tremble(seed: int, most_px: float = 0.3) -> tuple[Pose, ...]:
    """The first pose is at rest: where the average shall be."""
    rng = np.random.default_rng(seed)
    centre = (SIDE - 1) / 2
    angles, turns = rng.uniform(0, 2 * np.pi, 3), np.deg2rad(rng.uniform(-0.1, 0.1, 3))
    shifts = [(float(most_px * np.cos(angle)), float(most_px * np.sin(angle))) for angle in angles]
    moves = zip(turns, shifts, strict=True)
    return REST, *(Pose(x=centre, y=centre, angle=float(turn), shift=shift) for turn, shift in moves)


def test_a_trembling_head_does_no_harm():
    rng = np.random.default_rng(3)
    truth = performance(1).flow(1.0, 1.0)
    onset, apex = takes(1, 0.0, rng, tremble(4)), takes(1, 1.0, rng, tremble(5))
    errors = {
        "one pair": length(flowkit.tvl1_flow(onset[0], apex[0]) - truth),
        "average": length(average_flow(onset, apex) - truth),
        "plain": length(
            flowkit.tvl1_flow(*(p.mean(axis=0, dtype=np.float32) for p in (onset, apex)), value_range=(0, 255)) - truth
        ),
    }
    assert errors["average"] < errors["one pair"] < errors["plain"] / 2, errors


def test_a_fit_finds_shift_and_turn():
    centre = (SIDE - 1) / 2
    reference = clean(2, 0.0)
    for shift, degrees in (((0.25, -0.15), 0.0), ((1.7, 2.6), 0.0), ((0.1, 0.2), 0.3)):
        x, y = np.meshgrid(np.arange(SIDE) - centre, np.arange(SIDE) - centre)
        pose = Pose(x=centre, y=centre, angle=float(np.deg2rad(degrees)), shift=shift)
        found = _Fit(reference).moves_of(clean(2, 0.0, pose))
        assert found is not None
        flow = pose_flow(pose)
        fitted = np.stack([found[0] + found[2] * x - found[3] * y, found[1] + found[3] * x + found[2] * y])
        # The synthetic frames themselves are off by up to 0.02 px: their bicubic kernel is.
        assert np.abs(fitted - flow).max() < 0.05, (shift, degrees, found)


def pose_flow(pose: Pose) -> NDArray[np.float64]:
    points = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE))).astype(np.float64)
    flow = np.zeros_like(points)
    for _ in range(20):
        flow = pose.backward(points + flow)
    return flow


def test_moving_there_and_back_gives_the_frame():
    frame = cv2.GaussianBlur(np.random.default_rng(0).uniform(0, 255, (40, 50)).astype(np.float32), (0, 0), 1.5)
    there = moved(frame, (0.4, -0.3, 0.0, 0.0))
    np.testing.assert_allclose(moved(there, (-0.4, 0.3, 0.0, 0.0))[8:-8, 8:-8], frame[8:-8, 8:-8], atol=0.3)
    np.testing.assert_allclose(moved(frame, (3.0, -2.0, 0.0, 0.0))[8:-8, 8:-8], frame[6:-10, 11:-5], atol=1e-3)


def similarity(moves: Moves, side: int, shape: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """A pattern (h, w) whose pixels have moved, from its formula: nothing is interpolated."""
    height, width = shape or (side, side)
    tx, ty, a, b = moves
    x, y = np.meshgrid(np.arange(width) - (width - 1) / 2 - tx, np.arange(height) - (height - 1) / 2 - ty)
    x, y = np.stack([(1 + a) * x + b * y, (1 + a) * y - b * x]) / ((1 + a) ** 2 + b**2)
    rng = np.random.default_rng(0)
    pattern = np.full((height, width), 128.0)
    for _ in range(40):
        wave, angle, phase = 2 * np.pi / rng.uniform(8, 60), *rng.uniform(0, 2 * np.pi, 2)
        pattern += rng.uniform(2, 9) * np.sin(wave * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return pattern.astype(np.float32)


def turn(degrees: float, growth: float = 1.0) -> Moves:
    angle = np.deg2rad(degrees)
    return 0.0, 0.0, float(growth * np.cos(angle) - 1), float(growth * np.sin(angle))


@pytest.mark.parametrize("moves", [turn(1.5), turn(3), turn(0, 1.05), turn(2, 0.97)])
def test_far_from_the_centre_too_pixels_come_from_their_neighbours(moves):
    """The similarity that puts corners 3 to 8 px away, undone: of 224 x 224."""
    apart = np.abs(moved(similarity(moves, 224), moves) - similarity(turn(0), 224))
    # What was outside of the frame is not known.
    assert apart[12:-12, 12:-12].max() < 0.5


def test_pixels_that_are_read_by_slices_and_one_by_one_are_the_same():
    frame = similarity(turn(0), 64)
    offsets = np.full((64, 64), 1.3, np.float32)
    expected = _along_rows(frame, offsets)
    expected[:, -1:] = _along_rows(frame, np.full_like(offsets, -2.2))[:, -1:]
    offsets[:, -1] = -2.2  # no slice has both
    np.testing.assert_array_equal(_along_rows(frame, offsets), expected)
    offsets[:] = 100  # beyond the edge
    np.testing.assert_array_equal(_along_rows(frame, offsets), np.repeat(frame[:, -1:], 64, axis=1))


@pytest.mark.parametrize("degrees", [0.5, 1.0, 1.4])
def test_undoing_a_turn_leaves_no_flow(degrees):
    moves = turn(degrees)
    flow = flowkit.tvl1_flow(similarity(turn(0), 224), moved(similarity(moves, 224), moves), value_range=(0, 255))
    assert length(flow[:, 16:-16, 16:-16]) < 0.002


@pytest.mark.parametrize("shape", [(129, 129), (128, 129), (97, 65)])
def test_shifts_of_odd_frames_are_found_to_their_size(shape):
    frames = [similarity(moves, 0, shape) for moves in (turn(0), (3.0, -2.0, 0.0, 0.0))]
    found = _Fit(frames[0]).moves_of(frames[1])
    assert found is not None
    assert found[:2] == pytest.approx((3.0, -2.0), abs=0.01)


def beside(*shifts: float) -> Frames:
    """Takes of a head that is so many pixels to the right."""
    rng = np.random.default_rng(9)
    return np.stack([digitise(clean(1, 0.0, Pose(shift=(shift, 0.0))), 1.0, rng) for shift in shifts])


def test_a_head_up_to_a_tenth_of_the_side_away_is_found():
    frames = beside(0, 6, 9, 12)
    apart = flowkit.average_phase(frames) - clean(1, 0.0)
    assert np.abs(apart)[16:-16, 16:-16].mean() < 0.7


def test_a_head_that_is_farther_is_left_out():
    frames = beside(0, 0, 0, 30)
    np.testing.assert_array_equal(flowkit.average_phase(frames), flowkit.average_phase(frames[:3]))
    assert np.abs(flowkit.average_phase(beside(0, 0, 30, 30)) - clean(1, 0.0)).mean() < 0.7


@pytest.mark.parametrize(
    ("shifts", "reference", "told"),
    [
        (
            (0, 30),
            0,
            r"^frames\[1\] is not of the moment of frames\[0\]: .*not found within 10% of the frame's side; give",
        ),
        ((0, 30, 30, 30), 0, r"^frames\[1\], frames\[2\] and frames\[3\] are not of the moment of frames\[0\]"),
        ((0, 30, 0, 0), 1, r"^frames\[0\], frames\[2\] and frames\[3\] are not of the moment of frames\[1\]"),
        ((0, 0, 30, 30, 30), 0, r"^frames\[2\], frames\[3\] and frames\[4\] are not of the moment of frames\[0\]"),
    ],
)
def test_frames_of_another_place_do_not_outvote_the_reference(shifts, reference, told):
    with pytest.raises(InputError, match=told):
        flowkit.average_phase(beside(*shifts), reference=reference)


@pytest.mark.parametrize("dropped", [0, 90])
def test_a_dropped_reference_is_refused(dropped):
    """Nothing says where its head was."""
    frames = takes(3, 0.0, np.random.default_rng(6))
    frames[0] = dropped
    with pytest.raises(InputError, match=r"not of the moment of frames\[0\]"):
        flowkit.average_phase(frames)


def test_a_blink_and_a_dropped_frame_leave_no_trace():
    frames = takes(3, 0.0, np.random.default_rng(6))
    whole = flowkit.average_phase(frames)
    blinked = frames.copy()
    blinked[2, 45:60, 30:100] = 40
    assert np.abs(flowkit.average_phase(blinked) - whole).max() < 4
    assert np.abs(blinked.mean(axis=0) - whole)[45:60, 30:100].mean() > 8
    dropped = frames.copy()
    dropped[1] = 0
    assert np.abs(flowkit.average_phase(dropped) - whole)[clean(3, 0.0) > 20].max() < 4


def test_two_frames_outvote_one_that_was_dropped():
    frames = takes(3, 0.0, np.random.default_rng(6), (REST,) * 3)
    kept = flowkit.average_phase(frames[:2])
    frames[2] = 0
    assert np.abs(flowkit.average_phase(frames) - kept)[clean(3, 0.0) > 20].max() < 4


def test_flickering_light_is_averaged():
    frames = takes(1, 0.0, np.random.default_rng(7)).astype(np.float32) * 0.9
    frames *= np.float32([1.0, 1.03, 0.97, 1.0])[:, None, None]
    mean = flowkit.average_phase(frames, value_range=(0, 255))
    assert np.abs(mean - frames.mean(axis=0)).mean() < 0.15


def test_every_depth_has_one_scale():
    frames = takes(1, 0.0, np.random.default_rng(8))
    expected = flowkit.average_phase(frames)
    assert expected.dtype == np.float32
    np.testing.assert_allclose(flowkit.average_phase(frames.astype(np.uint16) * 257), expected, atol=1e-3)
    floats = frames.astype(np.float32) / 255
    np.testing.assert_allclose(flowkit.average_phase(floats, value_range=(0, 1)), expected, atol=1e-3)
    np.testing.assert_array_equal(flowkit.average_phase(frames[:1]), frames[0].astype(np.float32))


def test_frames_without_structure_are_averaged_where_they_are():
    frames = np.full((4, 20, 30), 77, np.uint8)
    np.testing.assert_array_equal(flowkit.average_phase(frames), 77)


HUGE = np.random.default_rng(0).choice(np.array([-3e38, 3e38], np.float32), (3, 20, 20))


@pytest.mark.parametrize(
    ("frames", "options", "told"),
    [
        (np.zeros((20, 20), np.uint8), {}, r"shape \(20, 20\)"),
        (np.zeros((0, 20, 20), np.uint8), {}, r"shape \(0, 20, 20\)"),
        (np.zeros((2, 15, 20), np.uint8), {}, r"shape \(2, 15, 20\)"),
        (np.zeros((2, 20, 20), np.uint8), {"reference": 2}, "reference=2: the frames are numbered 0 to 1"),
        (np.zeros((2, 20, 20), np.uint8), {"reference": None}, "reference=None: the frames are numbered 0 to 1"),
        (np.zeros((2, 20, 20), np.uint8), {"reference": 0.5}, "reference=0.5: the frames are numbered 0 to 1"),
        (np.zeros((2, 20, 20), np.uint8), {"reference": True}, "reference=True: the frames are numbered 0 to 1"),
        (np.zeros((2, 20, 20), np.float32), {}, "value_range"),
        (np.full((2, 20, 20), np.nan, np.float32), {"value_range": (0, 1)}, "nan at"),
        (np.zeros((2, 20, 20), np.int64), {}, "int64"),
        (HUGE, {"value_range": (0, 255)}, "frames reach 3e.38 grey levels on the scale 0..255: give at most 1e.12"),
        (HUGE, {"value_range": (0, 1)}, "frames reach inf grey levels on the scale 0..255: give at most"),
    ],
)
def test_wrong_frames_are_refused(frames, options, told):
    with pytest.raises(InputError, match=told):
        flowkit.average_phase(frames, **options)

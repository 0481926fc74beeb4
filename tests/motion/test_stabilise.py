"""The head's motion, planted under an expression, is found and taken out."""

import cv2
import numpy as np
import pytest

from flowkit.errors import FrameError, InputError
from flowkit.motion.flow import tvl1_flow
from flowkit.motion.stabilise import Stabilising, head_motion, mean_flow, parse_stabilise, without_motion
from flowkit.synthetic.faces import neutral_face
from flowkit.synthetic.motion import Pose, expression
from flowkit.synthetic.render import Performance, digitise

SIZE = 128
POSES = [Pose(shift=(1.3, -0.7)), Pose(shift=(-2.4, 0.6)), Pose(shift=(0.3, 3.1))]


def pair(identity, units, peak_px, pose):
    """Two grey frames of a drawn face that shows an expression while its head moves."""
    landmarks = neutral_face(identity, 2 * SIZE).landmarks
    rng = np.random.default_rng(identity)
    made = Performance(identity, SIZE, expression(units, landmarks, SIZE, peak_px, rng), pose)
    frames = [cv2.cvtColor(made.frame(amount, amount), cv2.COLOR_RGB2GRAY) for amount in (0.0, 1.0)]
    return [digitise(frame, 1.0, rng) for frame in frames]


@pytest.mark.parametrize("units", [("1", "2"), ("4",), ("12",)])
def test_a_shift_is_found_whatever_the_brows_and_the_mouth_do(units):
    for identity, pose in enumerate(POSES, start=1):
        frames = pair(identity, units, 1.0, pose)
        found = head_motion(*frames, parse_stabilise("translation"))
        assert found[:, :2].tolist() == np.eye(2).tolist()
        assert found[:, 2] == pytest.approx(pose.shift, abs=0.1)
        assert (found[:, 2] * 32 == np.round(found[:, 2] * 32)).all()


def test_brows_that_rise_do_not_draw_it_along_as_they_do_ecc():
    off, off_ecc = [], []
    for identity, pose in enumerate(POSES, start=1):
        frames = pair(identity, ("1", "2"), 1.5, pose)
        off.append(np.hypot(*(head_motion(*frames, parse_stabilise("translation"))[:, 2] - pose.shift)))
        ecc = np.eye(2, 3, dtype=np.float32)
        cv2.findTransformECC(*frames, ecc, cv2.MOTION_TRANSLATION, (3, 200, 1e-6), None, 5)
        off_ecc.append(np.hypot(*(ecc[:, 2] - pose.shift)))
    assert np.mean(off) < 0.5 * np.mean(off_ecc)


def test_a_turn_is_found_by_a_similarity():
    pose = Pose(x=64, y=80, angle=0.012, shift=(0.8, -0.5))
    frames = pair(2, ("12",), 0.5, pose)
    found = head_motion(*frames, parse_stabilise("similarity:whole"))
    y, x = np.mgrid[20:108:8, 20:108:8].astype(float)
    there = np.stack([x, y])
    true = there + Performance(2, SIZE, (), pose).flow(0.0, 1.0)[:, 20:108:8, 20:108:8]
    moved = np.einsum("ij,j...->i...", found[:, :2], there) + found[:, 2][:, None, None]
    assert np.hypot(*(moved - true)).mean() < 0.1
    assert np.hypot(*(there - true)).mean() > 0.7


def test_what_was_found_is_taken_out():
    frames = pair(1, ("12",), 0.8, POSES[0])
    steady = without_motion(*frames, head_motion(*frames, parse_stabilise("translation")))
    still = pair(1, ("12",), 0.8, Pose())
    inner = np.s_[8:-8, 8:-8]
    assert np.abs(steady[inner].astype(float) - still[1][inner]).mean() < 2.0
    before, after = (tvl1_flow(np.stack([frames[0]]), np.stack([second]))[0] for second in (frames[1], steady))
    nose = Stabilising("nose", (0.42, 0.4, 0.16, 0.12))
    assert np.hypot(*mean_flow(before, nose)) > 1.2
    assert np.hypot(*mean_flow(after, nose)) < 0.15
    assert steady.dtype == np.uint8


def test_nothing_is_made_up_at_the_edges():
    frame0, frame1 = (np.random.default_rng(i).integers(0, 255, (20, 30), dtype=np.uint8) for i in (0, 1))
    motion = np.array([[1, 0, 3.0], [0, 1, -2.0]])
    moved = without_motion(frame0, frame1, motion)
    assert np.array_equal(moved[2:, :-3], frame1[:-2, 3:])
    assert np.array_equal(moved[:2], frame0[:2])
    assert np.array_equal(moved[:, -3:], frame0[:, -3:])


def test_light_that_changes_is_no_motion():
    frame, _ = pair(3, ("12",), 0.5, Pose())
    brighter = np.clip(frame * 0.8 + 30, 0, 255).astype(np.uint8)
    assert head_motion(frame, brighter, parse_stabilise("similarity")) == pytest.approx(np.eye(2, 3), abs=0.02)


def test_what_cannot_be_stabilised_says_why():
    rng = np.random.default_rng(0)
    flat = np.full((64, 64), 90, np.uint8)
    with pytest.raises(FrameError, match="nothing to hold on to in its region"):
        head_motion(flat, flat, parse_stabilise("translation"))
    with pytest.raises(FrameError, match="the second frame is flat where its region ends"):
        head_motion(pair(1, ("12",), 0.5, POSES[0])[0], np.zeros((SIZE, SIZE), np.uint8), parse_stabilise("similarity"))
    noise = [cv2.GaussianBlur(rng.integers(0, 255, (64, 64), dtype=np.uint8), (0, 0), 3) for _ in range(2)]
    with pytest.raises(FrameError, match=r"stabilising (runs off|fails|has not settled)"):
        head_motion(*noise, parse_stabilise("similarity:whole"))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("none", "none"),
        ("translation", "translation:inner"),
        ("similarity:upper", "similarity:upper"),
        ("similarity:0,0,1,1", "similarity:whole"),
        ("translation:0.1,0.2,0.30,0.5", "translation:0.1,0.2,0.3,0.5"),
        ("nose:0.45,.4,0.1,0.2", "nose:0.45,0.4,0.1,0.2"),
        ("translation:0.00001,0,0.5,1.0", "translation:0.00001,0,0.5,1"),
        ("translation:0.0679215,0,0.9320785,1", "translation:0.0679215,0,0.9320785,1"),
    ],
)
def test_how_is_written_in_one_way(text, written):
    assert str(parse_stabilise(text)) == written
    assert parse_stabilise(written) == parse_stabilise(text)


UNUSABLE = ("", "nose", "nose:", "nose:upper", "shift", "none:upper", "similarity:lower", "translation:")
OUTSIDE = ("nose:10,20,30,40", "nose:0,0,0,1", "nose:0.5,0,0.6,1", "nose:0,0,1", "nose:0,0,1,..")


@pytest.mark.parametrize("text", UNUSABLE + OUTSIDE)
def test_unusable_text_is_refused(text):
    with pytest.raises(InputError, match="stabilise"):
        parse_stabilise(text)


def test_a_region_is_at_least_a_pixel():
    flow = np.arange(2 * 4 * 5).reshape(2, 4, 5).astype(np.float32)
    assert mean_flow(flow, Stabilising("nose", (0.99, 0.99, 0.001, 0.001))) == (19, 39)
    assert mean_flow(flow, parse_stabilise("nose:0,0,1,1")) == (9.5, 29.5)

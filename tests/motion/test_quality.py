"""What is said of a flow's quality, against noise, light and motion that are known."""

from __future__ import annotations

import threading
import time
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import flowkit
from flowkit import _core
from flowkit.errors import InputError
from flowkit.motion.quality import Quality, quality
from flowkit.synthetic.render import facial_pair
from tests import fields
from tests.reference import quality as reference

SIDE = 112


def values(found: Quality) -> dict[str, float]:
    return {name: float(getattr(found, name)) for name in Quality.__slots__}


def table(found: Quality) -> NDArray[np.float32]:
    return np.stack([getattr(found, name) for name in Quality.__slots__], axis=-1)


def test_identical_frames_leave_nothing():
    frame, *_ = facial_pair(1, 0.5, SIDE, 0)
    found = values(quality(frame, frame, flowkit.tvl1_flow(frame, frame)))
    assert found == {"residual": 0, "noise": 0, "brightness": 0, "gain": 1, "left": 0, "scatter_px": 0}


@pytest.mark.parametrize("noise", [1.0, 2.0, 4.0])
def test_the_noise_is_found_under_motion(noise):
    for identity, amplitude in ((1, 0.3), (2, 1.0), (3, 2.0)):
        frame0, frame1, _ = facial_pair(identity, amplitude, SIDE, 5, noise=noise, quality=None)
        found = quality(frame0, frame1, flowkit.tvl1_flow(frame0, frame1))
        sigma = np.hypot(noise, 12**-0.5)  # and rounding
        assert float(found.noise) == pytest.approx(sigma, rel=0.15)
        # A normal difference of two frames has a mean size of 2 sigma / sqrt(pi), a twentieth less without its tail.
        assert float(found.residual) == pytest.approx(2 * sigma / np.sqrt(np.pi), rel=0.15)


def test_jpeg_does_not_hide_noise_as_it_does_from_a_laplacian():
    frame0, frame1, _ = facial_pair(1, 0.5, SIDE, 5, noise=2.0, quality=75)
    kernel = np.float32([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    laplacian = np.sqrt(np.pi / 2) / 6 * np.abs(cv2.filter2D(frame0.astype(np.float32), -1, kernel)).mean()
    assert laplacian < 1.2
    assert float(quality(frame0, frame1, flowkit.tvl1_flow(frame0, frame1)).noise) > 1.7


@pytest.mark.parametrize(("gain", "offset"), [(1.02, 0.0), (0.97, 0.0), (1.0, 3.0), (1.02, -2.0)])
def test_a_change_of_light_is_found(gain, offset):
    frame0, frame1, _ = facial_pair(2, 0.5, SIDE, 3, noise=1.0, quality=None)
    frame0, frame1 = (np.clip(frame, 20, 235).astype(np.float32) for frame in (frame0, frame1))
    lit = gain * frame1 + offset
    found = quality(frame0, lit, flowkit.tvl1_flow(frame0, lit, value_range=(0, 255)), value_range=(0, 255))
    assert float(found.gain) == pytest.approx(gain, abs=0.003)
    assert float(found.brightness) == pytest.approx((lit - frame1).mean(), abs=0.2)


def test_light_is_found_where_the_head_has_moved_far():
    frame, *_ = facial_pair(1, 0.5, SIDE + 16, 0, noise=0.5, quality=None)
    frame = np.clip(frame, 20, 235).astype(np.float32)
    flow = np.stack([np.full((SIDE, SIDE), value, np.float32) for value in (9.0, -4.0)])
    frame0, frame1 = frame[4 : 4 + SIDE, 12 : 12 + SIDE], 1.02 * frame[8 : 8 + SIDE, 3 : 3 + SIDE]
    found = quality(frame0, frame1, flow, value_range=(0, 255))
    assert float(found.gain) == pytest.approx(1.02, abs=0.003)
    assert float(found.left) == pytest.approx(1 - (1 - 9 / SIDE) * (1 - 4 / SIDE), abs=0.02)


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("amplitude", [0.01, 1.0])
@pytest.mark.parametrize("contrast", [0.3, 1.0])
def test_the_expected_scatter_is_the_measured_one(noise, amplitude, contrast):
    """What another take of the same motion would change, by six takes; within the factor 1.5 that is promised."""
    rng = np.random.default_rng(8)
    clean0, clean1, _ = facial_pair(1, amplitude, SIDE, 2, noise=0.0, quality=None)
    takes = [
        np.clip(np.rint(128 + contrast * (clean - 128.0) + noise * rng.standard_normal((6, SIDE, SIDE))), 0, 255)
        for clean in (clean0, clean1)
    ]
    takes = [frames.astype(np.uint8) for frames in takes]
    flow = flowkit.tvl1_flow(*takes)
    measured = float(np.sqrt(flow.var(axis=0, ddof=1).sum(axis=0)).mean())
    expected = float(quality(*takes, flow).scatter_px.mean())
    assert 1 / 1.5 < expected / measured < 1.5, (expected, measured)


def test_a_pair_s_quality_does_not_depend_on_its_batch_or_on_the_depth():
    pairs = [facial_pair(identity, 0.7, 48, 1) for identity in (1, 2, 3)]
    frames0, frames1 = (np.stack([pair[which] for pair in pairs]) for which in (0, 1))
    flow = flowkit.tvl1_flow(frames0, frames1)
    together = quality(frames0, frames1, flow)
    deep = quality(frames0.astype(np.uint16) * 257, frames1.astype(np.uint16) * 257, flow)
    for name in Quality.__slots__:
        batch: NDArray[np.float32] = getattr(together, name)
        assert (batch.shape, batch.dtype) == ((3,), np.float32)
        alone = [getattr(quality(frames0[i], frames1[i], flow[i]), name) for i in range(3)]
        np.testing.assert_array_equal(batch, alone)
        np.testing.assert_allclose(getattr(deep, name), batch, atol=1e-3)


# ---- against the reference

SIZES = [(3, 3), (3, 9), (5, 7), (17, 12), (48, 33), (112, 112), (127, 129), (128, 128), (130, 171), (4, 4100)]


def noisy_faces(h: int, w: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Part of a facial pair, tiled where it is too small, with noise and a change of light."""
    frame0, frame1, _ = facial_pair(2, 1.5, 176, 3, noise=2.0, quality=None)
    tiles = (-(-h // 130), -(-w // 130))
    frames = (np.tile(frame[20:150, 20:150], tiles)[:h, :w] for frame in (frame0, frame1))
    first, second = (frame.astype(float) for frame in frames)
    return first.astype(np.uint8), np.clip(np.rint(1.03 * second - 2), 0, 255).astype(np.uint8)


def flow_of(motion: str, frame0: NDArray[np.uint8], frame1: NDArray[np.uint8]) -> NDArray[np.float32]:
    h, w = frame0.shape
    x, y = fields.grid(h, w)
    wave = np.stack([np.sin(x / 5 + y / 9), np.cos(x / 11 - y / 4)])
    if motion == "solved":
        return flowkit.tvl1_flow(frame0, frame1) if min(h, w) > 8 else wave.astype(np.float32)
    shift = {"near": (0.3, -0.2), "far": (0.3 * w, -0.2 * h), "out": (3.0 * w, 1e6)}[motion]
    return (np.reshape(shift, (2, 1, 1)) + wave).astype(np.float32)


def of_depth(depth: str, *frames: NDArray[np.uint8]) -> tuple[list[NDArray[Any]], dict[str, Any]]:
    """The frames in another type, and what has to be said of it."""
    if depth == "float32":
        return [np.float32(frame / 255 - 0.5) for frame in frames], {"value_range": (-0.5, 0.5)}
    return [frame.astype(np.uint16) * 257 if depth == "uint16" else frame for frame in frames], {}


@pytest.mark.parametrize("depth", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("motion", ["solved", "near", "far", "out"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_number_is_the_references(size, motion, depth):
    """Of numbers around 1, float32 keeps 1e-4: of pixels 1e-5 grey levels, of places 1e-5 px, of the weights 1e-5."""
    frame0, frame1 = noisy_faces(*size)
    flow = flow_of(motion, frame0, frame1)
    frames, told = of_depth(depth, frame0, frame1)
    found = table(quality(*frames, flow, **told))
    expected = reference.quality(frame0.astype(float), frame1.astype(float), flow.astype(float), reference.sampled)
    np.testing.assert_allclose(found, expected, rtol=3e-4, atol=3e-4)
    np.testing.assert_allclose(found[5], expected[5], rtol=3e-4, atol=1e-6)


@pytest.mark.parametrize("size", [(48, 33), (112, 112), (128, 128), (130, 171)], ids=str)
def test_opencv_s_places_of_32nds_of_a_pixel_change_the_noise_alone(size):
    """Up to 1/64 px of a slope of a few grey levels a px come and go, in a noise of two levels: some percent."""
    frame0, frame1 = noisy_faces(*size)
    flow = flow_of("near", frame0, frame1)
    found = table(quality(frame0, frame1, flow))
    expected = reference.quality(frame0.astype(float), frame1.astype(float), flow.astype(float), reference.remapped)
    np.testing.assert_allclose(found, expected, rtol=0.04, atol=3e-4)
    np.testing.assert_allclose(found[2:5], expected[2:5], rtol=3e-4, atol=3e-4)


# ---- the same bits, whatever the company


@pytest.mark.usefixtures("simd_restored")
@pytest.mark.parametrize("size", [(61, 50), (128, 131)], ids=str)
def test_simd_levels_threads_and_batches_have_the_same_bits(size):
    frame0, frame1 = noisy_faces(*size)
    frames0, frames1 = (np.stack([np.roll(frame, i, 0) for i in range(9)]) for frame in (frame0, frame1))
    flow = np.stack([flow_of("near", frame0, frame1) * i for i in range(9)])
    expected = table(quality(frames0, frames1, flow, threads=1))
    for level in _core.simd_levels():
        _core.set_simd(level)
        for threads in (1, 2, 5, None):
            assert np.array_equal(table(quality(frames0, frames1, flow, threads=threads)), expected), level
        for i in (0, 4, 8):
            assert np.array_equal(table(quality(frames0[i], frames1[i], flow[i])), expected[i]), level


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[..., ::-1, ::-1],
        lambda a: np.asfortranarray(a),
        lambda a: np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2),
        lambda a: np.pad(a, [(0, 0)] * (a.ndim - 2) + [(1, 2), (3, 4)])[..., 1:-2, 3:-4],
        lambda a: a[::-1],
        lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    ],
    ids=["flipped", "fortran", "transposed", "padded", "backwards", "every second"],
)
@pytest.mark.parametrize("depth", ["uint8", "uint16", "float32"])
def test_any_strides_give_the_same_bits(view, depth):
    frames, told = of_depth(depth, *(np.stack([frame, frame[::-1]]) for frame in noisy_faces(21, 34)))
    arrays = [*frames, (fields.spin(21, 34, 0.01) + np.zeros((2, 1, 1, 1))).astype(np.float32)]
    views = [view(array) for array in arrays]
    for array in views:
        array.flags.writeable = False
    found = table(quality(*views, **told))
    assert np.array_equal(found, table(quality(*(array.copy("C") for array in views), **told)))


def test_other_threads_run_meanwhile():
    frames, flow = np.zeros((1, 64, 64), np.uint8).repeat(4000, 0), np.zeros((4000, 2, 64, 64), np.float32)
    work = threading.Thread(target=lambda: _core.flow_quality(frames, frames, 0.0, 255.0, flow, 1))
    work.start()
    ticks = 0
    while work.is_alive():
        time.sleep(1e-3)
        ticks += 1
    assert ticks > 10


# ---- odd input


@pytest.mark.parametrize("side", [3, 4, 5, 9])
def test_tiny_frames_have_a_quality(side):
    frame = np.random.default_rng(0).integers(0, 255, (side, side + 1), dtype=np.uint8)
    flow = np.zeros((2, side, side + 1), np.float32)
    assert values(quality(frame, frame, flow))["residual"] == 0
    assert values(quality(frame, frame, flow + 100))["left"] == 1


def test_shapes_that_do_not_fit_are_refused():
    frame = np.zeros((8, 8), np.uint8)
    with pytest.raises(InputError, match=r"flow \(2, 8, 9\)"):
        quality(frame, frame, np.zeros((2, 8, 9), np.float32))


@pytest.mark.parametrize("dtype", [np.int32, np.complex64, bool, "U3", object])
def test_a_flow_that_is_not_floating_point_is_refused(dtype):
    frame = np.zeros((8, 8), np.uint8)
    with pytest.raises(InputError, match=r"flow is .*: convert it to float32"):
        quality(frame, frame, np.zeros((2, 8, 8), dtype))


def test_frames_of_two_types_are_refused():
    frame = np.zeros((8, 8), np.uint8)
    with pytest.raises(InputError, match="frames0 is uint8 and frames1 uint16: they must be equal"):
        quality(frame, frame.astype(np.uint16), np.zeros((2, 8, 8), np.float32))


@pytest.mark.parametrize("name", ["frames0", "frames1", "flow"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(name, value):
    arrays = {"frames0": np.zeros((8, 8)), "frames1": np.zeros((8, 8)), "flow": np.zeros((2, 8, 8))}
    arrays = {key: array.astype(np.float32) for key, array in arrays.items()}
    arrays[name][..., 3, 5] = value
    with pytest.raises(InputError, match=f"{name} is {value} at .*: every value must be finite"):
        quality(**arrays, value_range=(0, 1))


def test_values_with_which_no_number_is_finite_are_refused():
    frame = np.random.default_rng(0).random((8, 8), np.float32) * np.float32(3e38)
    with pytest.raises(InputError, match=r"quality of pair 0 is not finite: .* values against value_range=\(0, 255\)"):
        quality(frame, frame.T, np.zeros((2, 8, 8), np.float32), value_range=(0, 255))
    with pytest.raises(InputError, match=r"flow reaches 3e\+38 px: displacements are at most 1e\+15 px"):
        quality(frame, frame, np.full((2, 8, 8), 3e38), value_range=(0, 255))


def test_a_flow_beyond_single_precision_is_refused():
    frame, flow = np.zeros((8, 8), np.uint8), np.zeros((2, 8, 8))
    flow[1, 2, 3] = 1e300
    with pytest.raises(InputError, match=r"flow is inf at \(1, 2, 3\)"):
        quality(frame, frame, flow)


@pytest.mark.parametrize("threads", [0, 1.5, 5000])
def test_threads_that_are_no_number_of_threads_are_refused(threads):
    frame = np.zeros((8, 8), np.uint8)
    with pytest.raises(InputError, match=f"threads={threads}"):
        quality(frame, frame, np.zeros((2, 8, 8), np.float32), threads=threads)

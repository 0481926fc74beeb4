"""What `flowkit.tvl1_flow` takes: arrays of any kind, strides and place; and what it refuses, by name."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

import flowkit
from flowkit import _core
from flowkit.errors import InputError
from tests import fields


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[:, ::-1, ::-1],
        lambda a: np.asfortranarray(a),
        lambda a: np.ascontiguousarray(a.transpose(0, 2, 1)).transpose(0, 2, 1),
        lambda a: np.pad(a, ((0, 0), (3, 2), (5, 7)))[:, 3:-2, 5:-7],
        lambda a: np.repeat(np.repeat(a, 2, axis=1), 3, axis=2)[:, ::2, ::3],
        lambda a: np.stack([a, a], axis=-1)[..., 1],
        lambda a: np.broadcast_to(a[:1], a.shape),
        lambda a: np.require(a, requirements="C").view(),
    ],
    ids=["flipped", "fortran", "transposed", "padded", "subsampled", "interleaved", "broadcast", "plain"],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_strides_give_the_same_bits(view, dtype):
    frames0, frames1 = (view(frames.astype(dtype)) for frames in fields.textured_batch(3, 21, 26))
    range_ = {"value_range": (0, 255)} if dtype == np.float32 else {}
    expected = flowkit.tvl1_flow(frames0.copy("C"), frames1.copy("C"), **range_)
    assert np.array_equal(flowkit.tvl1_flow(frames0, frames1, **range_), expected)


def test_unaligned_and_foreign_endian_arrays():
    frames0, frames1 = (frames.astype(np.float32) for frames in fields.textured_batch(2, 17, 19))
    expected = flowkit.tvl1_flow(frames0, frames1, value_range=(0, 255))
    unaligned = np.frombuffer(b"\0" + frames0.tobytes(), np.uint8)[1:].view(np.float32).reshape(frames0.shape)
    assert not unaligned.flags.aligned
    assert np.array_equal(flowkit.tvl1_flow(unaligned, frames1, value_range=(0, 255)), expected)
    with pytest.raises(InputError, match=r"frames0.*>f4"):
        flowkit.tvl1_flow(frames0.astype(">f4"), frames1.astype(">f4"), value_range=(0, 255))


def test_a_single_pair_gives_a_single_flow_and_a_batch_of_one_a_batch():
    image0, image1, _ = fields.facial_crop(24, 20)
    single = flowkit.tvl1_flow(image0, image1)
    assert single.shape == (2, 24, 20)
    assert np.array_equal(flowkit.tvl1_flow(image0[None], image1[None]), single[None])
    shapes = [
        flowkit.tvl1_flow(frame0, frame1, return_iterations=True)[1].shape
        for frame0, frame1 in ((image0, image1), (image0[None], image1[None]))
    ]
    assert shapes == [(), (1,)]


@pytest.mark.parametrize("shape", [(100, 3), (2, 100, 3), (7, 4, 3), (7, 3, 4), (9, 3, 100)], ids=str)
def test_small_and_narrow_frames_are_no_colour_images(shape):
    frames = np.zeros(shape, np.uint8)
    assert flowkit.tvl1_flow(frames, frames).shape == (*shape[:-2], 2, *shape[-2:])


def test_read_only_input_is_accepted_and_never_changed():
    image0, image1, truth = (a.copy() for a in fields.facial_crop(24, 20))
    start = truth.astype(np.float32)
    before = [a.copy() for a in (image0, image1, start)]
    for a in (image0, image1, start):
        a.flags.writeable = False
    flowkit.tvl1_flow(image0, image1, preset="ipol", initial_flow=start)
    assert all(np.array_equal(a, b) for a, b in zip((image0, image1, start), before, strict=True))


class OnlyDLPack:
    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options: object) -> object:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


class OnlyArrayInterface:
    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    @property
    def __array_interface__(self) -> dict:
        return self.array.__array_interface__


@pytest.mark.parametrize(
    "wrap", [OnlyDLPack, OnlyArrayInterface, lambda a: [a[0], a[1]]], ids=["dlpack", "array", "list"]
)
def test_whatever_speaks_an_array_protocol_is_an_array(wrap):
    frames0, frames1 = fields.textured_batch(2, 20, 24)
    assert np.array_equal(flowkit.tvl1_flow(wrap(frames0), wrap(frames1)), flowkit.tvl1_flow(frames0, frames1))


def test_torch_tensors_are_arrays():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    frames0, frames1 = fields.textured_batch(2, 20, 24)
    flow = flowkit.tvl1_flow(torch.from_numpy(frames0), torch.from_numpy(frames1))
    assert np.array_equal(flow, flowkit.tvl1_flow(frames0, frames1))


def test_a_list_of_tensors_that_numpy_does_not_take_is_refused_by_name():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    frame = torch.zeros(20, 24, requires_grad=True)
    for frames in ([frame, frame], [frame.to("meta")] * 2):
        with pytest.raises(InputError, match=r"frames0 is no array .*: give one"):
            flowkit.tvl1_flow(frames, frames, value_range=(0, 1))


def test_a_view_that_torch_negates_on_reading_is_negated():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    flow = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 20, 24)).astype(np.float32))
    negated = torch.complex(flow, flow).conj().imag
    assert negated.is_neg()
    assert np.array_equal(flowkit.strain_tensor(negated), flowkit.strain_tensor(-flow.numpy()))


IMAGE = np.zeros((20, 24), np.uint8)
FLOAT = np.zeros((20, 24), np.float32)
LONG = np.broadcast_to(np.uint8(0), (3, 2**24 + 1))


def poisoned(value: float) -> np.ndarray:
    image = FLOAT.copy()
    image[7, 11] = value
    return image


class Unreadable:
    """As an array of a library whose device does not answer."""

    def __dlpack_device__(self):
        raise OSError("the device is gone")

    def __dlpack__(self, **_):
        raise OSError("the device is gone")


@pytest.mark.parametrize(
    ("frames0", "frames1", "options", "message"),
    [
        (poisoned(np.nan), FLOAT, {"value_range": (0, 1)}, "frames0.*(NaN|nan|finite)"),
        (FLOAT, poisoned(np.inf), {"value_range": (0, 1)}, "frames1.*(inf|finite)"),
        (FLOAT, FLOAT, {}, "value_range"),
        (FLOAT, FLOAT, {"value_range": (1, 1)}, "value_range"),
        (FLOAT, FLOAT, {"value_range": (255, 0)}, "value_range.*255"),
        (FLOAT, FLOAT, {"value_range": (0, np.nan)}, "value_range"),
        (FLOAT, FLOAT, {"value_range": (0, np.inf)}, "value_range"),
        (FLOAT, FLOAT, {"value_range": (-np.inf, 0)}, "value_range"),
        (FLOAT, FLOAT, {"value_range": (0, 1e40)}, "value_range.*in reach of float32"),
        (FLOAT, FLOAT, {"value_range": (-1e39, 0)}, "value_range.*in reach of float32"),
        (FLOAT, FLOAT, {"value_range": (0, 1e-37)}, "value_range.*in reach of float32"),
        (FLOAT, FLOAT, {"value_range": 255}, "value_range"),
        (IMAGE, IMAGE, {"value_range": (0, 255)}, "value_range"),
        (IMAGE, FLOAT, {"value_range": (0, 255)}, "frames1|dtype"),
        (np.ma.masked_invalid(poisoned(np.nan)), FLOAT, {"value_range": (0, 1)}, "frames0 has masked values"),
        (IMAGE, np.ma.masked_equal(IMAGE, 0), {}, "frames1 has masked values"),
        (IMAGE, IMAGE[:-1], {}, r"frames1.*19"),
        (np.zeros((2, 20, 24), np.uint8), np.zeros((3, 20, 24), np.uint8), {}, "frames1"),
        (np.zeros((1, 20, 24), np.uint8), IMAGE, {}, "frames1"),
        (IMAGE[:0], IMAGE[:0], {}, "frames0"),
        (np.zeros((0, 20, 24), np.uint8), np.zeros((0, 20, 24), np.uint8), {}, "frames0.*(empty|0)"),
        (IMAGE[:2], IMAGE[:2], {}, "frames0.*2.*3"),
        (IMAGE[:, :2], IMAGE[:, :2], {}, "frames0.*2.*3"),
        (IMAGE[0], IMAGE[0], {}, "frames0"),
        (LONG, LONG, {}, r"frames0 has shape \(3, 16777217\): frames have at most 16777216 px a side"),
        (LONG.T[None], LONG.T[None], {}, r"frames0 has shape \(1, 16777217, 3\): frames have at most 16777216 px a"),
        (np.zeros((20, 24, 3), np.uint8), np.zeros((20, 24, 3), np.uint8), {}, "frames0.*(colour|grey)"),
        (np.zeros((3, 5, 3), np.uint8), np.zeros((3, 5, 3), np.uint8), {}, "frames0.*colour image.*one by one"),
        (np.zeros((4, 100, 3), np.uint8), np.zeros((4, 100, 3), np.uint8), {}, "frames0.*colour image.*one by one"),
        (np.zeros((5, 100, 4), np.uint8), np.zeros((5, 100, 4), np.uint8), {}, "frames0.*colour image.*one by one"),
        (np.zeros((2, 20, 24, 3), np.uint8), np.zeros((2, 20, 24, 3), np.uint8), {}, "frames0"),
        (IMAGE.astype(np.int16), IMAGE.astype(np.int16), {}, "frames0.*int16"),
        (IMAGE.astype(np.float64), IMAGE.astype(np.float64), {"value_range": (0, 1)}, "frames0.*float64"),
        (IMAGE.astype(np.float16), IMAGE.astype(np.float16), {"value_range": (0, 1)}, "frames0.*float16"),
        (IMAGE.astype(bool), IMAGE.astype(bool), {}, "frames0.*bool"),
        (IMAGE.astype(complex), IMAGE.astype(complex), {}, "frames0.*complex128"),
        (IMAGE.astype(str), IMAGE.astype(str), {}, "frames0"),
        (None, IMAGE, {}, "frames0"),
        (Unreadable(), IMAGE, {}, r"frames0 cannot be read through DLPack \(the device is gone\): pass a NumPy array"),
        ([[1, 2], [3]], IMAGE, {}, "frames0"),
        (IMAGE, IMAGE, {"threads": 0}, "threads.*0"),
        (IMAGE, IMAGE, {"threads": -2}, "threads.*-2"),
        (IMAGE, IMAGE, {"threads": 1.5}, "threads.*1.5"),
        (IMAGE, IMAGE, {"threads": 2**31 - 1}, "threads=2147483647.*from 1 to 4096"),
        (IMAGE, IMAGE, {"threads": 2**40}, "threads=1099511627776.*from 1 to 4096"),
        (IMAGE, IMAGE, {"preset": "opencv4"}, "opencv4.*micro"),
        (IMAGE, IMAGE, {"params": {"lamda": 1}}, "lamda.*lambda_"),
        (IMAGE, IMAGE, {"params": {"tau": 1.0}}, "tau=1.0"),
        (IMAGE, IMAGE, {"device": "tpu"}, "device.*tpu"),
        (IMAGE, IMAGE, {"device": None}, "device=None.*cuda:N"),
        (IMAGE, IMAGE, {"device": np.array(["cpu", "cpu"])}, r"device=array.*cuda:N"),
        (IMAGE, IMAGE, {"params": {"border": np.array(["off", "zero"])}}, r"border=array.*must be one of zero"),
        (IMAGE, IMAGE, {"preset": ["micro"]}, r"preset=\['micro'\].*choose one of"),
        (IMAGE, IMAGE, {"params": ["tau"]}, r"params=\['tau'\]: must be TVL1Params, or a mapping"),
        (IMAGE, IMAGE, {"params": {3: 0.1}}, r"params=\{3: 0.1\}: must be TVL1Params, or a mapping"),
        (IMAGE, IMAGE, {"params": 0}, "params=0: must be TVL1Params, or a mapping"),
        (IMAGE, IMAGE, {"initial_flow": np.zeros((20, 24, 2), np.float32)}, "initial_flow"),
        (IMAGE, IMAGE, {"initial_flow": np.zeros((3, 2, 20, 24), np.float32)}, "initial_flow"),
        (IMAGE, IMAGE, {"initial_flow": np.zeros((2, 20, 24), np.int32)}, "initial_flow.*int32"),
        (IMAGE, IMAGE, {"initial_flow": np.full((2, 20, 24), np.nan, np.float32)}, "initial_flow.*(NaN|nan|finite)"),
        (IMAGE, IMAGE, {"initial_flow": np.full((2, 20, 24), -2e15, np.float32)}, "initial_flow reaches 2e.15 px"),
    ],
)
def test_bad_input_is_refused_by_name(frames0, frames1, options, message):
    with pytest.raises(InputError, match=re.compile(message, re.DOTALL)) as refusal:
        flowkit.tvl1_flow(frames0, frames1, **options)
    assert "\n" not in str(refusal.value)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as on Linux")
def test_too_little_memory_is_told_with_size_and_remedy():
    program = """if True:
        import resource, numpy as np, flowkit
        from pathlib import Path
        frames = np.zeros((2, 3000, 4000), np.uint8)
        in_use = 4096 * int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (in_use + 2**29, -1))
        try:
            flowkit.tvl1_flow(frames, frames, preset="opencv", threads=2)
        except MemoryError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    told = r"the flow of 2 pairs of 3000 x 4000 px takes some 2\.41 GiB on 2 threads, .*: give fewer pairs at once"
    assert re.match(told, done.stdout)


@pytest.mark.skipif(bool(_core.cuda_devices()[0]), reason="there is a GPU here")
def test_cuda_without_a_gpu_is_refused():
    with pytest.raises(InputError, match=r"device='cuda'"):
        flowkit.tvl1_flow(IMAGE, IMAGE, device="cuda")

"""Torch's and Numba's arrays on a GPU: the libraries are real, only where their arrays live is claimed."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import flowkit
from flowkit.errors import InputError
from flowkit.motion import gpu_arrays
from flowkit.motion.gpu_arrays import gpu_array, on_gpu
from tests import fields
from tests.fake_cupy import GpuStandIn, at, ndarray

FAST = {"params": {"warps": 1, "inner_iterations": 3}}
FRAMES0, FRAMES1 = fields.textured_batch(9, 16, 20)
START = np.random.default_rng(1).standard_normal((9, 2, 16, 20)).astype(np.float32)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> GpuStandIn:
    return GpuStandIn(devices=2).install(monkeypatch)


# ---- torch's


@pytest.fixture
def torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The real one, with tensors that say they are on a GPU, and the rest of its CUDA part."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    made, empty_here = [], torch.empty

    def empty(shape: Any, dtype: Any, device: Any) -> Any:
        # Kept: memory that torch's allocator has back may still be written to in the order of the stream.
        made.append(empty_here(shape, dtype=dtype))
        return tensor_class(torch)(made[-1])

    monkeypatch.setattr(torch, "empty", empty)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=0))
    return torch


def tensor_class(torch: Any) -> Any:
    class There(torch.Tensor):
        is_cuda = True
        recorded: list[Any] = []  # noqa: RUF012

        @staticmethod
        def __new__(cls, tensor: Any) -> Any:
            return tensor.as_subclass(cls)

        @property
        def device(self) -> Any:
            return torch.device("cuda", 0)

        def record_stream(self, stream: Any) -> None:
            self.recorded.append((self.data_ptr(), stream.cuda_stream))

    return There


def test_tensors_that_require_a_gradient_are_arrays_like_others(gpu, torch):
    there = tensor_class(torch)
    flow = there(torch.from_numpy(START.copy()).requires_grad_())
    with pytest.raises(RuntimeError, match="requires grad"):
        hasattr(flow, "__cuda_array_interface__")
    assert on_gpu(flow)
    assert not on_gpu(torch.from_numpy(START))
    floats = [there(torch.from_numpy(f.astype(np.float32)).requires_grad_()) for f in (FRAMES0, FRAMES1)]
    results = {
        "flow": flowkit.tvl1_flow(*floats, initial_flow=flow, value_range=(0, 255), **FAST),
        "cube": flowkit.motion_cube(*floats, value_range=(0, 255), **FAST),
        "tensor": flowkit.strain_tensor(flow),
        "magnitude": flowkit.strain_magnitude(flow),
    }
    gpu.current_stream().synchronize()
    expected = {
        "flow": flowkit.tvl1_flow(FRAMES0, FRAMES1, initial_flow=START, **FAST),
        "cube": flowkit.motion_cube(FRAMES0, FRAMES1, **FAST),
        "tensor": flowkit.strain_tensor(START),
        "magnitude": flowkit.strain_magnitude(START),
    }
    for name, result in results.items():
        assert isinstance(result, torch.Tensor)
        assert not result.requires_grad
        assert np.array_equal(at(result.data_ptr(), result.shape, np.float32), expected[name]), name


def test_so_are_those_on_the_cpu():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    flow = torch.from_numpy(START.copy()).requires_grad_()
    assert np.array_equal(flowkit.strain_magnitude(flow), flowkit.strain_magnitude(START))
    expected = flowkit.tvl1_flow(FRAMES0, FRAMES1, initial_flow=START, **FAST)
    assert np.array_equal(flowkit.tvl1_flow(FRAMES0, FRAMES1, initial_flow=flow, **FAST), expected)


def test_torch_hears_which_stream_reads_its_tensors(gpu, torch, monkeypatch):
    there = tensor_class(torch)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=stream.ptr))
    stream = gpu.new_stream()
    tensors = [there(torch.from_numpy(array)) for array in (FRAMES0, FRAMES1, START)]
    flowkit.tvl1_flow(tensors[0], tensors[1], initial_flow=tensors[2], **FAST)
    assert there.recorded == [(tensor.data_ptr(), stream.ptr) for tensor in tensors]
    assert len(stream.queue) == 1


# ---- Numba's


def numbas(array: np.ndarray, device: int = 0, stream: Any = 0) -> Any:
    """A real array of Numba's in memory that it takes for a GPU's."""
    devicearray = pytest.importorskip("numba.cuda.cudadrv.devicearray", reason="Numba is not installed")
    memory = SimpleNamespace(
        device_ctypes_pointer=SimpleNamespace(value=array.__array_interface__["data"][0]),
        context=SimpleNamespace(device=SimpleNamespace(id=device)),
        _cuda_memsize_=array.nbytes,
        owner=array,
    )
    return devicearray.DeviceNDArray(array.shape, array.strides, array.dtype, stream, gpu_data=memory)


class Numba:
    """The rest of Numba's CUDA part, on the streams of the stand-in."""

    def __init__(self, gpu: GpuStandIn) -> None:
        self.gpu, self.current = gpu, 0
        self.made: list[np.ndarray] = []

    def on(self, device: int) -> Any:
        @contextlib.contextmanager
        def context() -> Any:
            before, self.current = self.current, device
            yield
            self.current = before

        return context

    def event(self, timing: bool) -> Any:
        stream = self.gpu.stream(0, self.current)
        events: list[Any] = []
        return SimpleNamespace(
            record=lambda stream: events.append(stream.record()), wait=lambda: stream.wait_event(events[0])
        )

    def device_array(self, shape: Any, dtype: Any) -> Any:
        # Kept: Numba frees memory by a call that waits for the GPU.
        self.made.append(np.zeros(shape, dtype))
        return numbas(self.made[-1], self.current)


@pytest.fixture
def numba(gpu: GpuStandIn, monkeypatch: pytest.MonkeyPatch) -> Numba:
    cuda, numba = pytest.importorskip("numba.cuda", reason="Numba is not installed"), Numba(gpu)
    monkeypatch.setattr(cuda, "gpus", NumbaGpus(numba))
    monkeypatch.setattr(cuda, "event", numba.event)
    monkeypatch.setattr(cuda, "device_array", numba.device_array)
    return numba


class NumbaGpus:
    def __init__(self, numba: Numba) -> None:
        self._numba = numba

    def __getitem__(self, device: int) -> Any:
        return self._numba.on(device)()


def test_a_numba_array_is_on_its_own_gpu_and_not_on_the_current_one(numba):
    there = numbas(START, device=1)
    assert gpu_array("flow", there).device == 1
    result = flowkit.strain_magnitude(there)
    assert gpu_array("strain", result).device == 1
    assert len(numba.gpu.stream(0, 1).queue) == 1


def test_frames_and_initial_flow_are_of_one_library(gpu):
    there = [gpu.asarray(frames) for frames in (FRAMES0, FRAMES1)]
    with pytest.raises(
        InputError, match="cupy's on GPU 0 and initial_flow numba's on GPU 0: they must be of one library"
    ):
        flowkit.tvl1_flow(*there, initial_flow=numbas(START), **FAST)


def test_a_numba_array_that_another_stream_makes_is_waited_for_on_the_gpu(numba):
    stream, memory = numba.gpu.new_stream(), np.zeros_like(START)
    stream.put(lambda: np.copyto(memory, START))
    result = flowkit.strain_magnitude(numbas(memory, stream=NumbaStream(stream)))
    assert stream.queue, "the host has not waited"
    numba.gpu.stream(0, 0).synchronize()
    pointer = gpu_array("strain", result).pointer
    assert np.array_equal(at(pointer, result.shape, np.float32), flowkit.strain_magnitude(START))


class NumbaStream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __int__(self) -> int:
        return self._stream.ptr

    def record(self) -> Any:
        return self._stream.record()


# ---- a frame or flow for every pair


def broadcast(library: str, gpu: GpuStandIn, torch: Any, array: np.ndarray, n: int) -> Any:
    """The first of these for n pairs, all in the same memory, as that library makes it."""
    if library == "torch":
        return tensor_class(torch)(torch.from_numpy(array)[:1].expand(n, *array.shape[1:]))
    if library == "cupy":
        there = gpu.asarray(array)
        return ndarray(there._block, np.broadcast_to(there.array[:1], (n, *array.shape[1:])))
    return numbas(np.broadcast_to(array[:1], (n, *array.shape[1:])))


LIBRARIES = pytest.mark.parametrize("library", ["torch", "cupy", "numba"])


@LIBRARIES
def test_a_frame_that_is_broadcast_is_every_pairs(gpu, torch, numba, library):
    first = broadcast(library, gpu, torch, FRAMES0, len(FRAMES1))
    second = broadcast(library, gpu, torch, FRAMES1, len(FRAMES1))
    assert gpu_array("frames0", first).strides == (0, 20, 1)
    flow = gpu_array("flow", flowkit.tvl1_flow(first, second, **FAST))
    gpu.current_stream().synchronize()
    expected = flowkit.tvl1_flow(FRAMES0[0], FRAMES1[0], **FAST)
    assert all(np.array_equal(one, expected) for one in at(flow.pointer, flow.shape, np.float32))


@LIBRARIES
def test_a_flow_that_is_broadcast_is_refused(gpu, torch, numba, library):
    flow, frames = (broadcast(library, gpu, torch, array, 9) for array in (START, FRAMES0))
    with pytest.raises(InputError, match="flow is not contiguous"):
        flowkit.strain_magnitude(flow)
    with pytest.raises(InputError, match="initial_flow is not contiguous"):
        flowkit.tvl1_flow(frames, frames, initial_flow=flow, **FAST)
    assert not gpu.current_stream().queue


@LIBRARIES
def test_to_be_broadcast_to_one_pair_is_no_broadcast(gpu, torch, numba, library):
    result = gpu_array("strain", flowkit.strain_magnitude(broadcast(library, gpu, torch, START, 1)))
    gpu.current_stream().synchronize()
    assert np.array_equal(at(result.pointer, result.shape, np.float32), flowkit.strain_magnitude(START[:1]))


# ---- memory, as each library says it


def test_a_lack_of_memory_is_known_in_every_library(gpu, torch, numba, monkeypatch):
    from numba.cuda.cudadrv.driver import CudaAPIError

    def fails_with(error: Exception) -> Any:
        def fail(*_: Any, **__: Any) -> Any:
            raise error

        return fail

    flows = {"torch": tensor_class(torch)(torch.from_numpy(START)), "numba": numbas(START)}
    for name, module, function, short, other in (
        ("torch", "torch", "empty", torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error")),
        ("numba", "numba.cuda", "device_array", CudaAPIError(2, "out of memory"), CudaAPIError(700, "illegal address")),
    ):
        monkeypatch.setattr(f"{module}.{function}", fails_with(short))
        with pytest.raises(InputError, match=r"the magnitude of shape \(9, 16, 20\) takes .* free on GPU 0"):
            flowkit.strain_magnitude(flows[name])
        monkeypatch.setattr(f"{module}.{function}", fails_with(other))
        with pytest.raises(type(other), match=r"CUDA error|illegal address"):
            flowkit.strain_magnitude(flows[name])


def test_what_is_free_counts_the_librarys_own_cache(gpu, torch, numba, monkeypatch):
    cuda = pytest.importorskip("numba.cuda")
    for name, value in {"mem_get_info": (700, 1000), "memory_reserved": 200, "memory_allocated": 50}.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert gpu_arrays.free_bytes(gpu_array("flow", tensor_class(torch)(torch.from_numpy(START)))) == 850

    there = gpu_array("flow", gpu.asarray(START))
    gpu.empty((1000,), np.uint8)
    assert gpu_arrays.free_bytes(there) == gpu.room - START.nbytes

    context = SimpleNamespace(get_memory_info=lambda: SimpleNamespace(free=numba.current + 300))
    monkeypatch.setattr(cuda, "current_context", lambda: context)
    assert gpu_arrays.free_bytes(gpu_array("flow", numbas(START, device=1))) == 301

    def none_of_that() -> Any:
        raise NotImplementedError

    context.get_memory_info = none_of_that
    assert gpu_arrays.free_bytes(gpu_array("flow", numbas(START, device=1))) is None

"""A GPU as the device of the GPU engine: pinned buffers, two streams, and CuPy's memory."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import flowkit._core as _core
from flowkit.errors import InputError
from flowkit.extraction.engines.device_pipeline import IN_FLIGHT, DeviceMaker, DeviceMemoryError
from flowkit.extraction.request import ExtractRequest
from flowkit.motion.devices import gpu_refusals, require_gpus
from flowkit.motion.flow import LARGEST_PX
from flowkit.motion.gpu_arrays import MEMORY_SHARE
from flowkit.motion.strain import strain_magnitude

Frame = NDArray[Any]


def cuda_devices() -> list[DeviceMaker]:
    """Every GPU that this build can use, at least one.

    Raises:
        InputError: that says what is missing: build, driver, architecture or CuPy.
    """
    usable = require_gpus("--device cuda")
    _cupy()
    return [_Opener(gpu.number) for gpu in usable]


@dataclass(frozen=True, slots=True)
class _Opener:
    number: int

    def __call__(self, request: ExtractRequest) -> CudaDevice:
        return CudaDevice(self.number, request)


class CudaDevice:
    """See `Device` of the device pipeline. Each call leaves the GPU current in the thread that makes it."""

    def __init__(self, number: int, request: ExtractRequest) -> None:
        self._cupy = _cupy()
        self._number = number
        self._params = request.params.to_dict()
        self._make_current()
        self._slots = [_Slot(self._cupy, number, request, self._params) for _ in range(IN_FLIGHT)]
        self._next = 0

    def most_pairs(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> int:
        """As many as fit into a share of the memory that is free now, or that the slots would give for it.

        Raises InputError for frames that are too large for a GPU, and a variant of the iteration that there is not.
        """
        self._make_current()
        pixels = shape[0] * shape[1]
        with gpu_refusals():
            one, two = (_core.tvl1_workspace_bytes(*shape, n, self._params, self._number) for n in (1, 2))
        # Frames, flow, a cube of float32, the iterations and whether it is finite, beside the workspace.
        a_pair = (two - one) + pixels * (2 * dtype.itemsize + 5 * 4) + 5
        free = self._cupy.cuda.runtime.memGetInfo()[0] + self._cupy.get_default_memory_pool().free_bytes()
        free += sum(slot.held_bytes for slot in self._slots)
        return int(MEMORY_SHARE * free / IN_FLIGHT / a_pair)

    def start(self, frames0: Sequence[Frame], frames1: Sequence[Frame]) -> _Batch:
        """Copies to the GPU, computes and copies back, all behind what the other slot does."""
        self._make_current()
        try:
            return self._start(frames0, frames1)
        except DeviceMemoryError:
            self._release()
            if len(frames0) > 1:
                raise
        # There is no half of a single pair. It is tried again, with the GPU to itself.
        try:
            return self._start(frames0, frames1)
        except DeviceMemoryError:
            self._release()
            raise

    def _start(self, frames0: Sequence[Frame], frames1: Sequence[Frame]) -> _Batch:
        slot = self._slots[self._next]
        try:
            with slot.stream:
                batch = slot.start(frames0, frames1)
        except Exception as error:
            if not self._out_of_memory(error):
                raise
            # Its frames have arrays of the GPU, which could else not be given back while the error is handled.
            traceback.clear_frames(error.__traceback__)
            raise DeviceMemoryError(f"{len(frames0)} pairs do not fit into the memory of GPU {self._number}") from error
        # Only now: if it had failed, the other slot's buffers would still be those of the batch in flight.
        self._next = (self._next + 1) % IN_FLIGHT
        return batch

    def _release(self) -> None:
        """Gives all memory of the GPU back; results on the way have arrived in their pinned buffers then."""
        for slot in self._slots:
            slot.release()
        self._cupy.get_default_memory_pool().free_all_blocks()

    def _out_of_memory(self, error: Exception) -> bool:
        """CuPy has a class of its own for the GPU's memory, but not for pinned memory."""
        cuda = self._cupy.cuda
        if isinstance(error, cuda.runtime.CUDARuntimeError):
            return bool(error.status == cuda.runtime.errorMemoryAllocation)
        return isinstance(error, cuda.memory.OutOfMemoryError)

    def _make_current(self) -> None:
        # In every call, for the current GPU is the thread's, and an engine may call from several. It is not put back:
        # in a new thread the one before is GPU 0, and to make that current, as leaving `with Device(n)` does, opens a
        # context on it. All else here follows the current GPU: the memory pool, memGetInfo, and the allocation of
        # pinned memory, which any GPU can use then.
        self._cupy.cuda.Device(self._number).use()


@dataclass(slots=True)
class _Batch:
    """See `flowkit.extraction.engines.device_pipeline.Running`."""

    done: Any
    values: Frame
    iterations: NDArray[np.int32]
    finite: NDArray[np.uint8]
    request: ExtractRequest

    def result(self) -> tuple[Frame, NDArray[np.int32], NDArray[np.bool_]]:
        self.done.synchronize()
        finite = self.finite.astype(np.bool_)
        if self.request.strain == "standard":
            return self.values, self.iterations, finite
        # strain_magnitude would refuse them all for one that it does not take, which is its own clip's failure.
        most_px = np.maximum(self.values.max(axis=(1, 2, 3)), -self.values.min(axis=(1, 2, 3)))
        taken = most_px <= LARGEST_PX
        flow = np.where(taken[:, None, None, None], self.values, np.float32(0)) if not taken.all() else self.values
        cubes = np.concatenate([self.values, strain_magnitude(flow, self.request.strain)[:, None]], axis=1)
        return cubes.astype(self.request.dtype, copy=False), self.iterations, finite


class _Slot:
    """The buffers and the stream of every second batch; they grow with the batches and stay.

    Buffers on this side are pinned. CUDA copies to and from other memory only while the host waits, behind everything
    that is on the stream, and then no batch would be prepared while another is computed.
    """

    def __init__(self, cupy: ModuleType, number: int, request: ExtractRequest, params: dict[str, Any]) -> None:
        self._cupy = cupy
        self._empty_pinned = importlib.import_module("cupyx").empty_pinned
        self._number = number
        self._request = request
        self._params = params
        self._pinned: dict[str, Frame] = {}
        self._device: dict[str, Any] = {}
        self.stream = cupy.cuda.Stream(non_blocking=True)

    @property
    def held_bytes(self) -> int:
        """Of the GPU's memory."""
        return sum(int(buffer.size) for buffer in self._device.values())

    def release(self) -> None:
        """Gives the GPU's memory to the pool, once nothing on the stream uses it any more.

        The pool hands a stream's memory out again in the order of that stream, but gives it back to the driver, and so
        to others, whenever it is asked to.
        """
        self.stream.synchronize()
        self._device.clear()

    def start(self, frames0: Sequence[Frame], frames1: Sequence[Frame]) -> _Batch:
        n, (height, width), dtype = len(frames0), frames0[0].shape, frames0[0].dtype
        host = self._host("frames", (2, n, height, width), dtype)
        for half, frames in zip(host, (frames0, frames1), strict=True):
            np.stack(frames, out=half)
        frames_there = self._there("frames", host.shape, dtype)
        frames_there.set(host, self.stream)
        flow = self._there("flow", (n, 2, height, width), np.float32)
        iterations = self._there("iterations", (n,), np.int32)
        self._solve(frames_there, flow, iterations)
        finite = self._there("finite", (n,), np.uint8)
        _core.flow_finite_cuda(flow.data.ptr, n, height, width, finite.data.ptr, self.stream.ptr, self._number)
        values = self._cube(flow) if self._request.strain == "standard" else flow
        copies = [(values, "values"), (iterations, "iterations"), (finite, "finite")]
        here = {name: self._host(name, there.shape, there.dtype) for there, name in copies}
        for there, name in copies:
            there.get(self.stream, out=here[name], blocking=False)
        # Who waits for it sleeps: by default he would keep a processor busy, which decodes frames meanwhile.
        done = self.stream.record(self._cupy.cuda.Event(block=True, disable_timing=True))
        return _Batch(done, here["values"], here["iterations"], here["finite"], self._request)

    def _solve(self, frames: Any, flow: Any, iterations: Any) -> None:
        n, _, height, width = flow.shape
        size = _core.tvl1_workspace_bytes(height, width, n, self._params, self._number)
        workspace = self._there("workspace", (size,), np.uint8)
        # Averages of phases are float32.
        low, high = {"uint8": (0.0, 255.0), "uint16": (0.0, 65535.0), "float32": (0.0, 255.0)}[frames.dtype.name]
        strides = (frames.strides[1], frames.strides[2], frames.strides[3])
        _core.tvl1_flow_cuda(
            frames[0].data.ptr,
            frames[1].data.ptr,
            frames.dtype.name,
            strides,
            strides,
            n,
            height,
            width,
            self._params,
            low,
            high,
            0,
            flow.data.ptr,
            iterations.data.ptr,
            workspace.data.ptr,
            size,
            self.stream.ptr,
            self._number,
        )

    def _cube(self, flow: Any) -> Any:
        n, _, height, width = flow.shape
        cube = self._there("cube", (n, 3, height, width), self._request.dtype)
        feature = "half_cube" if self._request.dtype == "float16" else "cube"
        _core.flow_feature_cuda(feature, flow.data.ptr, n, height, width, cube.data.ptr, self.stream.ptr, self._number)
        return cube

    def _host(self, name: str, shape: tuple[int, ...], dtype: Any) -> Frame:
        """A part of this slot's pinned buffer of that name, in that shape."""
        part: Frame = self._part(self._pinned, name, shape, dtype, self._new_pinned)
        return part

    def _new_pinned(self, shape: tuple[int, ...], dtype: Any) -> Frame:
        # CuPy would keep the one that has become too small.
        self._cupy.get_default_pinned_memory_pool().free_all_blocks()
        pinned: Frame = self._empty_pinned(shape, dtype)
        return pinned

    def _there(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """The same on the GPU."""
        return self._part(self._device, name, shape, dtype, self._cupy.empty)

    def _part(self, buffers: dict[str, Any], name: str, shape: tuple[int, ...], dtype: Any, empty: Any) -> Any:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if name not in buffers or buffers[name].size < size:
            buffers.pop(name, None)
            buffers[name] = empty((size,), np.uint8)
        return buffers[name][:size].view(dtype).reshape(shape)


def _cupy() -> ModuleType:
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise InputError("--device cuda needs CuPy for memory on the GPU: pip install 'flowkit-mer[gpu]'") from error

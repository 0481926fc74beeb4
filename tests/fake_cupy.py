"""CuPy without a GPU: its memory is the host's, but it behaves in time as a GPU does, and as badly as CUDA allows.

- What is put onto a stream runs only when somebody waits for it, on what its addresses hold by then; or, `at_once`, as
  soon as it is put there. A GPU may do either and everything between.
- Memory that is given back to the driver is overwritten and handed out again. The pool keeps freed memory by stream.
- Copies to or from memory that is not pinned wait for the whole stream.
- Each thread has a current device, 0 at first; making a device current, or allocating on it, opens a context there.

`GpuStandIn.install` puts it in CuPy's place, and the CPU solver, on the stream, in that of the extension's CUDA part.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from flowkit import _core, _test_hooks


class OutOfMemoryError(MemoryError):
    """CuPy's, for memory of the device."""


class CUDARuntimeError(RuntimeError):
    """CuPy's, for all else."""

    def __init__(self, status: int) -> None:
        super().__init__(f"CUDA error {status}")
        self.status = status


class Event:
    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self.stream: Stream | None = None
        self.at = 0

    @property
    def done(self) -> bool:
        return self.stream is None or self.stream.run >= self.at

    def record(self, stream: Stream) -> None:
        self.stream, self.at = stream, stream.run + len(stream.queue)

    def synchronize(self) -> None:
        if self.stream is not None:
            self.stream.run_to(self.at)


class Stream:
    def __init__(self, gpu: GpuStandIn, device: int, ptr: int) -> None:
        self.gpu, self.device_id, self.ptr = gpu, device, ptr
        self.queue: list[Callable[[], None]] = []
        self.run = 0
        self._lock = threading.RLock()

    def put(self, work: Callable[[], None]) -> None:
        self.queue.append(work)
        if self.gpu.at_once:
            self.synchronize()

    def run_to(self, at: int) -> None:
        with self._lock:
            while self.run < at:
                self.queue.pop(0)()
                self.run += 1

    def synchronize(self) -> None:
        self.run_to(self.run + len(self.queue))

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        self.put(event.synchronize)

    def __enter__(self) -> Stream:
        assert self.device_id == self.gpu.current, "CuPy refuses a stream of another device"
        self.gpu.streams_in_use.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.gpu.streams_in_use.pop()


class Device:
    def __init__(self, gpu: GpuStandIn, number: int) -> None:
        self._gpu, self.id = gpu, number
        self._before: list[int] = []

    def use(self) -> None:
        self._gpu.touch(self.id)
        self._gpu.here.device = self.id

    def __enter__(self) -> Device:
        self._before.append(self._gpu.current)
        if self.id != self._gpu.current:
            self.use()
        return self

    def __exit__(self, *_: object) -> None:
        Device(self._gpu, self._before.pop()).use()


class Block:
    """Memory of a device, which its stream's pool takes back when nobody has it any more."""

    def __init__(self, gpu: GpuStandIn, device: int, stream: int, memory: np.ndarray) -> None:
        self.device, self.memory, self._gpu, self._stream = device, memory, gpu, stream

    def __del__(self) -> None:
        self._gpu.pooled.setdefault((self.device, self._stream), []).append(self.memory)


class PinnedBlock:
    """Memory of the host, likewise."""

    def __init__(self, gpu: GpuStandIn, memory: np.ndarray) -> None:
        self.__array_interface__, self._memory, self._gpu = memory.__array_interface__, memory, gpu

    def __del__(self) -> None:
        self._gpu.pooled_pinned.append(self._memory)


class ndarray:
    def __init__(self, block: Any, array: np.ndarray) -> None:
        self._block, self.array = block, array
        self.device = SimpleNamespace(id=block.device)
        self.data = SimpleNamespace(ptr=array.__array_interface__["data"][0])
        self.shape, self.strides, self.dtype, self.size = array.shape, array.strides, array.dtype, array.size

    def __getitem__(self, key: Any) -> ndarray:
        return ndarray(self._block, self.array[key])

    def view(self, dtype: Any) -> ndarray:
        return ndarray(self._block, self.array.view(dtype))

    def reshape(self, shape: tuple[int, ...]) -> ndarray:
        return ndarray(self._block, self.array.reshape(shape))

    def transpose(self, *axes: int) -> ndarray:
        return ndarray(self._block, self.array.transpose(*axes))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        about = {name: self.array.__array_interface__[name] for name in ("data", "shape", "typestr")}
        return about | {"strides": None if self.array.flags.c_contiguous else self.strides, "version": 3}

    def set(self, host: np.ndarray, stream: Stream) -> None:
        stream.gpu.copy(stream, self.data.ptr, host.__array_interface__["data"][0], host.nbytes, host)

    def get(self, stream: Stream, out: np.ndarray, blocking: bool = True) -> None:
        stream.gpu.copy(stream, out.__array_interface__["data"][0], self.data.ptr, out.nbytes, out)


class GpuStandIn:
    """Some GPUs of `room` bytes each. `refuse(what, size)` makes an allocation of "device" or "pinned" memory fail."""

    def __init__(self, devices: int = 1, room: int = 2**30, at_once: bool = False) -> None:
        self.devices, self.room, self.at_once = devices, room, at_once
        self.refuse: Callable[[str, int], bool] = lambda what, size: False
        self.here = threading.local()
        self.touched: set[tuple[str, int]] = set()
        self.pooled: dict[tuple[int, int], list[np.ndarray]] = {}
        self.pooled_pinned: list[np.ndarray] = []
        self.total = dict.fromkeys(range(devices), 0)
        self.streams: dict[int, Stream] = {}
        self.asked = 0
        self.elsewhere: dict[int, int] = {}
        self.batches: list[int] = []
        self.on_launch: Callable[[int], None] = lambda device: None
        self.spoil: Callable[[np.ndarray], None] = lambda flow: None
        self.freed_in_use = False
        self.waited_for_pageable = 0
        self._returned: list[np.ndarray] = []
        self._pinned: list[np.ndarray] = []
        self._null = {device: Stream(self, device, 0) for device in range(devices)}
        self._lock = threading.RLock()

    # ---- the state of a thread

    @property
    def current(self) -> int:
        return getattr(self.here, "device", 0)

    @property
    def streams_in_use(self) -> list[Stream]:
        if not hasattr(self.here, "streams"):
            self.here.streams = []
        return self.here.streams

    def touch(self, device: int) -> None:
        self.touched.add((threading.current_thread().name, device))

    def stream(self, ptr: int, device: int) -> Stream:
        return self._null[device] if ptr == 0 else self.streams[ptr]

    def current_stream(self, device: int | None = None) -> Stream:
        device = self.current if device is None else device
        mine = [stream for stream in self.streams_in_use if stream.device_id == device]
        return mine[-1] if mine else self._null[device]

    # ---- memory

    def empty(self, shape: Any, dtype: Any = np.float32) -> ndarray:
        device, stream = self.current, self.current_stream()
        self.touch(device)
        size = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        with self._lock:
            if self.refuse("device", size):
                raise OutOfMemoryError(f"refused {size} bytes")
            block = Block(self, device, stream.ptr, self._memory(device, stream.ptr, size))
        return ndarray(block, block.memory[:size].view(dtype)[: int(np.prod(shape))].reshape(shape))

    def _memory(self, device: int, stream: int, size: int) -> np.ndarray:
        pool = self.pooled.get((device, stream), [])
        fitting = [i for i, memory in enumerate(pool) if memory.size >= size]
        if fitting:
            return pool.pop(min(fitting, key=lambda i: pool[i].size))
        if self.total[device] + size > self.room:
            self._free_pooled(device)
        if self.total[device] + size > self.room:
            raise OutOfMemoryError(f"{size} bytes of {self.room - self.total[device]}")
        self.total[device] += size
        for i, memory in enumerate(self._returned):
            if memory.size == size:
                return self._returned.pop(i)
        return np.full(size, 0xFF, np.uint8)

    def free_all_blocks(self) -> None:
        self.touch(self.current)
        # cudaFree waits for the GPU, but a pool of the driver's, which CuPy can be told to use, does not.
        self.freed_in_use |= any(s.queue for s in self.streams.values() if s.device_id == self.current)
        self._free_pooled(self.current)

    def _free_pooled(self, device: int) -> None:
        for (there, _), memories in self.pooled.items():
            while there == device and memories:
                memories[-1][:] = 0xFF
                self.total[device] -= memories[-1].size
                # Kept, so that what still reads it reads nonsense and not the memory of the interpreter.
                self._returned.append(memories.pop())

    def free_bytes(self) -> int:
        self.touch(self.current)
        return sum(m.size for (device, _), ms in self.pooled.items() if device == self.current for m in ms)

    def mem_get_info(self) -> tuple[int, int]:
        self.touch(self.current)
        return self.room - self.total[self.current], self.room

    def empty_pinned(self, shape: Any, dtype: Any) -> np.ndarray:
        self.touch(self.current)
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if self.refuse("pinned", size):
            raise CUDARuntimeError(2)
        with self._lock:
            fitting = next((i for i, memory in enumerate(self.pooled_pinned) if memory.size >= size), None)
            if fitting is None:
                self._pinned.append(np.full(size, 0xFF, np.uint8))
            memory = self._pinned[-1] if fitting is None else self.pooled_pinned.pop(fitting)
        return np.asarray(PinnedBlock(self, memory))[:size].view(dtype).reshape(shape)

    @property
    def pinned_bytes(self) -> int:
        """Also of what the pool keeps."""
        return sum(memory.size for memory in self._pinned)

    def free_all_pinned_blocks(self) -> None:
        self.touch(self.current)
        with self._lock:
            while self.pooled_pinned:
                gone = self.pooled_pinned.pop()
                gone[:] = 0xFF
                self._pinned = [memory for memory in self._pinned if memory is not gone]
                self._returned.append(gone)

    def copy(self, stream: Stream, to: int, source: int, size: int, host: np.ndarray) -> None:
        self.touch(self.current)
        stream.put(lambda: np.copyto(at(to, (size,), np.uint8), at(source, (size,), np.uint8)))
        if not any(np.may_share_memory(host, pinned) for pinned in self._pinned):
            self.waited_for_pageable += 1
            stream.synchronize()

    # ---- other libraries' arrays, and other names

    def asarray(self, value: Any) -> ndarray:
        if isinstance(value, ndarray):
            return value
        if hasattr(value, "__cuda_array_interface__"):
            about = value.__cuda_array_interface__
            device = self.device_of(about["data"][0])
            array = at(about["data"][0], about["shape"], about["typestr"], about.get("strides"))
            if about.get("stream") is not None:
                self.stream(about["stream"], device).synchronize()
            if device == self.current:
                return ndarray(SimpleNamespace(device=device, owner=value), array)
            value = array
        value = np.asarray(value)
        made = self.empty(value.shape, value.dtype)
        made.array[...] = value
        return made

    def from_dlpack(self, value: Any) -> ndarray:
        device = value.__dlpack_device__()[1]
        with Device(self, device):
            array = value.__dlpack__(stream=self.current_stream().ptr or 1)
        return ndarray(SimpleNamespace(device=device, owner=array), array.array)

    def device_of(self, pointer: int) -> int:
        """Of memory in `elsewhere`; all else that an array interface describes is on GPU 0."""
        return next((device for start, device in self.elsewhere.items() if start == pointer), 0)

    def new_stream(self, non_blocking: bool = False) -> Stream:
        self.touch(self.current)
        ptr = 4096 + len(self.streams)
        self.streams[ptr] = Stream(self, self.current, ptr)
        return self.streams[ptr]

    def install(self, monkeypatch: Any) -> GpuStandIn:
        """In the place of CuPy and of the extension's CUDA part, until the test ends."""
        runtime = SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            errorMemoryAllocation=2,
            memGetInfo=self.mem_get_info,
            pointerGetAttributes=lambda pointer: SimpleNamespace(device=self.device_of(pointer)),
        )
        cuda = SimpleNamespace(
            Device=lambda number: Device(self, number),
            Stream=self.new_stream,
            Event=Event,
            get_current_stream=self.current_stream,
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            runtime=runtime,
        )
        pool = SimpleNamespace(free_all_blocks=self.free_all_blocks, free_bytes=self.free_bytes)
        pinned_pool = SimpleNamespace(free_all_blocks=self.free_all_pinned_blocks)
        names = ("empty", "asarray", "from_dlpack")
        cupy = SimpleNamespace(ndarray=ndarray, cuda=cuda, get_default_memory_pool=lambda: pool)
        cupy.get_default_pinned_memory_pool = lambda: pinned_pool
        vars(cupy).update({name: getattr(self, name) for name in names})
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.setitem(sys.modules, "cupyx", SimpleNamespace(empty_pinned=self.empty_pinned))
        monkeypatch.setattr("flowkit.motion.devices._found", {})
        monkeypatch.setattr(_core, "cuda_build", ("13.0", "90"))
        for name in ("cuda_devices", "tvl1_workspace_bytes", "tvl1_flow_cuda", "flow_feature_cuda", "flow_finite_cuda"):
            monkeypatch.setattr(_core, name, getattr(self, f"_{name}"), raising=False)
        return self

    # ---- the extension's CUDA part

    def _cuda_devices(self) -> tuple[list[tuple[str, str, int]], str]:
        self.asked += 1
        return [("stand-in", "9.0", self.room)] * self.devices, ""

    def _tvl1_workspace_bytes(self, height: int, width: int, n: int, params: Any, device: int) -> int:
        return 256 + n * height * width * 100

    def _tvl1_flow_cuda(self, *arguments: Any) -> None:
        *frames, dtype, strides0, strides1, n, height, width, params, low, high, start = arguments[:12]
        flow, iterations, workspace, size, stream, device = arguments[12:]
        assert size >= self._tvl1_workspace_bytes(height, width, n, params, device)
        self.batches.append(n)
        self.on_launch(device)

        def solve() -> None:
            at(workspace, (size,), np.uint8)[:] = 0xFF
            both = [at(p, (n, height, width), dtype, s) for p, s in zip(frames, (strides0, strides1), strict=True)]
            initial = at(start, (n, 2, height, width), np.float32).copy() if start else None
            found, counts = _core.tvl1_flow(*both, params, low, high, initial, 1)
            self.spoil(found)
            at(flow, found.shape, np.float32)[:] = found
            at(iterations, (n,), np.int32)[:] = counts

        self.stream(stream, device).put(solve)

    def _flow_feature_cuda(
        self, name: str, flow: int, n: int, h: int, w: int, out: int, stream: int, device: int
    ) -> None:
        def work() -> None:
            found = _test_hooks.flow_feature_blocks(name, at(flow, (n, 2, h, w), np.float32).copy())
            at(out, found.shape, found.dtype)[:] = found

        self.stream(stream, device).put(work)

    def _flow_finite_cuda(self, flow: int, n: int, h: int, w: int, finite: int, stream: int, device: int) -> None:
        def work() -> None:
            at(finite, (n,), np.uint8)[:] = np.isfinite(at(flow, (n, 2, h, w), np.float32)).all((1, 2, 3))

        self.stream(stream, device).put(work)


def at(pointer: int, shape: Any, dtype: Any, strides: Any = None) -> np.ndarray:
    """What is at an address."""
    about = {"data": (pointer, False), "shape": tuple(shape), "typestr": np.dtype(dtype).str, "version": 3}
    return np.asarray(SimpleNamespace(__array_interface__=about | ({"strides": strides} if strides else {})))

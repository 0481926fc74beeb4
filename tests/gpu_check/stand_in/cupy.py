"""As much of CuPy as the benchmarks of the solver need, over the memory of the PTX stand-in (tests/ptx).

It times nothing that means anything: events read the host's clock. Streams, pinned memory and kernels of one's own are
not here, so that the parts "limits" and "extract" cannot run on it.
"""

from __future__ import annotations

import ctypes
import time
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np

from flowkit import _core

_runtime = ctypes.CDLL(_core.__file__)


class ndarray:
    """A view of NumPy's on memory that the stand-in knows to be allocated."""

    def __init__(self, host: np.ndarray, owner: Any) -> None:
        self.host, self._owner = host, owner
        self.shape, self.dtype, self.nbytes = host.shape, host.dtype, host.nbytes
        self.device = SimpleNamespace(id=0)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.host.__array_interface__ | {"strides": self.host.strides}

    def __getitem__(self, index: Any) -> ndarray:
        return ndarray(self.host[index], self._owner)

    def __len__(self) -> int:
        return len(self.host)


def empty(shape: Any, dtype: Any = np.float32) -> ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    address = ctypes.c_void_p()
    assert _runtime.cudaMallocAsync(ctypes.byref(address), ctypes.c_size_t(size), None) == 0
    memory = (ctypes.c_ubyte * size).from_address(address.value or 0)
    weakref.finalize(memory, _runtime.cudaFreeAsync, address, None)
    return ndarray(np.frombuffer(memory, dtype).reshape(shape), memory)


def asarray(array: Any) -> ndarray:
    made = empty(array.shape, array.dtype)
    made.host[...] = array
    return made


def asnumpy(array: ndarray) -> np.ndarray:
    return array.host.copy()


def get_default_memory_pool() -> Any:
    return SimpleNamespace(free_all_blocks=lambda: None)


class _Device:
    def __init__(self, number: int = 0) -> None:
        assert number == 0

    def synchronize(self) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *error: Any) -> None: ...


class _Event:
    def record(self) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None: ...


cuda = SimpleNamespace(
    Device=_Device,
    Event=_Event,
    get_elapsed_time=lambda start, end: 1e3 * (end.time - start.time),
    get_current_stream=lambda device: SimpleNamespace(ptr=0),
    runtime=SimpleNamespace(driverGetVersion=lambda: 0, runtimeGetVersion=lambda: 0),
)

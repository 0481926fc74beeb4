"""Arrays that live on a GPU: torch tensors, CuPy and Numba arrays, and whatever offers DLPack, as pointers and strides.

Nothing is copied and nothing waits for the GPU: work goes onto the caller's current stream, memory comes from the
allocator of the arrays' own library, and results are arrays of that library.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from flowkit.errors import InputError

DLPACK_CUDA = (2, 13)
"""kDLCUDA and kDLCUDAManaged of DLPack's device types."""


@dataclass(frozen=True, slots=True)
class GpuArray:
    """An array on GPU number `device`; `strides` in bytes. `owner` is the array it describes."""

    owner: Any
    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]
    device: int
    library: str
    """The module that made it: torch, cupy or numba."""

    @property
    def contiguous(self) -> bool:
        """Whether its elements follow one another in C order."""
        return self.strides == _c_strides(self.shape, self.dtype.itemsize)


def on_gpu(value: Any) -> bool:
    """Whether a value is an array on a GPU."""
    if isinstance(value, np.ndarray):
        return False
    # torch raises for tensors on the CPU, so that they do not have it.
    if hasattr(value, "__cuda_array_interface__"):
        return True
    device = getattr(value, "__dlpack_device__", None)
    return device is not None and device()[0] in DLPACK_CUDA


def gpu_array(name: str, value: Any) -> GpuArray:
    """Describes an array on a GPU; an InputError names what cannot be described."""
    library = type(value).__module__.partition(".")[0]
    if library == "torch":
        value = value.detach()
    elif library not in ("cupy", "numba"):
        # Whatever else it is comes through DLPack, and goes out as CuPy's.
        cupy, library = _module("cupy", f"{name} is a {type(value).__name__} on a GPU"), "cupy"
        value = cupy.from_dlpack(value) if hasattr(value, "__dlpack__") else cupy.asarray(value)
    try:
        about = value.__cuda_array_interface__
    except (AttributeError, RuntimeError, TypeError) as error:
        raise InputError(f"{name} cannot be read on the GPU: {error}") from error
    dtype, shape = np.dtype(about["typestr"]), tuple(about["shape"])
    strides = tuple(about["strides"]) if about.get("strides") else _c_strides(shape, dtype.itemsize)
    return GpuArray(value, int(about["data"][0]), shape, strides, dtype, _device(library, value), library)


def empty(like: GpuArray, shape: tuple[int, ...], dtype: type[np.generic]) -> GpuArray:
    """A new array of `like`'s library on its GPU, its contents undefined; in order on the current stream."""
    if like.library == "torch":
        torch = importlib.import_module("torch")
        kind = getattr(torch, np.dtype(dtype).name)
        return gpu_array("result", torch.empty(shape, dtype=kind, device=like.owner.device))
    if like.library == "numba":
        cuda = importlib.import_module("numba.cuda")
        with cuda.gpus[like.device]:
            return gpu_array("result", cuda.device_array(shape, dtype))
    cupy = importlib.import_module("cupy")
    with cupy.cuda.Device(like.device):
        return gpu_array("result", cupy.empty(shape, dtype))


def current_stream(like: GpuArray) -> int:
    """The stream (a cudaStream_t as a number) that the caller's library works on now, on that GPU."""
    streams: dict[str, Callable[[], int]] = {
        "torch": lambda: int(importlib.import_module("torch").cuda.current_stream(like.device).cuda_stream),
        "cupy": lambda: int(importlib.import_module("cupy").cuda.get_current_stream(like.device).ptr),
        # Numba's default stream is CUDA's.
        "numba": lambda: 0,
    }
    return streams[like.library]()


def _device(library: str, value: Any) -> int:
    if library == "torch":
        return int(value.device.index)
    if library == "cupy":
        return int(value.device.id)
    return int(importlib.import_module("numba.cuda").current_context().device.id)


def _c_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    strides, step = [], itemsize
    for side in reversed(shape):
        strides.append(step)
        step *= side
    return tuple(reversed(strides))


def _module(name: str, why: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{why}, which needs {name}: pip install 'flowkit-mer[gpu]'") from error

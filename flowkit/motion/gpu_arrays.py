"""Arrays that live on a GPU, as pointers and strides: torch tensors, CuPy and Numba arrays, and whatever offers DLPack.

Nothing is copied and nothing waits for the GPU (but CuPy does where it imports an array that has no DLPack, only an
array interface with a stream): work goes onto the caller's current stream, memory comes from the allocator of the
arrays' own library, and results are arrays of that library.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from flowkit.errors import InputError

DLPACK_CUDA = (2, 13)
"""kDLCUDA and kDLCUDAManaged of DLPack's device types."""

MEMORY_SHARE = 0.8
"""Of the free memory of a GPU, for scratch memory: the rest is for fragments and for others."""


class GpuMemoryError(InputError):
    """What was asked for does not fit into the GPU's free memory."""


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
    """The module whose array it is: torch, cupy or numba."""
    imported: bool = False
    """Whether it is another library's memory behind a CuPy array."""

    @property
    def contiguous(self) -> bool:
        """Whether its elements follow one another in C order; the stride of a side of 1 means nothing."""
        in_order = _c_strides(self.shape, self.dtype.itemsize)
        return all(side == 1 or own == c for side, own, c in zip(self.shape, self.strides, in_order, strict=True))

    @property
    def place(self) -> str:
        """Whose it is and where, for errors."""
        return f"{self.library}'s on GPU {self.device}"


def on_gpu(value: Any) -> bool:
    """Whether a value is an array on a GPU."""
    if isinstance(value, np.ndarray):
        return False
    if _made_by("torch", "Tensor", value):
        # The tensor is asked itself: its array interface raises where it requires a gradient.
        return bool(value.is_cuda)
    if hasattr(value, "__cuda_array_interface__"):
        return True
    try:
        return value.__dlpack_device__()[0] in DLPACK_CUDA
    except Exception:  # whatever it is: who reads it finds out what is wrong with it
        return False


def without_gradient(value: Any) -> Any:
    """A torch tensor cut off from its gradient, which neither protocol hands out; anything else as it is.

    DLPack hands out a view that torch negates on reading, as the imaginary part of a conjugate, without its sign.
    """
    return value.detach().resolve_neg() if _made_by("torch", "Tensor", value) else value


def gpu_array(name: str, value: Any) -> GpuArray:
    """Describes an array on a GPU; an InputError names what cannot be described."""
    library, imported = _library(value), False
    try:
        value = without_gradient(value)
        if library is None:
            value, library, imported = _as_cupys(name, value), "cupy", True
        about = value.__cuda_array_interface__
    except (AttributeError, BufferError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} cannot be read on the GPU: {error}") from error
    dtype, shape = np.dtype(about["typestr"]), tuple(about["shape"])
    # None is C order, but Numba says it of arrays too that are broadcast.
    strides = value.strides if library == "numba" else about.get("strides")
    strides = tuple(strides) if strides else _c_strides(shape, dtype.itemsize)
    return GpuArray(value, int(about["data"][0]), shape, strides, dtype, _device(library, value), library, imported)


def empty(like: GpuArray, shape: tuple[int, ...], dtype: type[np.generic], what: str) -> GpuArray:
    """A new array of `like`'s library on its GPU, its contents undefined; in order on the current stream.

    Raises:
        GpuMemoryError: that calls the array `what`, if there is no room for it.
    """
    try:
        return gpu_array("result", _empty(like, shape, dtype))
    except Exception as error:
        if not _out_of_memory(like.library, error):
            raise
        gib = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize / 2**30
        raise GpuMemoryError(
            f"{what} takes {gib:.3g} GiB, more than is free on GPU {like.device}: give fewer pairs at once or free some"
        ) from error


def free_bytes(like: GpuArray) -> int | None:
    """What `like`'s library could still allocate on its GPU, its own cache included; None where it cannot say."""
    module = _array_module(like.library)
    if like.library == "torch":
        free, _ = module.cuda.mem_get_info(like.device)
        return int(free + module.cuda.memory_reserved(like.device) - module.cuda.memory_allocated(like.device))
    with _on_device(like):
        if like.library == "cupy":
            return int(module.cuda.runtime.memGetInfo()[0] + module.get_default_memory_pool().free_bytes())
        try:
            return int(module.current_context().get_memory_info().free)
        except NotImplementedError:  # a memory manager that was plugged in
            return None


def current_stream(like: GpuArray) -> int:
    """The stream (a cudaStream_t as a number) that the caller's library works on now, on that GPU."""
    module = _array_module(like.library)
    streams: dict[str, Callable[[], int]] = {
        "torch": lambda: int(module.cuda.current_stream(like.device).cuda_stream),
        "cupy": lambda: int(module.cuda.get_current_stream(like.device).ptr),
        # Numba's default stream is CUDA's.
        "numba": lambda: 0,
    }
    return streams[like.library]()


def stream_behind(*arrays: GpuArray) -> int:
    """The current stream, behind the work on other streams that the arrays still wait for.

    Torch's and CuPy's arrays belong to their library's current stream by its own rule, and an import is ordered by the
    protocol: CuPy hands its current stream to DLPack's producer, and waits for the one that an array interface names.
    Numba has no current stream: its arrays name theirs, and the default stream is made to wait for it.
    """
    for array in arrays:
        if array.library == "numba" and array.owner.stream:
            with _on_device(array):
                event = _array_module("numba").event(timing=False)
                event.record(array.owner.stream)
                event.wait()
    return current_stream(arrays[0])


def launched(*arrays: GpuArray) -> None:
    """To be called behind each launch with what it reads, so that dropping it in the meantime does no harm."""
    for array in arrays:
        if array.library == "torch":
            stream = _array_module("torch").cuda.current_stream(array.device)
            array.owner.record_stream(stream)
    imported = [array for array in arrays if array.imported]
    if imported:
        _held.hold(imported)


class _Held:
    """Imported arrays that work in flight reads.

    Their producers know nothing of the stream that reads them and may hand the memory out again as soon as the import
    is dropped. An event is looked at in later calls; a callback from the stream would be simpler, but it must not call
    CUDA, which the producer's deleter may do. For the others there is no need: torch's memory follows `record_stream`,
    CuPy's own is handed out in the order of its stream, and Numba's is freed by a call that waits for the GPU.
    """

    def __init__(self) -> None:
        self._held: list[tuple[Any, list[Any]]] = []
        self._lock = threading.Lock()

    def hold(self, arrays: list[GpuArray]) -> None:
        cupy = _array_module("cupy")
        with _on_device(arrays[0]):
            event = cupy.cuda.Event(disable_timing=True)
            event.record(cupy.cuda.get_current_stream(arrays[0].device))
        pending: list[tuple[Any, list[Any]]] = [(event, [array.owner for array in arrays])]
        done: list[tuple[Any, list[Any]]] = []
        with self._lock:
            for held in self._held:
                (done if held[0].done else pending).append(held)
            self._held = pending


_held = _Held()


def _made_by(library: str, kind: str, value: Any) -> bool:
    """Whether a value is of that library's class or of one derived from it; a library not imported has made nothing."""
    module = sys.modules.get(library)
    return module is not None and isinstance(value, getattr(module, kind, ()))


def _library(value: Any) -> str | None:
    if _made_by("torch", "Tensor", value):
        return "torch"
    if _made_by("cupy", "ndarray", value):
        return "cupy"
    return "numba" if type(value).__module__.partition(".")[0] in ("numba", "numba_cuda") else None


def _as_cupys(name: str, value: Any) -> Any:
    """Whatever else it is goes out as CuPy's."""
    cupy = _module("cupy", f"{name} is a {type(value).__name__} on a GPU")
    if hasattr(value, "__dlpack__"):
        return cupy.from_dlpack(value)
    # CuPy copies an array that is not on the current GPU to that one.
    pointer = value.__cuda_array_interface__["data"][0]
    with cupy.cuda.Device(cupy.cuda.runtime.pointerGetAttributes(pointer).device):
        return cupy.asarray(value)


def _empty(like: GpuArray, shape: tuple[int, ...], dtype: type[np.generic]) -> Any:
    module = _array_module(like.library)
    if like.library == "torch":
        return module.empty(shape, dtype=getattr(module, np.dtype(dtype).name), device=like.owner.device)
    with _on_device(like):
        return (module.empty if like.library == "cupy" else module.device_array)(shape, dtype)


def _out_of_memory(library: str, error: Exception) -> bool:
    module = _array_module(library)
    if library == "numba":
        return isinstance(error, module.cudadrv.driver.CudaAPIError) and error.code == 2  # CUDA_ERROR_OUT_OF_MEMORY
    return isinstance(error, module.OutOfMemoryError if library == "torch" else module.cuda.memory.OutOfMemoryError)


def _on_device(array: GpuArray) -> AbstractContextManager[Any]:
    """CuPy's or Numba's context manager that makes the array's GPU the current one."""
    module = _array_module(array.library)
    context: AbstractContextManager[Any] = (
        module.cuda.Device(array.device) if array.library == "cupy" else module.gpus[array.device]
    )
    return context


def _array_module(library: str) -> ModuleType:
    return importlib.import_module("numba.cuda" if library == "numba" else library)


def _device(library: str, value: Any) -> int:
    if library == "torch":
        return int(value.device.index)
    if library == "cupy":
        return int(value.device.id)
    # The array's own, whatever context is current.
    return int(value.gpu_data.context.device.id)


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

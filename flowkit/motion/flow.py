"""TV-L1 optical flow of frame pairs: checks, then the compiled solver. docs/algorithm.md says what is computed."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

import flowkit._core as _core
from flowkit.cpus import available_cpus
from flowkit.errors import InputError
from flowkit.motion.devices import gpu_refusals, require_gpu_of, require_gpus, require_gpus_for
from flowkit.motion.gpu_arrays import (
    MEMORY_SHARE,
    GpuArray,
    GpuMemoryError,
    empty,
    free_bytes,
    gpu_array,
    launched,
    on_gpu,
    stream_behind,
    without_gradient,
)
from flowkit.params import TVL1Params, resolve_params

SMALLEST_SIDE = 3
"""Frames must have at least this many pixels a side."""
LARGEST_SIDE = 2**24
"""And no more: up to here single precision knows every pixel's place."""
MOST_THREADS = 4096
"""More than the CPUs of any machine, and few enough to start."""
SMALL_WORKSPACE_BYTES = 2**28
"""Asking a GPU how much memory is free takes as long as a small flow: up to here it is tried without."""
LARGEST_PX = 1e15
"""Displacements beyond have squares that single precision does not hold."""
_LARGEST = float(np.finfo(np.float32).max)
_SCRATCH_BYTES = 100
"""What a pair takes for each of its pixels while it is computed on the CPU, at most (docs/benchmarks.md, "Memory")."""


@overload
def tvl1_flow(
    frames0: ArrayLike,
    frames1: ArrayLike,
    *,
    preset: str = ...,
    params: TVL1Params | Mapping[str, Any] | None = ...,
    device: str = ...,
    threads: int | None = ...,
    initial_flow: ArrayLike | None = ...,
    value_range: tuple[float, float] | None = ...,
    return_iterations: Literal[False] = ...,
) -> NDArray[np.float32]: ...
@overload
def tvl1_flow(
    frames0: ArrayLike,
    frames1: ArrayLike,
    *,
    preset: str = ...,
    params: TVL1Params | Mapping[str, Any] | None = ...,
    device: str = ...,
    threads: int | None = ...,
    initial_flow: ArrayLike | None = ...,
    value_range: tuple[float, float] | None = ...,
    return_iterations: Literal[True],
) -> tuple[NDArray[np.float32], NDArray[np.int32]]: ...
def tvl1_flow(
    frames0: ArrayLike,
    frames1: ArrayLike,
    *,
    preset: str = "micro",
    params: TVL1Params | Mapping[str, Any] | None = None,
    device: str = "auto",
    threads: int | None = None,
    initial_flow: ArrayLike | None = None,
    value_range: tuple[float, float] | None = None,
    return_iterations: bool = False,
) -> NDArray[np.float32] | tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The flow (u, v) with frames0(x, y) ~ frames1(x + u, y + v), in pixels, +u to the right, +v downwards.

    A call computes to its end before Python hears Ctrl-C: many frames are better given some seconds' worth at a time.

    Args:
        frames0, frames1: grey frames (n, h, w), or one pair (h, w): uint8, uint16 (0..65535 stands for 0..255) or
            float32, any strides, from 3 to 2^24 px a side. NumPy arrays and anything on the CPU that offers DLPack or
            the array protocol; or torch tensors, CuPy, Numba or DLPack arrays on a GPU. No gradient flows through.
        preset: `micro`, `micro-phases` for averages, `fast`, `opencv`, `opencv-cuda`, `ipol`, or `micro-0.1` and
            `fast-0.1`, which are what these names meant before version 0.3; see `flowkit.PRESETS`.
        params: a whole `TVL1Params`, which replaces the preset, or a mapping with some of its fields.
        device: `auto`, where the frames are; `cpu`; or `cuda` (`cuda:1` for the second GPU) to have frames that are
            on the CPU computed on the GPU and copied back.
        threads: pairs computed at a time; by default one for each CPU of this process, or of its container's quota.
        initial_flow: (n, 2, h, w) or (2, h, w) float32, px: where the coarsest level starts. Zero by default.
        value_range: what black and white are in float32 frames; needed for them, refused for the others.
        return_iterations: also return how many iterations each pair ran, (n,) int32, or of shape () for one.

    Returns:
        (n, 2, h, w) float32, or (2, h, w) for a single pair. The same bits for a pair whatever batch it is in and
        however many threads run. Of frames on a GPU, an array of their library on that GPU, computed in order on the
        library's current stream: this function does not wait for it, and so values that are not finite go unnoticed.

    Raises:
        InputError (a ValueError): a wrong dtype, shape or value, named with its value; frames and initial flow in
            different places; a flow for which the GPU has no room. It needs scratch memory beside it for one pair only.
        MemoryError: where the CPU has no room, with what it takes; scratch memory is for as many pairs as threads.

    Source: Zach, Pock, Bischof, DAGM 2007; Sanchez, Meinhardt-Llopis, Facciolo, IPOL 2013.
    """
    resolved = _for_the_solver(resolve_params(preset, params))
    number = gpu_number(device)
    if on_gpu(frames0) or on_gpu(frames1):
        flow, iterations = _on_the_frames_gpu(frames0, frames1, resolved, device, value_range, initial_flow)
        return (flow, iterations) if return_iterations else flow
    first, second, single = _frame_pair(frames0, frames1)
    low, high = grey_range(first.dtype, value_range)
    start = None if initial_flow is None else _initial_flow(initial_flow, first.shape)
    if number is None:
        flow, iterations = _on_the_cpu(first, second, resolved, (low, high), start, thread_count(threads))
    else:
        with gpu_refusals():
            flow, iterations = _core.tvl1_flow_on_gpu(first, second, resolved, low, high, start, number)
    if not np.isfinite(flow).all():
        bad = sorted({int(i) for i in np.argwhere(~np.isfinite(flow))[:, 0]})
        raise InputError(f"the flow of pair {bad[0]} is not finite: check the frames' values, or lower tau or lambda_")
    if single:
        flow, iterations = flow[0], iterations[0]
    return (flow, iterations) if return_iterations else flow


def _on_the_cpu(
    first: NDArray[Any],
    second: NDArray[Any],
    params: dict[str, Any],
    range_: tuple[float, float],
    start: NDArray[np.float32] | None,
    threads: int,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    try:
        return _core.tvl1_flow(first, second, params, *range_, start, threads)
    except MemoryError as error:
        n, height, width = first.shape
        gib = height * width * (8 * n + _SCRATCH_BYTES * min(n, threads)) / 2**30
        raise MemoryError(
            f"the flow of {n} pairs of {height} x {width} px takes some {gib:.3g} GiB on {threads} threads, more than "
            "there is: give fewer pairs at once, smaller frames or fewer threads"
        ) from error


@functools.lru_cache(maxsize=64)
def _for_the_solver(params: TVL1Params) -> dict[str, Any]:
    """Of one set of parameters many small calls are made, and taking it apart takes as long as a small pair."""
    return params.to_dict()


def thread_count(threads: int | None) -> int:
    """`threads`, or the number of CPUs this process may use; InputError below 1 and above `MOST_THREADS`."""
    if threads is None:
        return available_cpus()
    whole = isinstance(threads, (int, np.integer)) and not isinstance(threads, bool)
    if not whole or not 1 <= threads <= MOST_THREADS:
        raise InputError(f"threads={threads!r}: must be a whole number from 1 to {MOST_THREADS}, or None for all CPUs")
    return int(threads)


def gpu_number(device: str) -> int | None:
    """The GPU that `device` asks for by name, or None for `auto` and `cpu`; InputError where it cannot be used."""
    if isinstance(device, str) and device in ("auto", "cpu"):
        return None
    name, _, digits = device.partition(":") if isinstance(device, str) else ("", "", "")
    if name != "cuda" or (":" in device and not digits.isdecimal()):
        raise InputError(f"device={device!r}: choose 'auto', 'cpu', 'cuda' or 'cuda:N'")
    usable = {gpu.number: gpu for gpu in require_gpus(f"device={device!r}")}
    number = int(digits) if digits else min(usable)
    if number not in usable:
        raise InputError(f"device={device!r}: the usable GPUs are {', '.join(map(str, sorted(usable)))}")
    return number


def _on_the_frames_gpu(
    frames0: Any,
    frames1: Any,
    params: dict[str, Any],
    device: str,
    value_range: tuple[float, float] | None,
    initial_flow: Any,
) -> tuple[Any, Any]:
    """The flow and iterations of frames that are on a GPU, as arrays of their library on it."""
    for name, value in (("frames0", frames0), ("frames1", frames1)):
        if not on_gpu(value):
            raise InputError(f"{name} is on the CPU and the other frames are on a GPU: they must be in one place")
    require_gpus_for("frames0", device)
    first, second = (_frames_on_gpu(name, value) for name, value in (("frames0", frames0), ("frames1", frames1)))
    check_pair(first, second)
    _check_place("frames1", second, first)
    require_gpu_of("frames0", first.device, device)
    range_ = grey_range(first.dtype, value_range)
    start = None if initial_flow is None else _initial_flow_on_gpu(initial_flow, first)
    n = first.shape[0] if len(first.shape) == 3 else 1
    shape = (*first.shape[:-2], 2, *first.shape[-2:])
    flow = empty(first, shape, np.float32, f"the flow of shape {shape}")
    iterations = empty(first, first.shape[:-2], np.int32, "the iterations of each pair")
    workspace, at_a_time = _workspace(first, n, params)
    read = (first, second, start) if start else (first, second)
    batch = _GpuBatch(first, second, start, flow, iterations, workspace, params, range_, stream_behind(*read))
    # However many there are at a time: a pair's result does not depend on its batch.
    for i in range(0, n, at_a_time):
        batch.launch(i, min(at_a_time, n - i))
    launched(*read)
    return flow.owner, iterations.owner


@dataclass(frozen=True, slots=True)
class _GpuBatch:
    """What the solver reads and writes on a GPU."""

    first: GpuArray
    second: GpuArray
    start: GpuArray | None
    flow: GpuArray
    iterations: GpuArray
    workspace: GpuArray
    params: dict[str, Any]
    range_: tuple[float, float]
    stream: int

    def launch(self, i: int, pairs: int) -> None:
        """Puts pairs from number i on behind what is on the stream."""
        height, width = self.first.shape[-2:]
        strides0, strides1 = _pair_strides(self.first), _pair_strides(self.second)
        flow_start = i * 2 * height * width * 4
        _core.tvl1_flow_cuda(
            self.first.pointer + i * strides0[0],
            self.second.pointer + i * strides1[0],
            self.first.dtype.name,
            strides0,
            strides1,
            pairs,
            height,
            width,
            self.params,
            *self.range_,
            self.start.pointer + flow_start if self.start else 0,
            self.flow.pointer + flow_start,
            self.iterations.pointer + i * 4,
            self.workspace.pointer,
            self.workspace.shape[0],
            self.stream,
            self.first.device,
        )


def _workspace(frames: GpuArray, n: int, params: dict[str, Any]) -> tuple[GpuArray, int]:
    """Scratch memory, and for how many of the n pairs at a time it is enough.

    Raises:
        GpuMemoryError: if there is no room for one.
    """
    height, width = frames.shape[-2:]

    def size_for(pairs: int) -> int:
        with gpu_refusals():
            return _core.tvl1_workspace_bytes(height, width, pairs, params, frames.device)

    pairs, size = n, size_for(n)
    free = free_bytes(frames) if n > 1 and size > SMALL_WORKSPACE_BYTES else None
    if free is not None and size > MEMORY_SHARE * free:
        pairs = max(1, int(MEMORY_SHARE * free * n / size))
        pairs = -(-n // -(-n // pairs))
        size = size_for(pairs)
    while True:
        try:
            what = f"the scratch memory for {pairs} pairs of {height} x {width} px"
            return empty(frames, (size,), np.uint8, what), pairs
        except GpuMemoryError:
            # What is free was an estimate: fragments and others take their share.
            if pairs == 1:
                raise
            pairs = -(-pairs // 2)
            size = size_for(pairs)


def _check_place(name: str, array: GpuArray, frames0: GpuArray) -> None:
    if array.place != frames0.place:
        raise InputError(
            f"frames0 is {frames0.place} and {name} {array.place}: they must be of one library, on one GPU"
        )


def _frames_on_gpu(name: str, value: Any) -> GpuArray:
    frames = gpu_array(name, value)
    check_frames(name, frames)
    return frames


def _pair_strides(frames: GpuArray) -> tuple[int, int, int]:
    """In bytes, from pair to pair, row to row and pixel to pixel."""
    pair, row, column = frames.strides if len(frames.shape) == 3 else (0, *frames.strides)
    return pair, row, column


def _initial_flow_on_gpu(initial_flow: Any, frames: GpuArray) -> GpuArray:
    if not on_gpu(initial_flow):
        raise InputError("initial_flow is on the CPU and the frames are on a GPU: they must be in one place")
    start = gpu_array("initial_flow", initial_flow)
    _check_initial_flow(start.dtype, start.shape, frames.shape)
    _check_place("initial_flow", start, frames)
    if not start.contiguous:
        raise InputError("initial_flow is not contiguous: on a GPU it has to be")
    return start


def as_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """`value` as a NumPy array without a copy where it offers DLPack or the array protocol."""
    if isinstance(value, np.ndarray):
        if np.ma.is_masked(value):
            raise InputError(f"{name} has masked values, and a mask is not heeded: fill them in (numpy.ma.filled)")
        return value
    if on_gpu(value):
        raise InputError(f"{name} is on a GPU: copy it to the CPU first")
    value = without_gradient(value)
    if hasattr(value, "__dlpack__"):
        try:
            return np.from_dlpack(cast(Any, value))
        except Exception as error:  # whatever another library raises
            raise InputError(f"{name} cannot be read through DLPack ({error}): pass a NumPy array") from error
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{name} is no array ({error}): give one, of equal rows") from error


def _frame_pair(frames0: ArrayLike, frames1: ArrayLike) -> tuple[NDArray[Any], NDArray[Any], bool]:
    """Both frames as (n, h, w), and whether they were a single pair."""
    first, second = as_array("frames0", frames0), as_array("frames1", frames1)
    for name, frames in (("frames0", first), ("frames1", second)):
        check_frames(name, frames)
        require_finite(name, frames)
    check_pair(first, second)
    single = first.ndim == 2
    return (first[None], second[None], True) if single else (first, second, False)


def check_pair(first: NDArray[Any] | GpuArray, second: NDArray[Any] | GpuArray) -> None:
    """InputError where frames0 and frames1 differ in shape or type."""
    if first.shape != second.shape:
        raise InputError(f"frames0 has shape {first.shape} and frames1 {second.shape}: they must be equal")
    if first.dtype != second.dtype:
        raise InputError(f"frames0 is {first.dtype} and frames1 {second.dtype}: they must be equal")


def check_frames(name: str, frames: NDArray[Any] | GpuArray) -> None:
    """InputError where these are no grey frames (h, w) or (n, h, w) of a type that the solver takes."""
    shape = frames.shape
    if frames.dtype not in (np.uint8, np.uint16, np.float32):
        raise InputError(
            f"{name} is {frames.dtype}: convert it to uint8, uint16, or float32 with value_range (native byte order)"
        )
    if len(shape) not in (2, 3):
        raise InputError(f"{name} has shape {shape}: give grey frames (h, w) or (n, h, w)")
    if 0 in shape:
        raise InputError(f"{name} has shape {shape}: it is empty")
    if len(shape) == 3 and shape[2] in (3, 4) and shape[1] > 4 and shape[0] >= SMALLEST_SIDE:
        what = "which looks like a colour image: give grey frames (h, w), so narrow ones one by one"
        raise InputError(f"{name} has shape {shape}, {what}")
    if min(shape[-2:]) < SMALLEST_SIDE:
        raise InputError(f"{name} has shape {shape}: frames need at least {SMALLEST_SIDE} x {SMALLEST_SIDE} px")
    if max(shape[-2:]) > LARGEST_SIDE:
        raise InputError(f"{name} has shape {shape}: frames have at most {LARGEST_SIDE} px a side; cut them")


def require_finite(name: str, array: NDArray[Any]) -> None:
    """InputError that says where the first NaN or infinity is."""
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array)
    if finite.all():
        return
    bad = np.argwhere(~finite)
    where = tuple(int(i) for i in bad[0])
    raise InputError(f"{name} is {array[where]} at {where} ({len(bad)} such values): every value must be finite")


def require_displacements(name: str, flow: NDArray[Any]) -> None:
    """InputError that says where the first NaN or infinity is, or by how much a flow is too large."""
    require_finite(name, flow)
    if (most := max(float(flow.max()), -float(flow.min()))) > LARGEST_PX:
        raise InputError(f"{name} reaches {most:.3g} px: displacements are at most {LARGEST_PX:g} px; mend the flow")


def grey_range(dtype: np.dtype[Any], value_range: tuple[float, float] | None) -> tuple[float, float]:
    """Which values of such frames are black and white: float32 has to be told, the others must not be."""
    if dtype != np.float32:
        if value_range is not None:
            raise InputError(
                f"value_range={value_range!r} is for float32 frames; {dtype} has its own range: leave it out"
            )
        return (0.0, 255.0) if dtype == np.uint8 else (0.0, 65535.0)
    if value_range is None:
        raise InputError("float32 frames need value_range=(black, white), such as (0, 1) or (0, 255)")
    try:
        low, high = (float(bound) for bound in value_range)
        usable = -low <= _LARGEST and high <= _LARGEST and high - low >= 255 / _LARGEST
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise InputError(f"value_range={value_range!r}: must be two numbers in reach of float32, black below white")
    return low, high


def _initial_flow(initial_flow: ArrayLike, frames_shape: tuple[int, ...]) -> NDArray[np.float32]:
    start = as_array("initial_flow", initial_flow)
    _check_initial_flow(start.dtype, start.shape, frames_shape)
    require_displacements("initial_flow", start)
    return np.ascontiguousarray(start.reshape(frames_shape[0], 2, *frames_shape[1:]))


def _check_initial_flow(dtype: np.dtype[Any], shape: tuple[int, ...], frames_shape: tuple[int, ...]) -> None:
    if dtype != np.float32:
        raise InputError(f"initial_flow is {dtype}: convert it to float32")
    pairs = frames_shape[0] if len(frames_shape) == 3 else 1
    wanted = (pairs, 2, *frames_shape[-2:])
    if shape != wanted and not (pairs == 1 and shape == wanted[1:]):
        raise InputError(f"initial_flow has shape {shape}: frames of shape {frames_shape} need {wanted}")

"""TV-L1 optical flow of frame pairs: checks, then the compiled solver. docs/algorithm.md says what is computed."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any, Literal, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flowkit import _core
from flowkit.types import InputError, TVL1Params, resolve_params

SMALLEST_SIDE = 3
"""Frames must have at least this many pixels a side."""


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

    Args:
        frames0, frames1: grey frames (n, h, w), or one pair (h, w): uint8, uint16 (0..65535 stands for 0..255) or
            float32, any strides, at least 3 x 3 px. NumPy arrays and anything on the CPU that offers DLPack or the
            array protocol.
        preset: `micro`, `fast`, `opencv`, `opencv-cuda` or `ipol`; see `flowkit.types.PRESETS`.
        params: a whole `TVL1Params`, which replaces the preset, or a mapping with some of its fields.
        device: `auto` or `cpu`; TV-L1 on the GPU is not part of this version.
        threads: pairs computed at a time; all of this process's CPUs by default.
        initial_flow: (n, 2, h, w) or (2, h, w) float32, px: where the coarsest level starts. Zero by default.
        value_range: what black and white are in float32 frames; needed for them, refused for the others.
        return_iterations: also return how many iterations each pair ran, (n,) int32.

    Returns:
        (n, 2, h, w) float32, or (2, h, w) for a single pair. The same bits for a pair whatever batch it is in and
        however many threads run.

    Raises:
        InputError (a ValueError): a wrong dtype, shape or value, named with its value.

    Source: Zach, Pock, Bischof, DAGM 2007; Sanchez, Meinhardt-Llopis, Facciolo, IPOL 2013.
    """
    resolved = resolve_params(preset, params)
    require_cpu(device)
    first, second, single = _frame_pair(frames0, frames1)
    low, high = _value_range(first.dtype, value_range)
    start = None if initial_flow is None else _initial_flow(initial_flow, first.shape)
    flow, iterations = _core.tvl1_flow(
        first, second, _for_the_solver(resolved), low, high, start, thread_count(threads)
    )
    if not np.isfinite(flow).all():
        bad = sorted({int(i) for i in np.argwhere(~np.isfinite(flow))[:, 0]})
        raise InputError(f"the flow of pair {bad[0]} is not finite: check the frames' values, or lower tau or lambda_")
    if single:
        flow, iterations = flow[0], iterations[0]
    return (flow, iterations) if return_iterations else flow


@functools.lru_cache(maxsize=64)
def _for_the_solver(params: TVL1Params) -> dict[str, Any]:
    """Of one set of parameters many small calls are made, and taking it apart takes as long as a small pair."""
    return params.to_dict()


def thread_count(threads: int | None) -> int:
    """`threads`, or the number of CPUs this process may use; InputError below 1."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise InputError(f"threads={threads!r}: must be a whole number of at least 1, or None for all CPUs")
    return int(threads)


def require_cpu(device: str) -> None:
    """InputError unless `device` asks for the CPU."""
    if device == "cuda":
        raise InputError("device='cuda': TV-L1 runs on the CPU only in this version; use device='auto' or 'cpu'")
    if device not in ("auto", "cpu"):
        raise InputError(f"device={device!r}: choose 'auto' or 'cpu'")


def as_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """`value` as a NumPy array without a copy where it offers DLPack or the array protocol."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__cuda_array_interface__"):
        raise InputError(f"{name} is on a GPU: copy it to the CPU first (TV-L1 runs on the CPU only in this version)")
    if hasattr(value, "__dlpack__"):
        try:
            return np.from_dlpack(cast(Any, value))
        except (BufferError, RuntimeError, TypeError) as error:
            raise InputError(f"{name} cannot be read through DLPack ({error}): pass a NumPy array") from error
    try:
        return np.asarray(value)
    except ValueError as error:
        raise InputError(f"{name} is no array ({error}): give one of equal rows") from error


def _frame_pair(frames0: ArrayLike, frames1: ArrayLike) -> tuple[NDArray[Any], NDArray[Any], bool]:
    """Both frames as (n, h, w), and whether they were a single pair."""
    first, second = as_array("frames0", frames0), as_array("frames1", frames1)
    for name, frames in (("frames0", first), ("frames1", second)):
        _check_frames(name, frames)
    if first.shape != second.shape:
        raise InputError(f"frames0 has shape {first.shape} and frames1 {second.shape}: they must be equal")
    if first.dtype != second.dtype:
        raise InputError(f"frames0 is {first.dtype} and frames1 {second.dtype}: they must be equal")
    single = first.ndim == 2
    return (first[None], second[None], True) if single else (first, second, False)


def _check_frames(name: str, frames: NDArray[Any]) -> None:
    if frames.dtype not in (np.uint8, np.uint16, np.float32):
        raise InputError(
            f"{name} is {frames.dtype}: convert it to uint8, uint16, or float32 with value_range (native byte order)"
        )
    if frames.ndim not in (2, 3):
        raise InputError(f"{name} has shape {frames.shape}: give grey frames (h, w) or (n, h, w)")
    if frames.size == 0:
        raise InputError(f"{name} has shape {frames.shape}: it is empty")
    if frames.ndim == 3 and frames.shape[2] in (3, 4) and min(frames.shape[:2]) > 4:
        raise InputError(f"{name} has shape {frames.shape}, which looks like a colour image: give grey frames (h, w)")
    if min(frames.shape[-2:]) < SMALLEST_SIDE:
        raise InputError(f"{name} has shape {frames.shape}: frames need at least {SMALLEST_SIDE} x {SMALLEST_SIDE} px")
    require_finite(name, frames)


def require_finite(name: str, array: NDArray[Any]) -> None:
    """InputError that says where the first NaN or infinity is."""
    if array.dtype.kind != "f":
        return
    # A sum is finite only where all terms are, and much cheaper than a mask; one that overflows gets the second look.
    with np.errstate(over="ignore", invalid="ignore"):
        finite_sum = np.isfinite(array.sum(dtype=np.float64))
    if finite_sum:
        return
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = tuple(int(i) for i in bad[0])
        raise InputError(f"{name} is {array[where]} at {where} ({len(bad)} such values): every value must be finite")


def _value_range(dtype: np.dtype[Any], value_range: tuple[float, float] | None) -> tuple[float, float]:
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
        usable = bool(np.isfinite([low, high]).all()) and low < high
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise InputError(f"value_range={value_range!r}: must be two finite numbers, the first below the second")
    return low, high


def _initial_flow(initial_flow: ArrayLike, frames_shape: tuple[int, ...]) -> NDArray[np.float32]:
    start = as_array("initial_flow", initial_flow)
    if start.dtype != np.float32:
        raise InputError(f"initial_flow is {start.dtype}: convert it to float32")
    wanted = (frames_shape[0], 2, *frames_shape[1:])
    if start.shape != wanted and not (frames_shape[0] == 1 and start.shape == wanted[1:]):
        raise InputError(f"initial_flow has shape {start.shape}: frames of shape {frames_shape} need {wanted}")
    require_finite("initial_flow", start)
    return np.ascontiguousarray(start.reshape(wanted))

"""Optical strain of flows: checks, then the compiled kernels. docs/algorithm.md, "Strain", has the formulas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

import flowkit._core as _core
from flowkit.errors import InputError
from flowkit.motion.devices import gpu_refusals, require_gpu_of, require_gpus_for
from flowkit.motion.flow import LARGEST_SIDE, SMALLEST_SIDE, as_array, gpu_number, require_displacements, thread_count
from flowkit.motion.gpu_arrays import GpuArray, empty, gpu_array, launched, on_gpu, stream_behind

StrainVariant = Literal["standard", "meb", "softnet"]


@overload
def strain_tensor(flow: ArrayLike, *, device: str = ..., threads: int | None = ...) -> NDArray[np.float32]: ...
@overload
def strain_tensor(flow: Any, *, device: str = ..., threads: int | None = ...) -> Any: ...
def strain_tensor(flow: Any, *, device: str = "auto", threads: int | None = None) -> Any:
    """The infinitesimal strain exx = du/dx, eyy = dv/dy, exy = (du/dy + dv/dx) / 2 of flows.

    Central differences, one-sided at the border.

    Args:
        flow: (n, 2, h, w) or (2, h, w) float32, order (u, v), px, from 3 to 2^24 px a side. A NumPy array or anything
            on the CPU that offers DLPack or the array protocol; or a contiguous torch tensor, CuPy, Numba or DLPack
            array on a GPU. No gradient flows through.
        device: `auto`, where the flow is; `cpu`; or `cuda` (`cuda:1` for the second GPU) to have a flow that is on the
            CPU computed on the GPU and copied back.
        threads: flows computed at a time on the CPU; all of this process's CPUs by default.

    Returns:
        (n, 3, h, w) or (3, h, w) float32: exx, eyy, exy. Of a flow on a GPU, an array of its library there, computed in
        order on the library's current stream; values that are not finite go unnoticed.

    Raises:
        InputError (a ValueError): a wrong dtype, shape or value, device `cuda` without a usable GPU, or a flow that the
            GPU has no room for.
    """
    return _feature("tensor", flow, device, lambda batch: _core.strain_tensor(batch, thread_count(threads)))


@overload
def strain_magnitude(
    flow: ArrayLike, variant: StrainVariant = ..., *, device: str = ..., threads: int | None = ...
) -> NDArray[np.float32]: ...
@overload
def strain_magnitude(
    flow: Any, variant: StrainVariant = ..., *, device: str = ..., threads: int | None = ...
) -> Any: ...
def strain_magnitude(
    flow: Any, variant: StrainVariant = "standard", *, device: str = "auto", threads: int | None = None
) -> Any:
    """The magnitude sqrt(exx^2 + eyy^2 + 2 exy^2) of the strain of flows.

    Args: as `strain_tensor`, and
        variant: `standard`, or `meb` or `softnet` to match the features of those code bases with their quirks, which
            are for the CPU only.

    Returns:
        (n, h, w) or (h, w) float32, where the flow is.

    Raises:
        InputError (a ValueError): as `strain_tensor`, and an unknown variant.
    """
    check_variant(variant)
    if variant != "standard" and (on_gpu(flow) or gpu_number(device) is not None):
        raise InputError(f"variant={variant!r}: on a GPU there is 'standard' only; copy the flow to the CPU for others")
    return _feature(
        "magnitude", flow, device, lambda batch: _core.strain_magnitude(batch, variant, thread_count(threads))
    )


def check_variant(variant: str) -> None:
    """InputError where there is no such variant."""
    if not isinstance(variant, str) or variant not in get_args(StrainVariant):
        raise InputError(f"variant={variant!r}: choose one of {', '.join(get_args(StrainVariant))}")


def _feature(name: str, flow: Any, device: str, on_cpu: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Any:
    number = gpu_number(device)
    if on_gpu(flow):
        require_gpus_for("flow", device)
        there = gpu_array("flow", flow)
        require_gpu_of("flow", there.device, device)
        return feature_on_gpu(name, there)
    batch, single = _flow_batch(flow)
    if number is None:
        result = on_cpu(batch)
    else:
        with gpu_refusals():
            result = _core.flow_feature_on_gpu(name, batch, number)
    return result[0] if single else result


def feature_on_gpu(name: str, flow: GpuArray) -> Any:
    """`tensor`, `magnitude` or `cube` of a flow (n, 2, h, w) or (2, h, w), as an array of its library on its GPU."""
    _check_flow(flow)
    if not flow.contiguous:
        raise InputError("flow is not contiguous: on a GPU it has to be")
    *batch, _, height, width = flow.shape
    shape = (*batch, *(() if name == "magnitude" else (3,)), height, width)
    result = empty(flow, shape, np.float32, f"the {name} of shape {shape}")
    n = batch[0] if batch else 1
    with gpu_refusals():
        _core.flow_feature_cuda(name, flow.pointer, n, height, width, result.pointer, stream_behind(flow), flow.device)
    launched(flow)
    return result.owner


def _flow_batch(flow: ArrayLike) -> tuple[NDArray[np.float32], bool]:
    array: NDArray[Any] = as_array("flow", flow)
    _check_flow(array)
    require_displacements("flow", array)
    single = array.ndim == 3
    return np.ascontiguousarray(array[None] if single else array), single


def _check_flow(flow: NDArray[Any] | GpuArray) -> None:
    shape = flow.shape
    if flow.dtype != np.float32:
        raise InputError(f"flow is {flow.dtype}: convert it to float32")
    if len(shape) not in (3, 4) or shape[-3] != 2:
        raise InputError(f"flow has shape {shape}: it must be (n, 2, h, w) or (2, h, w)")
    if 0 in shape:
        raise InputError(f"flow has shape {shape}: it is empty")
    if min(shape[-2:]) < SMALLEST_SIDE:
        raise InputError(f"flow has shape {shape}: flows need at least {SMALLEST_SIDE} x {SMALLEST_SIDE} px")
    if max(shape[-2:]) > LARGEST_SIDE:
        raise InputError(f"flow has shape {shape}: flows have at most {LARGEST_SIDE} px a side; cut them")

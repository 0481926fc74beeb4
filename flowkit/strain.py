"""Optical strain of flows: checks, then the compiled kernels. docs/algorithm.md, "Strain", has the formulas."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flowkit import _core
from flowkit.flow import SMALLEST_SIDE, as_array, require_finite, thread_count
from flowkit.gpu import require_gpus
from flowkit.types import InputError

StrainVariant = Literal["standard", "meb", "softnet"]


def strain_tensor(flow: ArrayLike, *, device: str = "auto", threads: int | None = None) -> NDArray[np.float32]:
    """The infinitesimal strain exx = du/dx, eyy = dv/dy, exy = (du/dy + dv/dx) / 2 of flows.

    Central differences, one-sided at the border.

    Args:
        flow: (n, 2, h, w) or (2, h, w) float32, order (u, v), px, at least 3 x 3 px.
        device: `auto` and `cpu`, or `cuda` to have it computed on the GPU and copied back.
        threads: flows computed at a time; all of this process's CPUs by default.

    Returns:
        (n, 3, h, w) or (3, h, w) float32: exx, eyy, exy.

    Raises:
        InputError (a ValueError): a wrong dtype, shape or value, or device `cuda` without a usable GPU.
    """
    batch, single = _flow_batch(flow)
    if device == "cuda":
        require_gpus("device='cuda'")
        tensor = _core.strain_tensor_cuda(batch)
    elif device in ("auto", "cpu"):
        tensor = _core.strain_tensor(batch, thread_count(threads))
    else:
        raise InputError(f"device={device!r}: choose 'auto', 'cpu' or 'cuda'")
    return tensor[0] if single else tensor


def strain_magnitude(
    flow: ArrayLike, variant: StrainVariant = "standard", *, threads: int | None = None
) -> NDArray[np.float32]:
    """The magnitude sqrt(exx^2 + eyy^2 + 2 exy^2) of the strain of flows.

    Args:
        flow: (n, 2, h, w) or (2, h, w) float32, order (u, v), px, at least 3 x 3 px.
        variant: `standard`, or `meb` or `softnet` to match the features of those code bases with their quirks.
        threads: flows computed at a time; all of this process's CPUs by default.

    Returns:
        (n, h, w) or (h, w) float32.

    Raises:
        InputError (a ValueError): a wrong dtype, shape or value, or an unknown variant.
    """
    if variant not in get_args(StrainVariant):
        raise InputError(f"variant={variant!r}: choose one of {', '.join(get_args(StrainVariant))}")
    batch, single = _flow_batch(flow)
    result = _core.strain_magnitude(batch, variant, thread_count(threads))
    return result[0] if single else result


def _flow_batch(flow: ArrayLike) -> tuple[NDArray[np.float32], bool]:
    array: NDArray[Any] = as_array("flow", flow)
    if array.dtype != np.float32:
        raise InputError(f"flow is {array.dtype}: convert it to float32")
    if array.ndim not in (3, 4) or array.shape[-3] != 2:
        raise InputError(f"flow has shape {array.shape}: it must be (n, 2, h, w) or (2, h, w)")
    if array.size == 0:
        raise InputError(f"flow has shape {array.shape}: it is empty")
    if min(array.shape[-2:]) < SMALLEST_SIDE:
        raise InputError(f"flow has shape {array.shape}: flows need at least {SMALLEST_SIDE} x {SMALLEST_SIDE} px")
    require_finite("flow", array)
    single = array.ndim == 3
    return np.ascontiguousarray(array[None] if single else array), single

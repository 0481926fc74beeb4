"""The motion cube, what a shard stores of a pair: flow and strain magnitude, raw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flowkit.errors import InputError
from flowkit.motion.flow import as_array, tvl1_flow
from flowkit.motion.gpu_arrays import gpu_array, on_gpu
from flowkit.motion.strain import StrainVariant, check_variant, feature_on_gpu, strain_magnitude
from flowkit.params import TVL1Params


@overload
def motion_cube(
    frames0: ArrayLike,
    frames1: ArrayLike,
    *,
    preset: str = ...,
    params: TVL1Params | Mapping[str, Any] | None = ...,
    device: str = ...,
    threads: int | None = ...,
    value_range: tuple[float, float] | None = ...,
    variant: StrainVariant = ...,
    return_iterations: Literal[False] = ...,
    out: NDArray[Any] | None = ...,
) -> NDArray[np.float32]: ...
@overload
def motion_cube(
    frames0: ArrayLike,
    frames1: ArrayLike,
    *,
    preset: str = ...,
    params: TVL1Params | Mapping[str, Any] | None = ...,
    device: str = ...,
    threads: int | None = ...,
    value_range: tuple[float, float] | None = ...,
    variant: StrainVariant = ...,
    return_iterations: Literal[True],
    out: NDArray[Any] | None = ...,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]: ...
def motion_cube(
    frames0: ArrayLike,
    frames1: ArrayLike,
    *,
    preset: str = "micro",
    params: TVL1Params | Mapping[str, Any] | None = None,
    device: str = "auto",
    threads: int | None = None,
    value_range: tuple[float, float] | None = None,
    variant: StrainVariant = "standard",
    return_iterations: bool = False,
    out: NDArray[Any] | None = None,
) -> NDArray[np.float32] | tuple[NDArray[np.float32], NDArray[np.int32]]:
    """(u, v, strain magnitude) of frame pairs, unnormalised.

    Args: as `flowkit.tvl1_flow`, without `initial_flow`; `variant` as `flowkit.strain_magnitude`, of frames on a GPU
        only `standard`; `out` is filled and returned, on the CPU, float32 or float16 of the result's shape.

    Returns:
        (n, 3, h, w) float32, or (3, h, w) for a single pair: u and v in px, strain without unit. With
        `return_iterations` also the iterations each pair ran, (n,) int32, of a single pair a scalar, shape ().

    Raises:
        InputError (a ValueError): as `tvl1_flow` and `strain_magnitude`, and an `out` that the result does not go into.
    """
    check_variant(variant)
    if on_gpu(frames0) and variant != "standard":
        raise InputError(f"variant={variant!r}: on a GPU there is 'standard' only; copy the flow to the CPU for others")
    if out is not None:
        _check_out(out, frames0)
    flow, iterations = tvl1_flow(
        frames0,
        frames1,
        preset=preset,
        params=params,
        device=device,
        threads=threads,
        value_range=value_range,
        return_iterations=True,
    )
    if on_gpu(flow):
        cube = feature_on_gpu("cube", gpu_array("flow", flow))
        return (cube, iterations) if return_iterations else cube
    strain = strain_magnitude(flow, variant, threads=threads)
    if out is None:
        out = np.empty((*flow.shape[:-3], 3, *flow.shape[-2:]), np.float32)
    cube = np.concatenate([flow, strain[..., None, :, :]], axis=-3, out=out, casting="same_kind")
    return (cube, iterations) if return_iterations else cube


def _check_out(out: Any, frames0: Any) -> None:
    """Before the solver runs."""
    if on_gpu(frames0):
        raise InputError("out is for frames on the CPU: leave it out where they are on a GPU")
    if not isinstance(out, np.ndarray):
        raise InputError(f"out is of type {type(out).__name__}: give a NumPy array")
    frames = as_array("frames0", frames0).shape
    wanted = (*frames[:-2], 3, *frames[-2:])
    if out.shape != wanted:
        raise InputError(f"out has shape {out.shape}: frames of shape {frames} need {wanted}")
    if out.dtype not in (np.float32, np.float16):
        raise InputError(f"out is {out.dtype}: give float32 or float16")
    if not out.flags.writeable:
        raise InputError("out is read-only: give an array that can be written to")

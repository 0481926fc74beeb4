"""The motion cube, what a shard stores of a pair: flow and strain magnitude, raw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flowkit import _core
from flowkit.flow import tvl1_flow
from flowkit.gpu_arrays import GpuArray, current_stream, empty, gpu_array, on_gpu
from flowkit.strain import StrainVariant, strain_magnitude
from flowkit.types import InputError, TVL1Params


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
) -> NDArray[np.float32] | tuple[NDArray[np.float32], NDArray[np.int32]]:
    """(u, v, strain magnitude) of frame pairs, unnormalised.

    Args: as `flowkit.tvl1_flow`; `variant` as `flowkit.strain_magnitude`, of frames on a GPU only `standard`.

    Returns:
        (n, 3, h, w) float32, or (3, h, w) for a single pair: u and v in px, strain without unit. With
        `return_iterations` also the iterations each pair ran, (n,) int32.

    Raises:
        InputError (a ValueError): as `tvl1_flow` and `strain_magnitude`.
    """
    if on_gpu(frames0) and variant != "standard":
        raise InputError(f"variant={variant!r}: on a GPU there is 'standard' only; copy the flow to the CPU for others")
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
        cube = _cube_on_gpu(gpu_array("flow", flow))
        return (cube, iterations) if return_iterations else cube
    strain = strain_magnitude(flow, variant, threads=threads)
    cube = np.concatenate([flow, strain[..., None, :, :]], axis=-3)
    return (cube, iterations) if return_iterations else cube


def _cube_on_gpu(flow: GpuArray) -> Any:
    """The cube of a contiguous flow, as an array of the same library on the same GPU."""
    *batch, _, height, width = flow.shape
    cube = empty(flow, (*batch, 3, height, width), np.float32)
    n = batch[0] if batch else 1
    stream = current_stream(flow)
    _core.motion_cube_cuda(flow.pointer, n, height, width, False, cube.pointer, stream, flow.device)
    return cube.owner

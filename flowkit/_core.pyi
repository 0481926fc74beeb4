from typing import Any

import numpy as np
from numpy.typing import NDArray

version: str
cuda_build: tuple[str, str] | None

def simd_levels() -> list[str]: ...
def set_simd(name: str) -> None: ...
def simd_level() -> str: ...
def pyramid_sizes(height: int, width: int, params: dict[str, Any]) -> list[tuple[int, int]]: ...
def tvl1_flow(
    frames0: NDArray[Any],
    frames1: NDArray[Any],
    params: dict[str, Any],
    lo: float,
    hi: float,
    initial_flow: NDArray[np.float32] | None,
    threads: int,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]: ...
def strain_tensor(flow: NDArray[np.float32], threads: int) -> NDArray[np.float32]: ...
def strain_magnitude(flow: NDArray[np.float32], variant: str, threads: int) -> NDArray[np.float32]: ...
def flow_quality(
    frames0: NDArray[Any], frames1: NDArray[Any], lo: float, hi: float, flow: NDArray[np.float32], threads: int
) -> NDArray[np.float32]: ...
def cuda_devices() -> tuple[list[tuple[str, str, int]], str]: ...
def tvl1_workspace_bytes(height: int, width: int, n: int, params: dict[str, Any], device: int) -> int: ...
def tvl1_flow_cuda(
    frames0_ptr: int,
    frames1_ptr: int,
    dtype: str,
    strides0: tuple[int, int, int],
    strides1: tuple[int, int, int],
    n: int,
    height: int,
    width: int,
    params: dict[str, Any],
    lo: float,
    hi: float,
    initial_flow_ptr: int,
    flow_ptr: int,
    iterations_ptr: int,
    workspace_ptr: int,
    workspace_bytes: int,
    stream: int,
    device: int,
) -> None: ...

# A feature is "tensor", "magnitude", "cube" or "half_cube".
def flow_feature_cuda(
    feature: str, flow_ptr: int, n: int, height: int, width: int, out_ptr: int, stream: int, device: int
) -> None: ...

# Writes n bytes: 1 where all 2 h w floats of that flow are finite, else 0. Asynchronous, as the others of its kind.
def flow_finite_cuda(
    flow_ptr: int, n: int, height: int, width: int, finite_ptr: int, stream: int, device: int
) -> None: ...
def flow_feature_on_gpu(feature: str, flow: NDArray[np.float32], device: int) -> NDArray[Any]: ...
def tvl1_flow_on_gpu(
    frames0: NDArray[Any],
    frames1: NDArray[Any],
    params: dict[str, Any],
    lo: float,
    hi: float,
    initial_flow: NDArray[np.float32] | None,
    device: int,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]: ...

"""Seconds on a GPU, and what the card does at most. Needs CuPy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.journal import Task
from flowkit.bench import Size, facial_pairs
from flowkit.bench.pairs import FacialPair

ROUNDS, FEWEST, ENOUGH_S = 5, 2, 3.0
"""Fewer rounds, though not below the fewest, where they take longer than this."""
LARGE_PIXELS = 200_000
"""Above it one face at one amplitude stands for all: drawing a face that large takes seconds."""


def face_pairs(size: Size) -> list[FacialPair]:
    """Facial pairs that did not go through JPEG, for which a GPU machine may lack the package."""
    if size.pixels > LARGE_PIXELS:
        return facial_pairs(size, (0.5,), (1,), quality=None)
    return facial_pairs(size, quality=None)


def stacked(pairs: Sequence[FacialPair], batch: int) -> list[np.ndarray]:
    """frames0 and frames1, each (batch, h, w) uint8, of these pairs over and over."""
    frames = (np.stack([getattr(pair, name) for pair in pairs]) for name in ("frame0", "frame1"))
    return [np.resize(each, (batch, *each.shape[1:])) for each in frames]


def event_seconds(call: Callable[[], Any]) -> tuple[list[float], Any]:
    """Of each round by CUDA events on the current stream, and the last answer; one call before warms up."""
    import cupy

    def one() -> tuple[float, Any]:
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        answer = call()
        end.record()
        end.synchronize()
        return 1e-3 * cupy.cuda.get_elapsed_time(start, end), answer

    return _rounds(call, one)


def wall_seconds(call: Callable[[], Any]) -> tuple[list[float], Any]:
    """Of each round by the clock, the GPU idle before and after, and the last answer; one call before warms up."""
    import cupy

    def one() -> tuple[float, Any]:
        cupy.cuda.Device().synchronize()
        start = time.perf_counter()
        answer = call()
        cupy.cuda.Device().synchronize()
        return time.perf_counter() - start, answer

    return _rounds(call, one)


def _rounds(call: Callable[[], Any], one: Callable[[], tuple[float, Any]]) -> tuple[list[float], Any]:
    call()
    seconds: list[float] = []
    while len(seconds) < FEWEST or (len(seconds) < ROUNDS and sum(seconds) < ENOUGH_S):
        taken, answer = one()
        seconds.append(taken)
    return seconds, answer


@contextmanager
def memory_given_back() -> Iterator[None]:
    """CuPy keeps what was freed; arrays of the next size would come on top."""
    import cupy

    try:
        yield
    finally:
        cupy.get_default_memory_pool().free_all_blocks()


def limit_tasks() -> list[Task]:
    """Bytes copied (read and written) and multiply-adds a second."""
    return [
        Task({"part": "limits", "limit": "copied_bytes_per_s"}, _copied),
        Task({"part": "limits", "limit": "multiply_adds_per_s"}, _multiply_adds),
    ]


def _copied() -> Mapping[str, float]:
    import cupy

    with memory_given_back():
        source, target = cupy.ones(1 << 28, np.float32), cupy.empty(1 << 28, np.float32)
        seconds, _ = event_seconds(lambda: cupy.copyto(target, source))
        return {"per_s": 2 * source.nbytes / min(seconds)}


def _multiply_adds() -> Mapping[str, float]:
    import cupy

    threads, blocks, steps, chains = 256, 132 * 32, 4096, 8
    lines = "".join(f"a{i} = fmaf(a{i}, x, y);" for i in range(chains))
    code = f"""extern "C" __global__ void chains(float* out, float x, float y) {{
      float {", ".join(f"a{i} = threadIdx.x + {i}.0f" for i in range(chains))};
      for (int k = 0; k < {steps}; ++k) {{ {lines} }}
      out[blockIdx.x * blockDim.x + threadIdx.x] = {" + ".join(f"a{i}" for i in range(chains))};
    }}"""
    kernel, out = cupy.RawKernel(code, "chains"), cupy.empty(threads * blocks, np.float32)
    seconds, _ = event_seconds(lambda: kernel((blocks,), (threads,), (out, np.float32(0.999), np.float32(0.001))))
    return {"per_s": threads * blocks * steps * chains / min(seconds)}


@contextmanager
def variant_forced(name: str | None) -> Iterator[None]:
    """FLOWKIT_CUDA_VARIANT for a while (docs/cuda.md)."""
    if name is None:
        yield
        return
    os.environ["FLOWKIT_CUDA_VARIANT"] = name
    try:
        yield
    finally:
        del os.environ["FLOWKIT_CUDA_VARIANT"]

"""Everything that is timed on a GPU: the solver by size and batch, the card's limits, peers, extraction, training.

python -m benchmarks.bench_gpu --parts limits rates cpu -o results.json --seconds 270

Parts: `limits` of the card; `rates` of the solver; `cpu`, the CPU solver and cv2 on this machine; `peers` on the same
GPU; `extract`, the command with its stages; `train`, folds of the trainer. What matters most comes first, 224x224
before other sizes. The JSON is written after each row, and lists as not measured what no longer fits into the seconds.

Frames are faces with known motion, already on the GPU; flows stay there. Every flow that is timed is checked against
the CPU solver, times are of CUDA events, and "opencv, all iterations" is the preset without its test that stops early
and with a median only before each warp's iterations, so that the number of pixel-iterations is known. Large batches are
also timed with each variant of the iteration forced (docs/cuda.md).
"""

from __future__ import annotations

import argparse
import functools
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import flowkit
from benchmarks import bench_gpu_extract, bench_gpu_peers, bench_gpu_train
from benchmarks.gpu_timing import event_seconds, face_pairs, limit_tasks, memory_given_back, stacked, variant_forced
from benchmarks.journal import Absent, Journal, Task, commit
from flowkit import _core
from flowkit.bench import Size, document, parse_sizes
from flowkit.bench.pairs import FacialPair
from flowkit.errors import InputError
from flowkit.motion.devices import require_gpus
from flowkit.motion.flow import thread_count
from flowkit.params import PRESETS, TVL1Params

SIZES = "224,128,256,340x280,64,640x480,1920x1080"
"""The most important first."""
BATCHES = (64, 1024, 1, 16)
VARIANTS = ("resident", "tiled", "tiled:5", "tiled:10")
MOST_PIXELS = 1024 * 340 * 280
"""Of a batch; larger ones say nothing new."""
ALL = PRESETS["opencv"].replace(epsilon=0.0, outer_iterations=1, inner_iterations=300)
SOLVERS: dict[str, TVL1Params] = {
    "opencv": PRESETS["opencv"],
    "micro": PRESETS["micro"],
    "fast": PRESETS["fast"],
    "opencv-cuda": PRESETS["opencv-cuda"],
    "opencv, all iterations": ALL,
    "opencv, fast rounding": PRESETS["opencv"].replace(rounding="fast"),
    "opencv, all iterations, fast rounding": ALL.replace(rounding="fast"),
}
MAIN = ("opencv", "micro", "fast", "opencv-cuda")
AGREEMENT_PX, FEW_PX = 1e-4, 1e-3
"""Mean difference from the CPU solver, and what 99.9 % of the pixels stay below."""


def main() -> int:
    options = _options()
    try:
        gpu = require_gpus("python -m benchmarks.bench_gpu")[0]
        sizes = parse_sizes(options.sizes)
    except InputError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(gpu, flush=True)
    parts: dict[str, Callable[[], Sequence[Task]]] = {
        "limits": limit_tasks,
        "rates": lambda: list(_rate_tasks(sizes, options.batches or BATCHES, options.solvers, options.variants)),
        "cpu": lambda: list(_cpu_tasks()),
        "peers": lambda: bench_gpu_peers.tasks(
            sizes, options.batches or bench_gpu_peers.BATCHES, [name for name in options.solvers if name in PRESETS]
        ),
        "extract": bench_gpu_extract.tasks,
        "train": bench_gpu_train.tasks,
    }
    about = document([], {}, commit=commit()) | {"gpu": str(gpu), "cuda": _cuda(), "seconds_given": options.seconds}
    del about["measurements"]
    journal = Journal(options.out, about, options.seconds if options.seconds is not None else math.inf)
    return journal.run([task for part in options.parts for task in parts[part]()])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_gpu", description=__doc__)
    parts = ("limits", "rates", "cpu", "peers", "extract", "train")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts, metavar="PART", help=" ".join(parts))
    parser.add_argument("--seconds", type=float, help="start nothing that would end later; no limit by default")
    parser.add_argument("--sizes", default=SIZES, help=f"in the order of their worth; {SIZES}")
    parser.add_argument("--batches", type=int, nargs="+", metavar="N", help=f"of pairs; {BATCHES} by default")
    parser.add_argument("--solvers", nargs="+", choices=SOLVERS, default=list(SOLVERS), help="all by default")
    parser.add_argument("--variants", nargs="*", default=VARIANTS, help="of the iteration, forced; all by default")
    parser.add_argument("-o", "--out", type=Path, help="write the figures as JSON to this file, after each of them")
    return parser.parse_args()


def pixel_iterations(params: TVL1Params, size: Size) -> int | None:
    """Of one pair, or None where they depend on when it stops."""
    if params.epsilon > 0:
        return None
    levels = _core.pyramid_sizes(size.height, size.width, params.to_dict())
    each = params.warps * params.outer_iterations * params.inner_iterations
    return each * sum(height * width for height, width in levels)


def _rate_tasks(
    sizes: Sequence[Size], batches: Sequence[int], solvers: Sequence[str], variants: Sequence[str]
) -> Iterator[Task]:
    """Ranks: the first size; its variants; the main solvers at other sizes; the rest."""
    for size in sizes:
        fitting = [batch for batch in batches if batch == 1 or batch * size.pixels <= MOST_PIXELS]
        for solver in solvers:
            if size.pixels > 1_000_000 and "all iterations" in solver:
                continue
            first, main = size == sizes[0], solver in MAIN
            for batch in fitting:
                yield _rate_task(size, solver, batch, None, 1 if first else 3 if main else 4)
            for variant in variants:
                yield _rate_task(size, solver, max(fitting), variant, 2 if first else 4 if main else 5)


def _rate_task(size: Size, solver: str, batch: int, variant: str | None, rank: int) -> Task:
    what = {"part": "rates", "solver": solver, "size": str(size), "batch": batch, "variant": variant}
    return Task(
        what,
        lambda: _rate(size, solver, batch, variant),
        work=batch * size.pixels,
        kind=solver,
        prepare=lambda: _expected(size, solver),
        rank=rank,
    )


@functools.lru_cache(maxsize=16)
def _faces(size: Size) -> Sequence[FacialPair]:
    return face_pairs(size)


@functools.lru_cache(maxsize=64)
def _expected(size: Size, solver: str) -> np.ndarray:
    pairs = _faces(size)
    return flowkit.tvl1_flow(*stacked(pairs, len(pairs)), params=SOLVERS[solver])


def _rate(size: Size, solver: str, batch: int, variant: str | None) -> Mapping[str, Any]:
    """Pairs a second of a batch made of the faces over and over, and how far the flow is from the CPU's."""
    import cupy

    params, expected = SOLVERS[solver], _expected(size, solver)
    with memory_given_back(), variant_forced(variant):
        frames = [cupy.asarray(frames) for frames in stacked(_faces(size), batch)]
        try:
            seconds, flow = event_seconds(lambda: flowkit.tvl1_flow(*frames, params=params))
        except ValueError as error:
            if variant != "resident":
                raise
            raise Absent(f"too large to be resident: {error}") from error
        difference = np.abs(cupy.asnumpy(flow[: len(expected)]) - expected[:batch])
    work = pixel_iterations(params, size)
    return {
        "pairs_per_s": batch / statistics.median(seconds),
        "fastest": batch / min(seconds),
        "slowest": batch / max(seconds),
        "rounds": len(seconds),
        "pixel_iterations_per_s": work * batch / statistics.median(seconds) if work else None,
        "mean_difference_px": float(difference.mean()),
        "most_difference_px": float(difference.max()),
        "agrees": bool(difference.mean() < AGREEMENT_PX and (difference < FEW_PX).mean() >= 0.999),
    }


def _cpu_tasks() -> Iterator[Task]:
    """Pairs a second at 224x224 on all CPUs of this machine: this solver, and cv2's with one object a thread."""
    for preset in ("opencv", "micro", "fast"):
        yield Task({"part": "cpu", "method": f"flowkit {preset}"}, lambda preset=preset: _cpu(preset), rank=2)
    yield Task({"part": "cpu", "method": "cv2 DualTVL1"}, _cpu_opencv, rank=2)


def _cpu(preset: str) -> Mapping[str, Any]:
    threads = thread_count(None)
    frames = stacked(_faces(Size(224, 224)), 8 * threads)
    seconds = _best(lambda: flowkit.tvl1_flow(*frames, preset=preset))
    return {"threads": threads, "simd": _core.simd_level(), "pairs_per_s": len(frames[0]) / seconds}


def _cpu_opencv() -> Mapping[str, Any]:
    if not hasattr(cv2, "optflow"):
        raise Absent(f"OpenCV {cv2.__version__} is here without its contributed modules")
    threads, pairs = thread_count(None), _faces(Size(224, 224))
    cv2.setNumThreads(1)
    mine = [cv2.optflow.DualTVL1OpticalFlow.create() for _ in range(threads)]

    def share(thread: int) -> None:
        for pair in pairs:
            mine[thread].calc(pair.frame0, pair.frame1, None)

    with ThreadPoolExecutor(threads) as pool:
        seconds = _best(lambda: list(pool.map(share, range(threads))))
    return {"threads": threads, "pairs_per_s": threads * len(pairs) / seconds}


def _best(call: Callable[[], Any]) -> float:
    call()
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


def _cuda() -> Mapping[str, int]:
    import cupy

    runtime = cupy.cuda.runtime
    return {"driver": runtime.driverGetVersion(), "runtime": runtime.runtimeGetVersion()}


if __name__ == "__main__":
    sys.exit(main())

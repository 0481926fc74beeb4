"""The GPU solver: pixel-iterations and pairs a second by size and batch, the card's own limits, the CPU beside it.

python -m benchmarks.bench_gpu [--quick] [--parts limits rates cpu extract] -o results.json

Frames are faces with known motion, already on the GPU; flows stay there. Every flow that is timed is checked against
the CPU solver, times are of CUDA events, and "opencv, all iterations" is the preset without its test that stops early
and with a median only before each warp's iterations, so that the number of pixel-iterations is known. Large batches are
also timed with each variant of the iteration forced (docs/cuda.md). The part "extract" times `flowkit extract --gpu`
with its stages, and needs the packages that read videos.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import flowkit
from benchmarks.__main__ import _commit
from flowkit import _core
from flowkit.bench import Size, document, facial_pairs, parse_sizes
from flowkit.errors import InputError
from flowkit.motion.devices import require_gpus
from flowkit.motion.flow import thread_count
from flowkit.params import PRESETS, TVL1Params

PARTS = ("limits", "rates", "cpu", "extract")
SIZES = parse_sizes("64,128,224,256,340x280,640x480,1920x1080")
BATCHES = (1, 16, 64, 1024)
VARIANTS = ("resident", "tiled", "tiled:5", "tiled:10")
MOST_PIXELS = 1024 * 340 * 280
"""Of a batch; larger ones say nothing new."""
ALL = PRESETS["opencv"].replace(epsilon=0.0, outer_iterations=1, inner_iterations=300)
SOLVERS: dict[str, TVL1Params] = {
    "opencv": PRESETS["opencv"],
    "opencv, fast rounding": PRESETS["opencv"].replace(rounding="fast"),
    "opencv, all iterations": ALL,
    "opencv, all iterations, fast rounding": ALL.replace(rounding="fast"),
    "opencv-cuda": PRESETS["opencv-cuda"],
    "micro": PRESETS["micro"],
    "fast": PRESETS["fast"],
}
ROUNDS = 5
AGREEMENT_PX, FEW_PX = 1e-4, 1e-3
"""Mean difference from the CPU solver, and what 99.9 % of the pixels stay below."""


def main() -> int:
    options = _options()
    try:
        gpu = require_gpus("python -m benchmarks.bench_gpu")[0]
    except InputError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(gpu, flush=True)
    found: dict[str, Any] = {"gpu": str(gpu), "driver": _driver(), "rates": []}
    parts: dict[str, Callable[[], Any]] = {
        "limits": lambda: dict(_limits()),
        "rates": lambda: [_told(row) for row in _rates(options.quick)],
        "cpu": _cpu,
        "extract": lambda: _extract(500 if options.quick else 4000),
    }
    for part in options.parts:
        found[part] = parts[part]()
        if part != "rates":
            print(json.dumps({part: found[part]}), flush=True)
        if options.out:
            options.out.write_text(json.dumps(document([], {}, commit=_commit()) | found, indent=1) + "\n")
    wrong = [row for row in found["rates"] if not row["agrees"]]
    for row in wrong:
        print(f"wrong answer: {row}", file=sys.stderr)
    return 1 if wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_gpu", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="224x224 only")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, metavar="PART", help=" ".join(PARTS))
    parser.add_argument("-o", "--out", type=Path, help="write the figures as JSON to this file")
    return parser.parse_args()


def _told(row: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(row), flush=True)
    return row


def pixel_iterations(params: TVL1Params, size: Size) -> int | None:
    """Of one pair, or None where they depend on when it stops."""
    if params.epsilon > 0:
        return None
    levels = _core.pyramid_sizes(size.height, size.width, params.to_dict())
    each = params.warps * params.outer_iterations * params.inner_iterations
    return each * sum(height * width for height, width in levels)


def _rates(quick: bool) -> Iterator[dict[str, Any]]:
    for size in parse_sizes("224") if quick else SIZES:
        large = size.pixels > 1_000_000
        pairs = facial_pairs(size, (0.5,), (1,)) if large else facial_pairs(size)
        faces = [np.stack([getattr(pair, name) for pair in pairs]) for name in ("frame0", "frame1")]
        batches = [batch for batch in BATCHES if batch * size.pixels <= MOST_PIXELS]
        for name, params in SOLVERS.items():
            if large and "all iterations" in name:
                continue
            expected = flowkit.tvl1_flow(*faces, params=params)
            common = {"solver": name, "size": str(size)}
            for batch in batches:
                yield common | _rate(faces, expected, batch, params)
            for variant in VARIANTS:
                with _variant(variant), contextlib.suppress(ValueError):  # too large to be resident
                    yield common | _rate(faces, expected, batches[-1], params) | {"variant": variant}


@contextlib.contextmanager
def _variant(name: str) -> Iterator[None]:
    os.environ["FLOWKIT_CUDA_VARIANT"] = name
    try:
        yield
    finally:
        del os.environ["FLOWKIT_CUDA_VARIANT"]


def _rate(faces: Sequence[np.ndarray], expected: np.ndarray, batch: int, params: TVL1Params) -> dict[str, Any]:
    """Pairs a second of a batch made of these faces over and over, and how far the flow is from the CPU's."""
    import cupy

    frames = [cupy.asarray(np.resize(face, (batch, *face.shape[1:]))) for face in faces]
    seconds, flow = _timed(lambda: flowkit.tvl1_flow(*frames, params=params))
    difference = np.abs(cupy.asnumpy(flow[: len(expected)]) - expected[:batch])
    height, width = expected.shape[2:]
    work = pixel_iterations(params, Size(height, width))
    return {
        "batch": batch,
        "pairs_per_s": batch / statistics.median(seconds),
        "fastest": batch / min(seconds),
        "slowest": batch / max(seconds),
        "pixel_iterations_per_s": work * batch / statistics.median(seconds) if work else None,
        "mean_difference_px": float(difference.mean()),
        "most_difference_px": float(difference.max()),
        "agrees": bool(difference.mean() < AGREEMENT_PX and (difference < FEW_PX).mean() >= 0.999),
    }


def _timed(call: Callable[[], Any]) -> tuple[list[float], Any]:
    """Seconds of each round by CUDA events, and the last answer."""
    import cupy

    answer = call()
    seconds = []
    for _ in range(ROUNDS):
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        answer = call()
        end.record()
        end.synchronize()
        seconds.append(1e-3 * cupy.cuda.get_elapsed_time(start, end))
    return seconds, answer


def _limits() -> Iterator[tuple[str, float]]:
    """What the card does at most, measured: bytes copied (read and written) and multiply-adds a second."""
    import cupy

    source, target = cupy.ones(1 << 28, np.float32), cupy.empty(1 << 28, np.float32)
    seconds, _ = _timed(lambda: cupy.copyto(target, source))
    yield "copied_bytes_per_s", 2 * source.nbytes / min(seconds)
    threads, blocks, steps, chains = 256, 132 * 32, 4096, 8
    lines = "".join(f"a{i} = fmaf(a{i}, x, y);" for i in range(chains))
    code = f"""extern "C" __global__ void chains(float* out, float x, float y) {{
      float {", ".join(f"a{i} = threadIdx.x + {i}.0f" for i in range(chains))};
      for (int k = 0; k < {steps}; ++k) {{ {lines} }}
      out[blockIdx.x * blockDim.x + threadIdx.x] = {" + ".join(f"a{i}" for i in range(chains))};
    }}"""
    kernel, out = cupy.RawKernel(code, "chains"), cupy.empty(threads * blocks, np.float32)
    seconds, _ = _timed(lambda: kernel((blocks,), (threads,), (out, np.float32(0.999), np.float32(0.001))))
    yield "multiply_adds_per_s", threads * blocks * steps * chains / min(seconds)


def _cpu() -> dict[str, Any]:
    """Pairs a second at 224x224 on all CPUs of this machine: this solver, and cv2's with one object a thread."""
    threads = thread_count(None)
    pairs = facial_pairs(Size(224, 224))
    frames0, frames1 = (np.stack([getattr(pair, name) for pair in pairs * threads]) for name in ("frame0", "frame1"))
    found: dict[str, Any] = {"threads": threads, "simd": _core.simd_level()}
    for preset in ("opencv", "micro", "fast"):
        seconds = _best(lambda preset=preset: flowkit.tvl1_flow(frames0, frames1, preset=preset))
        found[f"flowkit {preset}, pairs_per_s"] = len(frames0) / seconds
    if not hasattr(cv2, "optflow"):
        return found | {"cv2 DualTVL1": f"absent: OpenCV {cv2.__version__} without its contributed modules"}
    cv2.setNumThreads(1)
    mine = [cv2.optflow.DualTVL1OpticalFlow.create() for _ in range(threads)]

    def share(thread: int) -> None:
        for pair in pairs:
            mine[thread].calc(pair.frame0, pair.frame1, None)

    with ThreadPoolExecutor(threads) as pool:
        seconds = _best(lambda: list(pool.map(share, range(threads))))
    return found | {"cv2 DualTVL1, pairs_per_s": threads * len(pairs) / seconds}


def _best(call: Callable[[], Any]) -> float:
    call()
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


def _extract(count: int) -> dict[str, Any]:
    """`flowkit extract --gpu` over `count` pairs of 224x224 in PNG files: pairs a second, and each stage's seconds."""
    from flowkit.extraction.engines.cuda import cuda_devices
    from flowkit.extraction.engines.device_pipeline import GpuEngine
    from flowkit.extraction.run import extract
    from flowkit.output.verify import verify

    faces = facial_pairs(Size(224, 224))
    with tempfile.TemporaryDirectory() as folder:
        clips = Path(folder) / "clips"
        _write_clips(clips, [frame for pair in faces for frame in (pair.frame0, pair.frame1)], count)
        engine = GpuEngine(cuda_devices(), thread_count(None))
        summary = extract(clips, Path(folder) / "out", pairs="lag:1", engine=engine, device="cuda")
        sound = verify(Path(folder) / "out").ok
    return {
        "pairs": summary.computed,
        "failed": summary.failed,
        "verified": sound,
        "pairs_per_s": summary.pairs_per_second,
        "busy_s": dict(engine.busy_s),
        "threads": {"decode": thread_count(None), "write": 2},
    }


def _write_clips(folder: Path, frames: Sequence[np.ndarray], count: int, length: int = 100) -> None:
    """Clips of up to `length` pairs each, as numbered PNG files."""
    for clip in range(-(-count // length)):
        here = folder / f"clip{clip:03d}"
        here.mkdir(parents=True)
        for number in range(min(length, count - clip * length) + 1):
            frame = frames[(clip + number) % len(frames)]
            cv2.imwrite(str(here / f"{number:05d}.png"), frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def _driver() -> Mapping[str, int]:
    import cupy

    runtime = cupy.cuda.runtime
    return {"driver": runtime.driverGetVersion(), "runtime": runtime.runtimeGetVersion()}


if __name__ == "__main__":
    sys.exit(main())

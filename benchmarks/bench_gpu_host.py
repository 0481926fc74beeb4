"""What a GPU leaves to the CPU: `flowkit extract --gpu` with a stand-in for the GPU that takes no time.

    python -m benchmarks.bench_gpu_host [--pairs 2800] [--rounds 3]

Frames of 224 x 224 in PNG files are decoded, cubes that are noise get their quality, and all is written and verified:
so many pairs a second, and so much CPU a pair, is what this machine could keep a GPU busy with.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.bench_gpu_extract import write_clips
from benchmarks.gpu_timing import face_pairs
from flowkit.bench import Size
from flowkit.extraction.engines.device_pipeline import GpuEngine
from flowkit.extraction.request import ExtractRequest
from flowkit.extraction.run import extract
from flowkit.motion.flow import thread_count
from flowkit.output.verify import verify

SIZE = Size(224, 224)
BATCH = 1024


@dataclass(frozen=True)
class Instant:
    """A device that has the cubes of any batch already."""

    cubes: NDArray[np.float32]

    def most_pairs(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> int:
        return len(self.cubes)

    def start(self, frames0: Sequence[NDArray[Any]], frames1: Sequence[NDArray[Any]]) -> Done:
        return Done(self.cubes[: len(frames0)])


@dataclass(frozen=True)
class Done:
    """Its batch."""

    cubes: NDArray[np.float32]

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_]]:
        return self.cubes, np.ones(len(self.cubes), np.int32), np.ones(len(self.cubes), bool)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2800)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    noise = np.random.default_rng(0).normal(0, 0.2, (BATCH, 3, SIZE.height, SIZE.width)).astype(np.float32)
    device = Instant(noise)

    def make(_: ExtractRequest) -> Instant:
        return device

    frames = [frame for pair in face_pairs(SIZE) for frame in (pair.frame0, pair.frame1)]
    with tempfile.TemporaryDirectory() as folder:
        write_clips(Path(folder) / "clips", frames, options.pairs)
        for turn in range(options.rounds):
            out, engine = Path(folder) / f"out{turn}", GpuEngine((make,), thread_count(None))
            wall, cpu = time.perf_counter(), time.process_time()
            summary = extract(Path(folder) / "clips", out, pairs="lag:1", engine=engine, device="cuda")
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if summary.failed or not verify(out).ok:
                raise SystemExit("the output is not sound")
            shutil.rmtree(out)  # what the system has yet to write to disk would cost the next one time
            rate = f"{summary.computed / wall:.0f} pairs/s, {1e3 * cpu / summary.computed:.2f} ms of CPU a pair"
            print(f"{summary.computed} pairs, {engine.decoders} threads that decode: {rate}", flush=True)


if __name__ == "__main__":
    main()

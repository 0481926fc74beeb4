"""`flowkit extract` on the CPU, end to end: what each stage takes, what more workers bring, and whether memory grows.

    python -m benchmarks.bench_extract CLIP [--size 224] [--copies 4] [--workers 1 2] [--rounds 3] [--own-cpus]
    python -m benchmarks.bench_extract --memory [--pairs 1000 10000 50000]

Runs of the numbers of workers follow each other in turns, so that a change of the machine's load meets all of them, and
every output is verified. A stage's share of the wall time says how busy the workers' solvers were; its share of the CPU
time is what remains of that where there is no core to spare, and does not depend on what else the machine does.
A worker decodes and writes while it solves, and so takes more than one CPU where it can. With --own-cpus a run has as
many CPUs as workers, which then says what more of both bring.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import av
import numpy as np

from flowkit.extraction.engines.local import LocalEngine
from flowkit.extraction.run import extract
from flowkit.output.verify import verify
from flowkit.types import Clip

CLIP_PAIRS = 1000
"""Of each clip whose extraction's memory is measured."""
SIDE = 64
"""Of the frames whose extraction's memory is measured, px."""
CHEAP = {"warps": 1, "inner_iterations": 3}
"""Parameters under which 50,000 pairs take a minute or two; memory does not depend on them."""


def main() -> int:
    """0, or 1 where an output was not sound."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_extract", description=__doc__)
    parser.add_argument("clip", nargs="?", type=Path, help="a video or a folder of frames")
    parser.add_argument("--size", default="224")
    parser.add_argument("--preset", default="micro")
    parser.add_argument("--copies", type=int, default=4, help="how often the clip stands in the manifest")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--own-cpus", action="store_true", help="give every run as many CPUs as it has workers")
    parser.add_argument("--memory", action="store_true", help="measure memory, of generated frames")
    parser.add_argument("--pairs", type=int, nargs="+", default=[1000, 10_000, 50_000])
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        return peak(options.peak, options.copies, options.workers[0])
    if options.memory:
        return memory(options.pairs, options.workers[-1])
    if options.clip is None:
        parser.error("give a clip, or --memory")
    return stages(options)


def stages(options: argparse.Namespace) -> int:
    """Prints a line a run, and the medians."""
    seconds: dict[int, list[float]] = {workers: [] for workers in options.workers}
    print(f"{os.cpu_count()} CPUs, {options.copies} x {options.clip.name} at {options.size}, preset {options.preset}")
    for _ in range(options.rounds):
        for workers in options.workers:
            engine = LocalEngine(workers)
            clips = [Clip(clip_id=f"clip{i}", source=str(options.clip)) for i in range(options.copies)]
            with tempfile.TemporaryDirectory() as folder:
                how = {"pairs": "lag:1", "size": options.size, "preset": options.preset, "engine": engine}
                with cpus(workers) if options.own_cpus else nullcontext():
                    summary = extract(clips, Path(folder) / "out", **how)
                if summary.failed or not verify(Path(folder) / "out").ok:
                    print(f"wrong: {summary.failed} pairs failed, or the output is not sound", file=sys.stderr)
                    return 1
            seconds[workers].append(summary.seconds)
            busy, cpu = engine.times.wall_s, engine.times.cpu_s
            shares = f"{busy['solve'] / summary.seconds / workers:.0%}", f"{cpu['solve'] / sum(cpu.values()):.0%}"
            each = ", ".join(f"{stage} {1e3 * of / summary.computed:.2f} ms" for stage, of in cpu.items())
            done = f"{summary.computed} pairs in {summary.seconds:.1f} s"
            print(f"{workers} workers, load {os.getloadavg()[0]:.1f}: {done}; solver", end=" ")
            print(f"{shares[0]} of the wall time, {shares[1]} of the CPU time; CPU a pair: {each}", flush=True)
    first = options.workers[0]
    for workers in options.workers[1:]:
        ratios = [one / more for one, more in zip(seconds[first], seconds[workers], strict=True)]
        print(f"{workers} workers: {statistics.median(ratios):.2f} times {first}, turn by turn")
    return 0


@contextmanager
def cpus(count: int) -> Iterator[None]:
    """This process, and those that it starts, on so many of its CPUs within the block."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def memory(counts: list[int], workers: int) -> int:
    """Prints the peaks of the command and of its largest worker, each count in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        write_noise(video := Path(folder) / "clip.mp4", CLIP_PAIRS + 1)
        for count in counts:
            options = ["--peak", str(video), "--copies", str(count // CLIP_PAIRS), "--workers", str(workers)]
            done = subprocess.run([sys.executable, "-m", "benchmarks.bench_extract", *options], check=False)
            if done.returncode:
                return done.returncode
    return 0


def peak(video: Path, copies: int, workers: int) -> int:
    """One run's peaks."""
    clips = [Clip(clip_id=f"clip{i}", source=str(video)) for i in range(copies)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        summary = extract(clips, out, pairs="lag:1", preset="fast", params=CHEAP, dtype="float16", workers=workers)
        peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        sound = verify(out).ok and not summary.failed
    print(
        f"{summary.computed} pairs of {SIDE}x{SIDE}, {workers} workers, {summary.pairs_per_second:.0f} pairs/s: "
        f"peak of the command {peaks[0]:.0f} MiB, of the largest worker {peaks[1]:.0f} MiB",
        flush=True,
    )
    return 0 if sound else 1


def write_noise(path: Path, count: int) -> None:
    """A video of `count` frames that drift, with sensor noise."""
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 255, (SIDE // 8, SIDE // 8 + 4), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=100)
        stream.height, stream.width, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for number in range(count):
            at = number % 32
            frame = np.ascontiguousarray(picture[:, at : at + SIDE])
            grey = av.VideoFrame.from_ndarray(
                frame ^ generator.integers(0, 4, frame.shape, dtype=np.uint8), format="gray"
            )
            container.mux(stream.encode(grey.reformat(format="yuv420p")))
        container.mux(stream.encode())


if __name__ == "__main__":
    sys.exit(main())

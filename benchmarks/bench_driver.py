"""How many parts a second the driver of engine ray hands out and hears of: seconds of its CPU a part.

    python -m benchmarks.bench_driver [--actors 4] [--waiting 3 750]

The actors are real, and compute nothing, so that the driver is what is measured; its parts have 128 pairs, each of its
own clip. Few actors with many parts in flight stand for many with three: what the driver waits for is references.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import ray

from benchmarks.bench_planning import make
from flowkit.datasets import read_manifest
from flowkit.extraction.engines import ray_shift
from flowkit.extraction.part import Job
from flowkit.extraction.plan import Part, make_parts
from flowkit.extraction.request import ExtractRequest
from flowkit.frames.survey import survey
from flowkit.output.commit import Commit


@ray.remote(num_cpus=0)
class Idle:
    """Has every part done at once."""

    def node(self) -> str:
        return ray.get_runtime_context().get_node_id()

    def complete(self, part: Part) -> Commit:
        return Commit(part.number, len(part.pairs), 0, "", ())


def main() -> None:
    """Prints a line for each number of parts in flight."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.bench_driver", description=__doc__)
    options.add_argument("--actors", type=int, default=4)
    options.add_argument("--waiting", type=int, nargs="+", default=[3, 250, 750], help="parts in flight an actor")
    options.add_argument("--rows", type=int, default=256_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clips = read_manifest(make(Path(folder), given.rows))
        request = ExtractRequest.parse(pairs="onset-apex", size=16)
        parts = make_parts(clips, request, survey(clips))
        job = Job(Path(folder) / "out", request, request.metadata(clips))
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        for waiting in given.waiting:
            ray_shift.IN_FLIGHT = waiting
            start, before = time.perf_counter(), os.times()
            shift = ray_shift.RayShift(ray, Idle.remote, given.actors, parts, job, 600.0, lambda: None)
            done = sum(1 for _ in shift.commits())
            shift.end()
            after, wall = os.times(), time.perf_counter() - start
            used = after.user + after.system - before.user - before.system
            print(
                f"{given.actors * waiting} references: {done} parts in {wall:.2f} s, {1e3 * used / done:.2f} ms of the "
                f"driver's CPU each, {done / used:.0f} parts a second of it",
                flush=True,
            )


if __name__ == "__main__":
    main()

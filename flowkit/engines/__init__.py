"""Who runs the units: an engine takes units and a job, and gives each unit's commit back as it is done.

An engine only schedules `flowkit.unit.UnitRunner`, which writes each unit's files itself, so engines cannot differ
in what they compute, only in where, in which order, and in what they survive.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Protocol

from flowkit.commit import Commit
from flowkit.plan import Unit
from flowkit.types import InputError, Interrupted
from flowkit.unit import Job

RETRIES = 3
"""How often a unit is tried again after a worker died on it."""


class Engine(Protocol):
    """Runs units, in any order."""

    def run(self, units: Sequence[Unit], job: Job) -> Iterator[Commit]:
        """Yields each unit's commit once it is on disk; closing the iterator stops the work at once.

        Raises:
            Interrupted: if the output cannot be written, or a unit keeps killing its worker.
        """


def open_engine(
    name: str, *, workers: int | None = None, ray_address: str | None = None, device: str = "cpu"
) -> Engine:
    """The engine of that name: "local" or "ray".

    Args:
        workers: processes (local) or actors (ray); None for one a CPU. With device "cuda", threads that decode (local),
            or actors with a GPU each (ray).
        ray_address: of a running cluster; None starts one on this machine.

    Raises:
        InputError: for another name, fewer than one worker, an address without ray, where Ray is not installed, or
            for device "cuda" without a GPU that can be used.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers={workers}: give at least 1")
    if name == "local":
        from flowkit.engines.local import LocalEngine

        if ray_address is not None:
            raise InputError(f"ray_address={ray_address!r} is for the engine ray; choose it with --engine ray")
        if device == "cuda":
            from flowkit.engines.cuda import cuda_devices
            from flowkit.engines.gpu import GpuEngine

            return GpuEngine(cuda_devices(), workers or available_cpus())
        return LocalEngine(workers or available_cpus())
    if name == "ray":
        from flowkit.engines.ray import RayEngine

        return RayEngine(workers, ray_address, device)
    raise InputError(f"engine={name!r} is unknown; choose local or ray")


def available_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gave_up(unit: Unit) -> Interrupted:
    """The error for a unit whose workers keep dying."""
    clips = list(dict.fromkeys(pair.clip.clip_id for pair in unit.pairs))
    named = clips[0] if len(clips) == 1 else f"{clips[0]} to {clips[-1]}"
    return Interrupted(
        f"unit {unit.number} ({named}) lost its worker process {RETRIES + 1} times, perhaps for want of memory; "
        "run the same command again with fewer --workers"
    )

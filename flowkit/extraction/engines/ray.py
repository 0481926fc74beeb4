"""The Ray engine: actors on a local or a running cluster, each writing its own parts' files to OUT.

On several machines OUT and the sources must be on a file system that all of them share.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from flowkit.errors import InputError, Interrupted
from flowkit.extraction.engines.engine import RETRIES, died
from flowkit.extraction.part import Job, PartRunner, clip_parts, commit_failed, run_part, without
from flowkit.extraction.plan import Part
from flowkit.motion.devices import available_cpus
from flowkit.output.commit import Commit

IN_FLIGHT = 2
"""Parts an actor has at once: one in work and one waiting; on a GPU, one more."""

STORE_BYTES = 100 * 2**20
"""Ray's object store on a local cluster, near its least: cubes never go through it."""


class RayEngine:
    """Ray Core actors, one a CPU or, on GPUs, one a GPU."""

    def __init__(self, workers: int | None, address: str | None, device: str = "cpu") -> None:
        self._ray = _import_ray()
        self._workers = workers
        self._address = address
        self._device = device

    def run(self, parts: Sequence[Part], job: Job) -> Iterator[Commit]:
        """See `Engine`. A cluster that the caller has already joined is used and left running."""
        if not parts:
            return
        ray = self._ray
        joined = ray.is_initialized()
        if not joined:
            self.join()
        actors: list[Any] = []
        try:
            shares = self._shares()
            options = {"num_cpus": 1, "max_restarts": -1, "max_task_retries": RETRIES}
            if self._device == "cuda":
                # Threads: while one part is on the GPU, the next is decoded and the last one written.
                options |= {"num_gpus": 1, "max_concurrency": IN_FLIGHT + 1}
            worker = ray.remote(**options)(_GpuWorker if self._device == "cuda" else _Worker)
            actors = [worker.remote(job) for _ in range(min(self._workers or shares, shares, len(parts)))]
            yield from _schedule(ray, actors, parts, job)
        finally:
            if joined:
                for actor in actors:
                    ray.kill(actor)
            else:
                ray.shutdown()

    def _shares(self) -> int:
        """How many actors the cluster has room for; an InputError where that is none."""
        resources = self._ray.cluster_resources()
        if self._device == "cuda" and not resources.get("GPU"):
            raise InputError("--device cuda: the Ray cluster has no GPU; add a node with one, or choose --device cpu")
        return int(resources["GPU"] if self._device == "cuda" else resources.get("CPU", 1))

    def join(self) -> None:
        """Joins the cluster at the address, or starts one on this machine; an InputError where that fails."""
        # Ray reads these when it starts: send no usage report, and do not warn about GPUs that nobody asks for.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options: dict[str, Any] = {"address": self._address, "log_to_driver": False, "logging_level": logging.ERROR}
        if self._address is None:
            cpus = self._workers or available_cpus()
            options |= {"num_cpus": cpus, "object_store_memory": STORE_BYTES, "include_dashboard": False}
            options["address"] = "local"
        try:
            self._ray.init(**options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = f"ray_address={self._address!r}" if self._address else "a local Ray cluster"
            raise InputError(f"{where} cannot be joined: {str(error).splitlines()[0]}") from error


@dataclass
class _Worker:
    """The actor; its constructor runs again where Ray restarts it."""

    job: Job

    def __post_init__(self) -> None:
        import cv2

        cv2.setNumThreads(1)
        self.runner = PartRunner(self.job)

    def complete(self, part: Part) -> Commit:
        return self.runner(part)

    def try_out(self, part: Part) -> None:
        run_part(part, self.job.request)


@dataclass
class _GpuWorker:
    """The actor of a GPU, the only one that Ray shows it."""

    job: Job

    def __post_init__(self) -> None:
        import cv2

        from flowkit.extraction.engines.cuda import cuda_devices
        from flowkit.extraction.engines.device_pipeline import DeviceRunner

        cv2.setNumThreads(1)
        self.runner = DeviceRunner(self.job, cuda_devices()[0])

    def complete(self, part: Part) -> Commit:
        return self.runner(part)

    def try_out(self, part: Part) -> None:
        self.runner.rows(part)


def _schedule(ray: ModuleType, actors: Sequence[Any], parts: Sequence[Part], job: Job) -> Iterator[Commit]:
    """Keeps every actor busy, with a bounded number of parts in flight."""
    waiting = iter(parts)
    load: Counter[int] = Counter()
    running: dict[Any, tuple[int, Part]] = {}
    exhausted = False
    while True:
        while not exhausted and len(running) < IN_FLIGHT * len(actors):
            part = next(waiting, None)
            if part is None:
                exhausted = True
                break
            idlest = min(range(len(actors)), key=lambda i: load[i])
            running[actors[idlest].complete.remote(part)] = (idlest, part)
            load[idlest] += 1
        if not running:
            return
        done, _ = ray.wait(list(running), num_returns=1)
        for reference in done:
            actor, part = running.pop(reference)
            load[actor] -= 1
            yield _commit_of(ray, reference, actors[actor], part, job)


def _commit_of(ray: ModuleType, reference: Any, actor: Any, part: Part, job: Job) -> Commit:
    """The part's commit. Where actors keep dying on it: without the clips that they die on."""
    try:
        commit: Commit = _result(ray, reference, part)
        return commit
    except ray.exceptions.RayActorError:
        given_up = {}
        for alone in clip_parts(part):
            try:
                _result(ray, actor.try_out.remote(alone), part)
            except ray.exceptions.RayActorError:
                given_up[alone.pairs[0].clip.clip_id] = _REASON
    try:
        commit = _result(ray, actor.complete.remote(without(part, given_up)), part)
    except ray.exceptions.RayActorError:
        return commit_failed(part, job, _REASON)
    return commit


_REASON = died(RETRIES + 1, "an actor's end")


def _result(ray: ModuleType, reference: Any, part: Part) -> Any:
    """What a task gives; a RayActorError where its actor has died on it again and again."""
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayActorError:
        raise
    except ray.exceptions.RayError as error:
        reason = str(error).splitlines()[0]
        raise Interrupted(f"Ray lost part {part.number} ({reason}); run the same command again to continue") from error


def _import_ray() -> ModuleType:
    try:
        import ray
    except ImportError as error:
        raise InputError("the engine ray needs Ray, which is not installed; pip install 'flowkit-mer[ray]'") from error
    module: ModuleType = ray
    return module

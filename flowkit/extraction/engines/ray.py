"""The Ray engine: actors on a local or a running cluster, each writing its own parts' files to OUT.

On several machines OUT and the sources must be on a file system that all of them share.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from flowkit.errors import InputError, Interrupted
from flowkit.extraction.engines import ray_keeper
from flowkit.extraction.engines.engine import RETRIES, died
from flowkit.extraction.part import Job, PartRunner, clip_parts, commit_failed, run_part, without
from flowkit.extraction.plan import Part
from flowkit.motion.devices import available_cpus
from flowkit.output.commit import Commit
from flowkit.output.writer import mark_several

IN_FLIGHT = 2
"""Parts an actor has at once: one in work and one waiting; on a GPU, one more."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

STORE_BYTES = 100 * 2**20
"""Ray's object store on a local cluster, near its least: cubes never go through it."""


ACTOR_START_S = 300.0
"""How long the first actor may take to start."""
ANSWER_S = 5.0
"""How long an address may take to answer."""
_POLL_S = 0.2
"""Ray waits for so long at a time; in between signals are heard."""


class RayEngine:
    """Ray Core actors, one a CPU or, on GPUs, one a GPU."""

    def __init__(self, workers: int | None, address: str | None, device: str = "cpu") -> None:
        self._ray = _import_ray()
        self._workers = workers
        self._device = device
        # Which `ray job submit` sets for what it runs: a job computes on its own cluster and starts none.
        self._address = address or os.environ.get("RAY_ADDRESS") or None
        self._named = f"ray_address={address!r}" if address else f"RAY_ADDRESS={self._address!r}"
        if self._address is not None and not self._ray.is_initialized():
            _require_answer(self._named, self._address)

    def run(self, parts: Sequence[Part], job: Job) -> Iterator[Commit]:
        """See `Engine`. A cluster that the caller has already joined is used and left running."""
        if not parts:
            return
        ray = self._ray
        with _signals_held() as hear:
            joined = ray.is_initialized()
            keeper = None if joined else self.join()
            actors: list[Any] = []
            try:
                hear()
                if len(ray.nodes()) > 1:
                    # A node that lost contact may go on with a part that another has got.
                    mark_several(job.out)
                shares = self._shares()
                options = {"num_cpus": 1, "max_restarts": -1, "max_task_retries": RETRIES}
                if self._device == "cuda":
                    # Threads: while one part is on the GPU, the next is decoded and the last one written.
                    options |= {"num_gpus": 1, "max_concurrency": IN_FLIGHT + 1}
                worker = ray.remote(**options)(_GpuWorker if self._device == "cuda" else _Worker)
                actors = [worker.remote(job) for _ in range(min(self._workers or shares, shares, len(parts)))]
                yield from _Shift(ray, actors, parts, job, hear).commits()
            finally:
                if joined:
                    for actor in actors:
                        ray.kill(actor)
                else:
                    ray.shutdown()
                if keeper is not None:
                    keeper.communicate()

    def _shares(self) -> int:
        """How many actors the cluster has room for; an InputError where that is none."""
        resources = self._ray.cluster_resources()
        if self._device == "cuda" and not resources.get("GPU"):
            raise InputError("--device cuda: the Ray cluster has no GPU; add a node with one, or choose --device cpu")
        return int(resources["GPU"] if self._device == "cuda" else resources.get("CPU", 1))

    def join(self) -> subprocess.Popen[bytes] | None:
        """Joins the cluster at the address, or starts one on this machine, with the keeper that ends it should this
        process be killed; an InputError where that fails.
        """
        # Ray reads these when it starts: send no usage report, and do not warn about GPUs that nobody asks for.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options: dict[str, Any] = {"address": self._address, "log_to_driver": False, "logging_level": logging.ERROR}
        if self._address is None:
            cpus = self._workers or available_cpus()
            options |= {"num_cpus": cpus, "object_store_memory": STORE_BYTES, "include_dashboard": False}
            options["address"] = "local"
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        try:
            self._ray.init(**options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            where = self._named if self._address else "a local Ray cluster"
            raise InputError(f"{where} cannot be joined: {str(error).splitlines()[0]}") from error
        finally:
            # Ray has set one of its own for SIGTERM, which ends this process in the middle of what it does.
            if threading.current_thread() is threading.main_thread():
                for number, handler in before.items():
                    signal.signal(number, handler)
        if self._address is not None:
            return None
        return ray_keeper.start(self._ray._private.worker.global_worker.node.get_session_dir_path())


def _require_answer(named: str, address: str) -> None:
    """An InputError where nobody answers at an address, which Ray itself would find out in minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # "auto", or what Ray knows better
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{named}: nobody answers there ({reason}); start that cluster, or leave the address out to start one on "
            "this machine"
        ) from error


@contextmanager
def _signals_held() -> Iterator[Callable[[], None]]:
    """In here signals wait until the function that this gives is called, or until the end: an exception that a handler
    raises within Ray's own code leaves Ray, and with it this process, in pieces.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    held = [number for number, handler in before.items() if callable(handler)]

    def hear() -> None:
        if came and callable(handler := before[number := came.pop()]):  # type: ignore[index]
            came.clear()
            handler(number, None)

    for number in held:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield hear
    finally:
        for number in held:
            signal.signal(number, before[number])
    hear()


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


class _Shift:
    """One run: which actors can work, and what each is at."""

    def __init__(
        self, ray: ModuleType, actors: Sequence[Any], parts: Sequence[Part], job: Job, hear: Callable[[], None]
    ) -> None:
        self._ray, self._actors, self._job, self._hear = ray, actors, job, hear
        self._waiting = deque(parts)
        self._starting = {actor.__ray_ready__.remote(): i for i, actor in enumerate(actors)}
        self._load: dict[int, int] = {}
        """Parts of each actor that has started."""
        self._running: dict[Any, tuple[int, Part]] = {}

    def commits(self) -> Iterator[Commit]:
        """Keeps every actor that has started busy, with a bounded number of parts in flight."""
        began = time.monotonic()
        while self._waiting or self._running:
            self._hand_out()
            done, _ = self._ray.wait([*self._running, *self._starting], num_returns=1, timeout=_POLL_S)
            self._hear()
            if not self._load and time.monotonic() - began > ACTOR_START_S:
                raise Interrupted(
                    f"not one of {len(self._actors)} Ray actors has started in {ACTOR_START_S:g} s: the cluster has no "
                    "CPU or GPU free for it; run the same command again when it has"
                )
            for reference in done:
                if reference in self._starting:
                    self._started(reference)
                else:
                    actor, part = self._running.pop(reference)
                    self._load[actor] -= 1
                    yield self._commit_of(reference, self._actors[actor], part)

    def _hand_out(self) -> None:
        while self._waiting and self._load and len(self._running) < IN_FLIGHT * len(self._load):
            idlest = min(self._load, key=self._load.__getitem__)
            part = self._waiting.popleft()
            self._running[self._actors[idlest].complete.remote(part)] = (idlest, part)
            self._load[idlest] += 1

    def _started(self, reference: Any) -> None:
        actor = self._starting.pop(reference)
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            if not self._starting and not self._load:
                reason = str(getattr(error, "cause", None) or error).splitlines()[-1]
                raise Interrupted(
                    f"no Ray actor can start ({reason}); see to it that every node has this flowkit, and run the same "
                    "command again"
                ) from error
            return
        self._load[actor] = 0

    def _commit_of(self, reference: Any, actor: Any, part: Part) -> Commit:
        """The part's commit. Where actors keep dying on it: without the clips that they die on."""
        dead = self._ray.exceptions.RayActorError
        try:
            commit: Commit = self._result(reference, part)
            return commit
        except dead:
            given_up = {}
            for alone in clip_parts(part):
                try:
                    self._result(actor.try_out.remote(alone), part)
                except dead:
                    given_up[alone.pairs[0].clip.clip_id] = _REASON
        try:
            commit = self._result(actor.complete.remote(without(part, given_up)), part)
        except dead:
            return commit_failed(part, self._job, _REASON)
        return commit

    def _result(self, reference: Any, part: Part) -> Any:
        """What a task gives; a RayActorError where its actor has died on it again and again."""
        ray = self._ray
        while not ray.wait([reference], timeout=_POLL_S)[0]:
            self._hear()
        try:
            return ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayActorError:
            raise
        except ray.exceptions.RayError as error:
            reason = str(error).splitlines()[0]
            told = f"Ray lost part {part.number} ({reason}); run the same command again to continue"
            raise Interrupted(told) from error


_REASON = died(RETRIES + 1, "an actor's end")


def _import_ray() -> ModuleType:
    try:
        import ray
    except ImportError as error:
        raise InputError("the engine ray needs Ray, which is not installed; pip install 'flowkit-mer[ray]'") from error
    module: ModuleType = ray
    return module

"""The Ray engine: actors on a local or a running cluster, each writing its own parts' files to OUT.

On several machines OUT and the sources must be where all see them: on a shared file system, or in an object store.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from flowkit.cpus import available_cpus
from flowkit.errors import InputError, Interrupted
from flowkit.extraction.engines import ray_keeper
from flowkit.extraction.engines.engine import TIME_LIMIT_S
from flowkit.extraction.engines.ray_shift import IN_FLIGHT, RayShift
from flowkit.extraction.part import Job, PartRunner, run_part
from flowkit.extraction.plan import Part
from flowkit.extraction.request import DECIDING, versions
from flowkit.output.commit import Commit
from flowkit.output.writer import mark_several

_SIGNALS = (signal.SIGINT, signal.SIGTERM)

STORE_BYTES = 100 * 2**20
"""Ray's object store on a local cluster, near its least: cubes never go through it."""


ANSWER_S = 5.0
"""How long an address may take to answer."""
CLUSTER_ANSWER_S = 8.0
"""How long a cluster's control may take to answer, once Ray is imported."""
START_S = 10.0
"""How long Ray may go on with its start after a signal."""


class RayEngine:
    """Ray Core actors, one a CPU or, on GPUs, one a GPU."""

    def __init__(
        self, workers: int | None, address: str | None, device: str = "cpu", time_limit_s: float = TIME_LIMIT_S
    ) -> None:
        self._ray = _import_ray()
        self._workers = workers
        self._device = device
        self._limit_s = time_limit_s
        # Which `ray job submit` sets for what it runs: a job computes on its own cluster and starts none.
        named = address or os.environ.get("RAY_ADDRESS")
        self._address = None if named in (None, "", "local") else named  # "local" is Ray's word for one that it starts
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
            shift: RayShift | None = None
            try:
                hear()
                if len(ray.nodes()) > 1:
                    # A node that lost contact may go on with a part that another has got.
                    mark_several(job.out)
                shares = self._shares()
                # Threads: while one part is solved, the next is decoded and the last one written. What becomes of an
                # actor that dies, and of its parts, is this driver's affair.
                options = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0, "max_concurrency": IN_FLIGHT}
                if self._device == "cuda":
                    options["num_gpus"] = 1
                worker = ray.remote(**options)(_GpuWorker if self._device == "cuda" else _Worker)
                most = min(self._workers or shares, shares, len(parts))
                shift = RayShift(ray, lambda: worker.remote(job), most, parts, job, self._limit_s, hear)
                yield from shift.commits()
            finally:
                if not joined:
                    ray.shutdown()
                elif shift is not None:
                    shift.end()
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
        process be killed.

        Raises:
            InputError: where that fails.
        """
        # Ray reads these when it starts: send no usage report, and do not warn about GPUs that nobody asks for.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options: dict[str, Any] = {"address": self._address, "log_to_driver": False, "logging_level": logging.ERROR}
        if self._address is None:
            cpus = self._workers or available_cpus()
            options |= {"num_cpus": cpus, "object_store_memory": STORE_BYTES, "include_dashboard": False}
            options["address"] = "local"
        keeper = None if self._address else ray_keeper.start()
        try:
            with _undisturbed():
                self._ray.init(**options)
        except BaseException as error:
            if keeper is not None:
                keeper.communicate()
            if not isinstance(error, (ConnectionError, ValueError, RuntimeError)):
                raise
            where = self._named if self._address else "a local Ray cluster"
            remedy = "; a cluster that asks for a token wants RAY_AUTH_MODE=token set here" if self._address else ""
            raise InputError(f"{where} cannot be joined: {str(error).splitlines()[0]}{remedy}") from error
        return keeper


def _require_answer(named: str, address: str) -> None:
    """An InputError where nobody, or no Ray cluster, answers at an address; Ray itself waits for one for minutes."""
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
    if "://" not in address and not _is_cluster(address):
        raise InputError(
            f"{named}: what answers there is no Ray cluster that lets this process in; give the address that `ray "
            "start` names, set RAY_AUTH_MODE=token where the cluster asks for a token, or leave the address out to "
            "start one on this machine"
        )


def _is_cluster(address: str) -> bool:
    """Whether a cluster's control answers. Asks in a process of its own, since Ray's client cannot be stopped."""
    ask = "import sys; from ray._raylet import GcsClient; print(flush=True); GcsClient(address=sys.argv[1])"
    command = [sys.executable, "-P", "-c", ask, address]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        # A Ray without this client is asked no more than that.
        return not client.stdout.readline() or client.wait(CLUSTER_ANSWER_S) == 0  # type: ignore[union-attr]
    except subprocess.TimeoutExpired:
        return False
    finally:
        client.kill()
        client.communicate()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """In here Ray starts: a signal comes again at the end, or ends this process where that is not there within START_S.

    Ray would answer SIGTERM by an exception in the middle of its own code, which leaves it in pieces.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        stderr = os.open(os.devnull, os.O_WRONLY)
    give_up = threading.Timer(START_S, _end, [stderr])
    give_up.daemon = True

    def note(number: int, _: object) -> None:
        if not came:
            give_up.start()
        came.append(number)

    before = {number: handler for number in _SIGNALS if (handler := signal.getsignal(number)) is not None}
    set_handler = signal.signal
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            set_handler(number, note)
    # Ray asks for no other handlers than these.
    signal.signal = lambda number, _: signal.getsignal(number)  # type: ignore[assignment]
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        words = b""
        try:
            yield
            said.seek(0)
            words = said.read()  # where Ray cannot be joined, our own sentence says it
        finally:
            signal.signal = set_handler
            for number, handler in before.items():
                signal.signal(number, handler)
            give_up.cancel()
            os.dup2(stderr, 2)
            os.close(stderr)
            if came:
                # For the last half second the handler is one of Ray's compiled code, which tells of it on stderr,
                # calls ours, and aborts this process three seconds later.
                signal.alarm(0)
                signal.raise_signal(came[-1])
            elif words:
                os.write(2, words)


def _end(stderr: int) -> None:
    os.write(stderr, b"flowkit: stopped while Ray was starting; run the same command again to continue\n")
    os._exit(Interrupted.exit_code)


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
    """The actor."""

    job: Job

    def __post_init__(self) -> None:
        import cv2

        cv2.setNumThreads(1)
        self.runner = PartRunner(self.job)

    def node(self) -> str:
        return _node(self.job)

    def complete(self, part: Part) -> Commit:
        return self.runner(part)

    def try_out(self, part: Part) -> None:
        """Whether this ends the actor is asked; an error comes again in `complete`, which knows whose it is."""
        with suppress(Exception):
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

    def node(self) -> str:
        return _node(self.job)

    def complete(self, part: Part) -> Commit:
        return self.runner(part)

    def try_out(self, part: Part) -> None:
        """See `_Worker`."""
        with suppress(Exception):
            self.runner.rows(part)


def _node(job: Job) -> str:
    """The id of the actor's node; an InputError where that would compute other rows than the machine that planned."""
    import ray

    found: str = ray.get_runtime_context().get_node_id()
    here, there = versions(), job.metadata["versions"]
    for name in ("flowkit", *DECIDING):
        if here.get(name) != there.get(name):
            raise InputError(
                f"the Ray node {found[:8]} has {name} {here.get(name)}, and this command {there.get(name)}; give every "
                "machine the same packages"
            )
    return found


def _import_ray() -> ModuleType:
    try:
        import ray
    except ImportError as error:
        raise InputError("the engine ray needs Ray, which is not installed; pip install 'flowkit-mer[ray]'") from error
    module: ModuleType = ray
    return module

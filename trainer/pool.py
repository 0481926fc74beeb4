"""Several folds at a time, a process each, that write what they find themselves.

A fold is computed in one process by as many threads as the run's configuration says, whatever else runs: the number of
processes changes no bit. Processes are handed numbers and give back numbers; cubes come to them from a mapped file.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing as mp
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from flowkit.errors import FlowkitError, Interrupted
from trainer.catalogue import find
from trainer.folds import Fold
from trainer.run_folder import RunFolder
from trainer.samples import Samples
from trainer.store import Stored
from trainer.types import RunConfig


@dataclass(frozen=True, slots=True)
class Task:
    """What every process of a run knows."""

    stored: Stored
    folds: Sequence[Fold]
    config: RunConfig
    folder: RunFolder
    save_weights: bool


@dataclass(frozen=True, slots=True)
class Event:
    """An epoch that is done, or a whole fold (then `seconds` is what it took)."""

    fold: Fold
    epoch: int
    epochs: int
    seconds: float | None = None


Report = Callable[[Event], None]


def run_folds(task: Task, todo: Sequence[int], jobs: int, report: Report) -> None:
    """Computes the folds of those numbers, `jobs` at a time, into the run's folder; in this process for one job.

    Raises what a fold raises; Interrupted where a process dies. Folds that are done by then stay.
    """
    if jobs == 1:
        compute = _computer(task, task.stored.open(), 0)
        for number in todo:
            compute(number, report)
        return
    with _crew(task, min(jobs, len(todo))) as crew:
        _hand_out(task, list(todo), crew, report)


def _computer(task: Task, samples: Samples, worker: int) -> Callable[[int, Report], None]:
    """A function that computes a fold by its number and writes it."""
    import torch

    from trainer.inputs import choose_device, give_memory_back, torch_threads
    from trainer.saved import save_trained
    from trainer.train import load_weights, predict_fold, train_fold

    config = task.config
    device, weights = choose_device(config.device), load_weights(config)
    if device.type == "cuda":
        device = torch.device("cuda", worker % torch.cuda.device_count())
        torch.cuda.set_device(device)

    def compute(number: int, report: Report) -> None:
        fold, start = task.folds[number], time.perf_counter()

        def epoch_done(done: int, epochs: int) -> None:
            give_memory_back()
            report(Event(fold, done, epochs))

        with torch_threads(config.threads):
            trained = train_fold(samples, fold, config, device=device, weights=weights, on_epoch=epoch_done)
            result = predict_fold(trained, samples, fold, config, start=start)
        if task.save_weights:
            save_trained(task.folder, fold.index, trained)
        about = {
            "ethnic_classes": result.ethnic_classes,
            "normalise": trained.normalise.name,
            "scale": trained.normalise.scale,
            "curves": result.curves,
            "epoch": result.epoch,
            "seconds": round(result.seconds, 3),
        }
        task.folder.write_fold(fold, result.heads, about)
        report(Event(fold, result.epoch, config.epochs, result.seconds))

    return compute


def _hand_out(task: Task, todo: list[int], crew: dict[Connection, Any], report: Report) -> None:
    """Gives each process a fold as soon as it has none, until all are done."""
    busy: dict[Connection, int] = {}
    for connection in crew:
        if todo:
            busy[connection] = todo.pop(0)
            connection.send(busy[connection])
    while busy:
        for connection in (ready for ready in wait(list(busy)) if isinstance(ready, Connection)):
            try:
                answer = connection.recv()
            except (EOFError, OSError):
                raise _died(task.folds[busy[connection]], crew[connection]) from None
            if isinstance(answer, BaseException):
                raise answer
            report(answer)
            if answer.seconds is None:
                continue
            del busy[connection]
            if todo:
                busy[connection] = todo.pop(0)
                connection.send(busy[connection])


def _died(fold: Fold, process: Any) -> Interrupted:
    process.join(5)
    if process.exitcode == -signal.SIGKILL:
        reason = "was killed, most likely because memory ran out; run the same command again with fewer --jobs"
    else:
        reason = f"ended with code {process.exitcode}; run the same command again, with --jobs 1 to see more"
    return Interrupted(f"fold {fold.name}: its process {reason}; the folds that are done stay")


@contextlib.contextmanager
def _crew(task: Task, count: int) -> Iterator[dict[Connection, Any]]:
    """Processes that wait for the numbers of folds, by the connection to each; none is left afterwards."""
    context = _context(task.config.model)
    crew: dict[Connection, Any] = {}
    try:
        for worker in range(count):
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(there, task, worker, count), daemon=True)
            process.start()
            there.close()
            crew[here] = process
        yield crew
    finally:
        for process in crew.values():
            process.terminate()
        for process in crew.values():
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()


def _context(model: str) -> Any:
    """How processes are made. A fork of this one, which has used torch's threads, would hang.

    On Linux they are forked from a process that has imported torch, and timm for models with its networks, and nothing
    more, and so share the 500 MB that it has written by then.
    """
    if sys.platform != "linux":
        return mp.get_context("spawn")
    # Huge pages: torch (c10/core/impl/alloc_cpu.cpp) reads this at its first tensor, which the import of timm makes.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["trainer.train", "trainer.saved", *(["timm"] if find(model).pretrained else [])])
    return context


def _work(connection: Connection, task: Task, worker: int, count: int) -> None:
    """The life of a process of the crew, which are so many."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with_the_run()
    try:
        from trainer.inputs import arrange_memory

        samples = task.stored.open()
        arrange_memory(task.config, samples.cubes.shape[2], count)
        compute = _computer(task, samples, worker)
        while True:
            compute(connection.recv(), connection.send)
    except EOFError:
        return
    except Exception as error:
        with contextlib.suppress(ConnectionError):  # a run that was killed hears nothing
            connection.send(_sendable(error))


def _die_with_the_run() -> None:
    """Has Linux end this process when the run's is killed, which ends the one that it was forked from."""
    if sys.platform == "linux":
        set_death_signal = 1  # PR_SET_PDEATHSIG of sys/prctl.h
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
        parent = mp.parent_process()
        if parent is None or not parent.is_alive():
            os._exit(1)


def _sendable(error: Exception) -> Exception:
    if isinstance(error, FlowkitError):
        return type(error)(str(error))
    with contextlib.suppress(Exception):
        pickle.loads(pickle.dumps(error))
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")

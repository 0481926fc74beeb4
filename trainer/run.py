"""A run: from an extraction's output to the predictions of all folds in the run's folder."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from flowkit.cpus import available_cpus
from flowkit.errors import InputError, OutputError
from trainer.catalogue import find
from trainer.data import load
from trainer.folds import Fold
from trainer.inputs import choose_device, torch_threads
from trainer.models import build_model
from trainer.pool import Report, Task, run_folds
from trainer.protocols import split
from trainer.run_folder import RunFolder, held, require_this_run, seeds_in, settle, settle_seeds
from trainer.samples import Samples, shuffle_labels
from trainer.scores import decided
from trainer.store import allocate, put, scratch
from trainer.train import FoldResult, Heads, load_weights, require_trainable, run_fold
from trainer.types import RunConfig

FORMAT_VERSION = 2
PACKAGES = ("flowkit-mer", "torch", "timm", "scikit-learn", "numpy", "opencv-contrib-python-headless", "pyarrow")


@dataclass(frozen=True, slots=True)
class RunResult:
    """The pooled predictions of all folds; row i is row i of the samples."""

    heads: Heads
    """Probabilities of each head, (n, classes of the head), each row from the one fold that had not seen its person."""
    ethnic_classes: tuple[str, ...]
    """The classes of the head "ethnicity": those that any fold has learnt. A class that the row's own fold has not
    learnt has probability 0."""
    fold_of: NDArray[np.int64]
    """(n,) the fold that predicted each row."""
    folds: list[FoldResult]
    device: str
    threads: int
    multi_label: bool = False

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """(n, classes) of the head that decides: fusion where there is one."""
        return self.heads.get("fusion", self.heads["emotion"])

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(n,) the most probable class, the first of equals; or (n, units) zeros and ones, 1 above one half."""
        return decided(self.probabilities, units=self.multi_label)


def run(
    out: Path,
    folder: Path,
    config: RunConfig,
    *,
    jobs: int | None = None,
    save_weights: bool = False,
    overwrite: bool = False,
    later: Sequence[tuple[Path, RunConfig]] = (),
    seeds: Path | None = None,
    report: Report = lambda event: None,
    announce: Callable[[Samples, Sequence[Fold], int], None] = lambda samples, folds, done: None,
    finish: Callable[[Samples, RunResult], None] = lambda samples, result: None,
) -> tuple[Samples, RunResult]:
    """Computes the folds that the folder does not hold yet, and gives the samples and all predictions.

    The same samples, config, software and machine give the same bits, whatever `jobs` is and however often the run was
    stopped and continued.

    Args:
        out: the output folder of flowkit extract.
        folder: of the run; one that holds this run already is continued.
        jobs: folds at a time; None for as many as there are CPU cores (of `threads` each), or 4 a GPU.
        save_weights: keep each fold's trained network.
        overwrite: an earlier run of other choices in the folder may be removed.
        later: folders and choices of runs of other seeds that are to follow: what would refuse them does so before the
            first fold is computed.
        seeds: the folder of the runs of all seeds, where this is one of them: the others must be of the same choices,
            or are removed with `overwrite`.
        report: is told of each epoch and fold.
        announce: is told, before the first fold, of the samples, the folds, and how many of them are done.
        finish: is told of the samples and all predictions while no other run can write to the folder.

    Raises:
        InputError: for an input that the configuration does not fit.
        OutputError: if the folder holds something else.
        Interrupted: if memory or disk space runs out, or a process dies.
    """
    if save_weights and config.model == "svc":
        raise InputError("model='svc' has no weights to save; leave out --save-weights")
    with held(folder) as place:
        if others := seeds_in(folder):
            raise OutputError(f"{folder} holds the runs of {len(others)} seeds; choose another folder")
        with scratch(folder / "cubes") as files:
            loaded = load(out, config, partial(allocate, files))
            samples, folds = _prepared(loaded, config)
            require_readable(samples, config)
            for path, other in later:
                _require_later(loaded, path, other, overwrite=overwrite)
            record = describe(samples, folds, config)
            if seeds is not None:
                settle_seeds(seeds, folder, record, overwrite=overwrite)
            settle(folder, record, overwrite=overwrite)
            todo = [fold.index for fold in folds if not place.done(fold, weights=save_weights)]
            announce(samples, folds, len(folds) - len(todo))
            if todo:
                task = Task(put(samples, files), folds, config, place, save_weights)
                run_folds(task, todo, jobs or default_jobs(config), report)
        # The files of the cubes are gone, but their pages stay as long as these samples.
        result = pooled(samples, [_from_file(place, fold) for fold in folds], config)
        finish(samples, result)
    return samples, result


def _prepared(loaded: Samples, config: RunConfig) -> tuple[Samples, list[Fold]]:
    """What a run is trained on, and its folds, of which each can be."""
    samples = shuffle_labels(loaded, config.seed) if config.shuffle_labels else loaded
    folds = folds_of(samples, config)
    require_trainable(samples, folds, config)
    return samples, folds


def _require_later(loaded: Samples, folder: Path, config: RunConfig, *, overwrite: bool) -> None:
    """Raises what a run of another seed would, which divides people into other folds and has a folder of its own."""
    try:
        samples, folds = _prepared(loaded, config)
    except InputError as error:
        raise InputError(f"seed {config.seed}: {error}; give other seeds by --seed, or another --protocol") from error
    if not overwrite:
        require_this_run(folder, describe(samples, folds, config))


def run_here(
    samples: Samples, config: RunConfig, on_fold: Callable[[FoldResult, int], None] = lambda result, total: None
) -> RunResult:
    """All folds one after another in this process, nothing written; `on_fold` is told of each with their number."""
    folds = folds_of(samples, config)
    device, weights = choose_device(config.device), load_weights(config)
    results = []
    with torch_threads(config.threads):
        for fold in folds:
            results.append(run_fold(samples, fold, config, device=device, weights=weights))
            on_fold(results[-1], len(folds))
    return pooled(samples, results, config)


def folds_of(samples: Samples, config: RunConfig) -> list[Fold]:
    """The folds of the run's protocol; raises as `trainer.protocols.split` and `trainer.folds.people`."""
    return split(config.protocol, samples.people, samples.dataset, config.seed)


def pooled(samples: Samples, results: list[FoldResult], config: RunConfig) -> RunResult:
    """The folds' predictions in the order of the samples."""
    groups = tuple(sorted({name for result in results for name in result.ethnic_classes}))
    fold_of = np.full(len(samples), -1, dtype=np.int64)
    heads: Heads = {}
    for result in results:
        rows = result.fold.held_out
        fold_of[rows] = result.fold.index
        for name, values in result.heads.items():
            width = len(groups) if name == "ethnicity" else values.shape[1]
            columns = np.arange(width)
            if name == "ethnicity":
                columns = np.array([groups.index(group) for group in result.ethnic_classes])
            pool = heads.setdefault(name, np.zeros((len(samples), width), dtype=np.float32))
            pool[np.ix_(rows, columns)] = values
    if (fold_of < 0).any():
        raise OutputError(
            f"{samples.clip_id[int(np.argmin(fold_of))]}: no fold has predicted it; report this as a fault"
        )
    device = str(choose_device(config.device))
    return RunResult(heads, groups, fold_of, results, device, config.threads, config.target == "au12")


def describe(samples: Samples, folds: list[Fold], config: RunConfig) -> dict[str, Any]:
    """What config.json holds: all that decides the run's numbers, and what they are about."""
    info = find(config.model)
    weights = {
        name: {"source": found.source, "digest": found.digest}
        for name, found in zip(("motion", "context"), load_weights(config), strict=True)
        if found is not None
    }
    return {
        "format_version": FORMAT_VERSION,
        "config": config.to_dict(),
        "classes": list(config.classes),
        "model": {"parameters": parameters(samples, config), "size": info.size, "source": info.source},
        "weights": weights,
        "versions": versions(),
        "device": str(choose_device(config.device)),
        "input": {
            **samples.source,
            "cube_shape": list(samples.cubes.shape[1:]),
            "rows": len(samples),
            "clips": len(set(samples.clip_id)),
            "people": len(set(samples.people)),
            "group_column": samples.group_column,
        },
        "samples_sha256": samples.digest(),
        "folds": division(folds),
    }


def division(folds: Sequence[Fold]) -> list[dict[str, Any]]:
    """What config.json says of the folds."""
    return [{"fold": f.index, "name": f.name, "train": len(f.train), "held_out": len(f.held_out)} for f in folds]


def parameters(samples: Samples, config: RunConfig) -> int | None:
    """How many numbers the model learns; None for one that is no network. Raises as `build_model`."""
    if config.model == "svc":
        return None
    return sum(parameter.numel() for parameter in _without_memory(samples, config).parameters())


def require_readable(samples: Samples, config: RunConfig) -> None:
    """InputError where the model cannot read pictures of the samples' size, as many of timm's; as `build_model` too."""
    if config.model == "svc":
        return
    model = _without_memory(samples, config).eval()
    pictures = [
        torch.zeros(2, *rows.shape[1:], device="meta") for rows in (samples.cubes, samples.rgb) if rows is not None
    ]
    try:
        model(*pictures)
    except (AssertionError, RuntimeError) as error:
        side = " x ".join(map(str, samples.cubes.shape[2:]))
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"model={config.model!r}: cannot read cubes of {side} px ({reason}); choose a --size"
        ) from error


def _without_memory(samples: Samples, config: RunConfig) -> torch.nn.Module:
    """The model with shapes alone."""
    groups = max(2, len({group for group in samples.group if group is not None}))
    with torch.device("meta"):
        return build_model(
            config.model, classes=len(config.classes), ethnic_classes=groups, fusion=config.fusion, shared=config.shared
        )


def default_jobs(config: RunConfig) -> int:
    """As many folds at a time as there are CPUs for their threads; 4 on each GPU, of which none fills one."""
    if config.model == "svc":
        return 1  # done before a process has started
    if choose_device(config.device).type == "cuda":
        return 4 * torch.cuda.device_count()
    return max(1, available_cpus() // config.threads)


def versions() -> dict[str, str | None]:
    """Versions of what decides the numbers; None for a package that runs without being installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _from_file(place: RunFolder, fold: Fold) -> FoldResult:
    read = place.read_fold(fold)
    if read is None:
        raise OutputError(f"{place.fold_path(fold.index)}: is damaged; run the same command again")
    about = read.about
    return FoldResult(
        fold, read.heads, tuple(about["ethnic_classes"]), about["curves"], about["epoch"], about["seconds"]
    )

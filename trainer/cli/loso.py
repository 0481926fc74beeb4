"""The command `flowkit-train loso`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowkit.errors import InputError
from trainer.catalogue import CATALOGUE
from trainer.cli.endings import stoppable
from trainer.types import (
    DEVICES,
    FUSIONS,
    NORMALISATIONS,
    OPTIMISERS,
    PRECISIONS,
    PRESETS,
    SELECTIONS,
    SLIPS,
    TARGETS,
    RunConfig,
    resolve_config,
)

if TYPE_CHECKING:
    from trainer.folds import Fold
    from trainer.pool import Event
    from trainer.run import RunResult
    from trainer.samples import Samples

EXAMPLE = "Example: flowkit-train loso out/ -o run/ --model dual-resnet18 --size 112 --seed 1"
EVERY_SECONDS = 10.0


def loso(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The output folder of flowkit extract.")],
    run: Annotated[
        Path, typer.Option("--output", "-o", metavar="RUN", help="Folder for predictions, metrics and report.")
    ],
    model: Annotated[
        str | None, typer.Option(help=f"{', '.join(CATALOGUE)}, or a network of timm. Default: resnet18.")
    ] = None,
    preset: Annotated[str, typer.Option(help=f"Protocol, epochs, batch, size: {', '.join(PRESETS)}.")] = "standard",
    protocol: Annotated[
        str | None,
        typer.Option(help="loso, cde, loso-per-dataset, hde, megc2019, cd6me or kfold:K. Default: loso, by person."),
    ] = None,
    datasets: Annotated[
        str | None, typer.Option(metavar="A,B", help="Use only the rows of these datasets. Default: all.")
    ] = None,
    target: Annotated[str | None, typer.Option(help=f"{' or '.join(TARGETS)}. Default: emotion3.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Number of epochs; overrides the preset.")] = None,
    select: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(SELECTIONS),
            help="fixed: the last epoch counts. inner: the best one on a fifth of the training people. Default: fixed.",
        ),
    ] = None,
    size: Annotated[int | None, typer.Option(help="Resize cubes to this side in px. Default: as extracted.")] = None,
    seed: Annotated[int, typer.Option(help="Of initial weights, order of samples, shuffled labels.")] = 0,
    seeds: Annotated[
        int,
        typer.Option(min=1, help="Runs with so many seeds, from --seed on, in RUN/seed-N; mean and spread of them."),
    ] = 1,
    batch: Annotated[int | None, typer.Option(help="Batch size; overrides the preset.")] = None,
    lr: Annotated[float | None, typer.Option(help="The first step size; overrides the preset.")] = None,
    optimiser: Annotated[str | None, typer.Option(help=f"{' or '.join(OPTIMISERS)}; overrides the preset.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Overrides the preset.")] = None,
    loss_weights: Annotated[
        str | None,
        typer.Option(
            metavar="EMO,ETHNIC,FUSION", help="Of the losses of a dual model's heads, in their sum. Default: 1,1,1."
        ),
    ] = None,
    normalise: Annotated[
        str | None, typer.Option(help=f"{', '.join(NORMALISATIONS)}. Default: {RunConfig().normalise}.")
    ] = None,
    fusion: Annotated[
        str | None, typer.Option(help=f"Of a dual model's features: {', '.join(FUSIONS)}. Default: concat.")
    ] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="One backbone for emotion and ethnicity, as the paper's released code has.")
    ] = False,
    pretrained: Annotated[
        str | None, typer.Option(metavar="FILE|hub", help="Weights of the backbone on the cube; hub downloads them.")
    ] = None,
    pretrained_rgb: Annotated[
        str | None, typer.Option(metavar="FILE|hub", help="Weights of the backbone on the apex frame.")
    ] = None,
    role: Annotated[str | None, typer.Option(help="Which pairs to use. Default: onset-apex.")] = None,
    shuffle_labels: Annotated[
        bool, typer.Option("--shuffle-labels", help="Null control: permute the emotions over the clips.")
    ] = False,
    slip: Annotated[
        list[str] | None,
        typer.Option(help=f"Repeat a mistake of published code on purpose: {', '.join(SLIPS)}. May be given again."),
    ] = None,
    device: Annotated[str | None, typer.Option(help=f"{', '.join(DEVICES)}. Default: auto.")] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help=f"{' or '.join(PRECISIONS)}: half the time on CPUs with AVX-512 BF16 or AMX; changes results, though "
            "less than a seed does. Default: fp32."
        ),
    ] = None,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile the network first, which takes a minute a process.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="CPU threads a fold; more change results. Default: 1.")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Folds at a time; changes no result. Default: one a CPU core.")
    ] = None,
    save_weights: Annotated[
        bool, typer.Option("--save-weights", help="Keep each fold's trained network, in RUN/weights.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Logs for TensorBoard, in RUN/tensorboard.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run of other choices in RUN.")] = False,
) -> None:
    """Leave one person out: train on all others, predict the one, pool the predictions, score them.

    Run it again to continue after a stop. Exit codes: 0 done, 2 bad input, 3 stopped and resumable.
    """
    with stoppable():
        config = resolve_config(
            preset,
            model=model,
            protocol=protocol,
            datasets=tuple(name.strip() for name in datasets.split(",")) if datasets else None,
            target=target,
            epochs=epochs,
            select=select,
            size=size,
            seed=seed,
            batch=batch,
            lr=lr,
            optimiser=optimiser,
            weight_decay=weight_decay,
            loss_weights=None if loss_weights is None else _weights(loss_weights),
            normalise=normalise,
            fusion=fusion,
            shared=shared or None,
            pretrained=pretrained,
            pretrained_rgb=pretrained_rgb,
            role=role,
            shuffle_labels=shuffle_labels or None,
            slips=tuple(slip) if slip else None,
            device=device,
            precision=precision,
            compile=compile_ or None,
            threads=threads,
        )
        how: dict[str, Any] = {
            "jobs": jobs,
            "save_weights": save_weights,
            "overwrite": overwrite,
            "tensorboard": tensorboard,
        }
        if seeds == 1:
            _loso(out, run, config, **how)
        else:
            _seeds(out, run, [replace(config, seed=seed + k) for k in range(seeds)], **how)


def _weights(given: str) -> tuple[float, ...]:
    try:
        return tuple(float(weight) for weight in given.split(","))
    except ValueError as error:
        raise InputError(
            f"--loss-weights: {given!r} must be three numbers with commas between, as in 1,0.5,1"
        ) from error


def _seeds(out: Path, folder: Path, configs: Sequence[RunConfig], **how: Any) -> None:
    from flowkit.output.files import put_text
    from trainer.cli.compare import lines
    from trainer.comparison import compare, read_finished
    from trainer.run_folder import SEEDS

    folders = [folder / f"seed-{config.seed}" for config in configs]
    runs = list(zip(folders, configs, strict=True))
    later = runs[1:]  # they are looked at once, before the first
    for each, config in runs:
        typer.echo(f"seed {config.seed}")
        _loso(out, each, config, later=later, seeds=folder, **how)
        later = []
    found = compare([read_finished(each) for each in folders])
    put_text(folder / SEEDS, json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    typer.echo("\n".join(lines(found)))


def _loso(out: Path, folder: Path, config: RunConfig, *, tensorboard: bool, **how: Any) -> None:
    from trainer.inputs import arrange_memory
    from trainer.results import write_run
    from trainer.run import run
    from trainer.run_folder import TENSORBOARD
    from trainer.scores import headline, no_result
    from trainer.tensorboard import require_tensorboard, write_logs

    if tensorboard:
        require_tensorboard()
    progress = Progress(config)

    def begin(samples: Samples, folds: Sequence[Fold], done: int) -> None:
        arrange_memory(config, samples.cubes.shape[2], jobs=1)  # other processes have theirs
        progress.begin(samples, folds, done)

    def finish(samples: Samples, result: RunResult) -> None:
        summary = write_run(folder, samples, config, result)
        if tensorboard:
            write_logs(folder / TENSORBOARD, summary, result)
        people = f"{len(samples)} pairs of {len(set(samples.people))} people"
        shuffled = ", labels shuffled" if config.shuffle_labels else ""
        typer.echo(f"{headline(summary['metrics'])}; {people}{shuffled}{no_result(config.slips)}")
        typer.echo(f"report: {folder / 'report.html'}")

    run(out, folder, config, report=progress.show, announce=begin, finish=finish, **how)


class Progress:
    """A line for each fold and, in long folds, every few seconds one for an epoch, with the time left."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._folds = 0
        self._done = 0
        self._earlier = 0
        self._epochs: dict[int, int] = {}
        self._start = self._said = time.monotonic()

    def begin(self, samples: Samples, folds: Sequence[Fold], done: int) -> None:
        """Says what is trained on, and what an earlier run has left to do."""
        self._folds, self._done, self._earlier = len(folds), done, done
        self._start = self._said = time.monotonic()
        side = " x ".join(str(n) for n in samples.cubes.shape[2:])
        without = samples.source["without_emotion3"]
        left_out = f", {without} more without a label left out" if without else ""
        as_is = samples.source["extracted_sizes"] == [list(samples.cubes.shape[2:])]
        size = f" of {side} px" if as_is else f", resized to {side} px with u and v in proportion"
        typer.echo(f"{len(samples)} {self._config.role} pairs{size}{left_out}")
        if done:
            typer.echo(f"{done} of {len(folds)} folds are done already")

    def show(self, event: Event) -> None:
        """The line of an epoch, where the last line is some seconds old, or of a finished fold."""
        fold = event.fold
        if event.seconds is not None:
            self._done += 1
            self._epochs.pop(fold.index, None)
            said = f"{len(fold.held_out)} pairs, {event.seconds:.1f} s"
        else:
            self._epochs[fold.index] = event.epoch
            said = f"epoch {event.epoch}/{event.epochs}"
            if time.monotonic() - self._said < EVERY_SECONDS or event.epoch == event.epochs:
                return
        self._said = time.monotonic()
        typer.echo(f"fold {self._done}/{self._folds}  held out {fold.name}: {said}{self._left()}")
        sys.stdout.flush()

    def _left(self) -> str:
        begun = sum(epoch / self._config.epochs for epoch in self._epochs.values())
        computed = self._done - self._earlier + begun
        seconds = (time.monotonic() - self._start) / computed * (self._folds - self._done - begun)
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f", about {hours}:{minutes:02d}:{rest:02d} left" if seconds >= 0.5 else ""

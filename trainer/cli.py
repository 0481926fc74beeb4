"""The command flowkit-train."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowkit.errors import FlowkitError, Interrupted, run_command
from trainer.studies.commands import app as study_app
from trainer.types import DEVICES, MODELS, NORMALISATIONS, PRESETS, RunConfig, resolve_config

if TYPE_CHECKING:
    from trainer.data import Samples
    from trainer.train import FoldResult

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

OPTIONAL = ("torch", "timm", "matplotlib", "jinja2")
EXAMPLE = "Example: flowkit-train loso out/ -o run/ --model dual-resnet18 --size 112 --seed 1"


app.add_typer(study_app, name="study")


@app.callback()
def train() -> None:
    """Train and evaluate micro-expression models on the shards of flowkit extract."""


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What flowkit demo DIR has made.")],
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train on the demo of flowkit demo, and write the page DIR/index.html that shows both."""
    with _reported(debug):
        from trainer.demo.tour import run

        run(folder)


@app.command(epilog=EXAMPLE)
def loso(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The output folder of flowkit extract.")],
    run: Annotated[
        Path, typer.Option("--output", "-o", metavar="RUN", help="Folder for predictions, metrics and report.")
    ],
    model: Annotated[str | None, typer.Option(help=f"{' or '.join(MODELS)}. Default: {MODELS[0]}.")] = None,
    preset: Annotated[str, typer.Option(help=f"Epochs, batch, size: {', '.join(PRESETS)}.")] = "standard",
    epochs: Annotated[int | None, typer.Option(help="Fixed number of epochs; overrides the preset.")] = None,
    size: Annotated[int | None, typer.Option(help="Resize cubes to this side in px. Default: as extracted.")] = None,
    seed: Annotated[int, typer.Option(help="Of initial weights, order of samples, shuffled labels.")] = 0,
    batch: Annotated[int | None, typer.Option(help="Batch size; overrides the preset.")] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's first step size; overrides the preset.")] = None,
    normalise: Annotated[
        str | None, typer.Option(help=f"{', '.join(NORMALISATIONS)}. Default: {RunConfig().normalise}.")
    ] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="A file of ResNet-18 weights, or hub to download them.")
    ] = None,
    role: Annotated[str | None, typer.Option(help="Which pairs to use. Default: onset-apex.")] = None,
    shuffle_labels: Annotated[
        bool, typer.Option("--shuffle-labels", help="Null control: permute the emotions over the clips.")
    ] = False,
    device: Annotated[str | None, typer.Option(help=f"{', '.join(DEVICES)}. Default: auto.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads. Default: all cores.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in RUN.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Leave one subject out: train on all others, predict the one, pool the predictions, score them."""
    with _reported(debug):
        config = resolve_config(
            preset,
            model=model,
            epochs=epochs,
            size=size,
            seed=seed,
            batch=batch,
            lr=lr,
            normalise=normalise,
            pretrained=pretrained,
            role=role,
            shuffle_labels=shuffle_labels,
            device=device,
            threads=threads,
        )
        _loso(out, run, config, overwrite=overwrite)


@contextmanager
def _reported(debug: bool) -> Iterator[None]:
    """Turns an error into one line and an exit code; with `debug` it is left to show its traceback."""
    # Threads that spin while they wait make training 6 times slower on a machine that has other work.
    # OpenMP reads this when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        yield
    except ModuleNotFoundError as error:
        if debug or error.name not in OPTIONAL:
            raise
        typer.echo(f"flowkit-train: {error.name} is not installed; pip install 'flowkit-mer[train]'", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("flowkit-train: stopped; run the same command again", err=True)
        raise typer.Exit(Interrupted.exit_code) from None
    except FlowkitError as error:
        if debug:
            raise
        typer.echo(f"flowkit-train: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


def _loso(out: Path, run: Path, config: RunConfig, *, overwrite: bool) -> None:
    from trainer.data import load, shuffle_labels
    from trainer.results import claim, write_run
    from trainer.train import run_loso

    samples = load(out, config)
    if config.shuffle_labels:
        samples = shuffle_labels(samples, config.seed)
    claim(run, overwrite=overwrite)
    _announce(samples, config)
    progress = Progress()
    try:
        result = run_loso(samples, config, progress.show)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped after {progress.done} folds; nothing was written, run it again for all") from None
    summary = write_run(run, samples, config, result)
    overall = summary["metrics"]["overall"]
    typer.echo(
        f"UF1 {overall['uf1']:.3f}, UAR {overall['uar']:.3f}, accuracy {overall['accuracy']:.3f} over {overall['n']} "
        f"pairs of {len(result.folds)} subjects{', labels shuffled' if config.shuffle_labels else ''}"
    )
    typer.echo(f"report: {run / 'report.html'}")


def _announce(samples: Samples, config: RunConfig) -> None:
    side = " x ".join(str(n) for n in samples.cubes.shape[2:])
    without = samples.source["without_emotion3"]
    left_out = f", {without} more without emotion3 left out" if without else ""
    as_is = samples.source["extracted_sizes"] == [list(samples.cubes.shape[2:])]
    size = f" of {side} px" if as_is else f", resized to {side} px with u and v in proportion"
    typer.echo(f"{len(samples)} {config.role} pairs{size}{left_out}")


class Progress:
    """One line a fold, with its seconds and the time left."""

    def __init__(self) -> None:
        self.done = 0
        self.seconds = 0.0

    def show(self, result: FoldResult, total: int) -> None:
        """Print the line of a finished fold."""
        self.done += 1
        self.seconds += result.seconds
        left = self.seconds / self.done * (total - self.done)
        typer.echo(
            f"fold {self.done}/{total}  held out {result.fold.name}: {len(result.fold.held_out)} pairs, "
            f"{result.seconds:.1f} s, about {left:.0f} s left"
        )
        sys.stdout.flush()


def main() -> None:
    """Entry point of the console script: errors that no command tells are one line too."""
    sys.exit(
        run_command(
            "flowkit-train", lambda arguments: app(args=arguments, prog_name="flowkit-train", standalone_mode=False)
        )
    )


if __name__ == "__main__":
    main()

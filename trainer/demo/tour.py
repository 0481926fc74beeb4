"""`flowkit-train demo`: a LOSO run on the shards of `flowkit demo`, and the page that shows both."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowkit.errors import InputError
from flowkit.output.files import put_text
from trainer.demo.page import page
from trainer.pool import Event
from trainer.results import write_run
from trainer.run import RunResult
from trainer.run import run as run_all
from trainer.samples import Samples
from trainer.scores import headline
from trainer.types import RunConfig

Say = Callable[[str], None]


def run(folder: Path, *, epochs: int = 5, seed: int = 0, say: Say = print) -> Path:
    """Trains on a folder of `flowkit demo` and writes its page; returns the page to look at.

    `say` is given a line for each fold.

    Raises:
        InputError: if the folder holds no finished demo.
    """
    folder = Path(folder).absolute()
    found = _finished_demo(folder)
    start = time.perf_counter()
    metrics = _loso(folder, epochs, seed, say)
    text = headline(metrics)
    seconds = time.perf_counter() - start
    say(f"LOSO       {seconds:6.1f} s   {text}; chance is 0.33")
    figures = [
        *found["figures"],
        ["leave one subject out, OFF-ApexNet", text],
        ["training and testing", f"{seconds:.0f} s"],
    ]
    put_text(folder / "index.html", page(figures, found["views"]))
    say(f"open {folder / 'index.html'}")
    return folder / "index.html"


def config_of(epochs: int = 5, seed: int = 0) -> RunConfig:
    """What the demo trains: a shallow network, for 84 clips and a second a fold, where ResNet-18 takes 25.

    Each cube is scaled by itself, because
    about half of the clips move less than a third as much as the strongest. On the CPU by one thread: the same result
    on any number of cores, and no waiting for one that another program has.
    """
    return RunConfig(model="off-apexnet", epochs=epochs, batch=8, normalise="minmax", seed=seed, device="cpu")


def _finished_demo(folder: Path) -> dict[str, Any]:
    """What DIR/demo.json says; an InputError where there is none, or the demo was stopped."""
    try:
        found: dict[str, Any] = json.loads((folder / "demo.json").read_text(encoding="utf-8"))
        found["figures"], found["views"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder} holds no finished demo; run flowkit demo {folder} first") from error
    return found


def _loso(folder: Path, epochs: int, seed: int, say: Say) -> dict[str, Any]:
    config = config_of(epochs, seed)

    def on_event(event: Event) -> None:
        if event.seconds is not None:
            say(f"  fold {event.fold.index + 1}{event.seconds:6.1f} s   tested on {event.fold.name}")

    metrics: dict[str, Any] = {}

    def finish(samples: Samples, result: RunResult) -> None:
        metrics.update(write_run(folder / "loso", samples, config, result)["metrics"])

    run_all(folder / "shards", folder / "loso", config, jobs=1, overwrite=True, report=on_event, finish=finish)
    return metrics

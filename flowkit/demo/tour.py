"""The demo from end to end: dataset, extraction, comparison with the truth, a LOSO run, pictures, a page."""

from __future__ import annotations

import importlib.util
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from flowkit.canvas import write_png
from flowkit.datasets import read_manifest
from flowkit.demo.dataset import make_dataset, truth_path
from flowkit.demo.page import page
from flowkit.demo.pictures import Result, contact_sheet, montage
from flowkit.demo.render import EMOTIONS
from flowkit.extract import extract
from flowkit.shard import read
from flowkit.types import Clip, InputError, OutputError
from flowkit.view import render

Say = Callable[[str], None]
MARK = "demo.json"
_MADE = ("frames", "truth", "shards", "loso", "pictures", "manifest.parquet", "index.html")
_NEEDED = {"skimage": "demo", "torch": "train", "timm": "train", "sklearn": "train", "matplotlib": "train"}


def run(
    folder: Path,
    *,
    subjects: int = 8,
    clips: int = 4,
    size: int = 128,
    epochs: int = 10,
    seed: int = 0,
    say: Say = print,
) -> Path:
    """Make the demo dataset in a folder, extract it, check it, train on it, draw it; returns the page to look at.

    The folder is new or empty, or holds an earlier demo, which is replaced. `say` is given a line for each step.

    Raises:
        InputError: if the folder holds something else, or an optional dependency is missing.
        OutputError: if the folder cannot be written.
    """
    _require_dependencies()
    folder = Path(folder).absolute()
    choices = {"subjects": subjects, "clips": clips, "size": size, "epochs": epochs, "seed": seed}
    _claim(folder, choices)
    start = time.perf_counter()
    with _step(say, "dataset") as note:
        people = read_manifest(make_dataset(folder, subjects=subjects, clips=clips, size=size, seed=seed))
        note(f"{len(people)} clips of {subjects} subjects, {size} x {size} px")
    with _step(say, "extraction") as note:
        summary = extract(folder / "manifest.parquet", folder / "shards", pairs="onset-apex")
        note(f"{summary.computed} pairs, {summary.failed} failed, {summary.pairs_per_second:.0f} pairs/s")
    with _step(say, "truth") as note:
        results = _results(folder, people)
        error = float(np.mean([result.error_px for result in results]))
        motion = float(np.mean([result.motion_px for result in results]))
        note(f"mean endpoint error {error:.3f} px; finding no motion at all would be {motion:.3f} px")
    with _step(say, "LOSO") as note:
        scores = _loso(folder, epochs, seed, say)
        note(f"UF1 {scores['uf1']:.3f}, UAR {scores['uar']:.3f}, accuracy {scores['accuracy']:.3f}; chance is 0.33")
    with _step(say, "pictures") as note:
        views = _draw(folder, people, results)
        note(f"{len(views) + 2} in {folder / 'pictures'}")
    figures = [
        ("clips, subjects, groups", f"{len(people)}, {subjects}, {len({clip.group for clip in people})}"),
        ("pairs computed, failed", f"{summary.computed}, {summary.failed}"),
        ("speed of the extraction", f"{summary.pairs_per_second:.0f} pairs/s"),
        ("mean endpoint error of the flow", f"{error:.4f} px"),
        ("the same for finding no motion", f"{motion:.4f} px"),
        ("LOSO: UF1, UAR, accuracy", f"{scores['uf1']:.3f}, {scores['uar']:.3f}, {scores['accuracy']:.3f}"),
        ("the whole demo", f"{time.perf_counter() - start:.0f} s"),
    ]
    (folder / "index.html").write_text(page(figures, views), encoding="utf-8")
    say(f"done in {time.perf_counter() - start:.0f} s; open {folder / 'index.html'}")
    return folder / "index.html"


def _require_dependencies() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        extras = ",".join(sorted({_NEEDED[name] for name in missing}))
        raise InputError(f"the demo needs {', '.join(missing)}: pip install 'flowkit-mer[{extras}]'")


def _claim(folder: Path, choices: dict[str, int]) -> None:
    """Make the folder ready; only what an earlier demo made is ever removed."""
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
            raise InputError(f"{folder} is not empty and holds no demo; give a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).write_text(json.dumps(choices, indent=1) + "\n")
        for name in _MADE:
            path = folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error}") from error


@contextmanager
def _step(say: Say, name: str) -> Iterator[Say]:
    """Say what a step came to, with its seconds, when it ends."""
    start = time.perf_counter()
    notes: list[str] = []
    yield notes.append
    say(f"{name:<11}{time.perf_counter() - start:6.1f} s   {notes[-1]}")


def _results(folder: Path, clips: Sequence[Clip]) -> list[Result]:
    shards = read(folder / "shards")
    names = shards.table(["clip_id"])["clip_id"].to_pylist()
    cubes = (cube for shard in shards.cubes() for cube in shard)
    by_id = {clip.clip_id: clip for clip in clips}
    return [
        Result(by_id[name], np.load(truth_path(folder, name)), cube) for name, cube in zip(names, cubes, strict=True)
    ]


def _loso(folder: Path, epochs: int, seed: int, say: Say) -> dict[str, Any]:
    from trainer.data import load
    from trainer.results import claim, write_run
    from trainer.train import FoldResult, run_loso
    from trainer.types import resolve_config

    # Each cube is scaled by itself, because about half of the clips move less than a third as much as the strongest.
    # One thread: the same result on any number of cores, and no waiting for one that another program has.
    config = resolve_config("quick", epochs=epochs, size=48, normalise="minmax", seed=seed, device="cpu", threads=1)

    def on_fold(result: FoldResult, folds: int) -> None:
        say(f"  fold {result.fold.index + 1} of {folds}{result.seconds:6.1f} s   tested on {result.fold.subject}")

    claim(folder / "loso", overwrite=True)
    samples = load(folder / "shards", config)
    summary = write_run(folder / "loso", samples, config, run_loso(samples, config, on_fold))
    overall: dict[str, Any] = summary["metrics"]["overall"]
    return overall


def _draw(folder: Path, clips: Sequence[Clip], results: Sequence[Result]) -> list[tuple[str, str]]:
    """Write all pictures; returns caption and relative path of those of single clips."""
    write_png(folder / "pictures" / "subjects.png", contact_sheet(clips))
    write_png(folder / "pictures" / "montage.png", montage(results, list(EMOTIONS)))
    views: list[tuple[str, str]] = []
    for emotion in EMOTIONS:
        # Another person for each emotion.
        shown = [result for result in results if result.clip.emotion == emotion]
        people = sorted({str(result.clip.subject) for result in shown})
        subject = people[(2 * len(views) + 1) % len(people)]
        mine = [result for result in shown if result.clip.subject == subject]
        clip = max(mine, key=lambda result: result.peak_px).clip
        path = f"pictures/{clip.clip_id}.png"
        render(folder / "shards", clip.clip_id, folder / path)
        views.append((f"{clip.emotion} (AU {clip.au}), {clip.subject}", path))
    return views

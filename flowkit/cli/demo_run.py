"""What `flowkit demo` does: a small dataset with known motion, extracted, compared with the truth, and drawn."""

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

from flowkit.datasets import read_manifest
from flowkit.errors import InputError, OutputError
from flowkit.extraction.run import extract
from flowkit.output.files import put_text
from flowkit.output.shard import read
from flowkit.pictures.canvas import write_picture
from flowkit.pictures.pair import render
from flowkit.pictures.truth import Result, contact_sheet, montage
from flowkit.synthetic.dataset import make_dataset, truth_path
from flowkit.synthetic.render import EMOTIONS
from flowkit.types import Clip

Say = Callable[[str], None]
MARK = "demo.json"
"""What a demo's folder is known by; it holds the demo's choices, figures and pictures."""
_MADE = ("frames", "truth", "shards", "loso", "pictures", "manifest.parquet", "index.html")


def run(
    folder: Path,
    *,
    subjects: int = 8,
    clips: int = 4,
    size: int = 128,
    seed: int = 0,
    difficulty: str = "hard",
    say: Say = print,
) -> dict[str, Any]:
    """Makes the demo dataset in a folder, extracts it, compares it with the truth, and draws it.

    The folder is new or empty, or holds an earlier demo, which is replaced. `difficulty` is that of `make_dataset`.
    `say` is given a line for each step.

    Returns:
        What DIR/demo.json holds: the choices, the figures as (name, value), the pictures as (caption, path).

    Raises:
        InputError: if the folder holds something else, or scikit-image, which has the portrait, is missing.
        OutputError: if the folder cannot be written.
    """
    if importlib.util.find_spec("skimage") is None:
        raise InputError("the demo needs scikit-image: pip install 'flowkit-mer[demo]'")
    folder = Path(folder).absolute()
    choices = {"subjects": subjects, "clips": clips, "size": size, "seed": seed, "difficulty": difficulty}
    _claim(folder, choices)
    with step(say, "dataset") as note:
        made = make_dataset(folder, subjects=subjects, clips=clips, size=size, seed=seed, difficulty=difficulty)
        people = read_manifest(made)
        note(f"{len(people)} clips of {subjects} subjects, {size} x {size} px")
    with step(say, "extraction") as note:
        summary = extract(folder / "manifest.parquet", folder / "shards", pairs="onset-apex")
        note(f"{summary.computed} pairs, {summary.failed} failed, {summary.pairs_per_second:.0f} pairs/s")
    with step(say, "truth") as note:
        results = _results(folder, people)
        error = float(np.mean([result.error_px for result in results]))
        motion = float(np.mean([result.motion_px for result in results]))
        note(f"mean endpoint error {error:.3f} px; finding no motion at all would be {motion:.3f} px")
    with step(say, "pictures") as note:
        views = _draw(folder, people, results)
        note(f"{len(views) + 2} in {folder / 'pictures'}")
    figures = [
        ("clips, subjects, groups", f"{len(people)}, {subjects}, {len({clip.group for clip in people})}"),
        ("pairs computed, failed", f"{summary.computed}, {summary.failed}"),
        ("speed of the extraction", f"{summary.pairs_per_second:.0f} pairs/s"),
        ("mean endpoint error of the flow", f"{error:.4f} px"),
        ("the same for finding no motion", f"{motion:.4f} px"),
    ]
    found = {"choices": choices, "figures": figures, "views": views}
    put_text(folder / MARK, json.dumps(found, indent=1) + "\n")
    say(f"look at {folder / 'pictures' / 'montage.png'}; flowkit-train demo {folder} trains on it")
    return found


@contextmanager
def step(say: Say, name: str) -> Iterator[Say]:
    """Says what a step came to, with its seconds, when it ends."""
    start = time.perf_counter()
    notes: list[str] = []
    yield notes.append
    say(f"{name:<11}{time.perf_counter() - start:6.1f} s   {notes[-1]}")


def _claim(folder: Path, choices: dict[str, Any]) -> None:
    """Makes the folder ready; only what an earlier demo made is ever removed."""
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
            raise InputError(f"{folder} is not empty and holds no demo; give a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).write_text(json.dumps({"choices": choices}, indent=1) + "\n")
        for name in _MADE:
            path = folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error}") from error


def _results(folder: Path, clips: Sequence[Clip]) -> list[Result]:
    shards = read(folder / "shards")
    names = shards.table(["clip_id"])["clip_id"].to_pylist()
    cubes = (cube for shard in shards.cubes() for cube in shard)
    by_id = {clip.clip_id: clip for clip in clips}
    return [
        Result(by_id[name], np.load(truth_path(folder, name)), cube) for name, cube in zip(names, cubes, strict=True)
    ]


def _draw(folder: Path, clips: Sequence[Clip], results: Sequence[Result]) -> list[tuple[str, str]]:
    """Writes all pictures; returns caption and relative path of those of single clips."""
    write_picture(folder / "pictures" / "subjects.png", contact_sheet(clips))
    write_picture(folder / "pictures" / "montage.png", montage(results, list(EMOTIONS)))
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

"""The files of a run: predictions.parquet, metrics.json and, by way of `report`, report.html."""

from __future__ import annotations

import json
import platform
from collections import Counter
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flowkit.errors import OutputError
from flowkit.output.files import put
from trainer.data import Samples
from trainer.metrics import score, score_by
from trainer.report import render
from trainer.train import LosoResult
from trainer.types import CLASSES, RunConfig

SCHEMA_VERSION = 1
FILES = ("predictions.parquet", "report.html", "metrics.json")
"""In the order of writing: a folder with a metrics.json is a whole run."""

PREDICTIONS = pa.schema(
    [
        ("clip_id", pa.string()),
        ("pair_id", pa.string()),
        ("dataset", pa.string()),
        ("subject", pa.string()),
        ("group", pa.string()),
        ("fold", pa.int32()),
        ("true", pa.string()),
        ("predicted", pa.string()),
        ("probabilities", pa.list_(pa.float32())),
    ]
)
"""`true` is what was scored: the permuted emotion in a run with shuffled labels. Probabilities are in the order of
CLASSES, which is in the file's metadata. `group` is the manifest's group, or its ethnicity where no clip has one."""


def claim(run: Path, *, overwrite: bool) -> None:
    """Make the folder of a run.

    Raises OutputError where it holds an earlier run (unless that may be overwritten), or cannot be made.
    """
    present = [name for name in FILES if (run / name).exists()]
    if present and not overwrite:
        names = ", ".join(present)
        raise OutputError(f"{run}: holds {names} of an earlier run; choose another folder or add --overwrite")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{run}: cannot be made ({error.strerror}); choose another folder") from error


def write_run(run: Path, samples: Samples, config: RunConfig, result: LosoResult) -> dict[str, Any]:
    """Write all files of a run, each whole or not at all, and give what metrics.json holds."""
    summary = summarise(samples, config, result)
    sink = pa.BufferOutputStream()
    pq.write_table(predictions_table(samples, result), sink, compression="zstd")
    content = {
        "predictions.parquet": sink.getvalue().to_pybytes(),
        "report.html": render(summary).encode(),
        "metrics.json": (json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode(),
    }
    (run / "metrics.json").unlink(missing_ok=True)  # never the new predictions beside the old metrics
    for name in FILES:
        put(run / name, partial(_write, content[name]))
    return summary


def predictions_table(samples: Samples, result: LosoResult) -> pa.Table:
    """One row a sample, see PREDICTIONS."""
    columns = {
        "clip_id": samples.clip_id,
        "pair_id": samples.pair_id,
        "dataset": samples.dataset,
        "subject": samples.subject,
        "group": samples.group,
        "fold": result.fold_of,
        "true": [CLASSES[k] for k in samples.emotion],
        "predicted": [CLASSES[k] for k in result.predicted],
        "probabilities": list(result.probabilities),
    }
    return pa.table(columns, schema=PREDICTIONS.with_metadata({"classes": json.dumps(CLASSES)}))


def summarise(samples: Samples, config: RunConfig, result: LosoResult) -> dict[str, Any]:
    """Everything about a run: its choices, versions, input, scores and caveats, ready for JSON."""
    true, predicted = samples.emotion, result.predicted
    majority = np.full_like(true, np.bincount(true).argmax())
    seconds = [fold.seconds for fold in result.folds]
    return {
        "schema_version": SCHEMA_VERSION,
        "config": config.to_dict(),
        "classes": list(CLASSES),
        "versions": versions(),
        "device": result.device,
        "threads": result.threads,
        "input": {
            **samples.source,
            "cube_shape": list(samples.cubes.shape[1:]),
            "rows": len(samples),
            "clips": len(set(samples.clip_id)),
            "subjects": len(result.folds),
            "group_column": samples.group_column,
        },
        "metrics": {
            "overall": score(true, predicted).to_dict(),
            "per_group": _parts("group", samples, list(samples.group), result),
            "per_dataset": _parts("dataset", samples, list(samples.dataset), result),
            "majority_class": score(true, majority).to_dict(),
        },
        "folds": [
            {
                "fold": fold.fold.index,
                "dataset": fold.fold.dataset,
                "subject": fold.fold.subject,
                "train": len(fold.fold.train),
                "held_out": len(fold.fold.held_out),
                "correct": int((predicted == true)[fold.fold.held_out].sum()),
                "seconds": round(fold.seconds, 3),
            }
            for fold in result.folds
        ],
        "seconds_per_fold": round(float(np.mean(seconds)), 3),
        "caveats": caveats(samples, config, result),
    }


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _parts(name: str, samples: Samples, keys: list[str | None], result: LosoResult) -> list[dict[str, Any]]:
    people = set(zip(keys, samples.dataset, samples.subject, strict=True))
    subjects = Counter(key for key, _, _ in people)
    scores = score_by(keys, samples.emotion, result.predicted)
    return [{name: key, "subjects": subjects[key], **part.to_dict()} for key, part in scores.items()]


def caveats(samples: Samples, config: RunConfig, result: LosoResult) -> list[str]:
    """What a reader must know before believing the scores, in sentences."""
    notes = []
    if config.shuffle_labels:
        notes.append(
            "Emotions were permuted over the clips: this run is a null control and its scores mean nothing else."
        )
    missing, failed, unlabelled = (
        samples.source.get(k, 0) for k in ("missing_pairs", "failed_pairs", "without_emotion3")
    )
    if missing:
        notes.append(f"The extraction is not finished: {missing} planned pairs are missing here.")
    if failed:
        notes.append(f"{failed} planned pairs of the extraction failed and are missing here.")
    if unlabelled:
        notes.append(f"{unlabelled} pairs have no emotion3 in the manifest and were left out.")
    if len(result.folds) < 10:
        notes.append(f"There are only {len(result.folds)} subjects: one unusual subject can move every score.")
    for name, count in zip(CLASSES, np.bincount(samples.emotion, minlength=len(CLASSES)), strict=True):
        if count < 20:
            notes.append(f"Class {name} has only {count} rows: its F1 is uncertain, and UF1 with it.")
    for fold in result.folds:
        absent = set(range(len(CLASSES))) - set(samples.emotion[fold.fold.train].tolist())
        if absent and len(set(samples.emotion.tolist())) == len(CLASSES):
            names = ", ".join(CLASSES[k] for k in sorted(absent))
            notes.append(f"Without {fold.fold.name} no training row shows {names}: that fold cannot predict it.")
    return notes + _group_caveats(samples)


def _group_caveats(samples: Samples) -> list[str]:
    groups = {group for group in samples.group if group is not None}
    if not groups:
        return ["The manifest gives neither group nor ethnicity, so there are no scores by group."]
    notes = []
    sets = {group: {d for g, d in zip(samples.group, samples.dataset, strict=True) if g == group} for group in groups}
    alone = sorted(group for group, datasets in sets.items() if len(datasets) == 1)
    if len(set(samples.dataset)) > 1 and alone:
        only = ", ".join(f"{group} from {next(iter(sets[group])) or 'an unnamed dataset'}" for group in alone)
        notes.append(
            f"Groups from a single dataset ({only}): "
            "a difference between groups cannot be told from one between datasets."
        )
    for group, count in sorted(Counter(g for g in samples.group if g is not None).items()):
        if count < 30:
            notes.append(f"Group {group} has only {count} rows: read its scores as a hint at most.")
    return notes


def versions() -> dict[str, str | None]:
    """Versions of what decides the numbers; None for a package that runs without being installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in ("flowkit-mer", "torch", "timm", "numpy", "opencv-contrib-python-headless", "pyarrow"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found

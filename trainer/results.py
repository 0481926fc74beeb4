"""The results of a run: predictions.parquet, tables/, report.html by way of `report`, and metrics.json."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flowkit.errors import OutputError
from flowkit.output.files import make_folder, put
from trainer.audit.predictions import Predictions
from trainer.audit.run import audit_samples, with_training
from trainer.exports import mean_curves, tables_of
from trainer.protocols.composite import composition
from trainer.report import Page, render
from trainer.run import RunResult, versions
from trainer.run_folder import GRAD_CAM, METRICS, REPORT, RESULTS, SCHEMA_VERSION, TABLES, read_summary
from trainer.run_folder import PREDICTIONS as PREDICTIONS_FILE
from trainer.samples import Samples
from trainer.scores import labels_of, run_scores
from trainer.statistics import DRAWS
from trainer.train import fold_seed, inner_split
from trainer.types import SLIPS, RunConfig

PREDICTIONS = pa.schema(
    [
        ("clip_id", pa.string()),
        ("pair_id", pa.string()),
        ("dataset", pa.string()),
        ("subject", pa.string()),
        ("person", pa.string()),
        ("group", pa.string()),
        ("fold", pa.int32()),
        ("true", pa.string()),
        ("predicted", pa.string()),
        ("probabilities", pa.list_(pa.float32())),
        ("emotion_head", pa.list_(pa.float32())),
        ("ethnicity_head", pa.list_(pa.float32())),
    ]
)
"""`true` is what was scored: the permuted emotion in a run with shuffled labels. `person` is whose rows a fold holds
out together. Probabilities are those of the head that decides, in the order of `classes` in the file's metadata; the
other heads' stand beside them, null where the model lacks them, those of ethnicity in the order of `ethnic_classes`.
The metadata names the `protocol`, too, by which people are held out.
`group` is the manifest's group, or its ethnicity where no clip has one. Action units are written as "AU4+AU7"."""


def write_run(run: Path, samples: Samples, config: RunConfig, result: RunResult) -> dict[str, Any]:
    """Write all files of a run, each whole or not at all, and give what metrics.json holds."""
    table = predictions_table(samples, config, result)
    summary = summarise(samples, config, result, run)
    tables = tables_of(summary, samples, result)
    mistakes = tables["misclassified"].to_pylist() if "misclassified" in tables else []
    content = {
        PREDICTIONS_FILE: as_parquet(table),
        REPORT: render(Page(summary, mistakes, grad_cam_of(run))).encode(),
        METRICS: (json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode(),
    }
    (run / METRICS).unlink(missing_ok=True)  # never the new predictions beside the old metrics
    for name, rows in tables.items():
        make_folder(run / TABLES)
        put(run / TABLES / f"{name}.parquet", partial(_write, as_parquet(rows)))
    for name in RESULTS:
        put(run / name, partial(_write, content[name]))
    return summary


def read_page(run: Path) -> Page:
    """What a finished run's folder holds for its page; OutputError where it holds none, or one of another version."""
    try:
        summary = read_summary(run)
        mistakes = []
        if summary["config"]["target"] == "emotion3":
            mistakes = pq.read_table(run / TABLES / "misclassified.parquet").to_pylist()
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{run} holds no finished run to report; give a folder of flowkit-train loso that is done"
        ) from error
    return Page(summary, mistakes, grad_cam_of(run))


def grad_cam_of(run: Path) -> bytes | None:
    """The panels that `flowkit-train study grad-cam` has left in a run's folder; None where it has not."""
    path = run / GRAD_CAM
    return path.read_bytes() if path.is_file() else None


def as_parquet(table: pa.Table) -> bytes:
    """The bytes of a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def predictions_table(samples: Samples, config: RunConfig, result: RunResult) -> pa.Table:
    """One row a sample, see PREDICTIONS."""
    n, heads = len(samples), result.heads
    columns = {
        "clip_id": samples.clip_id,
        "pair_id": samples.pair_id,
        "dataset": samples.dataset,
        "subject": samples.subject,
        "person": samples.people,
        "group": samples.group,
        "fold": result.fold_of,
        "true": _named(samples.targets, config.classes),
        "predicted": _named(result.predicted, config.classes),
        "probabilities": list(result.probabilities),
        "emotion_head": list(heads["emotion"]) if "fusion" in heads else [None] * n,
        "ethnicity_head": list(heads["ethnicity"]) if "ethnicity" in heads else [None] * n,
    }
    about = {
        "classes": json.dumps(config.classes),
        "ethnic_classes": json.dumps(result.ethnic_classes),
        "protocol": config.protocol,
    }
    return pa.table(columns, schema=PREDICTIONS.with_metadata(about))


def _named(values: NDArray[np.int64], classes: tuple[str, ...]) -> list[str]:
    """Class names of (n,) class numbers, or the units shown of (n, units) zeros and ones."""
    if values.ndim == 1:
        return [classes[k] for k in values]
    return ["+".join(name for name, shown in zip(classes, row, strict=True) if shown) for row in values]


def summarise(samples: Samples, config: RunConfig, result: RunResult, run: Path) -> dict[str, Any]:
    """Everything about a run: its choices, versions, input, scores, audit and caveats, ready for JSON.

    Args:
        run: its folder, where the audit looks for saved networks.
    """
    folds = [fold.fold for fold in result.folds]
    metrics = run_scores(samples, result.predicted, result.heads, result.ethnic_classes, folds)
    right = (result.predicted == samples.targets).reshape(len(samples), -1).all(axis=1)
    seconds = [fold.seconds for fold in result.folds]
    return {
        "schema_version": SCHEMA_VERSION,
        "config": config.to_dict(),
        "classes": list(config.classes),
        "versions": versions(),
        "device": result.device,
        "threads": result.threads,
        "input": {
            **samples.source,
            "cube_shape": list(samples.cubes.shape[1:]),
            "rows": len(samples),
            "clips": len(set(samples.clip_id)),
            "people": len(set(samples.people)),
            "group_column": samples.group_column,
            **({"megc2019": composition(samples.dataset, samples.clip_id)} if config.protocol == "megc2019" else {}),
        },
        "metrics": metrics,
        "curves": mean_curves(result),
        "audit": _audited(samples, config, result, run),
        "folds": [
            {
                "fold": fold.fold.index,
                "name": fold.fold.name,
                "train": len(fold.fold.train),
                "held_out": len(fold.fold.held_out),
                "correct": int(right[fold.fold.held_out].sum()),
                "epoch": fold.epoch,
                "seconds": round(fold.seconds, 3),
            }
            for fold in result.folds
        ],
        "seconds_per_fold": round(float(np.mean(seconds)), 3),
        "caveats": caveats(samples, config, result) + _interval_caveats(samples, config, metrics["overall"]),
    }


def _audited(samples: Samples, config: RunConfig, result: RunResult, run: Path) -> list[dict[str, Any]]:
    """The findings of the audit, as `flowkit-train audit` gives them, of predictions that are not on disk yet."""
    targets, predicted = (_named(values, config.classes) for values in (samples.targets, result.predicted))
    classes = tuple(sorted({*targets, *predicted}))
    epochs = {fold.fold.index: fold.epoch for fold in result.folds}
    fold_of = result.fold_of.tolist()
    found = Predictions(
        clip=tuple(samples.clip_id),
        person=samples.people,
        fold=tuple(map(str, fold_of)),
        true=np.array([classes.index(name) for name in targets], dtype=np.int64),
        predicted=np.array([classes.index(name) for name in predicted], dtype=np.int64),
        classes=classes,
        epoch=tuple(epochs[fold] for fold in fold_of),
        units=config.classes if config.target == "au12" else (),
    )
    folds = [fold.fold for fold in result.folds]
    found = with_training(found, samples, folds, config)
    return [finding.to_dict() for finding in audit_samples(found, samples, folds, config, run)]


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def caveats(samples: Samples, config: RunConfig, result: RunResult) -> list[str]:
    """What a reader must know before believing the scores, in sentences."""
    of = _unit_caveats(samples, config) if config.target == "au12" else _class_caveats(samples, config)
    return [*_run_caveats(samples, config), *of, *_unseen(samples, config, result), *_group_caveats(samples)]


def _run_caveats(samples: Samples, config: RunConfig) -> list[str]:
    notes = []
    labels, column = ("Action units", "au") if config.target == "au12" else ("Emotions", "emotion3")
    if config.shuffle_labels:
        notes.append(
            f"{labels} were permuted over the clips: this run is a null control and its scores mean nothing else."
        )
    notes += [f"This run repeats a slip on purpose, and is no result: {SLIPS[slip]}." for slip in config.slips]
    missing, failed, unlabelled = (
        samples.source.get(k, 0) for k in ("missing_pairs", "failed_pairs", "without_emotion3")
    )
    if missing:
        notes.append(f"The extraction is not finished: {missing} planned pairs are missing here.")
    if failed:
        notes.append(f"{failed} planned pairs of the extraction failed and are missing here.")
    if unlabelled:
        notes.append(f"{unlabelled} pairs have no {column} in the manifest and were left out.")
    if (people := len(set(samples.people))) < 10:
        notes.append(f"There are only {people} people: one unusual person can move every score.")
    return notes


def _class_caveats(samples: Samples, config: RunConfig) -> list[str]:
    notes = []
    for name, count in zip(config.classes, _shown(samples, config).sum(axis=0).tolist(), strict=True):
        if not count:
            notes.append(f"Class {name} has no rows: UF1 and UAR are means over the other classes.")
        elif count < 20:
            notes.append(f"Class {name} has only {count} rows: its F1 is uncertain, and UF1 with it.")
    return notes


def _unit_caveats(samples: Samples, config: RunConfig) -> list[str]:
    counts = dict(zip(config.classes, _shown(samples, config).sum(axis=0).tolist(), strict=True))
    absent = [name for name, count in counts.items() if not count]
    rare = [f"{name} ({count})" for name, count in counts.items() if 0 < count < 20]
    notes = []
    if absent:
        notes.append(f"No row shows {', '.join(absent)}: there is no F1 of them, and means are over the other units.")
    if rare:
        notes.append(f"Fewer than 20 rows show {', '.join(rare)}: their F1 are uncertain, and the means with them.")
    return notes


def _shown(samples: Samples, config: RunConfig) -> NDArray[np.bool_]:
    """(n, classes), which class a row is of, or which units it shows."""
    if samples.units is None:
        return np.equal.outer(samples.emotion, np.arange(len(config.classes)))
    return samples.units > 0


def _unseen(samples: Samples, config: RunConfig, result: RunResult) -> list[str]:
    notes, shown = [], _shown(samples, config)
    for fold in result.folds:
        rows, _ = inner_split(samples, fold.fold, config, fold_seed(config.seed, fold.fold.index))
        absent = shown.any(axis=0) & ~shown[rows].any(axis=0)
        if absent.any():
            names = ", ".join(np.array(config.classes)[absent])
            notes.append(
                f"Without {fold.fold.name} no row that is trained on shows {names}: that fold cannot predict it."
            )
    return notes


def _interval_caveats(samples: Samples, config: RunConfig, overall: Mapping[str, Any]) -> list[str]:
    scores = [label for label in labels_of(overall).values() if label != "accuracy"]
    if not (left_out := next(iter(overall["intervals"].values()))["left_out"]):
        return []
    people = np.array(samples.people)
    shown_by = {
        name: len(set(people[rows].tolist()))
        for name, rows in zip(config.classes, _shown(samples, config).T, strict=True)
        if rows.any()
    }
    label, count = min(shown_by.items(), key=lambda pair: pair[1])
    named, kind = (f"Class {label}", "class") if samples.units is None else (label, "unit")
    people_told = "1 person" if count == 1 else f"{count} people"
    return [
        f"{named} is shown by {people_told} only: {left_out} of {DRAWS} draws of people lack a {kind}, and are left "
        f"out of the intervals of {' and '.join(scores)}."
    ]


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

"""What a run found as tables: RUN/tables/*.parquet, beside the JSON of the same content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from trainer.pictures import cube_picture
from trainer.run import RunResult
from trainer.samples import Samples
from trainer.scores import f1_by_class, labels_of
from trainer.types import CLASSES

MISCLASSIFIED = 12
"""So many of the surest mistakes are kept with their pictures."""
BASELINES = {"majority_class": "always the commonest class", "always_shown": "always every unit"}


def tables_of(summary: dict[str, Any], samples: Samples, result: RunResult) -> dict[str, pa.Table]:
    """All tables of a run by name, from what its metrics.json holds and from the run itself."""
    metrics = summary["metrics"]
    tables = {
        "folds": pa.Table.from_pylist(summary["folds"]),
        "audit": pa.Table.from_pylist(summary["audit"]),
        "curves": curves_table(result),
        "scores": scores_table(metrics),
        "gaps": gaps_table(metrics["gaps"], tuple(labels_of(metrics["overall"]))),
    }
    if result.multi_label:
        return {**tables, "units": units_table(metrics["overall"])}
    return {
        **tables,
        "confusion": confusion_table(metrics["overall"]["confusion"]),
        "misclassified": misclassified_table(samples, result),
    }


def scores_table(metrics: Mapping[str, Any]) -> pa.Table:
    """A row a part: all rows, clips, each group, dataset and head, and what looks at no picture."""
    parts = [("all", "", metrics["overall"]), ("clips", "", metrics["by_clip"])]
    parts += [("group", part["group"], part) for part in metrics["per_group"]]
    parts += [("dataset", part["dataset"], part) for part in metrics["per_dataset"]]
    parts += [("head", name, part) for name, part in metrics["heads"].items()]
    parts += [(told, "", metrics[name]) for name, told in BASELINES.items() if name in metrics]
    scores = dict.fromkeys([*labels_of(metrics["overall"]), "accuracy"])  # of the ethnicity head there is that alone
    names = list(f1_by_class(metrics["overall"]))
    return pa.Table.from_pylist([_score_row(*part, scores, names) for part in parts if part[2] is not None])


def _score_row(
    of: str, name: str | None, part: Mapping[str, Any], scores: Iterable[str], names: Sequence[str]
) -> dict[str, Any]:
    row: dict[str, Any] = {"of": of, "name": name, "n": part["n"], "people": part.get("people")}
    row["classes"] = len(part.get("shown", part.get("classes", ())))  # that the means are over
    for score in scores:
        interval = part.get("intervals", {}).get(score, {})
        row |= {score: part.get(score), f"{score}_low": interval.get("low"), f"{score}_high": interval.get("high")}
    f1 = f1_by_class(part)
    return row | {f"f1_{label}": f1.get(label) for label in names}


def units_table(overall: Mapping[str, Any]) -> pa.Table:
    """A row a unit: rows, those and the people who show it, rows predicted to, and its F1 with intervals."""
    counts, scores = ("support", "people", "predicted"), tuple(labels_of(overall))
    schema = pa.schema(
        [("unit", pa.string())]
        + [(name, pa.int64()) for name in ("n", *counts)]
        + [(f"{score}{end}", pa.float64()) for score in scores for end in ("", "_low", "_high")]
    )
    rows = [
        {
            "unit": name,
            "n": overall["n"],
            **{count: unit[count] for count in counts},
            **{score: unit[score] for score in scores},
            **{f"{score}_{end}": unit["intervals"][score][end] for score in scores for end in ("low", "high")},
        }
        for name, unit in overall["au"].items()
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def gaps_table(gaps: Sequence[Mapping[str, Any]], scores: Sequence[str]) -> pa.Table:
    """A row for every two groups, or datasets: the first one's score less the second one's."""
    schema = pa.schema(
        [("of", pa.string()), ("first", pa.string()), ("second", pa.string()), ("comparable", pa.bool_())]
        + [(f"{score}{end}", pa.float64()) for score in scores for end in ("", "_low", "_high")]
    )
    rows = [
        {
            "of": gap["of"],
            "first": gap["between"][0],
            "second": gap["between"][1],
            "comparable": gap["comparable"],
            **{
                f"{score}{end}": gap[score][key]
                for score in scores
                for end, key in (("", "value"), ("_low", "low"), ("_high", "high"))
            },
        }
        for gap in gaps
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def confusion_table(confusion: Sequence[Sequence[int]]) -> pa.Table:
    """A row for every true and predicted class."""
    rows = [
        {"true": true, "predicted": predicted, "count": confusion[i][j]}
        for i, true in enumerate(CLASSES)
        for j, predicted in enumerate(CLASSES)
    ]
    return pa.Table.from_pylist(rows)


def curves_table(result: RunResult) -> pa.Table:
    """A row for every fold and epoch, as `trainer.train.Curves` has it; without rows for what has no epochs."""
    rows = [{"fold": fold.fold.index, **epoch} for fold in result.folds for epoch in fold.curves]
    if not rows:
        return pa.table({"fold": pa.array([], pa.int64()), "epoch": pa.array([], pa.int64())})
    return pa.Table.from_pylist(rows)


def mean_curves(result: RunResult) -> list[dict[str, Any]]:
    """Of each epoch its number, and of each loss (mean, lowest, highest) over the folds, None where one has none."""
    epochs: dict[int, dict[str, list[float | None]]] = {}
    for fold in result.folds:
        for number, curve in enumerate(fold.curves, 1):
            found = epochs.setdefault(number, {})
            for name, value in curve.items():
                if "loss" in name:
                    found.setdefault(name, []).append(value)
    return [
        {"epoch": epoch, **{name: _mean_and_ends(values) for name, values in found.items()}}
        for epoch, found in sorted(epochs.items())
    ]


def _mean_and_ends(values: Sequence[float | None]) -> list[float | None]:
    finite = [value for value in values if value is not None]
    if len(finite) < len(values):
        return [None, None, None]
    return [float(np.mean(finite)), min(finite), max(finite)]


def misclassified_table(samples: Samples, result: RunResult) -> pa.Table:
    """The mistakes that the model was surest of, with the picture of each cube (PNG); `of` says how many there are."""
    predicted, probabilities = result.predicted, result.probabilities
    wrong = np.flatnonzero(predicted != samples.emotion)
    sure = probabilities[wrong, predicted[wrong]]
    rows = wrong[np.argsort(-sure, kind="stable")][:MISCLASSIFIED]
    schema = pa.schema(
        [(name, pa.string()) for name in ("clip_id", "pair_id", "person", "group", "true", "predicted")]
        + [("probability", pa.float64()), ("of", pa.int64()), ("picture", pa.binary())]
    )
    found = [
        {
            "clip_id": samples.clip_id[i],
            "pair_id": samples.pair_id[i],
            "person": samples.people[i],
            "group": samples.group[i],
            "true": CLASSES[samples.emotion[i]],
            "predicted": CLASSES[predicted[i]],
            "probability": float(probabilities[i, predicted[i]]),
            "of": len(wrong),
            "picture": cube_picture(np.asarray(samples.cubes[i])),
        }
        for i in rows
    ]
    return pa.Table.from_pylist(found, schema=schema)

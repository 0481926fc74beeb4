"""What a run found as tables: RUN/tables/*.parquet, beside the JSON of the same content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from trainer.pictures import cube_picture
from trainer.run import RunResult
from trainer.samples import Samples
from trainer.types import CLASSES

MISCLASSIFIED = 12
"""So many of the surest mistakes are kept with their pictures."""
SCORES = ("uf1", "uar", "accuracy")


def tables_of(summary: dict[str, Any], samples: Samples, result: RunResult) -> dict[str, pa.Table]:
    """All tables of a run by name, from what its metrics.json holds and from the run itself."""
    tables = {
        "folds": pa.Table.from_pylist(summary["folds"]),
        "audit": pa.Table.from_pylist(summary["audit"]),
        "curves": curves_table(result),
    }
    if not result.multi_label:
        metrics = summary["metrics"]
        tables |= {
            "scores": scores_table(metrics),
            "gaps": gaps_table(metrics["gaps"]),
            "confusion": confusion_table(metrics["overall"]["confusion"]),
            "misclassified": misclassified_table(samples, result),
        }
    return tables


def scores_table(metrics: Mapping[str, Any]) -> pa.Table:
    """A row a part: all rows, clips, each group, dataset and head, and always the commonest class."""
    parts = [("all", "", metrics["overall"]), ("clips", "", metrics["by_clip"])]
    parts += [("group", part["group"], part) for part in metrics["per_group"]]
    parts += [("dataset", part["dataset"], part) for part in metrics["per_dataset"]]
    parts += [("head", name, part) for name, part in metrics["heads"].items()]
    parts += [("always the commonest class", "", metrics["majority_class"])]
    return pa.Table.from_pylist([_score_row(*part) for part in parts if part[2] is not None])


def _score_row(of: str, name: str | None, part: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"of": of, "name": name, "n": part["n"], "people": part.get("people")}
    for score in SCORES:
        interval = part.get("intervals", {}).get(score, {})
        row |= {score: part.get(score), f"{score}_low": interval.get("low"), f"{score}_high": interval.get("high")}
    row |= {f"f1_{label}": part.get("f1", {}).get(label) for label in CLASSES}
    return row


def gaps_table(gaps: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A row for every two groups, or datasets: the first one's score less the second one's."""
    schema = pa.schema(
        [("of", pa.string()), ("first", pa.string()), ("second", pa.string()), ("comparable", pa.bool_())]
        + [(f"{score}{end}", pa.float64()) for score in SCORES for end in ("", "_low", "_high")]
    )
    rows = [
        {
            "of": gap["of"],
            "first": gap["between"][0],
            "second": gap["between"][1],
            "comparable": gap["comparable"],
            **{
                f"{score}{end}": gap[score][key]
                for score in SCORES
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
    """A row for every fold and epoch, as `trainer.train.Trained.curves` has it; without rows for what has no epochs."""
    rows = [{"fold": fold.fold.index, **epoch} for fold in result.folds for epoch in fold.curves]
    if not rows:
        return pa.table({"fold": pa.array([], pa.int64()), "epoch": pa.array([], pa.int64())})
    return pa.Table.from_pylist(rows)


def mean_curves(result: RunResult) -> list[dict[str, Any]]:
    """Of each epoch its number, and of each loss (mean, lowest, highest) over the folds."""
    epochs: dict[int, dict[str, list[float]]] = {}
    for fold in result.folds:
        for curve in fold.curves:
            found = epochs.setdefault(int(curve["epoch"]), {})
            for name, value in curve.items():
                if "loss" in name:
                    found.setdefault(name, []).append(value)
    return [
        {
            "epoch": epoch,
            **{name: [float(np.mean(v)), float(np.min(v)), float(np.max(v))] for name, v in found.items()},
        }
        for epoch, found in sorted(epochs.items())
    ]


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

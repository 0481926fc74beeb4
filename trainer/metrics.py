"""Scores from pooled predictions: confusion matrix, per-class F1, UF1, UAR, accuracy.

UF1 and UAR are those of the Facial Micro-expressions Grand Challenge (See et al., MEGC 2019): predictions of all folds
are pooled first, then per-class F1 and recall are averaged with equal weight. Some groups of subjects have no clip of
some class. Recall is undefined there and F1 can only be 0, so such a class is left out of that group's means; every
score says how many classes its means are over, and means over different numbers of classes should not be compared.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flowkit.errors import InputError
from trainer.types import CLASSES

Key = TypeVar("Key", bound=Hashable)


def confusion(true: ArrayLike, predicted: ArrayLike, classes: int = len(CLASSES)) -> NDArray[np.int64]:
    """Counts, shape (classes, classes), rows the true class, columns the predicted one.

    Both inputs are (n,) class numbers from 0 to classes - 1; anything else is an InputError.
    """
    rows, columns = np.asarray(true), np.asarray(predicted)
    if rows.shape != columns.shape or rows.ndim != 1:
        raise InputError(f"true {rows.shape} and predicted {columns.shape} must be two equally long lists")
    for name, values in (("true", rows), ("predicted", columns)):
        if len(values) and (values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= classes):
            raise InputError(f"{name} holds values outside the class numbers 0 to {classes - 1}")
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (rows.astype(np.int64), columns.astype(np.int64)), 1)
    return counts


def f1_per_class(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 = 2 TP / (2 TP + FP + FN) of each class, shape (classes,); NaN for a class without true samples."""
    hits = np.diag(counts).astype(np.float64)
    support = counts.sum(axis=1)
    f1 = np.full(len(counts), np.nan)
    np.divide(2 * hits, support + counts.sum(axis=0), out=f1, where=support > 0)
    return f1


def recall_per_class(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """TP / (TP + FN) of each class, shape (classes,); NaN for a class without true samples."""
    support = counts.sum(axis=1)
    recall = np.full(len(counts), np.nan)
    np.divide(np.diag(counts), support, out=recall, where=support > 0)
    return recall


def uf1(counts: NDArray[np.int64]) -> float:
    """Unweighted F1: the mean of per-class F1 over the classes that have true samples."""
    _require_samples(counts)
    return float(np.nanmean(f1_per_class(counts)))


def uar(counts: NDArray[np.int64]) -> float:
    """Unweighted average recall: the mean of per-class recall over the classes that have true samples."""
    _require_samples(counts)
    return float(np.nanmean(recall_per_class(counts)))


def accuracy(counts: NDArray[np.int64]) -> float:
    """The share of correct predictions."""
    _require_samples(counts)
    return float(np.trace(counts) / counts.sum())


def _require_samples(counts: NDArray[np.int64]) -> None:
    if counts.sum() == 0:
        raise InputError("there are no predictions to score")


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one set of predictions."""

    counts: NDArray[np.int64]
    """The confusion matrix, rows true, columns predicted."""

    @property
    def n(self) -> int:
        """Predictions scored."""
        return int(self.counts.sum())

    @property
    def classes(self) -> list[str]:
        """The classes with true samples, over which UF1 and UAR are means."""
        return [name for name, support in zip(CLASSES, self.counts.sum(axis=1), strict=True) if support]

    def to_dict(self) -> dict[str, Any]:
        """All scores by name, ready for JSON; the F1 and recall of a class without true samples are null."""

        def by_class(values: NDArray[np.float64]) -> dict[str, float | None]:
            return {k: None if np.isnan(v) else float(v) for k, v in zip(CLASSES, values, strict=True)}

        return {
            "n": self.n,
            "classes": self.classes,
            "support": {k: int(v) for k, v in zip(CLASSES, self.counts.sum(axis=1), strict=True)},
            "uf1": uf1(self.counts),
            "uar": uar(self.counts),
            "accuracy": accuracy(self.counts),
            "f1": by_class(f1_per_class(self.counts)),
            "recall": by_class(recall_per_class(self.counts)),
            "confusion": self.counts.tolist(),
        }


def score(true: ArrayLike, predicted: ArrayLike) -> Scores:
    """Scores of (n,) predicted against (n,) true class numbers in the order of CLASSES."""
    return Scores(confusion(true, predicted))


def score_by(keys: Sequence[Key], true: ArrayLike, predicted: ArrayLike) -> dict[Key, Scores]:
    """Scores of the rows of each key (a group, a dataset), ordered by key with None last."""
    rows, columns = np.asarray(true), np.asarray(predicted)
    if len(keys) != len(rows):
        raise InputError(f"{len(keys)} keys for {len(rows)} predictions: give one each")
    parts: dict[Key, Scores] = {}
    for key in sorted(set(keys), key=lambda k: (k is None, str(k))):
        chosen = np.array([k == key for k in keys])
        parts[key] = score(rows[chosen], columns[chosen])
    return parts

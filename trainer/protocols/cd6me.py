"""The scorer of CD6ME: F1 of 12 action units from pooled predictions (Varanka et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import InputError
from trainer.types import UNITS

Bits = NDArray[np.int64]


def score_units(true: Bits, predicted: Bits, datasets: Sequence[str | None]) -> dict[str, Any]:
    """Scores of (n, 12) zeros and ones, true and predicted, pooled over all folds first.

    Every F1 is scikit-learn's, undefined ones 0, as in the authors' evaluation. `au` has for each unit its `support`
    (rows that show it) and its F1: `binary`, of showing it, and `macro`, the mean of that and the F1 of not showing it,
    over those of the two that are true or predicted at all. Their means are `binary` and `macro`; `datasets` has the
    same within each dataset. Where no row shows a unit its binary F1 can only be 0, and counts as 0 in the published
    means; `binary_shown` is the mean over the others, `shown` in number.
    """
    if true.shape != predicted.shape or true.ndim != 2 or true.shape[1] != len(UNITS) or len(datasets) != len(true):
        raise InputError(f"true {true.shape}, predicted {predicted.shape} and {len(datasets)} datasets do not fit")
    where = np.array([name or "unnamed" for name in datasets])
    parts = {str(name): _part(true[where == name], predicted[where == name]) for name in np.unique(where)}
    return {**_part(true, predicted), "datasets": parts}


def _part(true: Bits, predicted: Bits) -> dict[str, Any]:
    from sklearn.metrics import f1_score

    units = {}
    for column, unit in enumerate(UNITS):
        t, p = true[:, column], predicted[:, column]
        f1 = {name: float(f1_score(t, p, average=name, zero_division=0)) for name in ("binary", "macro")}
        units[f"AU{unit}"] = {"support": int(t.sum()), **f1}
    scores = list(units.values())
    shown = [unit["binary"] for unit in scores if unit["support"]]
    return {
        "n": len(true),
        "binary": float(np.mean([unit["binary"] for unit in scores])),
        "macro": float(np.mean([unit["macro"] for unit in scores])),
        "binary_shown": float(np.mean(shown)) if shown else None,
        "shown": len(shown),
        "au": units,
    }

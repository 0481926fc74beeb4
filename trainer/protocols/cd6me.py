"""The scorer of CD6ME: F1 of 12 action units from pooled predictions (Varanka et al., 2023)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.statistics import binary_of, counts_by_person, macro_of, unit_f1
from trainer.types import UNITS

Bits = NDArray[np.int64]


def score_units(true: Bits, predicted: Bits) -> dict[str, Any]:
    """Scores of (n, 12) zeros and ones, pooled over all folds first, ready for JSON.

    `au` has for each unit the rows that show it (`support`), those that are `predicted` to, and its F1: `binary`, of
    showing it, and `macro`, the mean of that and the F1 of not showing it, over those of the two that are true or
    predicted at all; null where no row shows the unit. `binary` and `macro` are their means over the `shown` units.

    `cd6me` has the means that are published, over all 12. Every F1 is scikit-learn's there, undefined ones 0, as in the
    authors' evaluation: a unit that no row shows counts as 0 in `binary`, and as 1 in `macro` where none is predicted.
    """
    counts = counts_by_person(true, predicted, ["all"] * len(true))[0]
    f1 = unit_f1(counts)
    units = {}
    for k, unit in enumerate(UNITS):
        own = counts[2 * k : 2 * k + 2]
        means = {"binary": _or_null(binary_of(own)), "macro": _or_null(macro_of(own))}
        units[f"AU{unit}"] = {"support": int(own[1].sum()), "predicted": int(own[:, 1].sum()), **means}
    return {
        "n": len(true),
        "shown": [name for name, unit in units.items() if unit["support"]],
        "binary": _or_null(binary_of(counts)),
        "macro": _or_null(macro_of(counts)),
        "cd6me": {"binary": float(np.nan_to_num(f1[:, 1]).mean()), "macro": float(np.nanmean(f1, axis=1).mean())},
        "au": units,
    }


def _or_null(score: NDArray[np.float64]) -> float | None:
    return None if np.isnan(score) else float(score)

"""K folds by person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowkit.errors import InputError
from trainer.folds import Fold, fold_of_people


def kfold(people: Sequence[str], k: int, seed: int = 0) -> list[Fold]:
    """K folds of people, drawn by `seed` and as equal in number of people as can be; each row is held out once.

    Not balanced by emotion: that would let the labels of held-out people decide who trains. Raises InputError unless k
    is from 2 to the number of people.
    """
    names = sorted(set(people))
    if not 2 <= k <= len(names):
        raise InputError(f"kfold:{k}: must be from 2 to the number of people, {len(names)}")
    order = np.random.default_rng(seed).permutation(len(names))
    who = np.asarray(people)
    everybody = np.ones(len(who), dtype=bool)
    folds = []
    for i, part in enumerate(np.array_split(order, k)):
        held = np.isin(who, [names[j] for j in part])
        folds.append(fold_of_people(i, f"{i + 1} of {k}", everybody, held, people))
    return folds

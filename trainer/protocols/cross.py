"""Between datasets: train on some, test on another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowkit.errors import InputError
from trainer.folds import Fold, fold_of_people


def hde(people: Sequence[str], datasets: Sequence[str | None]) -> list[Fold]:
    """Hold-out database, both ways: one of two datasets trains, the other is held out.

    People who are in both train neither way. Raises InputError unless there are exactly two datasets.
    """
    found = sorted({name or "unnamed" for name in datasets})
    if len(found) != 2:
        raise InputError(f"hde needs two datasets, found {len(found)} ({', '.join(found)}); choose with --datasets A,B")
    return leave_dataset_out(people, datasets)


def leave_dataset_out(people: Sequence[str], datasets: Sequence[str | None]) -> list[Fold]:
    """One fold a dataset: it is held out, all others train, without the people who are in the held-out one too.

    With the six datasets of CD6ME this is its protocol (Varanka et al., 2023). Every row is held out exactly once.
    Raises InputError where there are fewer than two datasets.
    """
    where = np.array([name or "unnamed" for name in datasets])
    names = sorted(set(where.tolist()))
    if len(names) < 2:
        raise InputError(f"leaving one dataset out needs at least two, found {', '.join(names) or 'none'}")
    everybody = np.ones(len(where), dtype=bool)
    return [fold_of_people(i, name, everybody, where == name, people) for i, name in enumerate(names)]

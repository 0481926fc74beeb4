"""Leave one person out: over all rows, or within each dataset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowkit.errors import InputError
from trainer.folds import Fold, fold_of_people


def loso(people: Sequence[str], datasets: Sequence[str | None] = ()) -> list[Fold]:
    """One fold a person, in the order of their names: all rows of one person are held out, all others train.

    Every row is held out exactly once. Raises InputError where there are fewer than two people.
    """
    names = _at_least_two(people, "leave-one-person-out")
    who = np.asarray(people)
    everybody = np.ones(len(who), dtype=bool)
    return [fold_of_people(i, name, everybody, who == name, people) for i, name in enumerate(names)]


def loso_per_dataset(people: Sequence[str], datasets: Sequence[str | None]) -> list[Fold]:
    """One fold for each person of each dataset: the other people of the same dataset train.

    Every row is held out exactly once. Raises InputError for a dataset of fewer than two people.
    """
    who, where = np.asarray(people), np.array([name or "" for name in datasets])
    folds: list[Fold] = []
    for dataset in np.unique(where):
        inside = where == dataset
        for name in _at_least_two(list(who[inside]), f"leave-one-person-out in {dataset or 'the unnamed dataset'}"):
            label = name if name.startswith(f"{dataset}/") else f"{dataset}: {name}"
            folds.append(fold_of_people(len(folds), label, inside, inside & (who == name), people))
    return folds


def _at_least_two(people: Sequence[str], what: str) -> list[str]:
    names = sorted(set(people))
    if len(names) < 2:
        raise InputError(f"{what} needs at least two people, found {len(names)} ({names[0] if names else 'none'})")
    return names

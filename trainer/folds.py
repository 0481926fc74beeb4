"""Leave-one-subject-out folds: which rows train a model, and which single subject it has never seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import InputError


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold: the rows of one held-out subject, and all rows of all other subjects."""

    index: int
    dataset: str | None
    subject: str
    train: NDArray[np.int64]
    """Row numbers, ascending."""
    held_out: NDArray[np.int64]
    """Row numbers, ascending."""

    @property
    def name(self) -> str:
        """The held-out subject as "dataset/subject"."""
        return f"{self.dataset}/{self.subject}" if self.dataset else self.subject


def loso(datasets: Sequence[str | None], subjects: Sequence[str]) -> list[Fold]:
    """One fold a subject, in the order of (dataset, subject), whatever the order of the rows.

    A subject is a (dataset, subject) pair, because datasets number their subjects from 1 independently. Every row is
    held out exactly once. Raises InputError where there are fewer than two subjects.
    """
    if len(datasets) != len(subjects):
        raise InputError(f"{len(datasets)} datasets for {len(subjects)} subjects: give one of each per row")
    keys = [(dataset or "", subject) for dataset, subject in zip(datasets, subjects, strict=True)]
    people = sorted(set(keys))
    if len(people) < 2:
        found = "/".join(people[0]).lstrip("/") if people else "none"
        raise InputError(f"leave-one-subject-out needs at least two subjects, found {len(people)} ({found})")
    number = {person: index for index, person in enumerate(people)}
    owner = np.array([number[key] for key in keys], dtype=np.int64)
    return [
        Fold(
            index=index,
            dataset=dataset or None,
            subject=subject,
            train=np.flatnonzero(owner != index).astype(np.int64),
            held_out=np.flatnonzero(owner == index).astype(np.int64),
        )
        for index, (dataset, subject) in enumerate(people)
    ]

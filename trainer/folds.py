"""Folds: which rows train a model, and which ones, of which people, it has never seen.

A person is whoever is filmed, whatever dataset and subject code: `people` names them, and no fold has one person on
both sides. Which people are held out together is a protocol's choice (trainer/protocols/).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import InputError


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold: the rows that train, and the rows of the people that are held out."""

    index: int
    name: str
    """What is held out: a person, a dataset, a number."""
    train: NDArray[np.int64]
    """Row numbers, ascending."""
    held_out: NDArray[np.int64]
    """Row numbers, ascending; none of a person who is in `train`."""


def people(
    person: Sequence[str | None], dataset: Sequence[str | None], subject: Sequence[str | None]
) -> tuple[str, ...]:
    """The name of each row's person: `person` where it is given, else "dataset/subject", else the subject.

    Datasets number their subjects from 1 independently, so a subject code names a person only within its dataset; and
    two datasets may have filmed the same people, which only `person` can tell. Blanks about a name do not count, nor
    whether its accents are letters of their own (NFD), as some systems write names of files.

    Raises InputError where a subject of a dataset has two persons, or one in some rows only, and for a row that has
    neither person nor subject.
    """
    if not len(person) == len(dataset) == len(subject):
        raise InputError(f"{len(person)} persons, {len(dataset)} datasets, {len(subject)} subjects: give one a row")
    found: dict[tuple[str | None, str], str | None] = {}
    names = []
    columns = ([_plain(value) for value in column] for column in (person, dataset, subject))
    for row, (who, where, code) in enumerate(zip(*columns, strict=True), 1):
        if not who and not code:
            raise InputError(f"row {row}: person and subject are missing, and folds are by person; give one of them")
        name = f"{where}/{code}" if where else str(code)
        if code and (earlier := found.setdefault((where, code), who)) != who:
            raise InputError(f"{name}: is person {earlier!r} in one row and {who!r} in another; give it one in all")
        names.append(who or name)
    return tuple(names)


def _plain(name: str | None) -> str | None:
    return unicodedata.normalize("NFC", name).strip() or None if name else None


def fold_of_people(index: int, name: str, pool: NDArray[np.bool_], held: NDArray[np.bool_], who: Sequence[str]) -> Fold:
    """The fold that holds out the rows `held` and trains on those rows of `pool` whose person is in none of them.

    Args:
        pool, held: (n,) booleans over the rows.
        who: each row's person, as `people` names them.

    Raises:
        InputError: if nothing is left to train on, or nothing is held out.
    """
    names = np.asarray(who)
    train = pool & ~np.isin(names, np.unique(names[held]))
    if not train.any() or not held.any():
        side = "train on" if not train.any() else "hold out"
        raise InputError(f"fold {name}: there is no row to {side}; another protocol, or other rows, are needed")
    return Fold(index, name, np.flatnonzero(train).astype(np.int64), np.flatnonzero(held).astype(np.int64))

"""The predictions of an evaluation, ours or another's, as the audit reads them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flowkit.datasets.tables import csv_lines, csv_text
from flowkit.errors import InputError
from trainer.folds import people

NAMES = {
    "true": ("true", "y_true", "label", "emotion3"),
    "predicted": ("predicted", "y_pred", "prediction"),
    "fold": ("fold", "held_out", "split"),
    "clip_id": ("clip_id", "clip"),
    "file": ("filename", "video"),
    "person": ("person",),
    "subject": ("subject",),
    "dataset": ("dataset",),
    "epoch": ("epoch",),
}
"""By which names a column is known, in the order of preference; letter case does not matter. A `file` names a clip of
its subject only: datasets number a subject's files from 1."""
PROTOCOL, CLASSES = b"protocol", b"classes"
"""Keys in the metadata of predictions.parquet."""


SEVERAL_FOLDS = ("loso-per-dataset", "hde", "cd6me")
"""Protocols that hold a person out once in each dataset, and train neither time on the other one's rows."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """One row a prediction, in the order of the file; all (n,)."""

    clip: tuple[str, ...] | None
    """None where the file does not say it, as `fold` and `epoch`."""
    person: tuple[str, ...]
    fold: tuple[str, ...] | None
    true: NDArray[np.int64]
    """Numbers in `classes`."""
    predicted: NDArray[np.int64]
    classes: tuple[str, ...]
    """Where there are `units`, the sets of them that occur, as AU4+AU7; "" for none."""
    epoch: tuple[int, ...] | None = None
    """Of the model that predicted the row."""
    protocol: str | None = None
    """Of our own runs: who is held out together."""
    columns: tuple[str, ...] = ()
    """Those of the file."""
    units: tuple[str, ...] = ()
    """The action units that a row may show several of."""
    training: Mapping[str, NDArray[np.int64]] | None = None
    """Of each fold the rows that train it, where that is known."""

    def trains(self, fold: str) -> NDArray[np.int64]:
        """The rows that train a fold: where nothing else is known, all that it does not hold out, without those of the
        people whom it does, where the protocol says so.
        """
        if self.training is not None:
            return self.training[fold]
        other = np.array(self.fold) != fold
        if self.protocol in SEVERAL_FOLDS:
            person = np.array(self.person)
            other &= ~np.isin(person, person[~other])
        return np.flatnonzero(other)

    def __len__(self) -> int:
        return len(self.person)

    def unit_sets(self) -> NDArray[np.bool_]:
        """(classes, units): which units each of `classes` is of."""
        return np.array([[unit in name.split("+") for unit in self.units] for name in self.classes], dtype=bool)

    def without(self, name: str) -> str:
        """Why a check that needs the "fold" or the "clip" cannot be made, in a clause."""
        known = NAMES["fold"] if name == "fold" else NAMES["clip_id"] + NAMES["file"]
        return f"no column says the {name} ({', '.join(known)}); the columns are {', '.join(self.columns)}"


def read_predictions(path: Path) -> Predictions:
    """A predictions.parquet of a run, or any .csv or .parquet with a row a prediction; a CSV as a manifest may be.

    Needed are the true and the predicted class, and who is filmed: person, or subject with dataset where there are
    several. Known names are in `NAMES`.

    Raises:
        InputError: for a file that cannot be read or has no row; for a missing column, with those that there are, and
            for one that is there twice; for a row without a class, or without the fold or clip that others have, with
            an epoch that is no whole number, and as `trainer.folds.people`.
    """
    table = _read(path)
    if not table.num_rows:
        raise InputError(f"{path} has no row; give it a row a prediction")
    columns = {name: _column(path, table, known) for name, known in NAMES.items()}
    units = _units(table)
    true, predicted = (_named(path, table, name, columns[name], blank=bool(units)) for name in ("true", "predicted"))
    person = _people(path, table, columns)
    classes = tuple(sorted({*true, *predicted}))
    epoch = columns["epoch"]
    return Predictions(
        clip=_clips(path, columns, person),
        person=person,
        fold=_filled(path, "fold", columns["fold"]) if columns["fold"] else None,
        true=np.array([classes.index(value) for value in true], dtype=np.int64),
        predicted=np.array([classes.index(value) for value in predicted], dtype=np.int64),
        classes=classes,
        epoch=tuple(_epoch(path, row, value) for row, value in enumerate(epoch, 1)) if epoch else None,
        protocol=(table.schema.metadata or {}).get(PROTOCOL, b"").decode() or None,
        columns=tuple(table.column_names),
        units=units,
    )


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; give a run's folder, or a .csv or .parquet of predictions")
    try:
        if path.suffix.lower() == ".parquet":
            return pq.read_table(path)
        names, lines = csv_lines(path, csv_text(path), ())
        return pa.table([pa.array([line[name] for _, line in lines], pa.string()) for name in names], names=names)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read ({' '.join(str(error).split())[:150]}); give a .csv or .parquet"
        ) from error


def _column(path: Path, table: pa.Table, known: tuple[str, ...]) -> list[object] | None:
    named = [name.casefold() for name in table.column_names]
    for name in known:
        if named.count(name) > 1:
            raise InputError(f"{path} has {named.count(name)} columns {name!r}; leave one")
        if name in named:
            values: list[object] = table.column(named.index(name)).to_pylist()
            return values
    return None


def _filled(path: Path, name: str, values: list[object]) -> tuple[str, ...]:
    """A column as text, without blanks: one that some rows lack would be one fold, or one clip, of all of them."""
    texts = tuple(map(plain_text, values))
    if "" in texts:
        raise InputError(f"{path}: row {texts.index('') + 1} has no {name}; give it one, or leave the column out")
    return texts


def _units(table: pa.Table) -> tuple[str, ...]:
    """The action units that one of our files is of; () for one of classes."""
    classes = (table.schema.metadata or {}).get(CLASSES, b"").decode(errors="replace")
    return tuple(re.findall(r'"(AU\d+)"', classes))


def _named(path: Path, table: pa.Table, name: str, values: list[object] | None, *, blank: bool) -> list[str]:
    """The classes of a column as text, 1.0 as 1: a column with gaps has floats where another has whole numbers.

    A blank is refused, but in our files of action units, where it shows none.
    """
    if values is None:
        raise _missing(path, table, name)
    texts = [re.sub(r"^([+-]?\d+)\.0*$", r"\1", plain_text(value)) for value in values]
    if not blank and "" in texts:
        raise InputError(f"{path}: row {texts.index('') + 1} has no {name} class; give it one, or leave the row out")
    return texts


def _epoch(path: Path, row: int, value: object) -> int:
    with suppress(ValueError):
        if (number := float(str(value))).is_integer():  # 15.0, as other tools write it
            return int(number)
    raise InputError(f"{path}: row {row} has epoch {value!r}: must be a whole number; mend it, or leave the column out")


def _people(path: Path, table: pa.Table, columns: dict[str, list[object] | None]) -> tuple[str, ...]:
    person, dataset, subject = (_texts(columns[name], table.num_rows) for name in ("person", "dataset", "subject"))
    if columns["person"] is None and columns["subject"] is None:
        raise _missing(path, table, "subject")
    given = tuple(name for name in person if name)
    return given if len(given) == len(person) else people(person, dataset, subject)


def _clips(path: Path, columns: dict[str, list[object] | None], person: tuple[str, ...]) -> tuple[str, ...] | None:
    n = len(person)
    if columns["clip_id"]:
        return _filled(path, "clip_id", columns["clip_id"])
    if columns["file"]:
        files = _filled(path, "filename", columns["file"])
        of_subject = zip(_texts(columns["dataset"], n), _texts(columns["subject"], n), person, strict=True)
        owners = ["/".join(filter(None, (dataset, subject or who))) for dataset, subject, who in of_subject]
        return tuple(f"{owner}/{file}" for owner, file in zip(owners, files, strict=True))
    return None


def plain_text(value: object) -> str:
    """A value without blanks about it, its accents in one form (NFC), as `trainer.folds.people` has them."""
    return "" if value is None else unicodedata.normalize("NFC", str(value)).strip()


def _texts(values: list[object] | None, n: int) -> list[str | None]:
    """The values as text, None where there is none."""
    return [plain_text(value) or None for value in values or [None] * n]


def _missing(path: Path, table: pa.Table, name: str) -> InputError:
    return InputError(
        f"{path} has no column {name!r} (also known: {', '.join(NAMES[name])}); its columns are "
        f"{', '.join(table.column_names)}"
    )

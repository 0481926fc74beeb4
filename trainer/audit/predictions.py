"""The predictions of an evaluation, ours or another's, as the audit reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flowkit.errors import InputError

NAMES = {
    "true": ("true", "y_true", "label", "emotion3"),
    "predicted": ("predicted", "y_pred", "prediction"),
    "fold": ("fold", "held_out", "split"),
    "clip_id": ("clip_id", "clip", "filename", "video"),
    "person": ("person",),
    "subject": ("subject",),
    "dataset": ("dataset",),
    "epoch": ("epoch",),
}
"""By which names a column is known, in the order of preference; letter case does not matter."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """One row a prediction, in the order of the file; all (n,)."""

    clip: tuple[str, ...]
    person: tuple[str, ...]
    fold: tuple[str, ...]
    true: NDArray[np.int64]
    """Numbers in `classes`."""
    predicted: NDArray[np.int64]
    classes: tuple[str, ...]
    epoch: tuple[int, ...] | None = None
    """Of the model that predicted the row, where the file says so."""

    def __len__(self) -> int:
        return len(self.clip)


def read_predictions(path: Path) -> Predictions:
    """A predictions.parquet of a run, or any .csv or .parquet with a row a prediction.

    Needed are the true and the predicted class, and who is filmed: person, or subject with dataset where there are
    several. Without a column fold, each person is a fold. Known names are in `NAMES`.

    Raises:
        InputError: for a file that cannot be read, and for a missing column, with those that there are.
    """
    table = _read(path)
    columns = {name: _column(table, known) for name, known in NAMES.items()}
    for name in ("true", "predicted"):
        if columns[name] is None:
            raise _missing(path, table, name)
    person = _people(path, table, columns)
    true, predicted = ([str(value) for value in columns[name] or []] for name in ("true", "predicted"))
    classes = tuple(sorted({*true, *predicted}))
    clips = columns["clip_id"] or [f"row {i + 1}" for i in range(len(true))]
    epoch = columns["epoch"]
    return Predictions(
        clip=tuple(map(str, clips)),
        person=person,
        fold=tuple(map(str, columns["fold"])) if columns["fold"] else person,
        true=np.array([classes.index(value) for value in true], dtype=np.int64),
        predicted=np.array([classes.index(value) for value in predicted], dtype=np.int64),
        classes=classes,
        epoch=tuple(int(str(value)) for value in epoch) if epoch else None,
    )


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; give a run's folder, or a .csv or .parquet of predictions")
    try:
        if path.suffix.lower() == ".parquet":
            return pq.read_table(path)
        # Subjects are codes, "006" and not 6.
        names = csv.read_csv(path).column_names
        as_text = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
        return csv.read_csv(path, convert_options=as_text)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read ({' '.join(str(error).split())[:150]}); give a .csv or .parquet"
        ) from error


def _column(table: pa.Table, known: tuple[str, ...]) -> list[object] | None:
    named = {name.casefold(): name for name in table.column_names}
    for name in known:
        if name in named:
            values: list[object] = table[named[name]].to_pylist()
            return values
    return None


def _people(path: Path, table: pa.Table, columns: dict[str, list[object] | None]) -> tuple[str, ...]:
    if columns["person"] and all(columns["person"]):
        return tuple(map(str, columns["person"]))
    if columns["subject"] is None:
        raise _missing(path, table, "subject")
    datasets = columns["dataset"] or [None] * len(columns["subject"])
    return tuple(f"{d}/{s}" if d else str(s) for d, s in zip(datasets, columns["subject"], strict=True))


def _missing(path: Path, table: pa.Table, name: str) -> InputError:
    return InputError(
        f"{path} has no column {name!r} (also known: {', '.join(NAMES[name])}); its columns are "
        f"{', '.join(table.column_names)}"
    )

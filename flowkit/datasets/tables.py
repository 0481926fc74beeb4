"""Tables of clips, a row a clip, from CSV and Parquet: cells as stripped text, each with its place for an error."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flowkit.errors import InputError

TABLE_SUFFIXES = (".parquet", ".csv")


def read_rows(path: Path, required: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a .csv or .parquet table of clips, each with its place for an error ("m.csv line 7, clip 'a'").

    Cells are stripped texts, or None where empty; lists of a Parquet file stay lists. In the required columns, which
    include clip_id, there are only texts.

    Raises:
        InputError: for an unreadable file, a required column or cell that is missing, or a CSV row with too few or
            too many cells.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise InputError(f"{str(path)!r}: a table's name must end in {' or '.join(TABLE_SUFFIXES)}")
    try:
        columns, rows = _read_csv(path) if suffix == ".csv" else _read_parquet(path)
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise InputError(f"{str(path)!r} cannot be read as {suffix[1:]}: {error}") from error
    for name in required:
        if name not in columns:
            raise InputError(f"{path} has no column {name!r}; its columns are {', '.join(columns) or 'none'}")
    for place, row in rows:
        where = f"{path} {place}" + (f", clip {row['clip_id']!r}" if row["clip_id"] else "")
        for name in required:
            if not isinstance(row[name], str):
                raise InputError(f"{where}: {name} is {row[name] or 'empty'}; give one value for each clip")
        yield where, row


def whole_number(where: str, column: str, text: str) -> int:
    """The integer that "46" or "46.0" stands for; an InputError for anything else."""
    if not re.fullmatch(r"[+-]?[0-9]{1,15}(\.0*)?", text):
        raise InputError(f"{where}: {column}={text!r} is not a whole number; leave the cell empty where there is none")
    return int(text.split(".")[0])


def cell_text(cell: Any) -> str | None:
    """A cell as stripped text; None for an empty one and for the NaN that pandas puts there."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    return str(cell).strip() or None


_Rows = tuple[list[str], list[tuple[str, dict[str, Any]]]]


def _read_csv(path: Path) -> _Rows:
    # utf-8-sig: spreadsheets put a byte order mark in front.
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        columns = [name.strip() for name in next(lines, [])]
        for name in columns:
            if name and columns.count(name) > 1:
                raise ValueError(f"column {name!r} occurs twice")
        rows = []
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                raise ValueError(f"line {lines.line_num} has {len(cells)} cells, its header {len(columns)}")
            row = dict(zip(columns, map(cell_text, cells), strict=True))
            rows.append((f"line {lines.line_num}", row))
    return columns, rows


def _read_parquet(path: Path) -> _Rows:
    with pq.ParquetFile(path) as file:
        table = file.read()
    rows = []
    for number, cells in enumerate(table.to_pylist(), start=1):
        row = {name: cell if isinstance(cell, list) else cell_text(cell) for name, cell in cells.items()}
        rows.append((f"row {number}", row))
    return table.column_names, rows

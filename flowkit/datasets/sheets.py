"""The sheets of annotation files, .xls, .xlsx or .csv: each cell as stripped text, in the row that it has there."""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowkit.datasets.tables import SEPARATORS, csv_rows, csv_text
from flowkit.errors import InputError
from flowkit.types import fingerprint

WORKBOOK_SUFFIXES = (".xls", ".xlsx", ".xlsm", ".xlsb", ".ods")
SHEET_SUFFIXES = (*WORKBOOK_SUFFIXES, ".csv")

_WHOLE = re.compile(r"(-?[1-9][0-9]*|0)\.0+")
"""A number that CSVs and cells of text have with a fraction of zeros; with zeros before it, it is a name."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet of a workbook, or a whole CSV: `rows[i]` is row i + 1; an empty cell is ""."""

    path: Path
    name: str
    rows: list[list[str]]

    @property
    def told(self) -> str:
        """The sheet for people: file, and sheet where a file may have several."""
        return f"{self.path} sheet {self.name!r}" if self.name else str(self.path)

    @property
    def revision(self) -> str:
        """The file's name and the first 16 digits of the SHA-256 of its cells' texts.

        The digits are the same as .xls, .xlsx and .csv: empty rows, and cells behind the last filled one, do not count.
        """
        rows = [_without_end(row) for row in self.rows]
        return f"{self.path.name} {fingerprint([row for row in rows if row])[:16]}"


def read_sheets(paths: Sequence[Path]) -> list[Sheet]:
    """All sheets of annotation files that have a cell, in the files' order.

    Numbers without a fraction are written without one: 46.0 is "46", and 007 stays as it is. A cell that holds an error
    of the spreadsheet (#N/A) is empty.

    Raises:
        InputError: for a file that is not there, of another kind, or cannot be read.
    """
    sheets = []
    for path in paths:
        if path.suffix.lower() not in SHEET_SUFFIXES:
            raise InputError(f"annotation file {str(path)!r}: its name must end in {', '.join(SHEET_SUFFIXES)}")
        if not path.is_file():
            raise InputError(f"annotation file {str(path)!r} is not there, or no file; correct --annotations")
        sheets += _read_csv(path) if path.suffix.lower() == ".csv" else _read_workbook(path)
    filled = [sheet for sheet in sheets if sheet.rows]
    if not filled:
        raise InputError(f"{', '.join(map(str, paths))}: no sheet has a cell; give the annotation file of the dataset")
    return filled


def _read_workbook(path: Path) -> list[Sheet]:
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with CalamineWorkbook.from_path(path) as book:
            return [
                Sheet(path, name, _trimmed(book.get_sheet_by_name(name).to_python(skip_empty_area=False)))
                for name in book.sheet_names
            ]
    except (CalamineError, OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"annotation file {str(path)!r} is no workbook that can be read ({reason}); open it in a spreadsheet "
            "program, and save it as .xlsx"
        ) from error


def _read_csv(path: Path) -> list[Sheet]:
    try:
        text = csv_text(path)
        separator = _separator(text)
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"annotation file {str(path)!r} cannot be read as CSV: {error}") from error
    return [Sheet(path, "", _trimmed([cells for _, cells in csv_rows(path, text, separator)]))]


def _separator(text: str) -> str:
    """What separates the cells. Text may stand before the header, so it is what divides most lines alike."""

    def divided(mark: str) -> tuple[int, int]:
        widths = Counter(len(next(csv.reader([line], delimiter=mark))) for line in io.StringIO(text, newline=""))
        return max(((lines, width) for width, lines in widths.items() if width > 1), default=(0, 0))

    return max(SEPARATORS, key=divided)


def _trimmed(rows: list[list[Any]]) -> list[list[str]]:
    texts = [[_text(cell) for cell in row] for row in rows]
    while texts and not any(texts[-1]):
        texts.pop()
    return texts


def _text(cell: Any) -> str:
    if isinstance(cell, bool):  # TRUE, as spreadsheets write it into a CSV
        return str(cell).upper()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime.date | datetime.time):  # "4/7" that a spreadsheet has taken for a day
        return cell.isoformat()
    text = str(cell).strip()
    found = _WHOLE.fullmatch(text)
    return found[1] if found else text


def _without_end(row: list[str]) -> list[str]:
    end = len(row)
    while end and not row[end - 1]:
        end -= 1
    return row[:end]

"""Tables of clips, a row a clip, from CSV and Parquet: cells as stripped text, each with its place for an error."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from flowkit.datasets.spelling import require_spelling
from flowkit.errors import InputError
from flowkit.output.parquet import readable
from flowkit.output.store import Place

TABLE_SUFFIXES = (".parquet", ".csv")
SEPARATORS = (",", ";", "\t")
MOST_ID_CHARACTERS = 1000
"""A longer clip_id is no name but a slip, such as a quote that swallowed a part of the table."""

NOTHING = frozenset({"/", "-", "na", "n/a", "nan", "none", "null"})
"""What stands, in any case, in a cell that says nothing."""

_GONE = "there is no such file"
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}(\.0*)?")
_ROUNDED = re.compile(r"[+-]?([0-9]{16,}\.0*|[0-9](\.[0-9]*)?e\+[0-9]+)")
"""What a floating point number of 16 digits or more is written as."""
_EXACT = 2**53
"""Up to here every whole number is a floating point number."""
_EXACT_NARROW = {pa.float16(): 2**11, pa.float32(): 2**24}
"""Up to here it is one of a narrower type."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Columns:
    """The wanted columns of a table of clips. Cells are stripped texts, or None where empty; Parquet's lists stay."""

    path: Place
    cells: dict[str, list[Any]]
    row: str
    """What a row is called: a line (CSV) or a row (Parquet)."""
    rows: Sequence[int]
    """Of each row its number: in CSV the line where it ends, in Parquet counted from 1."""

    def where(self, i: int) -> str:
        """The place of the i-th row, for an error: "m.csv line 7, clip 'a'"."""
        clip_id = self.cells["clip_id"][i]
        return f"{self.path} {self.row} {self.rows[i]}" + (f", clip {clip_id!r}" if clip_id else "")

    def texts(self, name: str) -> list[str | None]:
        """A column's texts; an InputError for a list, where one value is needed."""
        column = self.cells[name]
        if list in {*map(type, column)}:
            i, cell = next((i, cell) for i, cell in enumerate(column) if type(cell) is list)
            raise InputError(f"{self.where(i)}: {name}={cell!r} is a list; give one value")
        return column

    def convert(self, name: str, to: Callable[[str, str, str], _Value]) -> list[_Value | None]:
        """A column's values by `to(where, name, cell)`, asked once for each different text; None stays None.

        Raises:
            InputError: as `texts`; and as `to` does, for the first row it refuses.
        """
        column = self.texts(name)
        known: dict[str | None, _Value | None]
        try:
            known = {text: to("", name, text) for text in {*column} if text is not None}
        except InputError:
            for i, text in enumerate(column):
                if text is not None:
                    to(self.where(i), name, text)
            raise
        known[None] = None
        return [known[cell] for cell in column]


def read_columns(path: Place, required: Iterable[str], used: Iterable[str]) -> Columns:
    """Those columns of a .csv or .parquet table of clips that are among `used`.

    A CSV is UTF-8, or UTF-16 with its mark; its cells are separated by commas, semicolons or tabs. In the required
    columns, which include clip_id, there are only texts.

    Raises:
        InputError: for an unreadable file, a required column or cell that is missing, a misspelt column, a clip_id
            that is no line of text, or a CSV row with too few or too many cells.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise InputError(f"{str(path)!r}: a table's name must end in {' or '.join(TABLE_SUFFIXES)}")
    required, used = tuple(required), tuple(used)
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{str(path)!r} is no file, which a table has to be; copy it into one")
        names, cells, rows = (_read_csv if suffix == ".csv" else _read_parquet)(path, required, used)
    except InputError:
        raise
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise _unread(path, error) from error
    for name in required:
        if name not in names:
            raise InputError(f"{path} has no column {name!r}; its columns are {', '.join(names) or 'none'}")
    table = Columns(path, cells, "line" if suffix == ".csv" else "row", rows)
    for name in required:
        for i, cell in enumerate(cells[name]):
            if type(cell) is not str:
                raise InputError(f"{table.where(i)}: {name} is {cell or 'empty'}; give one value for each clip")
    for i, clip_id in enumerate(cells["clip_id"]):
        if not clip_id.isprintable() or len(clip_id) > MOST_ID_CHARACTERS:
            require_clip_id(f"{path} {table.row} {rows[i]}", clip_id)
    return table


def read_rows(path: Place, required: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a small table of clips in its required columns, each with its place; raises as `read_columns`."""
    required = tuple(required)
    table = read_columns(path, required, required)
    for i, row in enumerate(zip(*(table.cells[name] for name in required), strict=True)):
        yield table.where(i), dict(zip(required, row, strict=True))


def column_names(path: Place, required: Iterable[str]) -> list[str]:
    """The names of a table's columns; raises as `read_columns` for a file that cannot be read.

    Args:
        required: columns by which a CSV's separator is known, as in `read_columns`.
    """
    try:
        if path.suffix.lower() == ".csv":
            text = csv_text(path)
            _, names = next(csv_rows(path, text, _separator(text, tuple(required))), (0, []))
            return [name.strip() for name in names]
        with pq.ParquetFile(readable(path)) as file:
            return list(file.schema_arrow.names)
    except InputError:
        raise
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise _unread(path, error) from error


def _unread(path: Place, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{str(path)!r}: {_GONE}; write its path as it is now, or put it back")
    return InputError(f"{str(path)!r} cannot be read as {path.suffix.lower()[1:]}: {error}")


def require_clip_id(where: str, clip_id: str) -> None:
    """Raises InputError for a clip_id with control characters, or one that is absurdly long."""
    if odd := odd_clip_id(clip_id):
        what, remedy = odd
        raise InputError(f"{where}: clip_id {clip_id[:40]!r}{'...' if len(clip_id) > 40 else ''} has {what}; {remedy}")


def odd_clip_id(clip_id: str) -> tuple[str, str] | None:
    """What a clip_id has that none may have, a control character or too many of any, and the remedy."""
    if clip_id.isprintable() and len(clip_id) <= MOST_ID_CHARACTERS:  # which is quicker to ask
        return None
    if odd := _CONTROL.search(clip_id):
        return f"the character U+{ord(odd[0]):04X}", "leave it out"
    if len(clip_id) > MOST_ID_CHARACTERS:
        return f"{len(clip_id)} characters", f"give at most {MOST_ID_CHARACTERS}"
    return None


def whole_number(where: str, column: str, text: str) -> int:
    """The integer that "46" or "46.0" stands for; an InputError for anything else.

    A number that has been a floating point one is refused where that may have rounded it.
    """
    value = integer(text)
    if value is None and _ROUNDED.fullmatch(text):
        raise InputError(f"{where}: {column}={text!r} is a rounded number; store the column as whole numbers")
    if value is None:
        raise InputError(
            f"{where}: {column}={text!r} is not a whole number of at most 18 digits; leave the cell empty where there "
            "is none"
        )
    return value


def integer(text: str) -> int | None:
    """The integer that "46", "46.0" or "+46" stands for; None for anything else, and where it may be rounded."""
    if not _WHOLE.fullmatch(text):
        return None
    value = int(text.split(".")[0])
    return None if "." in text and abs(value) >= _EXACT else value


def cell_text(cell: Any) -> str | None:
    """A cell as stripped text; None for an empty one and for the NaN that pandas puts there."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    return str(cell).strip() or None


def says_nothing(text: str) -> bool:
    """Whether a cell's text is one of `NOTHING`."""
    return text.casefold() in NOTHING


def column_values(table: str, name: str, column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """A column's values; bytes, as which some programs store texts, are texts here. An InputError where they are none.

    Args:
        table: what an error calls it.
    """
    values: list[Any] = column.to_pylist()
    if pa.types.is_primitive(column.type):
        return values
    for i, value in enumerate(values):
        try:
            values[i] = _decoded(value)
        except UnicodeDecodeError as error:
            told = f"{name}={repr(value)[:80]}"
            raise InputError(f"{table} row {i + 1}: {told} is not UTF-8; store the column as text") from error
    return values


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [*map(_decoded, value)]
    return value.decode() if isinstance(value, bytes) else value


_Read = tuple[list[str], dict[str, list[Any]], Sequence[int]]
"""All names, the cells of the columns that are used, and the rows' numbers."""


def _read_csv(path: Place, required: tuple[str, ...], used: tuple[str, ...]) -> _Read:
    text = csv_text(path)
    lines = csv_rows(path, text, _separator(text, required))
    rows: list[list[str]] = []
    numbers: list[int] = []
    names = [name.strip() for name in next(lines, (0, []))[1]]
    _require_names(path, names, required, used)
    for end, cells in lines:
        if not (cells and cells[0].strip()) and not any(map(str.strip, cells)):
            continue
        if len(cells) != len(names):
            raise ValueError(f"line {end} has {len(cells)} cells, its header {len(names)}")
        rows.append(cells)
        numbers.append(end)
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    kept = {name: column for name, column in zip(names, columns, strict=True) if name in used}
    return names, {name: [cell.strip() or None for cell in column] for name, column in kept.items()}, numbers


def csv_text(path: Place) -> str:
    """A CSV's text: UTF-8 with or without a byte order mark, as spreadsheets write it, or UTF-16 with one."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(_GONE) from None
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line_behind(data[: error.start].decode("latin-1"))
        raise ValueError(f"line {line} is not UTF-8 ({error.reason}); save it as CSV in UTF-8") from error
    if "\0" in text:
        line = _line_behind(text[: text.index("\0")])
        raise ValueError(f"line {line} has a NUL character; save it as CSV in UTF-8")
    return text


def _line_behind(text: str) -> int:
    """The number of the line that follows a text, whose lines end as Unix, Windows or old Macs end them."""
    return max(text.count("\n"), text.count("\r")) + 1


def csv_rows(path: Place, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV's text, each with the line where it ends; an InputError for quotes that are not closed."""
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    end = 0
    try:
        for cells in lines:
            end = lines.line_num
            yield end, cells
    except csv.Error as error:
        raise InputError(
            f"{str(path)!r} line {end + 1}: a quote is not closed, or stands within a cell ({error}); close it, or "
            "double it where it belongs to the text"
        ) from error


def csv_lines(path: Place, text: str, required: tuple[str, ...]) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """The names of the columns of a small CSV, and its filled lines, each with its place; all stripped.

    Args:
        required: columns by which the separator is known, as in `read_columns`.

    Raises:
        InputError: for a line that has not one cell for each name, and for quotes that are not closed.
    """
    rows = csv_rows(path, text, _separator(text, required))
    names = [name.strip() for name in next(rows, (0, []))[1]]
    lines = []
    for end, cells in rows:
        texts = [cell.strip() for cell in cells]
        if not any(texts):
            continue
        if len(texts) != len(names):
            raise InputError(
                f"{path} line {end} has {len(texts)} cells, its header {len(names)}; put a cell with a comma in it in "
                "quotes, and leave none out"
            )
        lines.append((f"{path} line {end}", dict(zip(names, texts, strict=True))))
    return names, lines


def _separator(text: str, required: tuple[str, ...]) -> str:
    """What separates the cells: that under which the header has the required columns, else the most cells."""
    header = io.StringIO(text, newline="").readline()
    found = {mark: [cell.strip() for cell in next(csv.reader([header], delimiter=mark), [])] for mark in SEPARATORS}
    return max(SEPARATORS, key=lambda mark: (len({*required} & {*found[mark]}), len(found[mark])))


def _read_parquet(path: Place, required: tuple[str, ...], used: tuple[str, ...]) -> _Read:
    with pq.ParquetFile(readable(path)) as file:
        names = file.schema_arrow.names
        _require_names(path, names, required, used)
        table = file.read(columns=[name for name in names if name in used])
    return names, {name: _cells(path, name, table[name]) for name in table.column_names}, range(1, table.num_rows + 1)


def _cells(path: Place, name: str, column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return [cell and (cell.strip() or None) for cell in column.to_pylist()]
    values = column_values(str(path), name, column)
    if exact := _EXACT_NARROW.get(column.type):
        return [_narrow_text(cell, exact) for cell in values]
    return [cell if isinstance(cell, list) else cell_text(cell) for cell in values]


def _narrow_text(cell: float | None, exact: int) -> str | None:
    """A cell of a narrow floating point column; what may be rounded has an exponent, by which `whole_number` knows."""
    return np.format_float_scientific(cell) if cell is not None and abs(cell) >= exact else cell_text(cell)


def _require_names(path: Place, names: list[str], required: tuple[str, ...], used: tuple[str, ...]) -> None:
    for name in names:
        if name and names.count(name) > 1:
            raise ValueError(f"column {name!r} occurs twice")
    require_spelling(path, names, dict.fromkeys((*required, *used)))

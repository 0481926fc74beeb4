"""Columns that are nearly the name of a known one: their values would be left out in silence."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable

from flowkit.errors import InputError
from flowkit.output.store import Place


def require_spelling(path: Place, columns: Collection[str], known: Iterable[str]) -> None:
    """Raises InputError for a column that is a known one, missing there, but for its case or an edit or two."""
    known = list(known)
    missing = [name for name in known if name not in columns]
    for column in columns:
        if column in known or not column:
            continue
        if near := [name for name in missing if _is_slip(column, name)]:
            meant = min(near, key=lambda name: _edits(_plain(column), _plain(name)))
            raise InputError(
                f"{path} has a column {column!r} and none {meant!r}; rename it to {meant!r}, or to something less "
                "like it where it is a column of your own"
            )


def unknown_columns(columns: Iterable[str], known: Iterable[str]) -> list[str]:
    """The columns that are not known, quoted, each with the known one that it is most like where that is missing."""
    columns, known = list(columns), list(known)
    found = []
    for column in columns:
        if column and column not in known:
            words = re.split("[^a-z0-9]+", column.lower())
            near = [name for name in known if name in words] or difflib.get_close_matches(column.lower(), known, n=1)
            found.append(f"{column!r} (is it {near[0]!r}?)" if near and near[0] not in columns else repr(column))
    return found


def _is_slip(column: str, name: str) -> bool:
    """Whether a column is a known name but for case, blanks and marks, or a few edits; of short names none."""
    # Two edits lead from "person" to "reason" and "version", which are columns of one's own.
    allowed = 0 if len(name) < 4 else 1 if len(name) < 7 else 2
    return _edits(_plain(column), _plain(name)) <= allowed


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _edits(a: str, b: str) -> int:
    """Letters to insert, remove, replace or swap with the next (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, start=1):
        above, before, row = before, row, [i]
        for j, other in enumerate(b, start=1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other)))
            if i > 1 and j > 1 and letter == b[j - 2] and other == a[i - 2]:
                row[j] = min(row[j], above[j - 2] + 1)
    return row[-1]

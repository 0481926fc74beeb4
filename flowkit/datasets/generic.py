"""Any other dataset: a sheet or CSV whose columns and folders the user names."""

from __future__ import annotations

import posixpath
import string
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from flowkit.datasets.contract import FRAMES, LABELS, Dataset, Row, shown
from flowkit.datasets.emotions import KNOWN
from flowkit.datasets.spelling import unknown_columns
from flowkit.errors import InputError

FIELDS = ("subject", "filename", "onset", "apex", "offset", "au", "emotion", "fps", "frame_base", "duration")


def generic(name: str, columns: Mapping[str, str], folder: str) -> Dataset:
    """A dataset of the user's: columns by field, and the folder of a clip as "{subject}/{filename}".

    A field that is not named has the column of its own name. Every text in braces may be a field, or a column that
    `columns` names for it.

    Raises:
        InputError: for a name that is no plain word, a field that there is not, that has a format or that is of no
            use, or a folder that is no template.
    """
    if not name or not all(letter.isalnum() or letter in "_-" for letter in name):
        raise InputError(f"--name {name!r}: give letters, digits, - and _; it begins every clip_id")
    below = posixpath.normpath(folder)
    if below.startswith(("/", "..")):
        raise InputError(f"--folder {folder!r}: give the path below ROOT, without .. and with no / before it")
    fields = _fields(folder, columns)
    known = list(dict.fromkeys((*FIELDS, *LABELS, *fields)))
    if unknown := unknown_columns(columns, known):
        raise InputError(
            f"--column: {unknown[0]} is neither a field nor in --folder {folder!r}; fields are {', '.join(known)}; "
            "correct --column"
        )
    named = {field: (columns.get(field, field),) for field in dict.fromkeys((*FIELDS, *fields, *columns))}
    return Dataset(
        name=name,
        title=name,
        columns=named,
        required=tuple(dict.fromkeys(("subject", "filename", *fields, *columns))),
        subject=("(.+)", "{}"),
        folders=(below,),
        recurs=True,
        remedy="correct --column, which gives the column of a field as FIELD=HEADER",
        notes=("the columns are those that --column names, and the fields' own names",),
        conclude=_conclude,
    )


def _fields(folder: str, columns: Collection[str]) -> list[str]:
    """The fields in a template; an InputError where it is none."""
    try:
        parts = [
            (field, form or conversion)
            for _, field, form, conversion in string.Formatter().parse(folder)
            if field is not None
        ]
    except ValueError as error:
        raise InputError(f"--folder {folder!r}: {error}; write it as {{subject}}/{{filename}}") from error
    fields = [field for field, _ in parts]
    known = {*FIELDS, *LABELS, *columns}
    if unknown := [field for field in fields if field not in known]:
        raise InputError(f"--folder {folder!r}: {unknown[0]!r} is no field; known are {', '.join(sorted(known))}")
    if formatted := [field for field, form in parts if form]:
        field = formatted[0]
        raise InputError(f"--folder {folder!r}: a field is as the sheet has it; write {{{field}}} without a format")
    return fields


def _conclude(rows: Sequence[Row], _: object) -> list[str]:
    return [*_without_column(rows), *_unknown_emotions(rows)]


def _without_column(rows: Sequence[Row]) -> list[str]:
    """Keyframes for which the sheet has no column, which may stand under another name."""
    lacking = [name for name in FRAMES if all(name not in row.columns or name in row.repaired for row in rows)]
    if not lacking:
        return []
    headers = dict.fromkeys(header for row in rows for header in row.raw)
    return [
        f"no column {' or '.join(lacking)}, so no clip has one: name it by --column {lacking[0]}=HEADER, if it is one "
        f"of {shown(headers)}"
    ]


def _unknown_emotions(rows: Sequence[Row]) -> list[str]:
    """Emotions that are no failures, since a dataset may have its own, but may be slips."""
    found = Counter(row.emotion for row in rows if row.emotion and row.emotion not in KNOWN).most_common()
    told = [f"{unknown_columns([name], KNOWN)[0]} ({count})" for name, count in found]
    return [f"emotions that are not known, and in no class: {shown(told)}"] if told else []

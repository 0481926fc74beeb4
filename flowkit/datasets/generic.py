"""Any other dataset: a sheet or CSV whose columns and folders the user names."""

from __future__ import annotations

import posixpath
import string
from collections.abc import Mapping

from flowkit.datasets.contract import LABELS, Dataset, plain
from flowkit.errors import InputError

FIELDS = ("subject", "filename", "onset", "apex", "offset", "au", "emotion", "fps", "duration")


def generic(name: str, columns: Mapping[str, str], folder: str) -> Dataset:
    """A dataset of the user's: columns by field, and the folder of a clip as "{subject}/{filename}".

    A field that is not named has the column of its own name. Every text in braces may be a field, or a column that
    `columns` names for it.

    Raises:
        InputError: for a name that is no plain word, a field that there is not or that has a format, or a folder that
            is no template.
    """
    if not name or not all(letter.isalnum() or letter in "_-" for letter in name):
        raise InputError(f"--name {name!r}: give letters, digits, - and _; it begins every clip_id")
    below = posixpath.normpath(folder)
    if below.startswith(("/", "..")):
        raise InputError(f"--folder {folder!r}: give the path below ROOT, without .. and with no / before it")
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
    named = {field: (plain(columns.get(field, field)),) for field in dict.fromkeys((*FIELDS, *fields, *columns))}
    return Dataset(
        name=name,
        title=name,
        columns=named,
        required=tuple(dict.fromkeys(("subject", "filename", *fields, *columns))),
        subject=("(.+)", "{}"),
        folders=(below,),
        notes=("the columns are those that --column names, and the fields' own names",),
    )

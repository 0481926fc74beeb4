"""Labels that people correct, with who and why; the old value stays in sight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flowkit.datasets.filmed import filmed_in
from flowkit.datasets.revision import Revision
from flowkit.datasets.tables import csv_lines, csv_text
from flowkit.errors import InputError
from flowkit.labels.columns import CORRECTED, put_labels

COLUMNS = ("value", "who", "why")


@dataclass(frozen=True, slots=True)
class Correction:
    """One line of a file of corrections: for a clip or for all clips of a person."""

    where: str
    clip_id: str | None
    person: str | None
    value: str | None
    """In lower case; None takes the label away."""
    who: str
    why: str


def read_corrections(path: Path) -> list[Correction]:
    """The lines of a CSV with the columns clip_id or person (or both), value, who and why.

    A value of "none" takes the label away.

    Raises:
        InputError: with the line, for a column or cell that is missing, a cell too many, and for both clip_id and
            person in one line.
    """
    try:
        text = csv_text(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be read as CSV: {error}; give the file of corrections") from error
    names, lines = csv_lines(path, text, COLUMNS)
    if missing := [name for name in COLUMNS if name not in names]:
        raise InputError(f"{path} has no column {missing[0]!r}; its columns are {', '.join(names) or 'none'}")
    if "clip_id" not in names and "person" not in names:
        raise InputError(f"{path} has neither a column 'clip_id' nor 'person'; its columns are {', '.join(names)}")
    return [_correction(where, cells) for where, cells in lines]


def correct(revision: Revision, label: str, corrections: list[Correction]) -> tuple[int, int]:
    """Sets the labels that the corrections name.

    Returns:
        How many clips are set, and how many of these had another label before.

    Raises:
        InputError: if a correction names no clip of the manifest, or two give one clip different values.
    """
    values: dict[int, str | None] = {}
    told: dict[int, str] = {}
    who: dict[int, str] = {}
    why: dict[int, str] = {}
    where: dict[int, str] = {}
    for correction in corrections:
        places = list(_places(revision, correction))
        if not places:
            name = correction.clip_id or correction.person
            raise InputError(f"{correction.where}: the manifest has no clip or person {name!r}; correct the name")
        for i in places:
            if i in values and values[i] != correction.value:
                raise InputError(
                    f"{correction.where}: {revision.clips[i].clip_id!r} is {correction.value}, but {values[i]} at "
                    f"{where[i]}; keep one"
                )
            values[i], where[i] = correction.value, correction.where
            who[i], why[i] = correction.who, correction.why
            told[i] = f"{CORRECTED} by {correction.who}: {correction.why}"
    return len(values), put_labels(revision, label, values, told, first=True, who=who, why=why)


def _correction(where: str, cells: dict[str, str]) -> Correction:
    for name in COLUMNS:
        if not cells[name]:
            raise InputError(f"{where}: {name} is empty; each correction says value, who and why")
    clip_id, person = cells.get("clip_id") or None, cells.get("person") or None
    if (clip_id is None) == (person is None):
        both = "both clip_id and person are given" if clip_id else "neither clip_id nor person is given"
        raise InputError(f"{where}: {both}; name one")
    value = cells["value"].casefold()
    return Correction(where, clip_id, person, None if value == "none" else value, cells["who"], cells["why"])


def _places(revision: Revision, correction: Correction) -> Iterator[int]:
    for i, clip in enumerate(revision.clips):
        if correction.clip_id == clip.clip_id if correction.clip_id else correction.person == filmed_in(clip):
            yield i

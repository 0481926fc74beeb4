"""Repairs of annotations: a table of the user's, each line a cell that is read as something else, with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flowkit.datasets.contract import Row
from flowkit.datasets.sheets import read_sheets
from flowkit.errors import InputError
from flowkit.types import fingerprint

REPAIRABLE = (
    "onset",
    "apex",
    "offset",
    "emotion",
    "au",
    "fps",
    "person",
    "race",
    "group",
    "ethnicity",
    "age",
    "gender",
)
_COLUMNS = ("clip_id", "field", "old", "new", "why")


@dataclass(frozen=True, slots=True)
class Repair:
    """One line: the cell of a clip's field, what it must say to be repaired, and what it is read as."""

    clip_id: str
    field: str
    old: str
    new: str
    why: str
    place: str
    """File, its fingerprint and row."""


def read_repairs(path: Path) -> list[Repair]:
    """The lines of a table with the columns clip_id, field, old, new and why.

    Raises:
        InputError: with file, row and value, for a line without clip or reason, another field, or a second line for
            one cell.
    """
    sheet = read_sheets([path])[0]
    names = [cell.casefold() for cell in sheet.rows[0]]
    if missing := [name for name in _COLUMNS if name not in names]:
        raise InputError(f"{path} has no column {missing[0]!r}; a table of repairs has {', '.join(_COLUMNS)}")
    version = fingerprint(sheet.rows)[:8]
    repairs: dict[tuple[str, str], Repair] = {}
    for number, cells in enumerate(sheet.rows[1:], start=2):
        if not any(cells):
            continue
        filled = dict(zip(names, [*cells, *[""] * len(names)], strict=False))
        repair = Repair(**{name: filled[name] for name in _COLUMNS}, place=f"{path.name} {version} row {number}")
        if repair.field not in REPAIRABLE:
            raise InputError(f"{path} row {number}: field {repair.field!r} is none of {', '.join(REPAIRABLE)}")
        for name in ("clip_id", "why"):
            if not filled[name]:
                raise InputError(f"{path} row {number}: {name} is empty; a repair names its clip and its reason")
        if (repair.clip_id, repair.field) in repairs:
            raise InputError(f"{path} row {number}: {repair.clip_id!r} {repair.field} is repaired a second time")
        repairs[repair.clip_id, repair.field] = repair
    return list(repairs.values())


def repair(row: Row, repairs: list[Repair]) -> None:
    """Applies a clip's repairs to its texts, each listed as a defect; one whose old text is not there is refused."""
    for line in repairs:
        now = row.person or "" if line.field == "person" else row.texts.get(line.field, "")
        if now != line.old:
            row.note(
                line.field,
                f"the repair of {line.place} expects {line.old!r}",
                "it is not applied: correct its column old",
                failed=True,
                value=now,
            )
            continue
        row.note(line.field, f"repaired by {line.place} ({line.why})", f"read as {line.new!r}", value=now)
        if line.field == "person":
            row.person = line.new or None
        else:
            row.texts[line.field] = line.new
            row.repaired[line.field] = line.place
            row.columns.setdefault(line.field, f"{line.field} (repair)")

"""What is odd about an annotation, row by row: a typed record for each, and the table beside the manifest."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flowkit.datasets.tables import csv_text
from flowkit.errors import InputError, OutputError
from flowkit.output.files import write_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """One oddity: where it stands, what it is, and what was done about it."""

    file: str
    """Name of the annotation file."""
    sheet: str = ""
    row: int | None = None
    """Row of the sheet, from 1; None where it is about the whole file."""
    column: str = ""
    """The header over the cell."""
    value: str = ""
    clip_id: str = ""
    what: str = ""
    done: str = ""
    failed: bool = False
    """Whether something could not be used: the row is out, or a value, folder or frame of it is missing."""

    @property
    def short(self) -> str:
        """For a clip's own list of defects: without its place, and without semicolons, which part a CSV's list."""
        cell = f"{self.column}={self.value!r}: " if self.column else ""
        return f"{cell}{self.what}, {self.done}".replace(";", ",").replace("\n", " ")

    def __str__(self) -> str:
        """One sentence with file, row and value."""
        where = " ".join(
            filter(None, (self.file, self.sheet and repr(self.sheet), f"row {self.row}" if self.row else ""))
        )
        clip = f", clip {self.clip_id!r}" if self.clip_id else ""
        cell = f"{self.column}={self.value!r}: " if self.column else ""
        return f"{where}{clip}: {cell}{self.what}; {self.done}"


_NAMES = [field.name for field in dataclasses.fields(Defect)]


def defects_path(manifest: Path) -> Path:
    """The table beside a manifest: joint.defects.csv beside joint.parquet."""
    return manifest.with_name(f"{manifest.stem}.defects.csv")


def write_defects(defects: Sequence[Defect], path: Path) -> None:
    """Writes the table, a row a defect, whole or not at all; an OutputError if it cannot be written."""

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, _NAMES)
            table.writeheader()
            for defect in defects:
                row = dataclasses.asdict(defect)
                table.writerow(row | {"failed": "yes" if defect.failed else "no"})

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, write)
    except OSError as error:
        raise OutputError(f"{str(path)!r} cannot be written: {error}") from error


def read_defects(path: Path) -> list[Defect]:
    """The table that `write_defects` wrote; an InputError where it is something else."""
    try:
        rows = list(csv.DictReader(io.StringIO(csv_text(path), newline="")))
        return [
            Defect(**row | {"row": int(row["row"]) if row["row"] else None, "failed": row["failed"] == "yes"})
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{str(path)!r} is no table of defects that flowkit index wrote ({error})") from error

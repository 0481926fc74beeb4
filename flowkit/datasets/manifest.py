"""The manifest: one table, a row a clip, as Parquet or CSV; its columns are the fields of `Clip`."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flowkit.datasets.emotions import EMOTION3, emotion3_of
from flowkit.datasets.tables import TABLE_SUFFIXES, cell_text, read_rows, whole_number
from flowkit.errors import InputError, OutputError
from flowkit.output.files import write_whole
from flowkit.types import Clip, fingerprint

SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        ("dataset", pa.string()),
        ("subject", pa.string()),
        ("fps", pa.float64()),
        ("frame_base", pa.int64()),
        ("onset", pa.int64()),
        ("apex", pa.int64()),
        ("offset", pa.int64()),
        ("emotion", pa.string()),
        ("emotion3", pa.string()),
        ("au", pa.string()),
        ("ethnicity", pa.string()),
        ("group", pa.string()),
        ("defects", pa.list_(pa.string())),
        ("annotation_revision", pa.string()),
    ]
)
"""Columns of a manifest: the fields of `Clip`, in its order."""


def read_manifest(path: Path) -> list[Clip]:
    """The clips of a .parquet or .csv manifest, in its order.

    Every cell is stripped and an empty one is null. Columns clip_id and source are required, those of `SCHEMA` are
    used, and any others are the user's own: ignored here, and left where they are. In CSV, defects are separated by
    semicolons. A relative source is relative to the manifest's folder. Without a column emotion3, it is derived from
    emotion; where the column exists, its empty cells stay null.

    Annotations that contradict each other (an apex behind the offset) are read as they are: the pairs that need them
    fail later, one by one, as do the pairs of a clip whose source is missing.

    Raises:
        InputError: with the line, clip and value, for a cell that cannot be used, a clip_id that occurs twice, or
            sources none of which exists.
    """
    path = Path(path)
    folder = absolute_path(path.parent)
    clips: dict[str, Clip] = {}
    for where, row in read_rows(path, required=("clip_id", "source")):
        clip = _clip(where, row, folder)
        if clip.clip_id in clips:
            raise InputError(f"{where}: clip_id {clip.clip_id!r} occurs a second time; give each clip its own")
        clips[clip.clip_id] = clip
    if not clips:
        raise InputError(f"{path} has no clips; give it a row for each")
    if not any(Path(clip.source).exists() for clip in clips.values()):
        first = next(iter(clips.values())).source
        raise InputError(
            f"{path}: none of its {len(clips)} sources exists (the first would be {first!r}); "
            f"relative ones are looked for in {str(folder)!r}, so move the manifest there or correct its column source"
        )
    return list(clips.values())


def write_manifest(clips: Sequence[Clip], path: Path) -> None:
    """Writes a manifest, .parquet or .csv by its suffix, whole or not at all.

    A source at or below the manifest's folder is written relative to it, any other as an absolute path.

    Raises:
        InputError: for another suffix, or a defect with a semicolon in it where the manifest is a CSV.
        OutputError: if the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise InputError(f"manifest {str(path)!r}: its name must end in {' or '.join(TABLE_SUFFIXES)}")
    folder = absolute_path(path.parent)
    rows = [dataclasses.asdict(clip) | {"source": _relative(clip.source, folder)} for clip in clips]
    write = _write_csv if path.suffix.lower() == ".csv" else _write_parquet
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda temporary: write(rows, temporary))
    except OSError as error:
        raise OutputError(f"manifest {str(path)!r} cannot be written: {error}") from error


def manifest_fingerprint(clips: Sequence[Clip]) -> str:
    """SHA-256 (hex) of everything the clips say, in their order: the order decides the parts of a run.

    Sources count from the name of the deepest folder that holds them all (or of the only source). So a dataset keeps
    its fingerprint where it is moved as a whole, while frames taken from another folder of it (`cropped` for `raw`)
    change it.
    """
    if not clips:
        return fingerprint([])
    sources = [absolute_path(clip.source) for clip in clips]
    root = Path(os.path.commonpath(sources)).parent
    names = [source.relative_to(root).as_posix() for source in sources]
    return fingerprint([dataclasses.asdict(clip) | {"source": name} for clip, name in zip(clips, names, strict=True)])


def _clip(where: str, row: dict[str, Any], folder: Path) -> Clip:
    values: dict[str, Any] = {}
    for field in SCHEMA:
        cell = row.get(field.name)
        if pa.types.is_list(field.type):
            parts = cell.split(";") if isinstance(cell, str) else cell or ()
            values[field.name] = tuple(text for part in parts if (text := cell_text(part)) is not None)
        elif isinstance(cell, list):
            raise InputError(f"{where}: {field.name}={cell!r} is a list; give one value")
        elif cell is not None and pa.types.is_integer(field.type):
            values[field.name] = whole_number(where, field.name, cell)
        elif cell is not None and pa.types.is_floating(field.type):
            values[field.name] = _rate(where, field.name, cell)
        elif cell is not None:
            values[field.name] = cell
    if values.get("frame_base", 0) < 0:
        raise InputError(f"{where}: frame_base={values['frame_base']} must be 0 or above")
    if "emotion3" not in row:
        values["emotion3"] = emotion3_of(values.get("emotion"))
    if values.get("emotion3") not in (None, *EMOTION3):
        raise InputError(f"{where}: emotion3={values['emotion3']!r} must be empty or one of {', '.join(EMOTION3)}")
    return Clip(**values | {"source": str(absolute_path(folder / values["source"]))})


def _rate(where: str, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InputError(f"{where}: {column}={text!r} must be a number above 0; leave the cell empty if unknown")
    return value


def _write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, SCHEMA.names)
        table.writeheader()
        for row in rows:
            for defect in row["defects"]:
                if ";" in defect:
                    raise InputError(
                        f"clip {row['clip_id']!r}: the defect {defect!r} has a semicolon, which separates defects "
                        "in CSV; write the manifest as .parquet"
                    )
            table.writerow(row | {"defects": ";".join(row["defects"])})


def _write_parquet(rows: list[dict[str, Any]], path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)


def absolute_path(path: str | Path) -> Path:
    """Absolute and without "..", but with its links as they are, so that a dataset of links stays relative."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (resolve follows links)


def _relative(source: str, folder: Path) -> str:
    absolute = absolute_path(source)
    return absolute.relative_to(folder).as_posix() if absolute.is_relative_to(folder) else str(absolute)

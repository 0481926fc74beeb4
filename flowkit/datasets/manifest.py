"""The manifest: one table, a row a clip, as Parquet or CSV; its columns are the fields of `Clip`."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import math
import operator
import os
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flowkit.datasets.emotions import EMOTION3, emotion3_of
from flowkit.datasets.spelling import unknown_columns
from flowkit.datasets.tables import (
    TABLE_SUFFIXES,
    Columns,
    cell_text,
    column_names,
    column_values,
    read_columns,
    whole_number,
)
from flowkit.errors import InputError, OutputError
from flowkit.output.files import write_whole
from flowkit.output.store import Place, StorePath, is_url, place
from flowkit.types import Clip, canonical_json, clips_of_columns, fingerprint

SCHEMA = pa.schema(
    [
        pa.field("clip_id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        ("dataset", pa.string()),
        ("subject", pa.string()),
        ("person", pa.string()),
        ("fps", pa.float64()),
        ("frame_base", pa.int64()),
        ("onset", pa.int64()),
        ("apex", pa.int64()),
        ("offset", pa.int64()),
        ("expression", pa.string()),
        ("emotion", pa.string()),
        ("emotion3", pa.string()),
        ("au", pa.string()),
        ("ethnicity", pa.string()),
        ("group", pa.string()),
        ("age", pa.string()),
        ("gender", pa.string()),
        ("label_source", pa.string()),
        ("defects", pa.list_(pa.string())),
        ("annotation_revision", pa.string()),
        ("sheet_row", pa.int64()),
        ("annotation_row", pa.string()),
        ("frames_sha256", pa.string()),
    ]
)
"""Columns of a manifest: the fields of `Clip`, in its order."""

REQUIRED = ("clip_id", "source")
"""Those that each manifest has."""

BESIDE = pa.schema(
    [
        *((f"{role}_annotated", pa.int64()) for role in ("onset", "apex", "offset")),
        ("apex_confidence", pa.float64()),
        ("keyframes_source", pa.string()),
        ("keyframes_error", pa.string()),
        *(
            (f"{label}_{part}", kind)
            for label in ("ethnicity", "age", "gender", "group")
            for part, kind in (
                ("source", pa.string()),
                ("guess", pa.string()),
                ("guess_probability", pa.float64()),
                ("guess_probabilities", pa.string()),
                ("guess_source", pa.string()),
                ("guess_error", pa.string()),
                ("votes", pa.string()),
                ("changes", pa.string()),
            )
        ),
    ]
)
"""Columns that `flowkit keyframes` and `flowkit annotate` put beside a clip's: what was there before, and on what
grounds. No extraction reads them."""


def read_manifest(path: str | Place, *, require_sources: bool = True) -> list[Clip]:
    """The clips of a .parquet or .csv manifest, in its order.

    Every cell is stripped and an empty one is null. Columns clip_id and source are required, those of `SCHEMA` are
    used, and any others are the user's own: ignored here, and left where they are. In CSV, defects are separated by
    semicolons. A relative source is relative to the manifest's folder. Without a column emotion3, it is derived from
    emotion; where the column exists, its empty cells stay null.

    Annotations that contradict each other (an apex behind the offset) are read as they are: the pairs that need them
    fail later, one by one, as do the pairs of a clip whose source is missing.

    Args:
        require_sources: refuse a manifest none of whose sources exists; those who read labels alone need none.

    Raises:
        InputError: with the line, clip and value, for a cell that cannot be used, a column whose name is nearly that
            of one of `SCHEMA` that is not there, a clip_id that occurs twice, or sources none of which exists.
    """
    return clips_in(place(path), require_sources=require_sources)


def clips_in(path: Place, *, require_sources: bool = True) -> list[Clip]:
    """`read_manifest` of a place."""
    folder = absolute_path(path.parent) if isinstance(path, Path) else path.parent
    table = read_columns(path, required=REQUIRED, used=SCHEMA.names)
    count = len(table.rows)
    if not count:
        raise InputError(f"{path} has no clips; give it a row for each")
    columns = _typed_columns(table, folder)
    if len({*columns["clip_id"]}) < count:
        seen: set[str] = set()
        for i, clip_id in enumerate(columns["clip_id"]):
            if clip_id in seen:
                raise InputError(f"{table.where(i)}: clip_id {clip_id!r} occurs a second time; give each clip its own")
            seen.add(clip_id)
    if require_sources and not any(map(_may_exist, columns["source"])):
        raise InputError(
            f"{path}: none of its {count} sources exists (the first would be {columns['source'][0]!r}); "
            f"relative ones are looked for in {str(folder)!r}, so move the manifest there or correct its column source"
        )
    return clips_of_columns(columns, count)


def unused_columns(path: Place) -> list[str]:
    """The columns of a manifest that `read_manifest` ignores, quoted, with the used one that each is most like."""
    beside = {field.name for field in BESIDE}
    return unknown_columns((name for name in column_names(path, REQUIRED) if name not in beside), SCHEMA.names)


def write_manifest(clips: Sequence[Clip], path: Path, own: Mapping[str, pa.Array] | None = None) -> None:
    """Writes a manifest, .parquet or .csv by its suffix, whole or not at all.

    A source at or below the manifest's folder is written relative to it, any other as an absolute path. `own` are
    further columns by name, a value a clip, which stand behind those of `SCHEMA`.

    Raises:
        InputError: for another suffix, or where the manifest is a CSV, for a defect with a semicolon in it or bytes
            that are no text.
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
        write_whole(path, lambda temporary: write(rows, temporary, own or {}))
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
    sources = {source: _rooted(source) for source in {clip.source for clip in clips}}
    root = Path(os.path.commonpath(sources.values())).parent
    start = len(str(root).rstrip("/")) + 1
    # It is `fingerprint` of a list with a dictionary for each clip, but written by columns, of which most hold few
    # values: 100,000 dictionaries take their time.
    fields, varying = [], []
    for name in sorted(_FINGERPRINTED):
        column = list(map(operator.attrgetter(name), clips))
        if name == "source":
            column = [sources[source][start:] for source in column]
        texts = _json_texts(column)
        if len(texts) == 1:
            fields.append(f'"{name}":{texts[0].replace("%", "%%")}')
        else:
            fields.append(f'"{name}":%s')
            varying.append(texts)
    rows = map(("{" + ",".join(fields) + "}").__mod__, zip(*varying, strict=True) if varying else [()] * len(clips))
    digest = hashlib.sha256(f"[{next(rows)}".encode())
    while some := [*islice(rows, 1000)]:
        digest.update(f",{','.join(some)}".encode())
    digest.update(b"]")
    return digest.hexdigest()


_json_lines = json.JSONEncoder(separators=("\n", ":"), ensure_ascii=False, allow_nan=False).encode
"""`canonical_json` of a list of texts and numbers, a line for each: within a text JSON escapes the end of a line."""


def _json_texts(values: list[Any]) -> list[str]:
    """The canonical JSON of each value, or that of all, where they are one."""
    # Of these, unlike 25 and 25.0, equal ones have the same JSON.
    if isinstance(values[0], str | tuple | None) and values.count(values[0]) == len(values):
        return [canonical_json(values[0])]
    nested = not {*map(type, values)}.isdisjoint({tuple, list})
    texts = list(map(canonical_json, values)) if nested else _json_lines(values)[1:-1].split("\n")
    return texts[:1] if texts.count(texts[0]) == len(texts) else texts


def _rooted(source: str) -> str:
    """A source as an absolute path; s3://bucket/clips as /s3:/bucket/clips."""
    return os.path.abspath(f"/{source}" if "://" in source else source)  # noqa: PTH100 (resolve follows links)


_PROOFS = ("frames_sha256", "sheet_row", "annotation_row")
_FINGERPRINTED = [name for name in SCHEMA.names if name not in _PROOFS]
"""Fields that say what is asked for; the others prove the frames, whose identity is in the survey, and the labels."""


def _typed_columns(table: Columns, folder: Place) -> dict[str, list[Any]]:
    """The values of the clips' fields, whole columns at a time, by name; fields that keep their default are absent."""
    columns: dict[str, list[Any]] = {}
    for field in SCHEMA:
        if field.name not in table.cells:
            continue
        if pa.types.is_list(field.type):
            cells = table.cells[field.name]
            known = {cell: _several(cell) for cell in {cell for cell in cells if type(cell) is str}}
            columns[field.name] = [known[cell] if type(cell) is str else _several(cell) for cell in cells]
        elif field.name in _CONVERT:
            columns[field.name] = table.convert(field.name, _CONVERT[field.name])
        else:
            columns[field.name] = table.texts(field.name)
    if "frame_base" in columns:
        columns["frame_base"] = [base or 0 for base in columns["frame_base"]]
    if "emotion" in columns and "emotion3" not in columns:
        classes = {emotion: emotion3_of(emotion) for emotion in {*columns["emotion"]}}
        columns["emotion3"] = [classes[emotion] for emotion in columns["emotion"]]
    for i, source in enumerate(columns["source"]):
        if "\0" in source:
            raise InputError(
                f"{table.where(i)}: source={source!r} has a NUL character, which no path has; leave it out"
            )
    root = str(folder)
    paths = {source: _absolute(root, source) for source in {*columns["source"]}}
    columns["source"] = [paths[source] for source in columns["source"]]
    return columns


def _may_exist(source: str) -> bool:
    return is_url(source) or os.path.exists(source)  # noqa: PTH110


def _absolute(root: str, source: str) -> str:
    """A source, which may be relative to a folder; in object stores a folder's last "/" is left out."""
    if "://" in source and isinstance(found := place(source), StorePath):
        return str(found)
    if "://" in root and not source.startswith("/"):
        return str(place(f"{root}/{source}"))
    return os.path.normpath(os.path.join(root, source))  # noqa: PTH118


def _several(cell: str | list[Any] | None) -> tuple[str, ...]:
    parts = cell.split(";") if isinstance(cell, str) else cell or ()
    return tuple(text for part in parts if (text := cell_text(part)) is not None)


def _rate(where: str, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InputError(f"{where}: {column}={text!r} must be a number above 0; leave the cell empty if unknown")
    return value


def _frame_base(where: str, column: str, text: str) -> int:
    value = whole_number(where, column, text)
    if value < 0:
        raise InputError(f"{where}: frame_base={value} must be 0 or above")
    return value


def _emotion3(where: str, column: str, text: str) -> str:
    if text not in EMOTION3:
        raise InputError(f"{where}: emotion3={text!r} must be empty or one of {', '.join(EMOTION3)}")
    return text


def _sha256(where: str, column: str, text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise InputError(
            f"{where}: {column}={text[:80]!r} is no SHA-256 of 64 hex digits; flowkit hash writes the column"
        )
    return text.lower()


_CONVERT: dict[str, Callable[[str, str, str], Any]] = {
    "fps": _rate,
    "frame_base": _frame_base,
    "onset": whole_number,
    "apex": whole_number,
    "offset": whole_number,
    "sheet_row": whole_number,
    "emotion3": _emotion3,
    "frames_sha256": _sha256,
}
"""How a cell becomes its field's value; the other columns are text."""


def _write_csv(rows: list[dict[str, Any]], path: Path, own: Mapping[str, pa.Array]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [*SCHEMA.names, *own])
        table.writeheader()
        cells = {name: column_values("the manifest's", name, column) for name, column in own.items()}
        for i, row in enumerate(rows):
            for defect in row["defects"]:
                if ";" in defect:
                    raise InputError(
                        f"clip {row['clip_id']!r}: the defect {defect!r} has a semicolon, which separates defects "
                        "in CSV; write the manifest as .parquet"
                    )
            further = {name: column[i] for name, column in cells.items()}
            table.writerow(row | {"defects": ";".join(row["defects"])} | further)


def _write_parquet(rows: list[dict[str, Any]], path: Path, own: Mapping[str, pa.Array]) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    for name, column in own.items():
        table = table.append_column(name, column)
    pq.write_table(table, path)


def absolute_path(path: str | Path) -> Path:
    """Absolute and without "..", but with its links as they are, so that a dataset of links stays relative."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (resolve follows links)


def _relative(source: str, folder: Path) -> str:
    if is_url(source):
        return source
    absolute = absolute_path(source)
    return absolute.relative_to(folder).as_posix() if absolute.is_relative_to(folder) else str(absolute)

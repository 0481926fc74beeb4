"""The manifest: one table, a row a clip, as Parquet or CSV; its columns are the fields of `Clip`."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flowkit.datasets.emotions import EMOTION3, emotion3_of
from flowkit.frames import is_video
from flowkit.frames.folder import IMAGE_SUFFIXES
from flowkit.types import Clip, InputError, OutputError, fingerprint

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

TABLE_SUFFIXES = (".parquet", ".csv")


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
    folder = _absolute(path.parent)
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
    folder = _absolute(path.parent)
    rows = [dataclasses.asdict(clip) | {"source": _relative(clip.source, folder)} for clip in clips]
    write = _write_csv if path.suffix.lower() == ".csv" else _write_parquet
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(rows, temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"manifest {str(path)!r} cannot be written: {error}") from error


def manifest_fingerprint(clips: Sequence[Clip]) -> str:
    """SHA-256 (hex) of everything the clips say, in their order: the order decides the units of a run.

    Sources count from the name of the deepest folder that holds them all (or of the only source). So a dataset keeps
    its fingerprint where it is moved as a whole, while frames taken from another folder of it (`cropped` for `raw`)
    change it.
    """
    if not clips:
        return fingerprint([])
    sources = [_absolute(clip.source) for clip in clips]
    root = Path(os.path.commonpath(sources)).parent
    names = [source.relative_to(root).as_posix() for source in sources]
    return fingerprint([dataclasses.asdict(clip) | {"source": name} for clip, name in zip(clips, names, strict=True)])


def clips_from(source: Path, *, frame_base: int | None = None) -> list[Clip]:
    """The clips that a user's SOURCE stands for.

    - a manifest: its rows;
    - a video: one clip, named by the file without its suffix;
    - a folder that directly holds images with a number in their names: one clip, named by the folder, and not
      searched further;
    - any other folder: one clip for each video and each folder of frames below it, in natural order, named by its
      path in there (a video's with its suffix, so that a.mp4 and a.mov stay apart). Hidden entries are skipped.

    Args:
        frame_base: number of a video's first frame, 0 unless given. A manifest says its own.

    Raises:
        InputError: where there is nothing of the kind, or a folder mixes numbered images and videos.
    """
    source = _absolute(source)
    if source.is_dir():
        try:
            found = list(_sources_below(source))
        except OSError as error:
            raise InputError(f"{str(source)!r} cannot be searched: {error}") from error
        if not found:
            raise InputError(f"{str(source)!r} holds neither videos nor numbered images ({', '.join(IMAGE_SUFFIXES)})")
        names = [item.relative_to(source).as_posix() if item != source else source.name for item in found]
    elif source.suffix.lower() in TABLE_SUFFIXES:
        if frame_base is not None:
            raise InputError(f"frame_base={frame_base}: {source.name} has a column frame_base of its own; set it there")
        return read_manifest(source)
    elif not source.exists():
        raise InputError(f"{str(source)!r} does not exist; give a manifest, a video or a folder")
    elif is_video(source):
        found, names = [source], [source.stem]
    else:
        raise InputError(f"{str(source)!r} is no manifest (.parquet, .csv), no video and no folder")
    return [
        Clip(clip_id=name, source=str(item), frame_base=0 if item.is_dir() else frame_base or 0)
        for name, item in zip(names, found, strict=True)
    ]


def read_rows(path: Path, required: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a .csv or .parquet table of clips, each with its place for an error ("m.csv line 7, clip 'a'").

    Cells are stripped texts, or None where empty; lists of a Parquet file stay lists. In the required columns, which
    include clip_id, there are only texts.

    Raises:
        InputError: for an unreadable file, a required column or cell that is missing, or a CSV row with too few or
            too many cells.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise InputError(f"{str(path)!r}: a table's name must end in {' or '.join(TABLE_SUFFIXES)}")
    try:
        columns, rows = _read_csv(path) if suffix == ".csv" else _read_parquet(path)
    except (OSError, ValueError, csv.Error, pa.ArrowException) as error:
        raise InputError(f"{str(path)!r} cannot be read as {suffix[1:]}: {error}") from error
    for name in required:
        if name not in columns:
            raise InputError(f"{path} has no column {name!r}; its columns are {', '.join(columns) or 'none'}")
    for place, row in rows:
        where = f"{path} {place}" + (f", clip {row['clip_id']!r}" if row["clip_id"] else "")
        for name in required:
            if not isinstance(row[name], str):
                raise InputError(f"{where}: {name} is {row[name] or 'empty'}; give one value for each clip")
        yield where, row


def whole_number(where: str, column: str, text: str) -> int:
    """The integer that "46" or "46.0" stands for; an InputError for anything else."""
    if not re.fullmatch(r"[+-]?[0-9]{1,15}(\.0*)?", text):
        raise InputError(f"{where}: {column}={text!r} is not a whole number; leave the cell empty where there is none")
    return int(text.split(".")[0])


def _clip(where: str, row: dict[str, Any], folder: Path) -> Clip:
    values: dict[str, Any] = {}
    for field in SCHEMA:
        cell = row.get(field.name)
        if pa.types.is_list(field.type):
            parts = cell.split(";") if isinstance(cell, str) else cell or ()
            values[field.name] = tuple(text for part in parts if (text := _text(part)) is not None)
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
    return Clip(**values | {"source": str(_absolute(folder / values["source"]))})


def _rate(where: str, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InputError(f"{where}: {column}={text!r} must be a number above 0; leave the cell empty if unknown")
    return value


def _text(cell: Any) -> str | None:
    """A cell as stripped text; None for an empty one and for the NaN that pandas puts there."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    return str(cell).strip() or None


_Rows = tuple[list[str], list[tuple[str, dict[str, Any]]]]


def _read_csv(path: Path) -> _Rows:
    # utf-8-sig: spreadsheets put a byte order mark in front.
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        columns = [name.strip() for name in next(lines, [])]
        for name in columns:
            if name and columns.count(name) > 1:
                raise ValueError(f"column {name!r} occurs twice")
        rows = []
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(columns):
                raise ValueError(f"line {lines.line_num} has {len(cells)} cells, its header {len(columns)}")
            row = dict(zip(columns, map(_text, cells), strict=True))
            rows.append((f"line {lines.line_num}", row))
    return columns, rows


def _read_parquet(path: Path) -> _Rows:
    with pq.ParquetFile(path) as file:
        table = file.read()
    rows = []
    for number, cells in enumerate(table.to_pylist(), start=1):
        row = {name: cell if isinstance(cell, list) else _text(cell) for name, cell in cells.items()}
        rows.append((f"row {number}", row))
    return table.column_names, rows


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


def _absolute(path: str | Path) -> Path:
    """Absolute and without "..", but with its links as they are, so that a dataset of links stays relative."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (resolve follows links)


def _relative(source: str, folder: Path) -> str:
    absolute = _absolute(source)
    return absolute.relative_to(folder).as_posix() if absolute.is_relative_to(folder) else str(absolute)


def _sources_below(folder: Path) -> Iterator[Path]:
    """The folder itself if it holds frames, else the videos and folders of frames below it, in natural order."""
    with os.scandir(folder) as scan:
        entries = sorted((entry for entry in scan if not entry.name.startswith(".")), key=lambda e: _natural(e.name))
    files = [Path(entry.path) for entry in entries if entry.is_file()]
    frame = next((file for file in files if _is_frame(file)), None)
    video = next((file for file in files if is_video(file)), None)
    if frame and video:
        raise InputError(
            f"{str(folder)!r} holds numbered images ({frame.name}) and videos ({video.name}); "
            "put them into folders of their own"
        )
    if frame:
        yield folder
        return
    here = os.path.realpath(folder)
    for entry in entries:
        if entry.is_dir():
            # A link to a folder above would lead round for ever.
            if not Path(here).is_relative_to(os.path.realpath(entry.path)):
                yield from _sources_below(Path(entry.path))
        elif entry.is_file() and is_video(entry.path):
            yield Path(entry.path)


def _is_frame(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES and re.search("[0-9]", file.stem) is not None


def _natural(name: str) -> tuple[list[int | str], str]:
    """A sort key under which 2 comes before 10, and equal numbers fall back on the text."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name

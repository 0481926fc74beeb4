"""A set of clips beside a reference list, row by row: a published table, or another lab's manifest."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flowkit.datasets.composites import Composite
from flowkit.datasets.contract import plain, shown
from flowkit.datasets.defects import Defect
from flowkit.datasets.emotions import EMOTION3, emotion3_of
from flowkit.datasets.manifest import read_manifest
from flowkit.datasets.registry import DATASETS
from flowkit.datasets.sheets import Sheet, read_sheets
from flowkit.errors import InputError
from flowkit.types import Clip

_CLASS = ("emotion3", "estimatedemotionconcised", "estimatedemotion", "emotion")


@dataclass(frozen=True, slots=True)
class _Listed:
    row: int
    emotion3: str | None
    has_class: bool


def compare(clips: Sequence[Clip], reference: Path, composite: Composite) -> list[Defect]:
    """Every difference between a composite's clips and a reference list, in the list's order, then the clips'.

    The list is a manifest (.parquet), or a sheet with clip_id, or with Subject, Filename, of CAS(ME)3 Onset, and, where
    there are several datasets, Dataset; and with a class or emotion, if classes are to be compared. Its rows of
    no class are passed over, unless such clips belong to the composite.

    Raises:
        InputError: for a file that is no such list, or a row that does not say which clip it is.
    """
    listed = _read(reference, composite)
    ours = {clip.clip_id: clip for clip in clips}
    found = []
    for clip_id, one in listed.items():
        place = {"file": reference.name, "row": one.row, "clip_id": clip_id}
        if clip_id not in ours:
            found.append(Defect(**place, what="not among the clips here", done="missing", failed=True))  # type: ignore[arg-type]
        elif one.has_class and ours[clip_id].emotion3 != one.emotion3:
            here = ours[clip_id]
            what = f"class {one.emotion3 or 'none'} there, {here.emotion3 or 'none'} here (row {here.sheet_row})"
            found.append(Defect(**place, what=what, done="kept as here", failed=True))  # type: ignore[arg-type]
    for clip in clips:
        if clip.clip_id not in listed:
            file = (clip.annotation_revision or "").rsplit(" ", 1)[0]
            what = f"not in {reference.name}"
            found.append(
                Defect(file=file, row=clip.sheet_row, clip_id=clip.clip_id, what=what, done="kept", failed=True)
            )
    return found


def _read(path: Path, composite: Composite) -> dict[str, _Listed]:
    if path.suffix.lower() == ".parquet":
        clips = read_manifest(path, require_sources=False)
        has_class = any(clip.emotion3 for clip in clips)
        return {
            clip.clip_id: _Listed(i, clip.emotion3, has_class)
            for i, clip in enumerate(clips, start=1)
            if clip.emotion3 or composite.any_class or not has_class
        }
    for sheet in read_sheets([path]):
        for i, cells in enumerate(sheet.rows):
            names = [plain(cell) for cell in cells]
            if "clipid" in names or {"subject", "filename"} <= set(names):
                return _rows(sheet, i, names, composite)
    raise InputError(f"{path} has no header with clip_id, or Subject and Filename; give a list of clips")


def _rows(sheet: Sheet, header: int, names: list[str], composite: Composite) -> dict[str, _Listed]:
    column = next((name for name in _CLASS if name in names), None)
    listed: dict[str, _Listed] = {}
    filled = [(i, cells) for i, cells in enumerate(sheet.rows[header + 1 :], start=header + 2) if any(cells)]
    rows = [(number, dict(zip(names, cells, strict=False))) for number, cells in filled]
    said = {row["dataset"] for _, row in rows if row.get("dataset")}
    for number, row in rows:
        emotion = row.get(column or "", "")
        emotion3 = emotion.casefold() if emotion.casefold() in EMOTION3 else emotion3_of(emotion)
        named = row.get("clipid") or row.get("filename")  # a line of text below the table names no clip
        if column is None or emotion3 or (named and composite.any_class):
            clip_id = row.get("clipid") or _clip_id(sheet, number, row, composite.datasets, said)
            listed[clip_id] = _Listed(number, emotion3, column is not None)
    return listed


def _clip_id(sheet: Sheet, number: int, row: dict[str, str], datasets: Sequence[str], all_said: set[str]) -> str:
    """A row's clip_id.

    Args:
        all_said: what the list's column Dataset says in any row.
    """
    said = row.get("dataset", "")
    fitting = [name for name in datasets if not said or DATASETS[name].is_called(said)]
    if not fitting:
        known = ", ".join(f"{name} ({DATASETS[name].title})" for name in datasets)
        raise InputError(
            f"{sheet.told} row {number}: Dataset {said!r} is none of {known}; the column has "
            f"{shown(map(repr, sorted(all_said)))}; correct it, or leave such rows out"
        )
    for name in fitting:
        dataset = DATASETS[name]
        if subject := dataset.written_subject(row.get("subject", "")):
            texts = {**row, "subject": subject}
            key = [field for _, field, _, _ in string.Formatter().parse(dataset.key) if field]
            if lacking := [field for field in key if not texts.get(field)]:
                raise InputError(
                    f"{sheet.told} row {number}: clips of {dataset.title} are known by {', '.join(key)}, and here is "
                    f"no {lacking[0]}; give it in a column of that name"
                )
            return dataset.clip_id(texts)
    raise InputError(
        f"{sheet.told} row {number}: subject {row.get('subject', '')!r} is none of "
        f"{', '.join(DATASETS[name].title for name in fitting)}; correct the row"
    )

"""Which rows of a sheet give a clip, and under which clip_id."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from flowkit.datasets.contract import Dataset, Row
from flowkit.datasets.person import person_of
from flowkit.datasets.tables import integer, odd_clip_id


def keyed(dataset: Dataset, rows: list[Row], context: Any) -> list[Row]:
    """The rows that have a clip_id of their own."""
    for row in rows:
        _name(dataset, row, context)
    named = [row for row in rows if not row.out]
    if dataset.recurs:
        _tell_apart(named)
    kept: dict[str, Row] = {}
    for row in named:
        row.person = person_of(dataset, row.texts["subject"])
        if row.clip_id in kept:
            row.refuse("filename", f"row {kept[row.clip_id].number} has the same key", "remove one of them")
        else:
            kept[row.clip_id] = row
    return list(kept.values())


def _name(dataset: Dataset, row: Row, context: Any) -> None:
    """Gives a row its clip_id, or leaves it out."""
    text = row.texts.get("subject", "")
    subject = dataset.written_subject(text)
    if subject is None:
        row.refuse("subject", f"no subject of {dataset.title}", "correct the cell" if text else "fill the cell")
        return
    row.texts["subject"] = subject
    if not row.texts.get("filename"):
        row.refuse("filename", "no file name", "fill the cell")
        return
    if dataset.read:
        dataset.read(row, context)
    if not row.out:
        row.clip_id = row.key = dataset.clip_id(row.texts)
        _refuse_odd_names(dataset, row)


def _tell_apart(rows: Sequence[Row]) -> None:
    """Puts the onset behind the clip_id where rows of one key have several."""
    onsets: dict[str, set[int]] = {}
    for row in rows:
        if (onset := integer(row.texts.get("onset", ""))) is not None:
            onsets.setdefault(row.key, set()).add(onset)
    for row in rows:
        onset = integer(row.texts.get("onset", ""))
        if onset is not None and len(onsets[row.key]) > 1:
            row.clip_id = f"{row.key}/{onset}"


def recurring(rows: Sequence[Row]) -> list[str]:
    """What is to be said of rows whose clip_id has the onset."""
    count = sum(row.clip_id != row.key for row in rows)
    told = "clips whose subject and file name recur with another onset, which is in their clip_id"
    return [f"{told}: {count}"] if count else []


def _refuse_odd_names(dataset: Dataset, row: Row) -> None:
    """Leaves a row out whose cells make no clip_id, or lead to another folder than the one that they name."""
    fields = {field for layout in dataset.folders for _, field, _, _ in string.Formatter().parse(layout) if field}
    for name in sorted({"subject", "filename", *fields} & {*row.columns}):
        text = row.texts.get(name, "")
        if text.startswith("/") or any(part in (".", "..") or part.endswith("*") for part in text.split("/")):
            row.refuse(name, "no name of a folder", "correct the cell")
            return
    if odd := odd_clip_id(row.clip_id):
        row.refuse("filename", f"the clip_id has {odd[0]}", "correct the cell")

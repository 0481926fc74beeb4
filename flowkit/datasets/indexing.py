"""From a dataset's annotation file and folders to clips: what `flowkit index` does for every dataset alike.

sheet -> table -> rows (texts, repairs) -> key, frames, emotion, labels -> folder and frame files -> clips and defects
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flowkit.datasets.action_units import parse_units
from flowkit.datasets.clip_files import find_files, has_video
from flowkit.datasets.contract import FRAMES, Dataset, Row, Table, find_table, other_datasets, rows_of
from flowkit.datasets.defects import Defect
from flowkit.datasets.emotions import emotion3_of, emotion_name
from flowkit.datasets.keys import keyed, recurring
from flowkit.datasets.labels import labels_of
from flowkit.datasets.repairs import Repair, repair
from flowkit.datasets.sheets import Sheet
from flowkit.datasets.tables import integer, says_nothing
from flowkit.errors import InputError
from flowkit.types import Clip

_TOO_FAST = 1e6
"""Frames a second that no camera of faces has."""


@dataclass(frozen=True, slots=True)
class Index:
    """What came of indexing a dataset."""

    dataset: Dataset
    clips: list[Clip]
    """In the sheet's order."""
    defects: list[Defect]
    notes: list[str]
    """What is to be said of the dataset as a whole."""
    revision: str
    base: Path
    """The folder in which the layout was found."""

    @property
    def failed(self) -> int:
        """How many rows of the sheet have something that could not be used."""
        return len({(one.file, one.sheet, one.row, one.clip_id) for one in self.defects if one.failed})


def index_dataset(
    dataset: Dataset,
    root: Path,
    sheets: Sequence[Sheet],
    *,
    sheet: str | None = None,
    repairs: Sequence[Repair] = (),
    fps: float | None = None,
    frame_base: int | None = None,
) -> Index:
    """The clips of a dataset, each with its frames checked by number.

    A row without a usable key, or with one that an earlier row has, is left out; every other row gives a clip, with
    what it lacks in its defects: its pairs fail by name when they are extracted. Nothing is replaced but by a repair.

    Args:
        dataset: its contract.
        root: a folder that holds the dataset's own.
        sheets: of the annotation files.
        sheet: the name of the one with the clips; None finds it.
        repairs: of the user; one for a clip that there is not is an error.
        fps: frames a second, in place of the dataset's.
        frame_base: the number of a video's first frame, in place of a column's or 0.

    Raises:
        InputError: for a rate or base that is none, or a base without a video, sheets of something else, a root that
            has none of the clips, or a repair of no clip.
    """
    if fps is not None and not _is_rate(fps):
        raise InputError(f"--fps {fps:g}: give frames a second, a number above 0 and below {_TOO_FAST:.0f}")
    if frame_base is not None and frame_base < 0:
        raise InputError(f"--frame-base {frame_base}: give 0 or above, the number of a video's first frame")
    if not root.is_dir():
        raise InputError(f"ROOT {str(root)!r} is no folder; give the folder that holds {dataset.title}")
    table = _table(dataset, sheets, sheet)
    context = dataset.prepare(sheets) if dataset.prepare else None
    read = rows_of(dataset, table)
    rows = [row for row in read if _has_data(row)]
    if not rows:
        raise InputError(_no_rows(dataset, table))
    kept = keyed(dataset, rows, context)
    _repair(kept, repairs)
    for row in kept:
        _read(dataset, row)
        row.frame_base = _base(row) if frame_base is None else frame_base
    _settle_spelling(kept)
    base = find_files(dataset, root, kept)
    notes = [*dataset.notes, *(dataset.conclude(kept, context) if dataset.conclude else [])]
    notes += [*recurring(kept), *_settle_bases(kept, frame_base)]
    revision = table.sheet.revision
    return Index(
        dataset,
        [_clip(dataset, row, revision, fps) for row in kept],
        [
            *_skipped(row for row in read if not _has_data(row)),
            *(defect for row in rows for defect in row.defects),
        ],
        [*notes, *_count(dataset, rows, kept), *_others(dataset, table)],
        revision,
        base,
    )


def _table(dataset: Dataset, sheets: Sequence[Sheet], name: str | None) -> Table:
    named = [one for one in sheets if name in (None, one.name)]
    if not named:
        raise InputError(f"--sheet {name}: the sheets are {', '.join(repr(one.name) for one in sheets)}")
    return (dataset.find or find_table)(dataset, named)


def _has_data(row: Row) -> bool:
    """Whether a row is one of clips, not of text, which fills one cell."""
    return len(row.raw) > 1


def _skipped(rows: Iterable[Row]) -> list[Defect]:
    return [
        Defect(
            file=row.sheet.path.name,
            sheet=row.sheet.name,
            row=row.number,
            value=next(iter(row.raw.values())),
            what=f"a row of text ({next(iter(row.raw.values()))[:60]!r}) and no clip",
            done="skipped",
        )
        for row in rows
    ]


def _others(dataset: Dataset, table: Table) -> list[str]:
    others = other_datasets(dataset, table)
    return [f"rows of other datasets, as the column Dataset says: {others}"] if others else []


def _no_rows(dataset: Dataset, table: Table) -> str:
    """The error where a sheet has the header of a dataset, and no row of it."""
    if not (others := other_datasets(dataset, table)):
        return f"{table.sheet.told} has a header and no rows of {dataset.title}; give the whole file"
    known = " or ".join(dict.fromkeys((dataset.name, dataset.title)))
    return (
        f"{table.sheet.told}: its column Dataset says {others} and never {dataset.title}; correct it to {known}, "
        "rename the column if it means something else, or give the sheet of that dataset"
    )


def _settle_bases(rows: Sequence[Row], frame_base: int | None) -> list[str]:
    """Takes the base from rows whose source is no video; says where those of videos are counted from, if no one did."""
    videos = [row for row in rows if has_video(row)]
    if frame_base is not None and not videos:
        raise InputError(
            f"--frame-base {frame_base}: no source is a video, and frames of a folder carry their own numbers; "
            "leave it out"
        )
    for row in rows:
        if row.frame_base and not has_video(row):
            if frame_base is None:
                row.note("frame_base", "frames of a folder carry their own numbers", "it is not used")
            row.frame_base = 0
    if frame_base is None and any("frame_base" not in row.columns for row in videos):
        return ["frames of videos are counted from 0: give --frame-base 1, if the sheet counts from 1"]
    return []


def _repair(rows: list[Row], repairs: Sequence[Repair]) -> None:
    by_clip: dict[str, list[Repair]] = {}
    for line in repairs:
        by_clip.setdefault(line.clip_id, []).append(line)
    for row in rows:
        repair(row, by_clip.pop(row.clip_id, []))
    for clip_id, lines in by_clip.items():
        raise InputError(f"{lines[0].place} repairs {clip_id!r}, and no row gives that clip; correct its clip_id")


def _read(dataset: Dataset, row: Row) -> None:
    """Frames, emotion and action units of a row from its texts."""
    for name, others in row.others.items():
        for other in others:
            row.note(name, f"there is {other}, too", "the first counts")
    for name in FRAMES:
        row.frames[name] = _frame(dataset, row, name)
    _order(row)
    _duration(row)
    if "emotion" in row.columns:
        _emotion(dataset, row)
    row.emotion3 = dataset.class_of(row) if dataset.class_of else emotion3_of(row.emotion)
    if text := row.texts.get("au"):
        for word in parse_units(text).rest:
            row.note("au", f"{word!r} is no action unit", "the text is kept, without a unit of it")
    if dataset.check:
        dataset.check(row)


def _base(row: Row) -> int:
    """The number of a video's first frame as the row's own column has it; 0 where it says nothing."""
    text = row.texts.get("frame_base", "")
    base = integer(text)
    if base is not None and base >= 0:
        return base
    if text and not says_nothing(text):
        row.note("frame_base", "no whole number of 0 or above", "the frames are counted from 0", failed=True)
    return 0


def _frame(dataset: Dataset, row: Row, name: str) -> int | None:
    """A frame's number; None where there is none, listed unless the dataset has no such column."""
    if name not in row.columns:
        return None
    text = row.texts.get(name, "")
    documented = text in dataset.missing.get(name, ())
    if documented or says_nothing(text):
        failed = not documented and name != "apex"
        row.note(name, f"no {name} is annotated", "the clip is kept without", failed=failed)
        return None
    if not text:
        row.note(name, f"the cell of the {name} is empty", "the clip is kept without", failed=True)
        return None
    frame = integer(text)
    if frame is None:
        row.note(name, f"the {name} is no whole number", "the clip is kept without", failed=True)
    return frame


def _order(row: Row) -> None:
    """Lists keyframes that contradict each other; they stay as annotated."""
    onset, apex, offset = (row.frames[name] for name in FRAMES)
    kept = "kept as annotated"
    if onset is not None and offset is not None and offset < onset:
        row.note("offset", f"the offset lies before the onset {onset}", kept)
    if apex is None:
        return
    if onset is not None and apex < onset:
        row.note("apex", f"the apex lies before the onset {onset}", kept)
    if onset is not None and apex == onset:
        row.note("apex", "the apex is the onset", kept)
    if offset is not None and apex > offset:
        row.note("apex", f"the apex lies behind the offset {offset}", kept)


def _duration(row: Row) -> None:
    text = row.texts.get("duration", "")
    onset, offset = row.frames["onset"], row.frames["offset"]
    if not text or onset is None or offset is None:
        return
    if integer(text) != offset - onset + 1:
        row.note("duration", f"onset to offset are {offset - onset + 1} frames", "onset and offset count")


def _emotion(dataset: Dataset, row: Row) -> None:
    text = row.texts.get("emotion", "")
    if not text or says_nothing(text):
        row.note("emotion", "no emotion is annotated", "the clip has none", failed=not text)
        return
    row.emotion = emotion_name(text)
    if dataset.emotions and row.emotion not in dataset.emotions:
        known = ", ".join(sorted(dataset.emotions))
        of = emotion3_of(row.emotion)
        done = f"the clip keeps the text and is in {f'class {of}' if of else 'no class'}"
        row.note("emotion", f"none of {known}", done, failed=True)


def _settle_spelling(rows: list[Row]) -> None:
    """Lists emotions that most rows spell otherwise."""
    spelt: dict[str, Counter[str]] = {}
    for row in rows:
        if row.emotion:
            spelt.setdefault(row.emotion, Counter())[row.texts["emotion"]] += 1
    for row in rows:
        if row.emotion and row.texts["emotion"] != (usual := spelt[row.emotion].most_common(1)[0][0]):
            row.note("emotion", f"most rows write {usual!r}", f"read as {row.emotion!r}")


def _count(dataset: Dataset, rows: list[Row], kept: list[Row]) -> list[str]:
    """Where the numbers of rows, subjects, videos and kinds are not those of a revision that is known."""
    counted = {
        "rows": len(rows),
        "subjects": len({row.texts["subject"] for row in kept}),
        "micro": sum(row.expression == "micro" for row in kept),
        "macro": sum(row.expression == "macro" for row in kept),
        "videos": len({row.folder for row in kept}),
    }
    return [
        f"the sheet has {counted[name]} {name}, the revisions that are known {' or '.join(map(str, known))}"
        for name, known in dataset.published.items()
        if counted[name] not in known
    ]


def _clip(dataset: Dataset, row: Row, revision: str, fps: float | None) -> Clip:
    labels = labels_of(row)
    if fps is not None and "fps" in row.repaired:
        row.overridden("fps", f"--fps {fps:g} is of all clips")
    rate = fps or _rate(dataset, row)
    return Clip(
        clip_id=row.clip_id,
        source=os.path.abspath(row.folder),  # noqa: PTH100 (resolve follows links)
        dataset=dataset.name,
        subject=row.texts["subject"],
        person=row.person,
        fps=rate,
        frame_base=row.frame_base,
        onset=row.frames["onset"],
        apex=row.frames["apex"],
        offset=row.frames["offset"],
        expression=row.expression,
        emotion=row.emotion,
        emotion3=row.emotion3,
        au=row.texts.get("au") or None,
        **labels,
        defects=tuple(defect.short for defect in row.defects),
        annotation_revision=revision,
        sheet_row=row.number,
        annotation_row=json.dumps(row.raw, ensure_ascii=False),
    )


def _rate(dataset: Dataset, row: Row) -> float | None:
    """The frame rate of the row's own column, else the dataset's."""
    text = row.texts.get("fps", "")
    if not text and "fps" not in dataset.required:
        return dataset.fps
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not _is_rate(rate):
        row.note("fps", "no frame rate", "the clip has none", failed=True)
        return None
    return rate


def _is_rate(rate: float) -> bool:
    return 0 < rate < _TOO_FAST

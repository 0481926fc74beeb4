"""CAS(ME)2 (Qu et al. 2018): 22 subjects at 30 frames a second, 300 macro- and 57 micro-expressions in long videos.

Its first sheet has no header, and names subjects and videos by numbers that two more sheets turn into folders.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowkit.datasets.contract import LABELS, Dataset, Row, Table, columns_of, plain
from flowkit.datasets.sheets import Sheet
from flowkit.errors import InputError

NAMES = ["subject", "video", "onset", "apex", "offset", "au", "emotion", "type", "selfReport"]
_FIELDS = ("subject", "filename", "onset", "apex", "offset", "au", "emotion", "type")
_SUBJECT = re.compile("s[0-9]+", re.IGNORECASE)
_VIDEO = re.compile(r"[a-z]+[0-9]+_[0-9]+", re.IGNORECASE)
_CODE = re.compile("[0-9]{3,4}")


@dataclass(frozen=True, slots=True)
class _Codes:
    subjects: Mapping[str, str]
    """By a row's number of the subject the code of its folder, such as s15."""
    videos: Mapping[str, str]
    """By a video's name without its count the number in its folder's name, such as 0401."""


def _find(dataset: Dataset, sheets: Sequence[Sheet]) -> Table:
    """The sheet whose rows hold a number, a video such as anger1_1, and three numbers."""
    for sheet in sheets:
        clips = [cells for cells in sheet.rows if len(cells) >= 8 and _VIDEO.fullmatch(cells[1])]
        if clips and all(cells[0].isdecimal() or not cells[0] for cells in clips[:20]):
            rows = [(number, cells) for number, cells in enumerate(sheet.rows, start=1) if any(cells)]
            header = [cells for _, cells in rows if plain(cells[0]) == "subject"]  # a lab may have added one
            names = [*NAMES, *(header[0][len(NAMES) :] if header else [])]
            return Table(
                sheet,
                names,
                columns_of(names, LABELS) | {name: [place] for place, name in enumerate(_FIELDS)},
                [(number, cells) for number, cells in rows if cells not in header],
            )
    raise InputError(
        f"{sheets[0].told} has no rows as {dataset.title} has them (1, anger1_1, onset, apex, offset, ...); "
        "give the annotation file of that dataset"
    )


def _codes(sheets: Sequence[Sheet]) -> _Codes:
    """The two sheets of codes: s15 and a number; 0401 and anger1. Their columns may stand either way round."""
    subjects: dict[str, str] = {}
    videos: dict[str, str] = {}
    for sheet in sheets:
        for cells in sheet.rows:
            filled = [cell for cell in cells if cell]
            if len(filled) < 2:
                continue
            for one, other in (filled[:2], filled[1::-1]):
                if _SUBJECT.fullmatch(one) and other.isdecimal():
                    subjects[str(int(other))] = one.lower()
                elif _CODE.fullmatch(one) and re.fullmatch("[a-z]+[0-9]+", other, re.IGNORECASE):
                    videos[other.casefold()] = one.zfill(4)
    if not subjects or not videos:
        lacking = "of the subjects (s15, index)" if not subjects else "of the videos (0401, anger1)"
        raise InputError(
            f"{', '.join(sheet.told for sheet in sheets)}: there is no sheet {lacking}; give the whole workbook, or "
            "that sheet as another --annotations"
        )
    return _Codes(subjects, videos)


def _read(row: Row, codes: _Codes) -> None:
    number = str(int(row.texts["subject"]))
    name = row.texts["filename"].rsplit("_", 1)[0].casefold()
    if number not in codes.subjects:
        row.refuse("subject", "not in the sheet of subject codes", "add it there")
        return
    if name not in codes.videos:
        row.refuse("filename", f"{name!r} is not in the sheet of video codes", "add it there")
        return
    row.texts["subject"] = codes.subjects[number]
    row.texts["code"] = codes.videos[name]
    row.texts["number"] = codes.subjects[number].lstrip("s")
    kind = row.texts["type"].casefold()
    row.expression = "micro" if "micro" in kind else "macro" if "macro" in kind else None
    if row.expression is None:
        row.note("type", "neither macro- nor micro-expression", "the clip has no kind of expression", failed=True)


def _overlaps(rows: Sequence[Row], _: _Codes) -> list[str]:
    """Lists expressions of one video that overlap."""
    by_video: dict[str, list[tuple[int, int, Row]]] = {}
    for row in rows:
        onset, offset = row.frames["onset"], row.frames["offset"]
        if onset is not None and offset is not None and onset <= offset:
            by_video.setdefault(row.folder, []).append((onset, offset, row))
    for intervals in by_video.values():
        intervals.sort(key=lambda one: one[:2])
        longest = intervals[0]
        for this in intervals[1:]:
            if this[0] <= longest[1]:
                what = f"overlaps with row {longest[2].number}, which ends at {longest[1]}"
                this[2].note("onset", what, "both are kept")
            longest = max(longest, this, key=lambda one: one[1])
    return []


CAS_ME2 = Dataset(
    name="cas_me2",
    title="CAS(ME)2",
    columns={name: (name,) for name in _FIELDS},
    required=("subject", "filename", "onset", "offset", "emotion"),
    subject=("0*([0-9]+)", "{}"),
    key="{subject}/{filename}/{onset}",
    folders=("rawpic/{subject}/{number}_{code}*", "{subject}/{number}_{code}*"),
    long_videos=True,
    fps=30.0,
    called=r"CAS[\W_]+ME[\W_]*[2²]|CASME(\^2|²)",
    missing={"offset": frozenset({"0"}), "apex": frozenset({"0"})},
    emotions=frozenset({"negative", "others", "positive", "surprise"}),
    published={"subjects": (22,), "macro": (300,), "micro": (57,)},
    find=_find,
    prepare=_codes,
    read=_read,
    conclude=_overlaps,
)

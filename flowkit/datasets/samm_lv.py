"""SAMM Long Videos (Yap et al. 2020): 147 videos of the people of SAMM, with 343 macro- and 159 micro-expressions.

It has no emotions. Those of SAMM come along where SAMM's own sheet is given, too, joined on the file name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from flowkit.datasets.contract import Dataset, Row, find_table, fits, rows_of
from flowkit.datasets.samm import COLUMNS, SAMM, check_name
from flowkit.datasets.sheets import Sheet
from flowkit.errors import InputError

_Joined = Mapping[str, tuple[str, int | None]]
"""By SAMM's file name its emotion and onset."""


def _samm(sheets: Sequence[Sheet]) -> _Joined:
    """The rows of SAMM's sheet, where one of the files is it; an InputError where several are."""
    fitting = [sheet for sheet in sheets if fits(SAMM, sheet)]
    if not fitting:
        return {}
    if len(fitting) > 1:
        told = " and ".join(sheet.told for sheet in fitting)
        raise InputError(f"{told} both have the header of SAMM; give the one whose emotions count as a file of its own")
    table = find_table(SAMM, fitting)
    joined = {}
    for row in rows_of(SAMM, table):
        onset = row.texts["onset"]
        joined[row.texts["filename"]] = row.texts["emotion"], int(onset) if onset.isdecimal() else None
    return joined


def _read(row: Row, samm: _Joined) -> None:
    """The video is the first two parts of the file name; the type is Macro, or Micro - 1/2."""
    row.texts["video"] = "_".join(row.texts["filename"].split("_")[:2])
    kind = row.texts["type"].casefold()
    row.expression = "micro" if kind.startswith("micro") else "macro" if kind.startswith("macro") else None
    if row.expression is None:
        row.note("type", "neither Macro nor Micro", "the clip has no kind of expression", failed=True)
    if row.texts["filename"] in samm:
        row.texts["emotion"] = samm[row.texts["filename"]][0]
        row.columns["emotion"] = "Estimated Emotion (of SAMM)"


def _conclude(rows: Sequence[Row], samm: _Joined) -> list[str]:
    if not samm:
        return ["no emotions: give SAMM's sheet, too, as a second --annotations"]
    return [*_shifts(rows, samm), *_not_joined(rows, samm)]


def _not_joined(rows: Sequence[Row], samm: _Joined) -> list[str]:
    """Micro-expressions, all of which SAMM should have, without a row there."""
    alone = [row for row in rows if row.expression == "micro" and row.texts["filename"] not in samm]
    for row in alone:
        row.note("filename", "no row of SAMM's sheet has this file name", "the clip has no emotion")
    told = "micro-expressions without a row in SAMM's sheet, and so without an emotion"
    return [f"{told}: {len(alone)}"] if alone else []


def _shifts(rows: Sequence[Row], samm: _Joined) -> list[str]:
    """By how much the frame numbers of each video differ from SAMM's: one constant a video."""
    shifts: dict[str, list[tuple[int, Row]]] = {}
    for row in rows:
        theirs = samm.get(row.texts["filename"], ("", None))[1]
        if theirs is not None and row.frames["onset"] is not None:
            shifts.setdefault(row.texts["video"], []).append((row.frames["onset"] - theirs, row))
    for found in shifts.values():
        usual = Counter(shift for shift, _ in found).most_common(1)[0][0]
        for shift, row in found:
            if shift != usual:
                what = f"the onset is SAMM's {shift:+d}, that of the video's other clips {usual:+d}"
                row.note("onset", what, "kept as annotated")
    told = ", ".join(
        f"{video} {Counter(shift for shift, _ in found).most_common(1)[0][0]:+d}" for video, found in shifts.items()
    )
    joined = sum(map(len, shifts.values()))
    return [f"{joined} clips joined to SAMM on the file name; frame numbers are SAMM's and: {told or 'none'}"]


SAMM_LV = Dataset(
    name="samm_lv",
    title="SAMM Long Videos",
    columns=COLUMNS | {"type": ("type",)},
    required=("subject", "filename", "onset", "apex", "offset", "type"),
    subject=("0*([0-9]+)", "{:03d}"),
    key="{video}/{filename}",
    folders=("{video}",),
    long_videos=True,
    fps=200.0,
    missing={"apex": frozenset({"-1"}), "onset": frozenset({"0"})},
    people="samm",
    emotions=SAMM.emotions,
    published={"macro": (343,), "micro": (159,), "videos": (147,)},
    prepare=_samm,
    read=_read,
    check=check_name,
    conclude=_conclude,
)

"""What a dataset is to `flowkit index`: its columns, where its clips lie, how it writes what is missing.

A dataset is a value of `Dataset`; what a table of words cannot say is one of its few functions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowkit.datasets.defects import Defect
from flowkit.datasets.sheets import Sheet
from flowkit.errors import InputError

FRAMES = ("onset", "apex", "offset")
_SHOWN = 20
LABELS: Mapping[str, tuple[str, ...]] = {
    "dataset": ("dataset",),
    "race": ("race",),
    "group": ("raceconcised", "ethnicgroup"),
    "ethnicity": ("ethnicity",),
    "age": ("age",),
    "gender": ("gender", "sex"),
}
"""Columns that a lab adds to any dataset's sheet."""


@dataclass(slots=True)
class Row:
    """One row of a sheet on its way to a clip."""

    sheet: Sheet
    number: int
    """Row of the sheet, from 1."""
    raw: dict[str, str]
    """Its filled cells under their headers."""
    texts: dict[str, str]
    """Text by field; "" where the cell is empty or there is no such column."""
    columns: dict[str, str]
    """The header that a field's text stands under."""
    others: dict[str, list[str]] = field(default_factory=dict)
    """By field what further columns of it say, where that is something else: "Apex='7'"."""
    repaired: dict[str, str] = field(default_factory=dict)
    """By field that a repair has set where the repair stands."""
    frames: dict[str, int | None] = field(default_factory=dict)
    frame_base: int = 0
    """The number of the first frame, where the source is a video."""
    key: str = ""
    """Its clip_id, without the onset where `Dataset.recurs` has put it there."""
    clip_id: str = ""
    folder: str = ""
    person: str | None = None
    emotion: str | None = None
    emotion3: str | None = None
    expression: str | None = None
    defects: list[Defect] = field(default_factory=list)
    out: bool = False
    """Whether the row gives no clip."""

    def note(self, name: str, what: str, done: str, *, failed: bool = False, value: str | None = None) -> None:
        """Lists an oddity of a field's cell."""
        self.defects.append(
            Defect(
                file=self.sheet.path.name,
                sheet=self.sheet.name,
                row=self.number,
                column=self.columns.get(name, name),
                value=self.texts.get(name, "") if value is None else value,
                clip_id=self.clip_id,
                what=what,
                done=done,
                failed=failed,
            )
        )

    def refuse(self, name: str, what: str, remedy: str) -> None:
        """Leaves the row out, listed as failed."""
        self.note(name, what, f"the row is left out: {remedy}", failed=True)
        self.out = True

    def overridden(self, name: str, by: str) -> None:
        """Lists a repair of a field that has no effect."""
        done = f"the repair of {self.repaired[name]} has no effect: leave one of them out"
        self.note(name, by, done, failed=True)


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of the sheet that holds a dataset's clips."""

    sheet: Sheet
    names: list[str]
    """The header's cells as they are written."""
    columns: dict[str, list[int]]
    """By field the columns that can hold it, the preferred first."""
    rows: list[tuple[int, list[str]]]
    """Number and cells of every filled row behind the header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A dataset's name, its columns, its folders, its ways; see docs/datasets.md."""

    name: str
    """As the command, the column `dataset` and the first part of every clip_id have it."""
    title: str
    columns: Mapping[str, tuple[str, ...]]
    """By field its headers, of which letters and digits count in any case, the preferred first."""
    required: tuple[str, ...] = ("subject", "filename", "onset", "offset", "emotion")
    """Fields by whose columns the header is known."""
    absent: tuple[str, ...] = ()
    """Fields whose column tells another dataset's sheet."""
    subject: tuple[str, str] = ("0*([0-9]+)", "{}")
    """What a subject's cell looks like, and how the manifest writes it: as its text, "{}", or its number, "{:02d}"."""
    key: str = "{subject}/{filename}"
    """A clip_id behind the dataset's name."""
    folders: tuple[str, ...]
    """Where a clip's frames lie below the root; several where a root may lie deeper. "401*" goes on as it will."""
    fps: float | None = None
    missing: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By field the texts that say that there is none, which are no failures."""
    called: str = ""
    """A pattern of what a column Dataset calls it, where that is more than its name and title, or these, without their
    marks, are another dataset's."""
    people: str = ""
    """The first part of `person`; the dataset's name where no other dataset has the same people and codes."""
    emotions: frozenset[str] = frozenset()
    """Emotions that the sheet may have, under their canonical names; empty where any will do."""
    published: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """What is known of the revisions that circulate: rows, subjects, micro, macro, videos."""
    notes: tuple[str, ...] = ()
    """What is true of all its clips, and is said once."""
    long_videos: bool = False
    """Whether one folder holds several clips."""
    recurs: bool = False
    """Whether rows of one key with several onsets are clips of one long video, and have the onset in their clip_id."""
    remedy: str = "give the annotation file of that dataset"
    """What to do where no sheet has the header."""
    find: Callable[[Dataset, Sequence[Sheet]], Table] | None = None
    """Finds the table where there is no header."""
    prepare: Callable[[Sequence[Sheet]], Any] | None = None
    """What the files' other sheets give; a row's `read` and `conclude` get it."""
    read: Callable[[Row, Any], None] | None = None
    """Derives texts of a row before its key, folder and frames are made of them."""
    locate: Callable[[Sequence[tuple[Row, Mapping[int, str]]]], None] | None = None
    """Turns annotated frames of all rows that have files into numbers of file names, where they are something else."""
    class_of: Callable[[Row], str | None] | None = None
    """The class of three, where more than the emotion says it."""
    check: Callable[[Row], None] | None = None
    """Lists oddities that only this dataset has."""
    conclude: Callable[[Sequence[Row], Any], list[str]] | None = None
    """Looks at all rows together; gives what is to be said of them."""

    def written_subject(self, text: str) -> str | None:
        """A subject's cell as the manifest writes it, "1" as "01"; None where it is no subject of this dataset."""
        pattern, form = self.subject
        found = re.fullmatch(pattern, text, re.IGNORECASE)
        return form.format(*(int(part) if "d}" in form else part for part in found.groups())) if found else None

    def is_called(self, text: str) -> bool:
        """Whether a cell of a column Dataset means this one."""
        if self.called:
            return re.fullmatch(self.called, text, re.IGNORECASE) is not None
        return plain(text) in {plain(self.name), plain(self.title)}

    def clip_id(self, texts: Mapping[str, str]) -> str:
        """The clip_id of a row's texts."""
        return f"{self.name}/{self.key.format_map(texts)}"


def plain(name: str) -> str:
    """A header by what counts of it: its letters and digits, in lower case, or all of it where it has none ("#")."""
    return "".join(letter for letter in name.casefold() if letter.isalnum()) or name


def columns_of(names: Sequence[str], headers: Mapping[str, tuple[str, ...]]) -> dict[str, list[int]]:
    """By field the columns, in a row of these names, that one of its headers stands over, the preferred first."""
    known = [plain(name) for name in names]
    return {
        field: [place for wanted in several for place, name in enumerate(known) if name == plain(wanted)]
        for field, several in headers.items()
    }


def find_table(dataset: Dataset, sheets: Sequence[Sheet]) -> Table:
    """The table whose header has all columns that the dataset requires, wherever it stands.

    Raises:
        InputError: where no sheet has it, with what the nearest row lacks, or several sheets have.
    """
    found: list[Table] = []
    best: _Near | None = None
    for sheet in sheets:
        table, near = _header(dataset, sheet)
        if table is not None:
            found.append(table)
        elif near is not None and (best is None or near.score > best.score):
            best = near
    if len(found) > 1:
        named = " and ".join(table.sheet.told for table in found)
        raise InputError(f"{named} both have the header of {dataset.title}; choose one by --sheet, or give one file")
    if found:
        return found[0]
    assert best is not None
    raise InputError(_no_header(dataset, best))


def fits(dataset: Dataset, sheet: Sheet) -> bool:
    """Whether a sheet has the dataset's header."""
    return _header(dataset, sheet)[0] is not None


@dataclass(frozen=True, slots=True)
class _Near:
    """A row that is not a dataset's header, and why."""

    sheet: Sheet
    number: int
    names: list[str]
    lacking: list[str]
    """Headers of required columns that it has not."""
    foreign: list[str]
    """Its headers by which another dataset's sheet is known."""

    @property
    def score(self) -> tuple[int, bool]:
        """The higher, the nearer; a row of one cell is a title."""
        return -len(self.lacking) - len(self.foreign), sum(map(bool, self.names)) > 1


def _header(dataset: Dataset, sheet: Sheet) -> tuple[Table | None, _Near | None]:
    near: _Near | None = None
    for i, cells in enumerate(sheet.rows):
        columns = columns_of(cells, {**LABELS, **dataset.columns})
        lacking = [dataset.columns[name][0] for name in dataset.required if not columns[name]]
        foreign: list[str] = []
        if not columns["dataset"]:  # a sheet of several datasets has the columns of all
            foreign = [cells[columns[name][0]] for name in dataset.absent if columns[name]]
        if not lacking and not foreign:
            rows = [(number, row) for number, row in enumerate(sheet.rows[i + 1 :], start=i + 2) if any(row)]
            return Table(sheet, cells, columns, rows), near
        row = _Near(sheet, i + 1, cells, lacking, foreign)
        if near is None or row.score > near.score:
            near = row
    return None, near


def _no_header(dataset: Dataset, near: _Near) -> str:
    """The error where no sheet has the header: what the nearest row lacks, or has too much."""
    title = dataset.title
    if not near.lacking:
        foreign = " and ".join(map(repr, near.foreign))
        return (
            f"{near.sheet.told} row {near.number} has the header of {title}, but also {foreign}, by which sheets of "
            f"other datasets are known; if the sheet is one of {title}, rename {foreign}, or add a column Dataset that "
            f"says {title}; else give the annotation file of {title}"
        )
    wanted = ", ".join(dataset.columns[name][0] for name in dataset.required)
    names = shown([repr(name[:40]) for name in near.names if name])
    nearest = f"comes nearest, without {', '.join(near.lacking)}: its columns are"
    return (
        f"{near.sheet.told} has no row with the header of {title} ({wanted}); row {near.number} "
        f"{nearest if len(near.lacking) < len(dataset.required) else 'has'} {names}; {dataset.remedy}"
    )


def rows_of(dataset: Dataset, table: Table) -> list[Row]:
    """The table's rows with their texts by field; those of another dataset (column Dataset) are not among them."""
    rows = []
    for number, cells in table.rows:
        if _is_other(dataset, _said(table, cells)):
            continue
        raw = {_header_of(table, place): cell for place, cell in enumerate(cells) if cell}
        texts: dict[str, str] = {}
        columns: dict[str, str] = {}
        others: dict[str, list[str]] = {}
        for name, places in table.columns.items():
            filled = [place for place in places if place < len(cells) and cells[place]] or places[:1]
            if filled:
                place = filled[0]
                texts[name] = cells[place] if place < len(cells) else ""
                columns[name] = _header_of(table, place)
                further = [other for other in filled[1:] if cells[other] != texts[name]]
                others[name] = [f"{_header_of(table, other)}={cells[other]!r}" for other in further]
        rows.append(Row(table.sheet, number, raw, texts, columns, others))
    return rows


def other_datasets(dataset: Dataset, table: Table) -> str:
    """What the column Dataset says in the rows of other datasets, and in how many: "'SAMM' (3), 'SMIC' (1)"."""
    said = Counter(_said(table, cells) for _, cells in table.rows).most_common()
    return shown(f"{text!r} ({count})" for text, count in said if _is_other(dataset, text))


def _said(table: Table, cells: Sequence[str]) -> str:
    """What the column Dataset says in a row; "" where there is none."""
    return next((cells[place] for place in table.columns["dataset"] if place < len(cells) and cells[place]), "")


def _is_other(dataset: Dataset, said: str) -> bool:
    return bool(said) and not dataset.is_called(said)


def shown(texts: Iterable[str]) -> str:
    """Texts for an error, with commas between them; of very many the first."""
    texts = list(texts)
    return ", ".join([*texts[:_SHOWN], *(["..."] if len(texts) > _SHOWN else [])])


def _header_of(table: Table, place: int) -> str:
    """A column's header; with its number where an earlier one has the same, which alone where there is none."""
    name = table.names[place] if place < len(table.names) else ""
    number = f"column {place + 1}"
    if not name:
        return number
    return name if table.names.index(name) == place else f"{name} ({number})"

"""The command `flowkit index`: from a dataset's annotation file and folders to a manifest; composites of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer

from flowkit.cli.options import require_unread
from flowkit.datasets.contract import Dataset
from flowkit.datasets.defects import Defect, defects_path, write_defects
from flowkit.datasets.generic import generic as generic_dataset
from flowkit.datasets.indexing import Index, index_dataset
from flowkit.datasets.manifest import write_manifest
from flowkit.datasets.registry import DATASETS
from flowkit.datasets.repairs import read_repairs
from flowkit.datasets.sheets import read_sheets
from flowkit.datasets.summary import summarise, table
from flowkit.datasets.tables import TABLE_SUFFIXES
from flowkit.errors import InputError, printable
from flowkit.types import Clip

SHOWN = 20
"""So many defects are printed, and sources of labels; the table beside the manifest, or the manifest, has all."""

app = typer.Typer(
    name="index",
    no_args_is_help=True,
    help="Write a manifest from a dataset's annotation file and folders, with every oddity listed; merge several.",
)

Root = Annotated[Path, typer.Argument(metavar="ROOT", help="The folder that holds the dataset's own.")]
Annotations = Annotated[
    list[Path], typer.Option("--annotations", metavar="FILE", help="Annotation file, .xls, .xlsx or .csv; repeatable.")
]
Out = Annotated[Path, typer.Option("-o", "--out", metavar="MANIFEST", help="Manifest to write, .parquet or .csv.")]
Repairs = Annotated[Optional[Path], typer.Option("--repairs", metavar="FILE", help="Table of repaired cells.")]  # noqa: UP045
Page = Annotated[Optional[Path], typer.Option("--page", metavar="HTML", help="Page to write, with a frame.")]  # noqa: UP045
Rate = Annotated[Optional[float], typer.Option("--fps", metavar="N", help="Frames a second.")]  # noqa: UP045
Base = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--frame-base", metavar="N", help="Number of a video's first frame. Default: its column, or 0."),
]
SheetName = Annotated[
    str | None, typer.Option("--sheet", metavar="NAME", help="The sheet with the clips, where several fit.")
]


def _command(dataset: Dataset) -> Callable[..., int]:
    def command(
        root: Root,
        annotations: Annotations,
        out: Out,
        repairs: Repairs = None,
        page: Page = None,
        fps: Rate = None,
        frame_base: Base = None,
        sheet: SheetName = None,
    ) -> int:
        return _index(dataset, root, annotations, out, repairs, page, fps, frame_base, sheet)

    command.__doc__ = f"Index {dataset.title}."
    return command


for _name, _dataset in DATASETS.items():
    app.command(_name)(_command(_dataset))


@app.command("generic")
def generic(
    root: Root,
    annotations: Annotations,
    out: Out,
    folder: Annotated[str, typer.Option("--folder", help="A clip's frames below ROOT: '{subject}/{filename}'.")],
    name: Annotated[str, typer.Option("--name", help="The dataset's name, which begins every clip_id.")] = "mine",
    column: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--column", metavar="FIELD=HEADER", help="The column of a field, as onset=Start; repeatable."),
    ] = None,
    repairs: Repairs = None,
    page: Page = None,
    fps: Rate = None,
    frame_base: Base = None,
    sheet: SheetName = None,
) -> int:
    """Index any other dataset, whose columns and folders you name."""
    columns: dict[str, str] = {}
    for text in column or []:
        field, equals, header = text.partition("=")
        if not equals or not header.strip():
            raise InputError(f"--column {text}: write it as FIELD=HEADER, as in --column onset=Start")
        if columns.setdefault(field.strip(), header.strip()) != header.strip():
            raise InputError(f"--column {text}: {field.strip()} is {columns[field.strip()]!r} already; leave one out")
    dataset = generic_dataset(name, columns, folder)
    return _index(dataset, root, annotations, out, repairs, page, fps, frame_base, sheet)


@app.command("merge")
def merge(
    manifests: Annotated[list[Path], typer.Argument(metavar="MANIFEST...", help="What flowkit index wrote.")],
    composite: Annotated[str, typer.Option("--as", metavar="NAME", help="casme2+samm, megc2019 or cd6me.")],
    out: Out,
    against: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--against", metavar="FILE", help="A published list of the clips, to compare with row by row."),
    ] = None,
    page: Page = None,
) -> int:
    """Make a composite of datasets, and check it against the published counts."""
    from flowkit.datasets.against import compare
    from flowkit.datasets.composites import COMPOSITES, join

    _require_manifest(out)
    if composite not in COMPOSITES:
        raise InputError(f"--as {composite}: choose {', '.join(COMPOSITES)}")
    for written in (out, defects_path(out), page):
        require_unread(written, *manifests, against)
    joint = join(COMPOSITES[composite], manifests)
    rows = compare(joint.clips, against, joint.composite) if against else []
    if not joint.clips:
        raise InputError(f"{composite}: not one clip of the manifests is in it; look at their emotions")
    write_manifest(joint.clips, out, joint.own)
    defects = [*rows, *joint.suspects, *joint.left_out]
    write_defects(defects, defects_path(out))
    if page:
        _page(page, joint.clips, defects, joint.composite.title, joint.notes, joint.differences)
    _say_clips(joint.clips)
    _say(f"differs from what is published: {one}" for one in joint.differences)
    _say_defects("may account for it", joint.suspects)
    _say_defects(f"beside {against}", rows)
    if joint.differences and not joint.suspects and not rows:
        _say(["no row was refused, so the sheets themselves differ: --against FILE compares with a list row by row"])
    _say(joint.notes)
    met = (
        "all published counts are met" if not joint.differences else f"{len(joint.differences)} published counts differ"
    )
    _say([f"{len(joint.clips)} clips -> {out}; {len(joint.left_out)} left out, in {defects_path(out).name}; {met}"])
    return int(bool(joint.differences or rows))


def _index(
    dataset: Dataset,
    root: Path,
    annotations: Sequence[Path],
    out: Path,
    repairs: Path | None,
    page: Path | None,
    fps: float | None,
    frame_base: int | None,
    sheet: str | None,
) -> int:
    """Indexes, writes, and says what there is; the exit code is 1 where rows failed."""
    _require_manifest(out)
    for written in (out, defects_path(out), page):
        require_unread(written, *annotations, repairs)
    sheets = read_sheets(annotations)
    lines = read_repairs(repairs) if repairs else ()
    index = index_dataset(dataset, root, sheets, sheet=sheet, repairs=lines, fps=fps, frame_base=frame_base)
    if not index.clips:
        _say_defects("failed", index.defects)
        raise InputError(f"not one row of {index.revision} gives a clip; mend the sheet")
    write_manifest(index.clips, out)
    write_defects(index.defects, defects_path(out))
    notes = [f"annotation {index.revision}, frames below {index.base}", *index.notes]
    if page:
        _page(page, index.clips, index.defects, dataset.title, notes, None)
    _say_clips(index.clips)
    _say(notes)
    _report(index, out)
    return int(index.failed > 0)


def _report(index: Index, out: Path) -> None:
    failed = [defect for defect in index.defects if defect.failed]
    _say_defects("failed", failed)
    _say([f"defects: {len(index.defects)}, in {defects_path(out)}"] if index.defects else [])
    rows = f"; failed rows: {index.failed}" if index.failed else ""
    _say([f"{len(index.clips)} clips -> {out}{rows}"])


def _page(
    path: Path, clips: list[Clip], defects: list[Defect], title: str, notes: list[str], differences: list[str] | None
) -> None:
    from flowkit.datasets.page import write_page

    write_page(path, clips, defects, title=title, notes=notes, differences=differences)


def _require_manifest(out: Path) -> None:
    if out.suffix.lower() not in TABLE_SUFFIXES:
        raise InputError(f"manifest {str(out)!r}: its name must end in {' or '.join(TABLE_SUFFIXES)}")


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(printable(line))


def _say_clips(clips: Sequence[Clip]) -> None:
    """The table of clips, and under it who says the labels of the people in them."""
    _say(table(clips))
    for one in summarise(clips):
        sources = one.sources[:SHOWN] or ["from where is not said"] * bool(one.groups)
        _say(f"labels of {one.dataset}: {source}" for source in sources)
        if len(one.sources) > SHOWN:
            _say([f"labels of {one.dataset}: {len(one.sources) - SHOWN} more sources, in column label_source"])


def _say_defects(label: str, defects: Sequence[Defect]) -> None:
    for defect in defects[:SHOWN]:
        typer.echo(printable(f"{label}: {defect}"), err=True)
    if len(defects) > SHOWN:
        typer.echo(f"{label}: {len(defects) - SHOWN} more rows", err=True)

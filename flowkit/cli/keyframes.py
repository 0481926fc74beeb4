"""The commands `flowkit keyframes reselect` and `flowkit keyframes spot`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowkit.cli.clip_bar import clip_bar, tell_failures
from flowkit.cli.options import ClipWorkers, Preset, TimeLimit, require_unread
from flowkit.cli.signals import NOTHING_WRITTEN, stoppable
from flowkit.errors import OutputError
from flowkit.extraction.engines.engine import TIME_LIMIT_S

if TYPE_CHECKING:
    from flowkit.keyframes.page import Outcome

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Choose onset, apex and offset anew, or spot apexes."
)

Source = Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest (.parquet, .csv).")]
Out = Annotated[Path, typer.Option("-o", "--out", metavar="NEW", help="The manifest to write: .parquet or .csv.")]
Face = Annotated[str, typer.Option(metavar="MODE", help="As of flowkit extract: none, boxes:FILE, a detector.")]
Size = Annotated[str | None, typer.Option(metavar="N|WxH", help="Resize to this many pixels. Default: as it is.")]
Page = Annotated[Path | None, typer.Option("--page", metavar="HTML", help="Also write a page of the shifts.")]
Pictures = Annotated[
    int, typer.Option(metavar="N", min=0, help="Clips shown on the page, those that moved most; 0: none.")
]


@app.command("reselect")
def reselect_keyframes(
    source: Source,
    out: Out,
    range_: Annotated[
        str, typer.Option("--range", metavar="SHARE", help="Of the interval, that a frame may move by.")
    ] = "0.1",
    direction: Annotated[str, typer.Option(help="inward, outward or both.")] = "inward",
    metric: Annotated[
        str, typer.Option(help="pixels, flow or stabilised-flow: how far two frames are apart.")
    ] = "pixels",
    preset: Preset = "micro",
    face: Face = "none",
    size: Size = None,
    workers: ClipWorkers = None,
    time_limit: TimeLimit = TIME_LIMIT_S,
    page: Page = None,
    pictures: Pictures = 6,
) -> None:
    """Choose onset, apex and offset anew near the annotated frames, where the frames differ most (Liu et al. 2026).

    The new manifest keeps the old frames in onset_annotated, apex_annotated and offset_annotated.

    Example: flowkit keyframes reselect manifest.parquet -o reselected.parquet --page shifts.html
    """
    from flowkit.datasets.revision import Revision, require_manifest_name
    from flowkit.keyframes.reselect import Rule, parse_range, reselect
    from flowkit.keyframes.revise import put_reselected

    require_manifest_name(out)
    require_unread(page, source)
    rule = Rule(range=parse_range(range_), direction=direction, metric=metric, preset=preset)
    how = _how(face, size, workers, time_limit)
    revision = Revision(source)
    with stoppable(NOTHING_WRITTEN), clip_bar(len(revision.clips)) as report:
        results = reselect(revision.clips, rule, report=report, **how)
    outcome = put_reselected(revision, results, rule)
    revision.write(out)
    moved = sum(old != new for old, new in zip(outcome.before, outcome.after, strict=True))
    done = len(results) - len(outcome.failures)
    short = f", {outcome.unsearched} too short for the range" if outcome.unsearched else ""
    _finish(outcome, f"{done} of {len(results)} clips chosen anew: {moved} moved{short}", out, page, pictures, how)


@app.command("spot")
def spot_apexes(
    source: Source,
    out: Out,
    every: Annotated[
        bool, typer.Option("--all", help="Also clips whose apex is annotated; it is kept in apex_annotated.")
    ] = False,
    ends: Annotated[
        str,
        typer.Option(help="first-last takes a source's first and last frame where onset or offset is not annotated."),
    ] = "annotated",
    head: Annotated[
        str, typer.Option(help="Taken from the flow as the head's motion: similarity or none.")
    ] = "similarity",
    moving: Annotated[float, typer.Option(metavar="SHARE", help="Of the frame, that is its moving regions.")] = 0.1,
    preset: Preset = "micro",
    face: Face = "none",
    size: Size = None,
    workers: ClipWorkers = None,
    time_limit: TimeLimit = TIME_LIMIT_S,
    page: Page = None,
    pictures: Pictures = 6,
) -> None:
    """Find the apex of clips that have none: where the face has moved most since the onset.

    The new manifest has the column apex_confidence, 0 to 1.

    Example: flowkit keyframes spot smic.parquet -o spotted.parquet
    """
    from flowkit.datasets.revision import Revision, require_manifest_name
    from flowkit.keyframes.revise import put_spotted
    from flowkit.keyframes.spot import SpotRule, spot

    require_manifest_name(out)
    require_unread(page, source)
    rule = SpotRule(head=head, moving=moving, preset=preset, ends=ends)
    how = _how(face, size, workers, time_limit)
    revision = Revision(source)
    chosen = [i for i, clip in enumerate(revision.clips) if every or clip.apex is None]
    with stoppable(NOTHING_WRITTEN), clip_bar(len(chosen)) as report:
        found = dict(zip(chosen, spot([revision.clips[i] for i in chosen], rule, report=report, **how), strict=True))
    outcome = put_spotted(revision, [found.get(i) for i in range(len(revision.clips))], rule)
    revision.write(out)
    left = len(revision.clips) - len(chosen)
    rest = f", {left} left as annotated" if left else ""
    done = len(chosen) - len(outcome.failures)
    _finish(outcome, f"{done} of {len(chosen)} apexes spotted{rest}", out, page, pictures, how)


def _how(face: str, size: str | None, workers: int | None, time_limit_s: float) -> dict[str, Any]:
    from flowkit.cpus import available_cpus
    from flowkit.faces.finding import parse_face
    from flowkit.frames.prepare import parse_size

    return {
        "face": parse_face(face),
        "size": None if size is None else parse_size(size),
        "workers": available_cpus() if workers is None else workers,
        "time_limit_s": time_limit_s,
    }


def _finish(outcome: Outcome, line: str, out: Path, page: Path | None, pictures: int, how: dict[str, Any]) -> None:
    if page is not None:
        from flowkit.keyframes.page import page as html
        from flowkit.pages import write_page

        write_page(page, html(outcome, how["face"], pictures))
    for told in _shift_lines(outcome):
        typer.echo(told)
    tell_failures(outcome.failures, "keyframes_error")
    typer.echo(f"{line} -> {out}" + (f", {page}" if page else ""))
    if outcome.failures and len(outcome.failures) == len(outcome.before):
        raise OutputError(f"not one of {len(outcome.before)} clips could be done; mend the clips or their annotation")
    raise typer.Exit(1 if outcome.failures else 0)


def _shift_lines(outcome: Outcome) -> Sequence[str]:
    from flowkit.keyframes.page import number, percent
    from flowkit.keyframes.shifts import table_of

    return [
        f"{row.dataset} {row.role}: {row.clips} clips, {percent(row.moved)} moved, "
        f"by {number(row.absolute)} frames, {percent(row.of_length)} of its interval"
        for row in table_of(outcome.shifts)
    ]

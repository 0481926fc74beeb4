"""The commands `flowkit annotate predict`, `consolidate`, `correct`, `map` and `report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowkit.cli.clip_bar import clip_bar, tell_failures
from flowkit.cli.options import ClipWorkers, TimeLimit, require_unread
from flowkit.cli.signals import NOTHING_WRITTEN, stoppable
from flowkit.errors import OutputError, printable, require_shown
from flowkit.extraction.engines.engine import TIME_LIMIT_S

if TYPE_CHECKING:
    from flowkit.datasets.revision import Revision

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Labels of people (ethnicity, age, gender), each with its source: guess, agree, correct, group, report.",
)

Source = Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest (.parquet, .csv).")]
Out = Annotated[Path, typer.Option("-o", "--out", metavar="NEW", help="The manifest to write: .parquet or .csv.")]
Column = Annotated[str, typer.Option("--column", metavar="NAME", help="ethnicity, age, gender or group.")]


@app.command("predict")
def predict_labels(
    source: Source,
    out: Out,
    model: Annotated[Path, typer.Option(metavar="FILE", help="An .onnx, or a TorchScript .pt.")],
    labels: Annotated[
        str, typer.Option(metavar="A,B,...", help="The model's labels, in the order of its outputs; never assumed.")
    ],
    column: Column = "ethnicity",
    frames: Annotated[int, typer.Option(metavar="N", help="Of each clip, spread over onset to offset.")] = 5,
    face: Annotated[str, typer.Option(metavar="MODE", help="As of flowkit extract.")] = "none",
    size: Annotated[int, typer.Option(metavar="N", help="Side of the square that the model takes, px.")] = 224,
    channels: Annotated[str, typer.Option(help="rgb, bgr or grey.")] = "rgb",
    mean: Annotated[str, typer.Option(metavar="A,B,C", help="Subtracted from pixels on 0 to 1.")] = "0.485,0.456,0.406",
    std: Annotated[str, typer.Option(metavar="A,B,C", help="They are divided by it then.")] = "0.229,0.224,0.225",
    outputs: Annotated[
        str | None, typer.Option(metavar="FIRST:END", help="Which outputs the labels are. Default: all.")
    ] = None,
    scores: Annotated[str, typer.Option(help="What the model gives: logits or probabilities.")] = "logits",
    workers: ClipWorkers = None,
    time_limit: TimeLimit = TIME_LIMIT_S,
) -> None:
    """Have a model guess a label of each clip; the guess stands in columns of its own, marked with the model's digest.

    Example: flowkit annotate predict m.parquet -o guessed.parquet --model faces.onnx --labels White,Black,Asian,Other
    """
    from flowkit.cpus import available_cpus
    from flowkit.datasets.revision import Revision, require_manifest_name
    from flowkit.faces.finding import parse_face
    from flowkit.labels.classifier import Classifier, Reading, parse_labels, parse_numbers, parse_outputs
    from flowkit.labels.columns import require_label
    from flowkit.labels.predict import predict, put_guesses

    require_manifest_name(out)
    require_label(column)
    reading = Reading(
        labels=parse_labels(labels),
        size=size,
        channels=channels,
        mean=parse_numbers("mean", mean),
        std=parse_numbers("std", std),
        outputs=parse_outputs(outputs),
        scores=scores,
    )
    classifier, crop, revision = Classifier(model, reading), parse_face(face), Revision(source)
    how: dict[str, Any] = {"workers": available_cpus() if workers is None else workers, "time_limit_s": time_limit}
    with stoppable(NOTHING_WRITTEN), clip_bar(len(revision.clips)) as report:
        guesses = predict(revision.clips, classifier, frames=frames, face=crop, report=report, **how)
    failures = put_guesses(revision, column, guesses, classifier)
    revision.write(out)
    tell_failures(failures, f"{column}_guess_error")
    done = len(guesses) - len(failures)
    typer.echo(f"{done} of {len(guesses)} clips guessed by {model.name} sha256:{classifier.digest[:16]} -> {out}")
    if not done:
        raise OutputError(f"not one of {len(guesses)} clips could be guessed; mend the clips")
    raise typer.Exit(1 if failures else 0)


@app.command("consolidate")
def consolidate_labels(
    source: Source,
    out: Out,
    column: Column = "ethnicity",
    ties: Annotated[
        str, typer.Option(help="leave: a tie stays open; probability: the guesses that are more probable win.")
    ] = "leave",
) -> None:
    """Give all clips of a person the label that most of them have: corrected ones, else given ones, else guesses.

    Example: flowkit annotate consolidate guessed.parquet -o labelled.parquet
    """
    from flowkit.labels.consolidate import consolidate

    revision = _opened(source, out, column)
    verdicts, changed = consolidate(revision, column, ties)
    revision.write(out)
    for verdict in verdicts:
        if len(verdict.votes) > 1:
            outcome = "left open; correct it" if verdict.label is None else f"-> {verdict.label}"
            typer.echo(printable(f"{verdict.person}: {verdict.text} ({verdict.basis}) {outcome}"))
    _tell_stale(revision, column, changed)
    open_ties = sum(verdict.tied and verdict.label is None for verdict in verdicts)
    silent = sum(verdict.basis is None for verdict in verdicts)
    decided = len(verdicts) - open_ties - silent
    parts = [f"{decided} of {len(verdicts)} people have one {column}", f"{open_ties} ties left open"]
    typer.echo(f"{', '.join([*parts, f'{silent} without any', f'{changed} labels changed'])} -> {out}")


@app.command("correct")
def correct_labels(
    source: Source,
    corrections: Annotated[Path, typer.Argument(metavar="CSV", help="Columns clip_id or person, value, who, why.")],
    out: Out,
    column: Column = "ethnicity",
) -> None:
    """Set labels by hand, with who and why; the old values are kept.

    Example: flowkit annotate correct labelled.parquet corrections.csv -o corrected.parquet
    """
    from flowkit.labels.correct import correct, read_corrections

    require_unread(out, corrections)
    revision = _opened(source, out, column)
    count, changed = correct(revision, column, read_corrections(corrections))
    revision.write(out)
    _tell_stale(revision, column, changed)
    typer.echo(f"{column} of {count} clips set, of which {changed} had another -> {out}")


@app.command("map")
def map_to_groups(
    source: Source,
    out: Out,
    mapping: Annotated[
        str, typer.Option(metavar="paper|CSV", help="paper, or a file with the columns ethnicity and group.")
    ] = "paper",
    codes: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="What ethnicities written as 0, 1, 2, ... stand for, in this order."),
    ] = None,
) -> None:
    """Set the group by the ethnicity; the paper's: asian, indian and others are asian, white and black non_asian.

    A group that a person corrected stays; one that came from an ethnicity which is gone goes with it.

    Example: flowkit annotate map corrected.parquet -o grouped.parquet
    """
    from flowkit.labels.classifier import parse_labels
    from flowkit.labels.groups import map_groups, read_mapping

    require_unread(out, Path(mapping))
    revision = _opened(source, out, "group")
    name, content = read_mapping(mapping)
    counts, changed, kept = map_groups(revision, name, content, parse_labels(codes) if codes else ())
    revision.write(out)
    if kept:
        typer.echo(f"groups of {kept} clips stay as a person corrected them")
    told = ", ".join(f"{group or 'no group'} {count}" for group, count in counts.most_common())
    typer.echo(f"clips by group: {told}; {changed} changed -> {out}")


@app.command("report")
def report_labels(
    source: Source,
    column: Column = "ethnicity",
    page: Annotated[Path | None, typer.Option("--page", metavar="HTML", help="Also write it as a page.")] = None,
) -> None:
    """Say what the labels are: people and clips by label, who says so, agreement with the model, changes.

    Example: flowkit annotate report grouped.parquet --page labels.html
    """
    from flowkit.datasets.revision import Revision
    from flowkit.labels.columns import require_label
    from flowkit.labels.report import lines, summarise
    from flowkit.labels.report import page as html
    from flowkit.pages import write_page

    require_label(column)
    require_unread(page, source)
    summary = summarise(Revision(source, require_sources=False), column)
    for line in lines(summary):
        typer.echo(printable(line))
    if page is not None:
        write_page(page, html(summary))
        typer.echo(f"-> {page}")
    require_shown()


def _opened(source: Path, out: Path, column: str) -> Revision:
    from flowkit.datasets.revision import Revision, require_manifest_name
    from flowkit.labels.columns import require_label

    require_manifest_name(out)
    require_label(column)
    return Revision(source, require_sources=False)


def _tell_stale(revision: Revision, column: str, changed: int) -> None:
    """Groups do not follow by themselves when an ethnicity changes."""
    if column == "ethnicity" and changed and any(revision.texts("group")):
        typer.echo("flowkit: groups are as they were; flowkit annotate map sets them by the ethnicities anew", err=True)

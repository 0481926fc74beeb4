"""The command `flowkit extract`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flowkit.cli.config import apply_config, goes_before
from flowkit.cli.options import PRESET_HELP, chosen_device, parse_set
from flowkit.cli.signals import stoppable
from flowkit.errors import InputError, OutputError


def extract(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="A manifest (.parquet, .csv), a video, a folder of frames or of videos, or the URL of one.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT", help="Where the shards go: a folder, or s3://, gs://, az://.")
    ],
    pairs: Annotated[
        str | None,
        typer.Option(
            metavar="PLAN",
            help="onset-apex, onset-apex-offset, onset-all, onset:midN, lag:K (frames), lag:0.1s, lag:auto, "
            "window:W,S, mdmd:K, list:FILE; averages of frames as in onset-apex:4+4. "
            "Default: onset-apex where apexes are annotated, else lag:1.",
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="N|WxH", help="Resize to this many pixels before the flow. Default: as it is.")
    ] = None,
    face: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            help="none; boxes:FILE with a table of face boxes; or a detector: yunet:MODEL.onnx, haar, haar:FILE.xml.",
        ),
    ] = "none",
    face_fit: Annotated[
        str, typer.Option("--face-fit", help="crop (the box), or align (a square that has the eyes level).")
    ] = "crop",
    face_margin: Annotated[
        float,
        typer.Option("--face-margin", metavar="M", help="Grow the box at each edge by this fraction of it."),
    ] = 0.0,
    stabilise: Annotated[
        str,
        typer.Option(
            metavar="HOW",
            help="Take the head's motion out of each pair: none, translation or similarity (behind it :inner, :upper, "
            ":whole or :left,top,width,height), or nose:left,top,width,height. Boxes are fractions of the cube.",
        ),
    ] = "none",
    landmarks: Annotated[
        str,
        typer.Option(
            metavar="FROM",
            help="Flow at landmarks: none, csv:FILE, yunet, yunet:MODEL.onnx, onnx:FILE or mediapipe:FILE.task.",
        ),
    ] = "none",
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"{PRESET_HELP} By default micro, or micro-phases where --pairs averages frames.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one parameter of the preset; may be repeated."),
    ] = None,
    strain: Annotated[str, typer.Option(help="The third channel: standard, meb or softnet.")] = "standard",
    dtype: Annotated[str, typer.Option(help="Of the cubes: float32 or float16.")] = "float32",
    rgb: Annotated[
        int | None,
        typer.Option(metavar="SIDE", help="Also store each pair's apex frame in colour, at this side, 16 to 1024 px."),
    ] = None,
    engine: Annotated[str, typer.Option(help="local (processes) or ray.")] = "local",
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Of a running Ray cluster. Default: RAY_ADDRESS, else a local one is started."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes or actors, or threads that decode for --gpu. Default: one a CPU.")
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Pairs given to the solver at once, which changes no result. "
            "Default: 32; on a GPU up to 1024, as its memory allows."
        ),
    ] = None,
    frame_base: Annotated[
        int | None, typer.Option(help="Number of a video's first frame, where SOURCE is no manifest. Default: 0.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Compute the parts that hold failed pairs again.")
    ] = False,
    accept_changes: Annotated[
        bool,
        typer.Option("--accept-changes", help="Continue although frames or decoders have changed; OUT records it."),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="auto|cpu|cuda",
            help="cuda: every GPU of this machine (with --engine ray, of the cluster). "
            "auto: the GPUs, or the CPU where there is none. Default: cpu.",
        ),
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="Short for --device cuda.")] = False,
    shard: Annotated[
        str,
        typer.Option(metavar="I/N", help="Compute the I-th of N shares of the parts, and leave the others to others."),
    ] = "1/1",
    limit: Annotated[int | None, typer.Option(metavar="N", help="Compute the first N parts only.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be computed, and about how long; write nothing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")] = False,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append what happens as JSON, an object a line.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            is_eager=True,
            callback=apply_config,
            help="A YAML file of options by their long names; the command line goes before it.",
        ),
    ] = None,
) -> None:
    """Compute the motion cubes of all planned pairs into shards; run it again to continue after a stop.

    Examples:

      flowkit extract clip.mp4 -o out

      flowkit extract manifest.csv -o out --pairs onset-apex --size 224

      flowkit extract frames/ -o out --pairs lag:0.1s --preset opencv --set epsilon=0.001

      flowkit extract manifest.csv -o out --size 224 --gpu

      flowkit extract manifest.csv -o out --size 224 --face yunet:MODEL.onnx --face-fit align --stabilise translation

      flowkit extract manifest.csv -o out --size 224 --shard $SLURM_ARRAY_TASK_ID/100

      flowkit extract s3://bucket/manifest.csv -o s3://bucket/out --size 224

    Exit codes: 0 all done, 1 done with failed pairs (listed in OUT/failures), 2 bad input, or not one pair of the whole
    plan could be computed, 3 stopped and resumable.
    """
    from flowkit.cli.progress import ProgressReport, ending, forecast_lines, last_line, reason_lines
    from flowkit.cli.run_log import all_of, logged, require_outside
    from flowkit.extraction.engines.worker import without_pandas
    from flowkit.extraction.forecast import forecast
    from flowkit.extraction.run import extract as run
    from flowkit.output.store import place

    without_pandas()  # this process is the command's own
    if goes_before(context, "gpu", "device"):
        device = None
    if goes_before(context, "device", "gpu"):
        gpu = False
    if engine != "ray" and goes_before(context, "engine", "ray_address"):
        ray_address = None
    if goes_before(context, "dry_run", "log"):
        log = None
    if not quiet:
        _note_unused(source)
    asked: dict[str, Any] = {
        "pairs": pairs,
        "preset": preset,
        "params": parse_set(set_ or []),
        "size": size,
        "face": face,
        "face_fit": face_fit,
        "face_margin": face_margin,
        "stabilise": stabilise,
        "landmarks": landmarks,
        "strain": strain,
        "dtype": dtype,
        "rgb": rgb,
        "workers": workers,
        "device": chosen_device(device, gpu, engine, quiet=quiet),
        "batch": batch,
        "frame_base": frame_base,
        "retry_failed": retry_failed,
        "accept_changes": accept_changes,
        "shard": shard,
        "limit": limit,
        "engine": engine,
        "ray_address": ray_address,
    }
    if dry_run:
        if log is not None:
            raise InputError(f"--log {log}: a dry run writes nothing; leave --log or --dry-run out")
        with stoppable():
            lines = forecast_lines(forecast(source, out, **asked))
        if not quiet:
            typer.echo("\n".join(lines))
        raise typer.Exit
    if log is not None:
        require_outside(log, place(out))
    about = {"source": str(place(source)), "out": str(place(out)), "shard": shard, "limit": limit, "engine": engine}
    with stoppable(), ProgressReport(Console(quiet=quiet)) as report, logged(log, **about) as record:
        summary = run(source, out, **asked, report=all_of(report, record))
        if record:
            record.summary = summary
    if not quiet:
        for line in reason_lines(summary):
            typer.echo(f"flowkit: {line}", err=True)
        typer.echo(last_line(summary))
    code, error = ending(summary)
    if error:
        raise OutputError(error)
    raise typer.Exit(code)


def _note_unused(source: Path) -> None:
    """Says which columns of a manifest stand for nothing here."""
    from flowkit.datasets import unused_columns
    from flowkit.datasets.tables import TABLE_SUFFIXES
    from flowkit.output.store import place

    table = place(source)
    if table.suffix.lower() in TABLE_SUFFIXES and table.is_file() and (columns := unused_columns(table)):
        typer.echo(f"flowkit: note: {table.name} has columns that are not used: {', '.join(columns)}", err=True)

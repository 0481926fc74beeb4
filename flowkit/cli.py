"""The command line. Exit codes: 0 all done, 1 done with failed pairs, 2 bad input, 3 stopped and resumable."""

from __future__ import annotations

import dataclasses
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flowkit.types import FlowkitError, InputError, Interrupted, TVL1Params

app = typer.Typer(
    name="flowkit",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Out = Annotated[Path, typer.Argument(metavar="OUT", help="The output folder of [bold]flowkit extract[/bold].")]


def _show_version(asked: bool) -> None:
    if asked:
        from flowkit.request import software_version

        typer.echo(f"flowkit {software_version()}")
        raise typer.Exit


@app.callback()
def _flowkit(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """TV-L1 optical flow and optical strain for facial micro-expressions.

    Frames go in; Parquet shards of motion cubes (u, v, strain magnitude) come out.
    """


@app.command()
def extract(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="A manifest (.parquet, .csv), a video, a folder of frames or of videos."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Where the shards go.")],
    pairs: Annotated[
        str | None,
        typer.Option(
            metavar="PLAN",
            help="onset-apex, onset-apex-offset, onset-all, lag:K (frames) or lag:0.1s. "
            "Default: onset-apex where apexes are annotated, else lag:1.",
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="N|WxH", help="Resize to this many pixels before the flow. Default: as it is.")
    ] = None,
    face: Annotated[str, typer.Option(metavar="MODE", help="none, or boxes:FILE with a table of face boxes.")] = "none",
    preset: Annotated[
        str, typer.Option(help="The solver's parameters: micro, fast, opencv, opencv-cuda or ipol.")
    ] = "micro",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one parameter of the preset; may be repeated."),
    ] = None,
    strain: Annotated[str, typer.Option(help="The third channel: standard, meb or softnet.")] = "standard",
    dtype: Annotated[str, typer.Option(help="Of the cubes: float32 or float16.")] = "float32",
    engine: Annotated[str, typer.Option(help="local (processes) or ray.")] = "local",
    ray_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of a running Ray cluster. Default: a local one is started.")
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
        bool, typer.Option("--retry-failed", help="Compute the units that hold failed pairs again.")
    ] = False,
    gpu: Annotated[
        str,
        typer.Option(
            "--gpu",
            metavar="[auto]",
            help="Compute on every GPU of this machine (with --engine ray, of the cluster). "
            "auto: on the CPU where there is none.",
        ),
    ] = "no",
) -> None:
    """Compute the motion cubes of all planned pairs into shards; run it again to continue after a stop.

    Examples:

      flowkit extract clip.mp4 -o out

      flowkit extract manifest.csv -o out --pairs onset-apex --size 224

      flowkit extract frames/ -o out --pairs lag:0.1s --preset opencv --set epsilon=0.001

      flowkit extract manifest.csv -o out --size 224 --gpu

    Exit codes: 0 all done, 1 done with failed pairs (listed in OUT/failures), 2 bad input, 3 stopped and resumable.
    """
    from flowkit.extract import extract as run
    from flowkit.progress import ProgressReport, last_line

    device = _device(gpu, engine)
    with _stoppable(), ProgressReport(Console()) as report:
        summary = run(
            source,
            out,
            pairs=pairs,
            preset=preset,
            params=parse_set(set_ or []),
            size=size,
            face=face,
            strain=strain,
            dtype=dtype,
            engine=engine,
            ray_address=ray_address,
            workers=workers,
            device=device,
            batch=batch,
            frame_base=frame_base,
            retry_failed=retry_failed,
            report=report,
        )
    typer.echo(last_line(summary))
    raise typer.Exit(1 if summary.failed else 0)


@app.command()
def verify(out: Out) -> None:
    """Prove an output: every planned pair exactly once, every checksum right, nothing extra.

    Exit codes: 0 sound, 2 problems (one line each), 3 sound but not finished.
    """
    from flowkit.verify import verify as check

    result = check(out)
    for problem in result.problems:
        typer.echo(f"flowkit: {problem}", err=True)
    typer.echo(str(result), err=not result.ok)
    raise typer.Exit(2 if result.problems else 3 if result.unfinished else 0)


@app.command()
def view(
    out: Out,
    clip: Annotated[str, typer.Option("--clip", metavar="ID", help="The clip_id.")],
    picture: Annotated[Path, typer.Option("-o", "--out", metavar="PNG", help="The picture to write.")],
    pair: Annotated[
        int | None,
        typer.Option(metavar="N", help="Which of the clip's pairs, from 0. Default: the one that moves most."),
    ] = None,
) -> None:
    """Draw one pair: its frames, the flow as a colour wheel, the strain as heat.

    Example: flowkit view out --clip sub01/EP02_01f -o picture.png
    """
    from flowkit.view import render

    render(out, clip, picture, pair)
    typer.echo(f"-> {picture}")


@app.command()
def doctor() -> None:
    """Say what this machine can do: build, SIMD, GPU, codecs, versions."""
    from flowkit.doctor import report

    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in report():
        table.add_row(f"[bold]{name}[/bold]", escape(value))
    Console().print(table)


@app.command()
def bench(
    against: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="opencv, scikit-image, farneback, dis-medium, dis-fast, dis-ultrafast, opencv-cuda. "
            "Default: all that are installed.",
        ),
    ] = None,
    sizes: Annotated[str, typer.Option(metavar="N|WxH,...", help="Of the frames.")] = "64,128,224,340x280",
    threads: Annotated[str, typer.Option(metavar="N,...", help="Numbers of threads, or all.")] = "1,all",
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="JSON", help="Write the figures here.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw error against time (224 x 224 if among SIZES).")
    ] = None,
) -> None:
    """Measure speed and accuracy on this machine, beside other optical flow; every answer is checked.

    Faces with known motion, all methods in turn. "x" columns: how many times as fast as that peer, same frames.

    Example: flowkit bench --sizes 224 --threads 1 --against opencv,dis-medium
    """
    from flowkit import bench as benchmark

    benchmark.command(against, sizes, threads, out, plot, typer.echo)


@app.command()
def demo(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")]) -> None:
    """Make a small licence-free dataset with known motion, extract it, and train on it."""
    from flowkit.demo import run

    run(folder)


def _device(gpu: str, engine: str) -> str:
    """ "cpu" or "cuda" for what was written behind --gpu; says so where auto means the CPU."""
    if gpu not in ("no", "yes", "auto"):
        raise InputError(f"--gpu {gpu}: write --gpu, or --gpu auto")
    if gpu == "auto" and engine == "local":
        from flowkit.gpu import gpus

        usable, problem = gpus()
        if not usable:
            typer.echo(f"flowkit: computing on the CPU: no usable GPU: {problem}", err=True)
        return "cuda" if usable else "cpu"
    if gpu == "auto":
        raise InputError("--gpu auto is for one machine; with --engine ray write --gpu or leave it out")
    return "cuda" if gpu == "yes" else "cpu"


def with_gpu_value(arguments: list[str]) -> list[str]:
    """--gpu may stand alone or before "auto": an option whose value may be left out."""
    return [
        "--gpu=yes" if argument == "--gpu" and following != "auto" else argument
        for argument, following in zip(arguments, [*arguments[1:], ""], strict=True)
    ]


def parse_set(texts: list[str]) -> dict[str, Any]:
    """Changes of TV-L1 parameters from texts as "epsilon=0.001", each value of its parameter's type.

    Raises:
        InputError: for a text without "=", an unknown name, or a value of another type.
    """
    fields = {field.name.rstrip("_"): field for field in dataclasses.fields(TVL1Params)}
    changes: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        field = fields.get(name.strip().rstrip("_"))
        if not equals:
            raise InputError(f"--set {text}: write it as KEY=VALUE, as in --set epsilon=0.001")
        if field is None:
            raise InputError(f"--set {text}: {name!r} is no TV-L1 parameter; known are {', '.join(sorted(fields))}")
        changes[field.name] = _typed(text, str(field.type), value.strip())
    return changes


def _typed(text: str, kind: str, value: str) -> Any:
    try:
        if kind == "bool":
            return {"true": True, "false": False}[value.lower()]
        if kind == "int":
            return int(value)
        if kind == "float":
            return float(value)
    except (KeyError, ValueError) as error:
        wanted = {"bool": "true or false", "int": "a whole number", "float": "a number"}[kind]
        raise InputError(f"--set {text}: the value must be {wanted}") from error
    return value


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C, and SIGTERM as batch systems send it, end the run in order, with the exit code of a resumable one."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted("stopped before the first pair; run the same command again to continue") from None
    finally:
        signal.signal(signal.SIGTERM, before)


def main() -> None:
    """The entry point: runs the command line and turns errors into one line and an exit code."""
    debug = "--debug" in sys.argv
    try:
        app(args=with_gpu_value([argument for argument in sys.argv[1:] if argument != "--debug"]))
    except FlowkitError as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"flowkit: {error}", err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        if debug:
            raise
        what = f"{type(error).__name__}: {error}"
        typer.echo(f"flowkit: unexpected {what}; run it again with --debug for the traceback, and report it", err=True)
        sys.exit(Interrupted.exit_code)


if __name__ == "__main__":
    main()

"""Options that several commands share, and what was written behind them as values."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from flowkit.errors import InputError
from flowkit.params import PRESETS, TVL1Params

Out = Annotated[
    Path, typer.Argument(metavar="OUT", help="The output of [bold]flowkit extract[/bold], a folder or a URL.")
]

PRESET_HELP = f"The solver's parameters: {', '.join(PRESETS)}."
Preset = Annotated[str, typer.Option(metavar="NAME", help=PRESET_HELP)]

ClipWorkers = Annotated[int | None, typer.Option(help="Processes, each with a clip at a time. Default: one a CPU.")]
TimeLimit = Annotated[
    float, typer.Option(metavar="S", help="Seconds that a clip may take in a worker process; then it fails.")
]
"""Its default is `flowkit.extraction.engines.engine.TIME_LIMIT_S`."""


def chosen_device(device: str | None, gpu: bool, engine: str, *, quiet: bool = False) -> str:
    """ "cpu" or "cuda" for what was written behind --device and --gpu; says so where auto means the CPU, if not quiet.

    Raises:
        InputError: for another word, for two that contradict each other, or for auto on a cluster.
    """
    if device not in (None, "auto", "cpu", "cuda"):
        raise InputError(f"--device {device}: choose auto, cpu or cuda")
    if gpu and device not in (None, "cuda"):
        raise InputError(f"--gpu is short for --device cuda, and contradicts --device {device}: leave one out")
    if device != "auto":
        return "cuda" if gpu else device or "cpu"
    if engine != "local":
        raise InputError(f"--device auto is for one machine; with --engine {engine} write --device cuda or cpu")
    from flowkit.motion.devices import gpus

    usable, problem = gpus()
    if not usable and not quiet:
        typer.echo(f"flowkit: computing on the CPU: no usable GPU: {problem}", err=True)
    return "cuda" if usable else "cpu"


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
        if field.name in changes:
            raise InputError(f"--set {text}: {name.strip()} is set twice; leave one out")
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


def require_unread(written: Path | None, *read: Path | None) -> None:
    """An InputError for a file that would be written in the place of one that the command reads."""
    if written and any(path and path.resolve() == written.resolve() for path in read):
        raise InputError(f"{str(written)!r} is read here, and would be replaced; give another name")

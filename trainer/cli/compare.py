"""The commands `flowkit-train compare` and `flowkit-train report`: finished runs side by side, and their pages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from flowkit.errors import require_shown
from flowkit.output.files import put_text
from trainer.cli.endings import stoppable

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs.")]


def compare(
    runs: Runs,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="The same as JSON.")] = None,
) -> None:
    """Compare finished runs: mean and spread over seeds, and a paired test between choices.

    Runs on the same samples that differ in nothing but the seed are one setting, and the folder of a run with --seeds
    is all of its seeds. Each later setting is tested against the first by swapping people, and networks where one
    predicts several: two-sided p of the difference of their mean scores.
    """
    with stoppable():
        from trainer.comparison import compare as compared
        from trainer.comparison import read_all

        found = compared(read_all(runs))
        if output:
            put_text(output, json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        for line in lines(found):
            typer.echo(line)
        require_shown()


def lines(found: Mapping[str, Any]) -> list[str]:
    """What the command prints."""
    from trainer.scores import EACH_CLIP, labels_of, no_result, swapped

    names = labels_of(found["runs"][0])
    told = []
    for run in found["runs"]:
        scores = ", ".join(f"{label} {run[key]['value']:.3f}{_bounds(run[key])}" for key, label in names.items())
        units = f"; means over {run['shown']} action units" if "shown" in run else ""
        told.append(f"{run['run']}: {run['model']}, seed {run['seed']}: {scores}{units}{no_result(run['slips'])}")
    for setting in found["settings"]:
        if len(setting["runs"]) > 1:
            scores = ", ".join(
                f"{label} {setting[key]['mean']:.3f} (sd {setting[key]['sd']:.3f})" for key, label in names.items()
            )
            which = f" ({', '.join(setting['runs'])})" if len(found["settings"]) > 1 else ""
            seeds = f"{setting['model']}, {len(setting['runs'])} seeds{which}"
            told.append(f"{seeds}: {scores}{no_result(setting['slips'])}")
    told += [line for setting in found["settings"][1:] if (line := _unlike(setting, found["settings"][0]))]
    for test in found["tests"]:
        which = f"{', '.join(test['second'])} less {', '.join(test['first'])}"
        if test["p"] is None:
            told.append(f"{which}: no test, {test['why']}{no_result(test['slips'])}")
            continue
        scores = ", ".join(
            f"{label} {test['difference'][key]:+.3f} (p = {test['p'][key]:.4f})" for key, label in names.items()
        )
        told.append(f"{which}: {scores}, {swapped(test)}{no_result(test['slips'])}")
    if found["by"] == "clip":
        told.append(f"clips have several pairs: scores and tests are of clips, {EACH_CLIP}")
    return told


def _unlike(setting: Mapping[str, Any], first: Mapping[str, Any]) -> str:
    """What the lines above do not say of the difference between two settings; "" for nothing."""
    told = [
        f"{key} {_short(value)}, not {_short(setting['instead'][key])}"
        for key, value in setting["differs"].items()
        if key not in ("model", "slips")
    ]
    return f"{', '.join(setting['runs'])}, unlike {', '.join(first['runs'])}: {'; '.join(told)}" if told else ""


def _short(value: Any) -> str:
    """A value as text, a SHA-256 by its first 12 digits."""
    text = str(value)
    return text[:12] if re.fullmatch(r"[0-9a-f]{64}", text) else text


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    other: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="A second one, to stand beside the first.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Default: RUN/report.html, or RUN/beside.html for two."),
    ] = None,
) -> None:
    """Write a finished run's page anew, with Grad-CAM where it was made; or two runs in one page, with their test."""
    with stoppable():
        from trainer.comparison import compare as compared
        from trainer.comparison import read_finished
        from trainer.report import render
        from trainer.results import read_page
        from trainer.run_folder import BESIDE, REPORT, require_one_run

        for each in (run, other or run):
            require_one_run(each)
        page = read_page(run)
        if other is None:
            html = render(page)
        else:
            html = render(page, read_page(other), compared([read_finished(run), read_finished(other)]))
        path = output or run / (REPORT if other is None else BESIDE)
        put_text(path, html)
        typer.echo(f"report: {path}")


def _bounds(score: Mapping[str, Any]) -> str:
    return "" if score["low"] is None else f" ({score['low']:.3f} to {score['high']:.3f})"

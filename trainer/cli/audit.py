"""flowkit-train audit: what would have let the held-out people into training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from flowkit.errors import InputError
from flowkit.output.files import put_text
from trainer.audit.findings import ORDER, Finding
from trainer.cli.endings import stoppable


def audit(
    subject: Annotated[
        Path, typer.Argument(metavar="RUN|FILE", help="A run's folder, or a .csv or .parquet of predictions.")
    ],
    shards: Annotated[
        Path | None, typer.Option(help="The output that RUN was trained on. Default: where the run says it was.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="The findings as JSON.")] = None,
    shuffled: Annotated[
        bool, typer.Option("--shuffled", help="FILE is of a run with shuffled labels, which must leave chance.")
    ] = False,
    select: Annotated[
        str | None,
        typer.Option(metavar="inner", help="Epochs of FILE were chosen on people set aside from training."),
    ] = None,
) -> None:
    """Look for leaks and slips; ends with code 1 where there is one.

    Looked for are people on both sides, repeated clips and near-identical cubes, features under the wrong rows, class
    sets, epochs chosen on the held-out person, predictions that depend on batch mates, scores of shuffled labels; and
    strain along swapped axes, one backbone in two places, action units that no annotation names.
    """
    with stoppable():
        findings = _findings(subject, shards, shuffled, select)
        for finding in sorted(findings, key=lambda each: ORDER.index(each.verdict)):
            verdict = finding.verdict.upper() if finding.verdict in ("leak", "slip") else finding.verdict
            typer.echo(f"{verdict:<11}  {finding.check}: {finding.told}")
            for example in finding.examples:
                typer.echo(f"{'':13}{example}")
        if output:
            put_text(output, json.dumps([each.to_dict() for each in findings], indent=2, ensure_ascii=False) + "\n")
        counts = [(word, sum(finding.verdict == word for finding in findings)) for word in ("leak", "slip")]
        unchecked = sum(finding.verdict == "not checked" for finding in findings)
        told = ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for word, count in counts)
        checks = f"{unchecked} check{'' if unchecked == 1 else 's'}"
        typer.echo(f"{told}; {checks} could not be made" if unchecked else told)
        if any(count for _, count in counts):
            raise typer.Exit(1)


def _findings(subject: Path, shards: Path | None, shuffled: bool, select: str | None) -> list[Finding]:
    if select not in (None, "inner"):
        raise InputError(f"--select: {select!r} is not inner; give that, or leave the option out")
    if subject.is_dir():
        for option, given in (("--shuffled", shuffled), ("--select", select)):
            if given:
                raise InputError(f"{option}: {subject} is a run, whose config.json says it; leave the option out")
        from trainer.audit.run import audit_run

        return audit_run(subject, shards)
    if shards is not None:
        raise InputError(f"--shards: {subject} is no run's folder, and only a run has shards; leave the option out")
    from trainer.audit.checks import audit_predictions
    from trainer.audit.predictions import read_predictions

    return audit_predictions(read_predictions(subject), select=select, shuffled=shuffled)

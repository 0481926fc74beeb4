"""The paper's Table V from finished runs: accuracy, UF1 and UAR of its four models, and the counts behind the print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from flowkit.errors import InputError
from trainer.comparison import Finished, compare
from trainer.paper import PAPER_CLIPS, PAPER_CORRECT, paper_accuracy
from trainer.studies.implied import implied_correct

ROWS = tuple(PAPER_CORRECT)


def table_v(runs: Sequence[Finished]) -> pa.Table:
    """A row a run in the order of the paper's models, with its slips; then the paper's own rows with their counts.

    Columns: what, seed, clips (rows), correct, accuracy, low, high, uf1, uar; of the paper only what its accuracy says.

    Raises:
        InputError: for a run whose model is none of the paper's four.
    """
    for run in runs:
        if (model := run.summary["config"]["model"]) not in ROWS:
            raise InputError(f"{run.path}: its model is {model}, and Table V has {', '.join(ROWS)}")
    ordered = sorted(runs, key=lambda run: ROWS.index(run.summary["config"]["model"]))
    return pa.Table.from_pylist([*map(_row, ordered), *map(_paper_row, ROWS)])


def verdict(runs: Sequence[Finished]) -> list[str]:
    """What the table can say, in sentences."""
    same = [run for run in runs if run.summary["metrics"]["overall"]["support"] == PAPER_CLIPS]
    told = [f"{run.name} repeats {', '.join(_slips(run))} on purpose, and is no result." for run in runs if _slips(run)]
    if len(same) < len(runs):
        told.append(
            f"{len(runs) - len(same)} of {len(runs)} runs are of other clips than the paper's 290: no comparison."
        )
    if len(runs) > 1:
        for test in compare(runs)["tests"]:
            name = f"{', '.join(test['second'])} less {', '.join(test['first'])}"
            if test["p"] is None:
                told.append(f"{name}: no paired test, {test['why']}.")
            else:
                told.append(f"{name}: accuracy {test['difference']['accuracy']:+.4f}, p = {test['p']['accuracy']:.4f}.")
    gain = PAPER_CORRECT["dual-resnet18"] - PAPER_CORRECT["resnet18"]
    told.append(
        f"The paper's fusion is right in {gain} clips more of 290 than its baseline, with one seed and no test."
    )
    return told


def _row(run: Finished) -> dict[str, Any]:
    config, overall = run.summary["config"], run.summary["metrics"]["overall"]
    interval = overall["intervals"]["accuracy"]
    return {
        "what": ", ".join([f"{run.name}: {config['model']}", *(["shared"] if config["shared"] else []), *_slips(run)]),
        "seed": config["seed"],
        "clips": overall["n"],
        "correct": round(overall["accuracy"] * overall["n"]),
        "accuracy": overall["accuracy"],
        "low": interval["low"],
        "high": interval["high"],
        "uf1": overall["uf1"],
        "uar": overall["uar"],
    }


def _slips(run: Finished) -> list[str]:
    return [f"slip {name}" for name in run.summary["config"]["slips"]]


def _paper_row(model: str) -> dict[str, Any]:
    n = sum(PAPER_CLIPS.values())
    (correct,) = implied_correct(f"{paper_accuracy(model):.4f}", n)
    empty = dict.fromkeys(("seed", "low", "high", "uf1", "uar"))
    return {"what": f"paper: {model}", "clips": n, "correct": correct, "accuracy": paper_accuracy(model), **empty}

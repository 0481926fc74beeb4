"""The paper's Table V from finished runs: accuracy, UF1 and UAR of its four models, and the counts behind the print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from flowkit.errors import InputError
from trainer.comparison import Finished, compare
from trainer.paper import PAPER_CLIPS, PAPER_CORRECT, paper_accuracy
from trainer.scores import EACH_CLIP, swapped

ROWS = tuple(PAPER_CORRECT)


def table_v(runs: Sequence[Finished]) -> pa.Table:
    """A row a run in the order of the paper's models, with its slips; then the paper's own rows with their counts.

    Columns: what, seed, clips, correct, accuracy, low, high, uf1, uar; of the paper only what its accuracy says.
    Raises as `in_order`.
    """
    return pa.Table.from_pylist([*map(_row, in_order(runs)), *map(_paper_row, ROWS)])


def in_order(runs: Sequence[Finished]) -> list[Finished]:
    """The runs in the order of the paper's models, the baseline first, then of their seeds.

    Raises:
        InputError: for a run whose model is none of the paper's four, or whose target is action units.
    """
    for run in runs:
        if run.true.ndim == 2:
            raise InputError(f"{run.path}: its target is action units, and Table V is of emotions")
        if (model := run.summary["config"]["model"]) not in ROWS:
            raise InputError(f"{run.path}: its model is {model}, and Table V has {', '.join(ROWS)}")
    return sorted(runs, key=lambda run: (ROWS.index(run.summary["config"]["model"]), run.seed))


def verdict(runs: Sequence[Finished]) -> list[str]:
    """What the table can say, in sentences: later models are tested against the first. Raises as `in_order`."""
    runs = in_order(runs)
    same = [run for run in runs if run.scores["support"] == PAPER_CLIPS]
    told = [f"{run.name} repeats {', '.join(_slips(run))} on purpose, and is no result." for run in runs if _slips(run)]
    if any(run.summary["metrics"]["by_clip"] for run in runs):
        told.append(f"Clips have several pairs: scores and tests are of clips, {EACH_CLIP}.")
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
                p = f"p = {test['p']['accuracy']:.4f} by swapping {swapped(test)}"
                told.append(f"{name}: accuracy {test['difference']['accuracy']:+.4f}, {p}.")
    gain = PAPER_CORRECT["dual-resnet18"] - PAPER_CORRECT["resnet18"]
    told.append(
        f"The paper's fusion is right in {gain} clips more of 290 than its baseline, with one seed and no test."
    )
    return told


def _row(run: Finished) -> dict[str, Any]:
    config, overall = run.summary["config"], run.scores
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
    empty = dict.fromkeys(("seed", "low", "high", "uf1", "uar"))
    told = {"what": f"paper: {model}", "clips": n, "correct": PAPER_CORRECT[model], "accuracy": paper_accuracy(model)}
    return told | empty

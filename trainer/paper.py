"""What Khor et al., "Is Micro-expression Ethnic Leaning?" (ICMEW 2025) print in Table V, and a run beside it.

Of the table we keep what its accuracies say: each names one count among 290 clips, as trainer/studies/implied.py reads
it from four decimals. The accuracies as printed are not kept, so nothing here proves the counts: the paper has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainer.scores import decisive

PAPER_CLIPS = {"negative": 192, "positive": 58, "surprise": 40}
"""Of the paper's 290 clips, by class."""
PAPER_CORRECT = {"resnet18": 209, "dual-resnet18": 220, "dual-resnet18-rgb": 190, "resnet18-tinyvit": 221}
"""Right predictions among the 290, row by row: counted back by hand from the accuracies of Table V."""


def paper_accuracy(model: str) -> float:
    """The accuracy of a row of Table V, made from its count."""
    return PAPER_CORRECT[model] / sum(PAPER_CLIPS.values())


def against_paper(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """The table of a run's accuracy beside the paper's; None for a model that is not in the paper.

    `same` says whether the classes have as many clips as in the paper: only then are the two about the same ones.
    """
    model, overall = summary["config"]["model"], decisive(summary["metrics"])
    if model not in PAPER_CORRECT:
        return None
    n, interval = sum(PAPER_CLIPS.values()), overall["intervals"]["accuracy"]
    always = max(PAPER_CLIPS.values())
    run = [overall["n"], round(overall["accuracy"] * overall["n"]), f"{overall['accuracy']:.4f}"]
    told = "-" if interval["low"] is None else f"{interval['low']:.4f} to {interval['high']:.4f}"
    return {
        "header": ["", "clips", "correct", "accuracy", "interval"],
        "rows": [
            ["this run", *run, told],
            [f"the paper, {model}", n, PAPER_CORRECT[model], f"{paper_accuracy(model):.4f}", "not given"],
            ["the paper's clips, always negative", n, always, f"{always / n:.4f}", "-"],
        ],
        "same": overall["support"] == PAPER_CLIPS,
    }

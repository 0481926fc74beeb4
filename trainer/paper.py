"""What Khor et al., "Is Micro-expression Ethnic Leaning?" (ICMEW 2025) print in Table V, and a run beside it.

Of the table we rely on what can be checked: each accuracy names a count among 290 clips (trainer/studies/implied.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PAPER_CLIPS = {"negative": 192, "positive": 58, "surprise": 40}
"""Of the paper's 290 clips, by class."""
PAPER_CORRECT = {"resnet18": 209, "dual-resnet18": 220, "dual-resnet18-rgb": 190, "resnet18-tinyvit": 221}
"""Right predictions among the 290 that the accuracies of Table V imply, row by row."""


def paper_accuracy(model: str) -> float:
    """The accuracy of a row of Table V."""
    return PAPER_CORRECT[model] / sum(PAPER_CLIPS.values())


def against_paper(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """The table of a run's accuracy beside the paper's; None for a model that is not in the paper.

    `same` says whether the classes have as many rows as in the paper: only then are the two about the same clips.
    """
    model, overall = summary["config"]["model"], summary["metrics"]["overall"]
    if model not in PAPER_CORRECT:
        return None
    n, interval = sum(PAPER_CLIPS.values()), overall["intervals"]["accuracy"]
    always = max(PAPER_CLIPS.values())
    run = [overall["n"], round(overall["accuracy"] * overall["n"]), f"{overall['accuracy']:.4f}"]
    told = "-" if interval["low"] is None else f"{interval['low']:.4f} to {interval['high']:.4f}"
    return {
        "header": ["", "rows", "correct", "accuracy", "interval"],
        "rows": [
            ["this run", *run, told],
            [f"the paper, {model}", n, PAPER_CORRECT[model], f"{paper_accuracy(model):.4f}", "not given"],
            ["the paper's clips, always negative", n, always, f"{always / n:.4f}", "-"],
        ],
        "same": overall["support"] == PAPER_CLIPS,
    }

"""The report of a run: one HTML file with everything inside, made from what metrics.json holds.

Here its content is prepared, as strings and rows of cells; trainer/templates/run.html.j2 says what it looks like.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from trainer.plots import draw_confusion, draw_f1
from trainer.templates import fill

SCORES = {"uf1": "UF1", "uar": "UAR", "accuracy": "accuracy"}
DRAWN_GROUPS = 5
"""So many groups have bars of their own; the table has all."""


def render(summary: dict[str, Any]) -> str:
    """The report of a run as one self-contained HTML page, from the content of its metrics.json."""
    config, metrics, column = summary["config"], summary["metrics"], summary["input"]["group_column"]
    return fill(
        "run.html.j2",
        title=f"{config['model']}, {config['protocol']}",
        lead=_lead(summary),
        shuffled=config["shuffle_labels"],
        overall=_scores(metrics["overall"]),
        majority=_scores(metrics["majority_class"]),
        caveats=summary["caveats"],
        figures=_figures(summary),
        group_column=column,
        groups=None if column is None else _score_table("group", metrics["per_group"]),
        datasets=_score_table("dataset", metrics["per_dataset"]),
        classes=_class_table(summary),
        folds=_fold_table(summary["folds"]),
        record=_record(summary),
    )


def _lead(summary: dict[str, Any]) -> str:
    config, source = summary["config"], summary["input"]
    size = " x ".join(str(side) for side in source["cube_shape"][1:])
    return (
        f"{source['rows']} {config['role']} pairs of {source['clips']} clips, {source['people']} people, "
        f"{size} px, {config['epochs']} epochs, seed {config['seed']}, on {summary['device']}"
    )


def _scores(part: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, f"{part[key]:.3f}") for key, name in SCORES.items()]


def _figures(summary: dict[str, Any]) -> list[dict[str, str]]:
    metrics, classes = summary["metrics"], summary["classes"]
    groups = [(part["group"], part) for part in metrics["per_group"] if part["group"] is not None]
    drawn = groups[:DRAWN_GROUPS]
    f1 = "F1 of each class" + (", of all rows and of each group." if groups else ".")
    if len(groups) > len(drawn):
        f1 += f" Drawn are the first {len(drawn)} of {len(groups)} groups; the table below has all."
    return [
        {
            "description": "confusion matrix, rows true, columns predicted",
            "caption": "Pairs of each true class (down) by predicted class (across), with their share of the row.",
            "data": _base64(draw_confusion(metrics["overall"]["confusion"], classes)),
        },
        {
            "description": "F1 of each class",
            "caption": f1,
            "data": _base64(draw_f1([("all", metrics["overall"]), *drawn], classes)),
        },
    ]


def _base64(svg: str) -> str:
    return base64.b64encode(svg.encode()).decode()


def _score_table(key: str, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Header and rows, and the parts that lack a class: their means are over fewer classes."""
    classes = list(parts[0]["f1"])
    rows = []
    for part in parts:
        f1 = [_or_no_rows(part["f1"][label]) for label in classes]
        rows.append([_named(part[key]), part["n"], part["people"], *(value for _, value in _scores(part)), *f1])
    return {
        "header": [key, "rows", "people", *SCORES.values(), *(f"F1 {name}" for name in classes)],
        "rows": rows,
        "fewer": [(_named(part[key]), part["classes"]) for part in parts if len(part["classes"]) < len(classes)],
    }


def _class_table(summary: dict[str, Any]) -> dict[str, Any]:
    overall = summary["metrics"]["overall"]
    groups = summary["metrics"]["per_group"] if summary["input"]["group_column"] else []
    return {
        "header": ["class", "rows", "F1", "recall", *(f"rows in {part['group'] or 'no group'}" for part in groups)],
        "rows": [
            [
                name,
                overall["support"][name],
                _or_no_rows(overall["f1"][name]),
                _or_no_rows(overall["recall"][name]),
                *(part["support"][name] for part in groups),
            ]
            for name in summary["classes"]
        ],
    }


def _fold_table(folds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "header": ["held out", "rows trained on", "rows held out", "correct", "seconds"],
        "rows": [
            [
                fold["name"],
                fold["train"],
                fold["held_out"],
                fold["correct"],
                f"{fold['seconds']:.1f}",
            ]
            for fold in folds
        ],
    }


def _named(name: str | None) -> str:
    return name or "not given"


def _or_no_rows(score: float | None) -> str:
    return "no rows" if score is None else f"{score:.3f}"


def _record(summary: dict[str, Any]) -> str:
    record = {key: summary[key] for key in ("config", "versions", "device", "threads", "input")}
    return json.dumps(record, indent=2, ensure_ascii=False)

"""The report of a run: one HTML file with everything inside, made from what the run's folder holds.

Here its content is prepared, as strings and rows of cells; trainer/templates/run.html.j2 says what it looks like, and
trainer/report_tables.py makes the tables.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer import report_tables as tables
from trainer.paper import against_paper
from trainer.plots import draw_confusion, draw_curves, draw_f1, draw_intervals
from trainer.scores import EACH_CLIP, absent_units, decisive, headline, labels_of, no_result
from trainer.templates import fill

DRAWN_GROUPS = 5
"""So many groups have bars of their own; the table has all."""


WORDS = {
    "emotion3": {
        "labels": "emotion labels",
        "first": "Confusion and per-class F1",
        "means": "UF1 and UAR are means over the classes that have rows",
        "tells": "tells the classes apart",
        "classes": "By class",
        "clip": "is given the class with the highest mean probability of its pairs",
    },
    "au12": {
        "labels": "action units",
        "first": "F1 of each action unit",
        "means": "Both F1 are means over the units that rows show",
        "tells": "tells which action units are shown",
        "classes": "By action unit",
        "clip": "shows the units whose mean probability over its pairs is above one half",
    },
}
"""How the page of each target speaks of it."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a run's folder holds for its page."""

    summary: dict[str, Any]
    """The content of metrics.json."""
    misclassified: Sequence[Mapping[str, Any]] = ()
    """The rows of tables/misclassified.parquet."""
    grad_cam: bytes | None = None
    """The PNG of the panels, where they were made."""


def render(page: Page, other: Page | None = None, comparison: Mapping[str, Any] | None = None) -> str:
    """The report of a run as one self-contained HTML page; with `other` and the comparison of the two beside it."""
    summary = page.summary
    config, metrics, column = summary["config"], summary["metrics"], summary["input"]["group_column"]
    return fill(
        "run.html.j2",
        title=f"{config['model']}, {config['protocol']}",
        lead=_lead(summary),
        shuffled=config["shuffle_labels"],
        slips=config["slips"],
        words=WORDS[config["target"]],
        overall=tables.headline_scores(decisive(metrics)),
        headline=headline(metrics),
        averaged=_averaged(decisive(metrics)),
        baselines=_baselines(metrics),
        caveats=summary["caveats"],
        beside=None if other is None or comparison is None else _beside(page, other, comparison),
        figures=_figures(summary, "this run"),
        paper=against_paper(summary) if config["target"] == "emotion3" else None,
        group_column=column,
        groups=None if column is None else tables.score_table("group", metrics["per_group"]),
        groups_figure=_groups_figure(metrics) if column is not None else None,
        group_gaps=tables.gap_table(metrics["gaps"], "group"),
        datasets=tables.score_table("dataset", metrics["per_dataset"]),
        dataset_gaps=tables.gap_table(metrics["gaps"], "dataset"),
        clips=None if metrics["by_clip"] is None else tables.clip_table(metrics),
        heads=tables.head_table(metrics["heads"]),
        ethnicity=tables.ethnicity_table(metrics["heads"]),
        classes=tables.class_table(summary),
        curves=_curves(summary),
        grad_cam=None if page.grad_cam is None else _base64(page.grad_cam),
        misclassified=[_mistake(row) for row in page.misclassified],
        audit=tables.audit_table(summary["audit"]),
        verdict=_verdict(summary["audit"]),
        folds=tables.fold_table(summary["folds"]),
        record=_record(summary),
    )


def _lead(summary: dict[str, Any]) -> str:
    config, source = summary["config"], summary["input"]
    size = " x ".join(str(side) for side in source["cube_shape"][1:])
    epochs = "" if config["model"] == "svc" else f"{config['epochs']} epochs, "
    return (
        f"{source['rows']} {config['role']} pairs of {source['clips']} clips, {source['people']} people, "
        f"{size} px, {epochs}seed {config['seed']}, on {summary['device']}"
        f"{no_result(config['slips'])}"
    )


def _averaged(overall: Mapping[str, Any]) -> str:
    if "au" not in overall:
        return f"UF1 and UAR are means over {len(overall['classes'])} classes ({', '.join(overall['classes'])})."
    if not (absent := absent_units(overall)):
        return f"Both are means over the {len(overall['au'])} action units, all of which some row shows, as in CD6ME."
    binary, macro = overall["cd6me"].values()
    return (
        f"Both are means over the {len(overall['shown'])} of {len(overall['au'])} action units that a row shows; none "
        f"shows {', '.join(absent)}. Over all, as CD6ME counts, they are {binary:.3f} and {macro:.3f}: a unit that no "
        "row shows is 0 in the first, and where it is never predicted 1 in the second."
    )


def _baselines(metrics: Mapping[str, Any]) -> str:
    majority = tables.plain_scores(metrics["majority_class"])
    if "always_shown" not in metrics:
        return f"Always answering the most frequent class would give {majority}."
    always = tables.plain_scores(metrics["always_shown"])
    return f"Always saying of a unit what most rows have would give {majority}; always showing all of them {always}."


def _figures(summary: dict[str, Any], name: str) -> list[dict[str, str]]:
    metrics, classes = summary["metrics"], summary["classes"]
    if "au" in metrics["overall"]:
        return [_units_figure(metrics["overall"], name)]
    groups = [(part["group"], part) for part in metrics["per_group"] if part["group"] is not None]
    drawn = groups[:DRAWN_GROUPS]
    f1 = "F1 of each class" + (", of all rows and of each group." if groups else ".")
    if len(groups) > len(drawn):
        f1 += f" Drawn are the first {len(drawn)} of {len(groups)} groups; the table below has all."
    return [
        {
            "description": f"confusion matrix of {name}, rows true, columns predicted",
            "caption": "Pairs of each true class (down) by predicted class (across), with their share of the row.",
            "data": _base64(draw_confusion(metrics["overall"]["confusion"], classes)),
        },
        {
            "description": f"F1 of each class in {name}",
            "caption": f1,
            "data": _base64(draw_f1([("all", metrics["overall"]), *drawn], classes)),
        },
    ]


def _units_figure(overall: Mapping[str, Any], name: str) -> dict[str, str]:
    parts = [(unit, {**found, "n": found["support"]}) for unit, found in overall["au"].items() if found["support"]]
    return {
        "description": f"F1 of each action unit in {name}, with intervals",
        "caption": "F1 with 95 % intervals; n are the rows that show the unit, and of the mean all rows.",
        "data": _base64(draw_intervals([("mean", dict(overall)), *parts], labels_of(overall))),
    }


def _groups_figure(metrics: dict[str, Any]) -> str:
    parts = [("all", metrics["overall"])]
    parts += [(part["group"] or "not given", part) for part in metrics["per_group"]]
    parts += [
        (part["dataset"] or "not given", part) for part in metrics["per_dataset"] if len(metrics["per_dataset"]) > 1
    ]
    return _base64(draw_intervals(parts[:20], labels_of(metrics["overall"])))


def _curves(summary: dict[str, Any]) -> str | None:
    return _base64(draw_curves(summary["curves"])) if summary["curves"] else None


def _beside(page: Page, other: Page, comparison: Mapping[str, Any]) -> dict[str, Any]:
    first, second = (run["run"] for run in comparison["runs"])
    return {
        "first": first,
        "second": second,
        "lead": _lead(other.summary),
        "table": tables.comparison_table(comparison),
        "tests": [*tables.test_sentences(comparison), *_of_clips(comparison)],
        "differs": tables.differences(
            _choices(page.summary) | comparison["settings"][-1]["instead"],
            _choices(other.summary) | comparison["settings"][-1]["differs"],
        ),
        "figures": _figures(other.summary, second),
    }


def _of_clips(comparison: Mapping[str, Any]) -> list[str]:
    """That clips are compared, where they are."""
    told = f"Clips have several pairs: scores and tests are of clips, {EACH_CLIP}."
    return [told] if comparison["by"] == "clip" else []


def _choices(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What a run was made with: its configuration, its shards and the parameters of their extraction."""
    source, told = summary["input"], dict(summary["config"])
    told["shards"] = source.get("shards")
    for name, value in (source.get("parameters") or {}).items():
        parts = value if isinstance(value, dict) else {"": value}
        told |= {f"extraction {name} {part}".strip(): each for part, each in parts.items()}
    return told


def _mistake(row: Mapping[str, Any]) -> dict[str, str]:
    said = f"{row['true']} taken for {row['predicted']} with {row['probability']:.2f}"
    return {"clip": row["clip_id"], "person": row["person"], "said": said, "data": _base64(row["picture"])}


def _verdict(audit: Sequence[Mapping[str, Any]]) -> str:
    counts = {word: sum(finding["verdict"] == word for finding in audit) for word in ("leak", "slip", "warning")}
    unchecked = sum(finding["verdict"] == "not checked" for finding in audit)
    if counts["leak"] or counts["slip"]:
        told = f"Leaks: {counts['leak']}, slips: {counts['slip']}: these scores are not what they seem"
    else:
        told = "No leak and no slip was found"
    return f"{told}. Warnings: {counts['warning']}. Checks that could not be made: {unchecked} of {len(audit)}."


def _base64(content: str | bytes) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


def _record(summary: dict[str, Any]) -> str:
    record = {key: summary[key] for key in ("config", "versions", "device", "threads", "input")}
    return json.dumps(record, indent=2, ensure_ascii=False)

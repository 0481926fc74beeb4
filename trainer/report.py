"""The report of a run: one HTML file with everything inside, made from what metrics.json holds."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from trainer.plots import draw_confusion, draw_f1

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #22303c; background: #fff; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.lead { color: #5a6a76; margin-top: .2rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.figures img { max-width: 100%; height: auto; }
.scores { display: flex; flex-wrap: wrap; gap: 2.5rem; margin: 1.2rem 0; }
.scores b { display: block; font-size: 2rem; line-height: 1.2; color: #2f6f8f; font-weight: 600; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } .wide { overflow-x: auto; }
th, td { padding: .25rem .8rem .25rem 0; text-align: right; border-bottom: 1px solid #e3e8ec; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; color: #5a6a76; }
.note { background: #fff6e5; border-left: 4px solid #d98b3a; padding: .6rem 1rem; margin: 1.2rem 0; }
.note ul { margin: .3rem 0; padding-left: 1.2rem; }
.null { background: #fbe9e7; border-color: #b5524d; font-weight: 600; }
pre { background: #f5f7f8; padding: .8rem; overflow-x: auto; font-size: 13px; }
"""

CAN_SAY = (
    "It shows how well this model, trained with these choices, tells the three classes apart on people it has not "
    "seen, within the conditions of these recordings. Every row was predicted once, by a model trained without any row "
    "of its subject; normalisation, batch statistics and the number of epochs did not use that subject either. "
    "Predictions of all folds are pooled first and scored then."
)
CANNOT_SAY = (
    "It is one run with one seed, without intervals, so small differences between models or groups may be chance. It "
    "does not show why a group scores higher or lower: groups also differ in class balance, in number of subjects, in "
    "camera and in dataset. It says nothing about datasets that are not in it, and it is no measure of what a person "
    "feels. Choices made after looking at these scores (model, epochs, size) make the next scores optimistic."
)
NULL_CONTROL = "Null control: the emotion labels of this run were shuffled over the clips."


def render(summary: dict[str, Any]) -> str:
    """The report of a run as one self-contained HTML page, from the content of its metrics.json."""
    parts = [
        _head(summary),
        _headline(summary),
        _notes(summary),
        _figures(summary),
        _group_section(summary),
        _section("By dataset", _score_table("dataset", summary["metrics"]["per_dataset"])),
        _section("By class", _class_table(summary)),
        _section("By held-out subject", _fold_table(summary["folds"])),
        _section("What this can and cannot say", f"<p>{escape(CAN_SAY)}</p><p>{escape(CANNOT_SAY)}</p>"),
        _section("How it was made", _origin(summary)),
    ]
    return "<!doctype html>\n<html lang='en'>\n" + "\n".join(parts) + "\n</body>\n</html>\n"


def _head(summary: dict[str, Any]) -> str:
    config, source = summary["config"], summary["input"]
    title = f"{config['model']}, leave one subject out"
    size = " x ".join(str(side) for side in source["cube_shape"][1:])
    lead = (
        f"{source['rows']} {config['role']} pairs of {source['clips']} clips, {source['subjects']} subjects, "
        f"{size} px, {config['epochs']} epochs, seed {config['seed']}, on {summary['device']}"
    )
    return (
        f"<head><meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{escape(title)}</title>"
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n<p class='lead'>{escape(lead)}</p>"
    )


def _headline(summary: dict[str, Any]) -> str:
    overall, majority = summary["metrics"]["overall"], summary["metrics"]["majority_class"]
    names = {"uf1": "UF1", "uar": "UAR", "accuracy": "accuracy"}
    tiles = "".join(f"<div><b>{overall[key]:.3f}</b>{label}</div>" for key, label in names.items())
    base = ", ".join(f"{label} {majority[key]:.3f}" for key, label in names.items())
    return f"<div class='scores'>{tiles}</div>\n<p>Always answering the most frequent class would give {base}.</p>"


def _notes(summary: dict[str, Any]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in summary["caveats"])
    shuffled = ""
    if summary["config"]["shuffle_labels"]:
        shuffled = (
            "<div class='note null'>Null control: the emotion labels of this run were shuffled over the clips.</div>"
        )
    return shuffled + (f"<div class='note'>Before reading on<ul>{items}</ul></div>" if items else "")


def _figures(summary: dict[str, Any]) -> str:
    metrics, classes = summary["metrics"], summary["classes"]
    groups = [(part["group"], part) for part in metrics["per_group"] if part["group"] is not None][:5]
    confusion = draw_confusion(metrics["overall"]["confusion"], classes)
    f1 = draw_f1([("all", metrics["overall"]), *groups], classes)
    images = _image(confusion, "confusion matrix, rows true, columns predicted") + _image(f1, "F1 of each class")
    return _section("Confusion and per-class F1", f"<div class='figures'>{images}</div>")


def _image(svg: str, description: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return f"<img alt='{escape(description)}' src='data:image/svg+xml;base64,{data}'>"


def _group_section(summary: dict[str, Any]) -> str:
    column = summary["input"]["group_column"]
    if column is None:
        return _section("By group", "<p>The manifest gives neither group nor ethnicity.</p>")
    origin = f"{column.capitalize()} labels as given in the manifest; flowkit did not infer any of them."
    return _section("By group", f"<p>{origin}</p>" + _score_table("group", summary["metrics"]["per_group"]))


def _score_table(key: str, parts: Sequence[dict[str, Any]]) -> str:
    classes = list(parts[0]["f1"])
    header = [key, "rows", "subjects", "UF1", "UAR", "accuracy", *(f"F1 {name}" for name in classes)]
    rows = []
    for part in parts:
        name = "not given" if part[key] is None else part[key]
        scores = [f"{part[score]:.3f}" for score in ("uf1", "uar", "accuracy")]
        f1 = ["no rows" if part["f1"][label] is None else f"{part['f1'][label]:.3f}" for label in classes]
        rows.append([name, part["n"], part["subjects"], *scores, *f1])
    table = _table(header, rows)
    fewer = [part for part in parts if len(part["classes"]) < len(classes)]
    if fewer:
        named = "; ".join(f"{part[key] or 'not given'}: {', '.join(part['classes'])}" for part in fewer)
        text = f"UF1 and UAR are means over the classes that have rows, here not all ({named}): not to be compared."
        table += f"<p>{escape(text)}</p>"
    return table


def _class_table(summary: dict[str, Any]) -> str:
    metrics = summary["metrics"]
    groups = metrics["per_group"] if summary["input"]["group_column"] else []
    header = ["class", "rows", "F1", "recall", *(f"rows in {part['group'] or 'no group'}" for part in groups)]
    overall = metrics["overall"]
    rows = []
    for name in summary["classes"]:
        scores = ["no rows" if overall[k][name] is None else f"{overall[k][name]:.3f}" for k in ("f1", "recall")]
        rows.append([name, overall["support"][name], *scores, *(part["support"][name] for part in groups)])
    return _table(header, rows)


def _fold_table(folds: Sequence[dict[str, Any]]) -> str:
    rows = [
        [
            f"{fold['dataset']}/{fold['subject']}" if fold["dataset"] else fold["subject"],
            fold["train"],
            fold["held_out"],
            fold["correct"],
            f"{fold['seconds']:.1f}",
        ]
        for fold in folds
    ]
    return _table(["subject", "rows trained on", "rows held out", "correct", "seconds"], rows)


def _origin(summary: dict[str, Any]) -> str:
    record = {key: summary[key] for key in ("config", "versions", "device", "threads", "input")}
    return f"<pre>{escape(json.dumps(record, indent=2, ensure_ascii=False))}</pre>"


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{body}"


def _table(header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    head = "".join(f"<th>{escape(str(cell))}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"

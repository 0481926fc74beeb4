"""The tables of a report: headers and rows of cells, as strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.scores import f1_by_class, labels_of, no_result, swapped

Table = dict[str, Any]
"""`header` and `rows` of cells; `fewer`, where a part lacks a class."""


def plain_scores(part: Mapping[str, Any]) -> str:
    """Name and value of each score."""
    return ", ".join(f"{name} {part[key]:.3f}" for key, name in labels_of(part).items())


def headline_scores(part: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, value and interval of each score."""
    return [(name, f"{part[key]:.3f}", bounds(part["intervals"][key])) for key, name in labels_of(part).items()]


def bounds(interval: Mapping[str, Any]) -> str:
    """An interval in words."""
    if interval["low"] is None:
        return "no interval"
    return f"{interval['low']:.2f} to {interval['high']:.2f}"


def score_table(key: str, parts: Sequence[Mapping[str, Any]]) -> Table:
    """A row a part, and the parts that lack a class: their means are over fewer classes."""
    classes = list(f1_by_class(parts[0]))
    rows, fewer = [], []
    for part in parts:
        f1 = [_or_no_rows(score) for score in f1_by_class(part).values()]
        rows.append([_named(part[key]), part["n"], part["people"], *_with_intervals(part), *f1])
        there = part.get("shown", part.get("classes"))
        if len(there) < len(classes):
            fewer.append((_named(part[key]), there))
    return {
        "header": [key, "rows", "people", *labels_of(parts[0]).values(), *(f"F1 {name}" for name in classes)],
        "rows": rows,
        "fewer": fewer,
    }


def gap_table(gaps: Sequence[Mapping[str, Any]], of: str) -> Table | None:
    """The differences between every two groups (or datasets); None where there are none."""
    mine = [gap for gap in gaps if gap["of"] == of]
    if not mine:
        return None
    names = labels_of(mine[0])
    rows = [
        [
            " less ".join(gap["between"]),
            *(_valued(gap[key], "+.3f") for key in names),
            "yes" if gap["comparable"] else "no: other classes" if "uf1" in names else "no: other units",
        ]
        for gap in mine
    ]
    return {"header": ["gap", *names.values(), "comparable"], "rows": rows}


def clip_table(metrics: Mapping[str, Any]) -> Table:
    """The scores by pair and by clip."""
    rows = [
        [name, part["n"], part["people"], *_with_intervals(part)]
        for name, part in (("pairs", metrics["overall"]), ("clips", metrics["by_clip"]))
    ]
    return {"header": ["scored by", "number", "people", *labels_of(metrics["overall"]).values()], "rows": rows}


def head_table(heads: Mapping[str, Any]) -> Table:
    """The scores of each head that predicts the emotion, or the units."""
    names = labels_of(heads["emotion"])
    called = {"emotion": "emotion" if "uf1" in names else "units"}
    rows = [[called.get(name, name), *_with_intervals(part)] for name, part in heads.items() if name != "ethnicity"]
    return {"header": ["head", *names.values()], "rows": rows}


def ethnicity_table(heads: Mapping[str, Any]) -> Table | None:
    """The accuracy of the ethnicity head beside that of rules that see no picture; None for a model without one."""
    if "ethnicity" not in heads:
        return None
    part = heads["ethnicity"]
    rules = {
        "the ethnicity head": part["intervals"]["accuracy"],
        "the commonest group of the same dataset": part["dataset_alone"],
        "the commonest group": part["commonest"],
    }
    rows = [[name, _valued(value)] for name, value in rules.items()]
    return {"header": ["the group is said by", "accuracy"], "rows": rows}


def class_table(summary: Mapping[str, Any]) -> Table:
    """Rows, F1 and recall of each class, or unit, and its rows in each group."""
    overall = summary["metrics"]["overall"]
    groups = summary["metrics"]["per_group"] if summary["input"]["group_column"] else []
    if "au" in overall:
        return _unit_table(overall, groups)
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


def _unit_table(overall: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]) -> Table:
    names = labels_of(overall)
    return {
        "header": [
            *("unit", "rows that show it", "people", "rows predicted to", *names.values()),
            *(f"rows in {_named(part['group'])}" for part in groups),
        ],
        "rows": [
            [
                name,
                *(unit[count] for count in ("support", "people", "predicted")),
                *(_valued(unit["intervals"][key]) for key in names),
                *(part["au"][name]["support"] for part in groups),
            ]
            for name, unit in overall["au"].items()
        ],
    }


def fold_table(folds: Sequence[Mapping[str, Any]]) -> Table:
    """A row a fold."""
    rows = [
        [fold["name"], fold["train"], fold["held_out"], fold["correct"], fold["epoch"], f"{fold['seconds']:.1f}"]
        for fold in folds
    ]
    return {"header": ["held out", "rows trained on", "rows held out", "correct", "epoch", "seconds"], "rows": rows}


def audit_table(audit: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The findings of the audit, the worst first."""
    order = ("leak", "slip", "warning", "not checked", "passed")
    return [dict(finding) for finding in sorted(audit, key=lambda finding: order.index(finding["verdict"]))]


def comparison_table(comparison: Mapping[str, Any]) -> Table:
    """A row a run, with intervals."""
    names = labels_of(comparison["runs"][0])
    rows = [
        [
            run["run"],
            run["model"],
            run["seed"],
            run["n"],
            *(_valued(run[key]) for key in names),
        ]
        for run in comparison["runs"]
    ]
    number = "clips" if comparison["by"] == "clip" else "rows"
    return {"header": ["run", "model", "seed", number, *names.values()], "rows": rows}


def test_sentences(comparison: Mapping[str, Any]) -> list[str]:
    """What the paired tests say; where the two differ in their seed alone, that there is nothing to test."""
    if not comparison["tests"]:
        return ["The two differ in nothing but the seed: their difference is what a seed does, and there is no test."]
    sentences = []
    for test in comparison["tests"]:
        if test["p"] is None:
            sentences.append(f"No paired test: {test['why']}{no_result(test['slips'])}.")
            continue
        labels = labels_of(test["difference"])
        told = [f"{label} {test['difference'][key]:+.3f} (p = {test['p'][key]:.3f})" for key, label in labels.items()]
        which = f"{', '.join(test['second'])} less {', '.join(test['first'])}"
        sentences.append(
            f"{which}: {', '.join(told)}; two-sided, by swapping {swapped(test)}{no_result(test['slips'])}."
        )
    return sentences


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> Table:
    """The choices in which two runs differ."""
    names = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    return {
        "header": ["choice", "first", "second"],
        "rows": [[name, str(one.get(name)), str(other.get(name))] for name in names],
    }


def _with_intervals(part: Mapping[str, Any]) -> list[str]:
    return [_valued(part["intervals"][key]) for key in labels_of(part)]


def _valued(interval: Mapping[str, Any], form: str = ".3f") -> str:
    value = interval["value"]
    return "no rows" if value is None else f"{value:{form}} ({bounds(interval)})"


def _named(name: str | None) -> str:
    return name or "not given"


def _or_no_rows(score: float | None) -> str:
    return "no rows" if score is None else f"{score:.3f}"

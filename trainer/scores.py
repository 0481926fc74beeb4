"""All scores of a run's predictions: pooled, by clip, by group and dataset with their gaps, of every head.

Each has an interval by bootstrap over people (trainer/statistics.py), since clips of one person are alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import InputError
from trainer.folds import Fold
from trainer.metrics import score
from trainer.protocols.cd6me import score_units
from trainer.samples import Samples
from trainer.statistics import UNIT_STATISTICS, accuracy_of, bootstrap, bootstrap_gap, counts_by_person, statistics_of
from trainer.types import CLASSES, UNITS

Classes = NDArray[np.int64]
"""(n,) class numbers, or (n, units) zeros and ones."""
Heads = Mapping[str, NDArray[np.float32]]
LABELS = {"uf1": "UF1", "uar": "UAR", "accuracy": "accuracy"}
UNIT_LABELS = {"binary": "binary F1", "macro": "macro F1"}
EACH_CLIP = "each by the mean probabilities of its pairs"
"""How a clip of several pairs is scored."""


def labels_of(part: Mapping[str, Any]) -> Mapping[str, str]:
    """The scores that a part of metrics.json has, by key, as they are called in print."""
    return UNIT_LABELS if "binary" in part else LABELS


def f1_by_class(part: Mapping[str, Any]) -> Mapping[str, float | None]:
    """The F1 of each class, or of showing each unit; None where no row shows it, and nothing for the ethnicity head."""
    if "au" in part:
        return {name: unit["binary"] for name, unit in part["au"].items()}
    f1: Mapping[str, float | None] = part.get("f1", {})
    return f1


def run_scores(
    samples: Samples, predicted: Classes, heads: Heads, ethnic_classes: Sequence[str], folds: Sequence[Fold]
) -> dict[str, Any]:
    """What metrics.json holds as `metrics` of a run.

    Args:
        predicted: (n,) class numbers of the head that decides, or (n, units) zeros and ones.
        heads: probabilities of each head, (n, classes of the head); `ethnic_classes` names those of ethnicity.

    Raises:
        InputError: where the rows show one class only, or no unit.
    """
    true = samples.targets
    require_classes(true)
    groups = _parts("group", samples.group, samples, predicted)
    datasets = _parts("dataset", samples.dataset, samples, predicted)
    overall = scored(true, predicted, samples.people)
    baselines = {"majority_class": _commonest_everywhere(true)}
    if true.ndim == 2:
        _add_unit_intervals(overall, counts_by_person(true, predicted, samples.people))
        baselines["always_shown"] = np.ones_like(true)
    return {
        "overall": overall,
        "by_clip": by_clip(samples, heads.get("fusion", heads["emotion"])),
        "per_group": groups,
        "per_dataset": datasets,
        "gaps": [
            *_gaps("group", samples.group, samples, predicted),
            *_gaps("dataset", samples.dataset, samples, predicted),
        ],
        "heads": _heads(samples, heads, ethnic_classes, folds),
        **{name: plain_scores(true, said) for name, said in baselines.items()},
    }


def require_classes(true: Classes) -> None:
    """InputError where the rows show one class only, or no unit, so that nothing can be told apart."""
    if true.ndim == 2:
        if not true.any():
            units = ", ".join(map(str, UNITS))
            raise InputError(f"no row shows one of the units {units}: nothing can be told apart; give rows that do")
        return
    shown = sorted(set(true.tolist()))
    if len(shown) < 2:
        names = ", ".join(CLASSES[k] for k in shown) or "none"
        raise InputError(f"emotion3 has one class only ({names}): nothing can be told apart; give rows of two at least")


def scored(true: Classes, predicted: Classes, people: Sequence[str]) -> dict[str, Any]:
    """The scores of (n,) class numbers, or (n, units) zeros and ones, and `intervals` of each that has a label."""
    counts = counts_by_person(true, predicted, people)
    intervals = {name: bootstrap(counts, statistic).to_dict() for name, statistic in statistics_of(true).items()}
    return {**plain_scores(true, predicted), "people": len(counts), "intervals": intervals}


def plain_scores(true: Classes, predicted: Classes) -> dict[str, Any]:
    """The same without intervals."""
    return score(true, predicted).to_dict() if true.ndim == 1 else score_units(true, predicted)


def _add_unit_intervals(overall: dict[str, Any], counts: NDArray[np.int64]) -> None:
    """Gives each unit its `people`, who show it, and its `intervals`; `counts` as of `counts_by_person`."""
    for k, unit in enumerate(overall["au"].values()):
        own = counts[:, 2 * k : 2 * k + 2]
        unit["people"] = int(own[:, 1].any(axis=1).sum())
        unit["intervals"] = {name: bootstrap(own, each).to_dict() for name, each in UNIT_STATISTICS.items()}


def _commonest_everywhere(true: Classes) -> Classes:
    """Of all rows the commonest class, or of each unit whether most rows show it."""
    if true.ndim == 1:
        return np.full_like(true, np.bincount(true).argmax())
    return np.tile((2 * true.sum(axis=0) > len(true)).astype(np.int64), (len(true), 1))


def decided(probabilities: NDArray[np.floating[Any]], *, units: bool) -> Classes:
    """(n,) the most probable class, the first of equals; or of units (n, units) zeros and ones, 1 above one half."""
    found = probabilities > 0.5 if units else probabilities.argmax(axis=1)
    return found.astype(np.int64)


def by_clip(samples: Samples, probabilities: NDArray[np.float32]) -> dict[str, Any] | None:
    """Scores with one prediction a clip, of the mean probabilities of its rows; None where each clip has one row."""
    first, predicted = clip_predictions(samples.clip_id, probabilities, units=samples.units is not None)
    if len(first) == len(samples):
        return None
    return scored(samples.targets[first], predicted, [samples.people[i] for i in first])


def clip_predictions(
    clip_id: Sequence[str], probabilities: NDArray[np.float32], *, units: bool
) -> tuple[NDArray[np.int64], Classes]:
    """The first row of each clip, sorted by clip, and what the mean probabilities of its rows say."""
    clips, first, owner = np.unique(np.asarray(clip_id), return_index=True, return_inverse=True)
    means = np.zeros((len(clips), probabilities.shape[1]))
    np.add.at(means, owner, probabilities)
    means /= np.bincount(owner)[:, None]
    return first.astype(np.int64), decided(means, units=units)


def decisive(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """The scores that a run is known by: of clips where one has several pairs, else of all rows."""
    found: Mapping[str, Any] = metrics.get("by_clip") or metrics["overall"]
    return found


def _parts(name: str, keys: Sequence[str | None], samples: Samples, predicted: Classes) -> list[dict[str, Any]]:
    """The scores of the rows of each key, ordered by key with None last."""
    return [
        {name: key, **scored(samples.targets[rows], predicted[rows], [samples.people[i] for i in rows])}
        for key, rows in _rows(keys).items()
    ]


def _rows(keys: Sequence[str | None]) -> dict[str | None, NDArray[np.int64]]:
    names = sorted(set(keys), key=lambda key: (key is None, str(key)))
    return {name: np.flatnonzero([key == name for key in keys]) for name in names}


def _gaps(name: str, keys: Sequence[str | None], samples: Samples, predicted: Classes) -> list[dict[str, Any]]:
    """The difference of every two keys' scores. Means over different classes, or units, are not `comparable`.

    People are drawn within each key; where some have rows of both, as one who is in two datasets, from all at once.
    """
    whose = list(zip(keys, samples.people, strict=True))
    true = samples.targets
    counts = counts_by_person(true, predicted, whose)
    cells = dict(zip(sorted(set(whose), key=str), counts, strict=True))
    nothing = np.zeros_like(counts[0])
    classes = slice(None) if true.ndim == 1 else slice(1, None, 2)
    found = []
    for one, other in combinations(sorted({key for key in keys if key is not None}), 2):
        people = [[who for key, who in cells if key == side] for side in (one, other)]
        if shared := not set(people[0]).isdisjoint(people[1]):
            people = [list(dict.fromkeys(people[0] + people[1]))] * 2
        first, second = (
            np.array([cells.get((side, who), nothing) for who in some])
            for side, some in zip((one, other), people, strict=True)
        )
        shown = [each.sum(axis=(0, 2))[classes] > 0 for each in (first, second)]
        comparable = bool((shown[0] == shown[1]).all())
        gap = {
            score: bootstrap_gap(first, second, statistic, paired=shared).to_dict()
            for score, statistic in statistics_of(true).items()
        }
        found.append({"of": name, "between": [one, other], "comparable": comparable, **gap})
    return found


def _heads(
    samples: Samples, heads: Heads, ethnic_classes: Sequence[str], folds: Sequence[Fold]
) -> dict[str, dict[str, Any]]:
    true = samples.targets
    found = {
        name: scored(true, decided(values, units=true.ndim == 2), samples.people)
        for name, values in heads.items()
        if name != "ethnicity"
    }
    if "ethnicity" in heads:
        found["ethnicity"] = ethnicity_scores(samples, heads["ethnicity"], ethnic_classes, folds)
    return found


def ethnicity_scores(
    samples: Samples, probabilities: NDArray[np.float32], classes: Sequence[str], folds: Sequence[Fold]
) -> dict[str, Any]:
    """The accuracy of the ethnicity head, beside that of two rules that look at no picture.

    `dataset_alone`: the commonest group of the fold's training rows from the same dataset. `commonest`: that of all
    its training rows. Where the first is as good as the head, the head may have learnt the camera.
    """
    names = sorted({*classes, *(str(group) for group in samples.group)})
    number = {name: k for k, name in enumerate(names)}
    true = np.array([number[str(group)] for group in samples.group], dtype=np.int64)
    said = np.array([number[classes[k]] for k in probabilities.argmax(axis=1)], dtype=np.int64)
    rules = {"head": said, **_rules(true, samples.dataset, folds)}
    intervals = {
        rule: bootstrap(counts_by_person(true, values, samples.people, len(names)), accuracy_of).to_dict()
        for rule, values in rules.items()
    }
    return {
        "n": len(samples),
        "classes": names,
        "accuracy": intervals["head"]["value"],
        "intervals": {"accuracy": intervals["head"]},
        "dataset_alone": intervals["dataset_alone"],
        "commonest": intervals["commonest"],
    }


def _rules(true: Classes, dataset: Sequence[str | None], folds: Sequence[Fold]) -> dict[str, Classes]:
    where = np.array([name or "" for name in dataset])
    alone, commonest = np.zeros_like(true), np.zeros_like(true)
    for fold in folds:
        commonest[fold.held_out] = _commonest(true[fold.train])
        for name in set(where[fold.held_out].tolist()):
            same = fold.train[where[fold.train] == name]
            rows = fold.held_out[where[fold.held_out] == name]
            alone[rows] = _commonest(true[same] if len(same) else true[fold.train])
    return {"dataset_alone": alone, "commonest": commonest}


def _commonest(values: Classes) -> int:
    return int(np.bincount(values).argmax())


def headline(metrics: Mapping[str, Any]) -> str:
    """The scores of a run in one line, with the number of classes, or of units that a row shows, in their means."""
    overall = decisive(metrics)
    told = ", ".join(
        f"{label} {overall[name]:.3f} ({_bounds(overall['intervals'][name])})"
        for name, label in labels_of(overall).items()
    )
    clips = f"; of {overall['n']} clips, {EACH_CLIP}" if metrics.get("by_clip") else ""
    if "au" not in overall:
        return f"{told}; means over {len(overall['classes'])} classes{clips}"
    return f"{told}; means over {len(overall['shown'])} of {len(overall['au'])} action units{_absent(overall)}{clips}"


def _absent(overall: Mapping[str, Any]) -> str:
    """Which units no row shows, and the means over all, in a clause; "" where all are shown."""
    if not (absent := absent_units(overall)):
        return ""
    means = ", ".join(f"{value:.3f} {name}" for name, value in overall["cd6me"].items())
    return f" (no row shows {', '.join(absent)}; over all, as CD6ME counts: {means})"


def absent_units(overall: Mapping[str, Any]) -> list[str]:
    """The action units that no row shows."""
    return [name for name in overall["au"] if name not in overall["shown"]]


def swapped(test: Mapping[str, Any]) -> str:
    """What a test of `trainer.comparison.paired_test` has swapped, in words."""
    if not (networks := test["networks"]):
        return f"{test['people']} people"
    told = f"{test['people']} people, and {networks} network{'s' * (networks > 1)} that predict them"
    least = 2.0 ** (1 - networks)
    return told + (f": too few for a p below {least:.2g}, give more seeds, the same of both" if least >= 0.05 else "")


def no_result(slips: Sequence[str]) -> str:
    """The clause that ends a line about runs with slips; "" for runs without."""
    return f"; a run with {' '.join(f'--slip {slip}' for slip in slips)}: no result" if slips else ""


def _bounds(interval: Mapping[str, Any]) -> str:
    if interval["low"] is None:
        return "no interval"
    return f"{interval['low']:.3f} to {interval['high']:.3f}"

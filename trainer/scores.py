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
from trainer.samples import Samples
from trainer.statistics import STATISTICS, accuracy_of, bootstrap, bootstrap_gap, counts_by_person
from trainer.types import CLASSES

Classes = NDArray[np.int64]
Heads = Mapping[str, NDArray[np.float32]]


def emotion_scores(
    samples: Samples, predicted: Classes, heads: Heads, ethnic_classes: Sequence[str], folds: Sequence[Fold]
) -> dict[str, Any]:
    """What metrics.json holds as `metrics` of a run whose target is the emotion.

    Args:
        predicted: (n,) class numbers of the head that decides.
        heads: probabilities of each head, (n, classes of the head); `ethnic_classes` names those of ethnicity.

    Raises:
        InputError: where the rows show one class only.
    """
    require_classes(samples.emotion)
    true = samples.emotion
    groups = _parts("group", samples.group, samples, predicted)
    datasets = _parts("dataset", samples.dataset, samples, predicted)
    majority = np.full_like(true, np.bincount(true).argmax())
    return {
        "overall": scored(true, predicted, samples.people),
        "by_clip": by_clip(samples, heads.get("fusion", heads["emotion"])),
        "per_group": groups,
        "per_dataset": datasets,
        "gaps": [
            *_gaps("group", samples.group, samples, predicted),
            *_gaps("dataset", samples.dataset, samples, predicted),
        ],
        "heads": _heads(samples, heads, ethnic_classes, folds),
        "majority_class": score(true, majority).to_dict(),
    }


def require_classes(emotion: Classes) -> None:
    """InputError where the rows show one class only, of which nothing can be told apart."""
    shown = sorted(set(emotion.tolist()))
    if len(shown) < 2:
        names = ", ".join(CLASSES[k] for k in shown) or "none"
        raise InputError(f"emotion3 has one class only ({names}): nothing can be told apart; give rows of two at least")


def scored(true: Classes, predicted: Classes, people: Sequence[str]) -> dict[str, Any]:
    """The scores of (n,) class numbers, and `intervals` of UF1, UAR and accuracy."""
    counts = counts_by_person(true, predicted, people)
    intervals = {name: bootstrap(counts, statistic).to_dict() for name, statistic in STATISTICS.items()}
    return {**score(true, predicted).to_dict(), "people": len(counts), "intervals": intervals}


def by_clip(samples: Samples, probabilities: NDArray[np.float32]) -> dict[str, Any] | None:
    """Scores with one prediction a clip, of the mean probabilities of its rows; None where each clip has one row."""
    clips, first, owner = np.unique(np.asarray(samples.clip_id), return_index=True, return_inverse=True)
    if len(clips) == len(samples):
        return None
    sums = np.zeros((len(clips), probabilities.shape[1]))
    np.add.at(sums, owner, probabilities)
    people = samples.people
    return scored(samples.emotion[first], sums.argmax(axis=1), [people[i] for i in first])


def _parts(name: str, keys: Sequence[str | None], samples: Samples, predicted: Classes) -> list[dict[str, Any]]:
    """The scores of the rows of each key, ordered by key with None last."""
    return [
        {name: key, **scored(samples.emotion[rows], predicted[rows], [samples.people[i] for i in rows])}
        for key, rows in _rows(keys).items()
    ]


def _rows(keys: Sequence[str | None]) -> dict[str | None, NDArray[np.int64]]:
    names = sorted(set(keys), key=lambda key: (key is None, str(key)))
    return {name: np.flatnonzero([key == name for key in keys]) for name in names}


def _gaps(name: str, keys: Sequence[str | None], samples: Samples, predicted: Classes) -> list[dict[str, Any]]:
    """The difference of every two keys' scores. Means over different classes are not `comparable`.

    People are drawn within each key; where some have rows of both, as one who is in two datasets, from all at once.
    """
    whose = list(zip(keys, samples.people, strict=True))
    counts = counts_by_person(samples.emotion, predicted, whose)
    cells = dict(zip(sorted(set(whose), key=str), counts, strict=True))
    nothing = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    found = []
    for one, other in combinations(sorted({key for key in keys if key is not None}), 2):
        people = [[who for key, who in cells if key == side] for side in (one, other)]
        if shared := not set(people[0]).isdisjoint(people[1]):
            people = [list(dict.fromkeys(people[0] + people[1]))] * 2
        first, second = (
            np.array([cells.get((side, who), nothing) for who in some])
            for side, some in zip((one, other), people, strict=True)
        )
        comparable = bool(((first.sum(axis=(0, 2)) > 0) == (second.sum(axis=(0, 2)) > 0)).all())
        gap = {
            score: bootstrap_gap(first, second, statistic, paired=shared).to_dict()
            for score, statistic in STATISTICS.items()
        }
        found.append({"of": name, "between": [one, other], "comparable": comparable, **gap})
    return found


def _heads(
    samples: Samples, heads: Heads, ethnic_classes: Sequence[str], folds: Sequence[Fold]
) -> dict[str, dict[str, Any]]:
    found = {
        name: scored(samples.emotion, values.argmax(axis=1), samples.people)
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
    """The scores of a run in one line, with the number of classes that they average over."""
    if "units" in metrics:
        units = metrics["units"]
        return f"mean F1 of {len(units['au'])} action units {units['binary']:.3f} binary, {units['macro']:.3f} macro"
    overall = metrics["overall"]
    told = [
        f"{label} {overall[name]:.3f} ({_bounds(overall['intervals'][name])})"
        for name, label in (("uf1", "UF1"), ("uar", "UAR"), ("accuracy", "accuracy"))
    ]
    return f"{', '.join(told)}; means over {len(overall['classes'])} classes"


def no_result(slips: Sequence[str]) -> str:
    """The clause that ends a line about runs with slips; "" for runs without."""
    return f"; a run with {' '.join(f'--slip {slip}' for slip in slips)}: no result" if slips else ""


def _bounds(interval: Mapping[str, Any]) -> str:
    if interval["low"] is None:
        return "no interval"
    return f"{interval['low']:.3f} to {interval['high']:.3f}"

"""The prima-facie study (Table IV): do two classes of emotion separate better within a group than across groups?

Features of the motion of each clip, a random forest or an SVC on them, leave one person out, in three sets of people.
Khor et al. report one draw of people and no control. Beside it stand here: many draws, sets matched in their classes,
the labels permuted, always saying the commoner class, and saying what the dataset alone suggests.

In the paper's released code every set takes the motion of the first clips of the stacked array, whatever its own clips
are. A test clip has then the features of a training clip, and is given its label: `misindexed` does the same, and shows
that the printed table follows from the order of the labels alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from flowkit.errors import InputError
from trainer.studies.people import Clips
from trainer.studies.sampling import PAPER_SEED, PEOPLE, Subset, class_matched, draw

Classifier = Literal["svc", "forest"]
Features = NDArray[np.float32]
Predictions = NDArray[np.bool_]

PAPER: dict[str, tuple[float, float, float]] = {
    "asian": (0.4330, 0.4762, 0.4546),
    "non_asian": (0.6929, 0.2642, 0.4785),
    "mixed": (0.8144, 0.0606, 0.4375),
}
"""Table IV of the paper: F1 of negative, of non-negative, and their mean."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table: F1 of negative, of non-negative, and their mean, of pooled predictions."""

    name: str
    clips: int
    people: int
    negative: float
    non_negative: float
    macro: float

    def to_dict(self) -> dict[str, Any]:
        """All by name, ready for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def new_classifier(kind: Classifier) -> Any:
    """The paper's classifiers: SVC with C = 100, or a random forest of 100 trees with seed 42."""
    if kind == "svc":
        from sklearn.svm import SVC

        return SVC(C=100)
    if kind == "forest":
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(n_estimators=100, random_state=PAPER_SEED)
    raise InputError(f"classifier={kind!r} is unknown; choose svc or forest")


def require_unfitted(normalise: str) -> None:
    """InputError for a normalisation that is fitted on rows: features are made once, of held-out clips, too."""
    if normalise not in ("none", "minmax"):
        raise InputError(
            f"normalise={normalise!r}: must be none or minmax; any other would be fitted on held-out clips"
        )


def leave_one_person_out(
    clips: Clips, features: Features, kind: Classifier = "svc", *, misindexed: bool = False
) -> Predictions:
    """Whether each clip is predicted to be negative, (n,), by a classifier that never saw its person.

    Args:
        clips: n clips.
        features: (m, d), m = n and a row a clip; with `misindexed` the stacked array of all clips, m >= n, of which
            training and test rows alike take the first ones.
    """
    predicted = np.zeros(len(clips), dtype=bool)
    for person in np.unique(clips.person):
        held_out = np.flatnonzero(clips.person == person)
        train = np.flatnonzero(clips.person != person)
        rows_train, rows_test = (np.arange(len(train)), np.arange(len(held_out))) if misindexed else (train, held_out)
        labels = clips.negative[train]
        if labels.all() or not labels.any():
            predicted[held_out] = labels[0]
            continue
        predicted[held_out] = new_classifier(kind).fit(features[rows_train], labels).predict(features[rows_test])
    return predicted


def line(name: str, clips: Clips, predicted: Predictions) -> Line:
    """The scores of pooled predictions; F1 of a class that neither occurs nor is predicted is 0, as in the paper."""
    negative, other = (_f1(clips.negative == wanted, predicted == wanted) for wanted in (True, False))
    return Line(name, len(clips), len(np.unique(clips.person)), negative, other, (negative + other) / 2)


def table(
    clips: Clips,
    features: Features,
    subsets: list[Subset],
    kind: Classifier = "svc",
    *,
    misindexed: bool = False,
) -> list[Line]:
    """A line a set; `features` is a row a clip of `clips`."""
    lines = []
    for subset in subsets:
        chosen = clips.take(subset.rows)
        rows = features if misindexed else features[subset.rows]
        lines.append(line(subset.name, chosen, leave_one_person_out(chosen, rows, kind, misindexed=misindexed)))
    return lines


def always_majority(clips: Clips, subsets: list[Subset]) -> list[Line]:
    """What a set scores when every fold says the commoner class of its training clips."""
    return _by_rule(clips, subsets, lambda chosen, train: np.full(len(chosen), chosen.negative[train].mean() >= 0.5))


def dataset_alone(clips: Clips, subsets: list[Subset]) -> list[Line]:
    """What a set scores when every fold says the commoner class of its training clips from the same dataset."""

    def rule(chosen: Clips, train: NDArray[np.bool_]) -> Predictions:
        dataset = np.array(chosen.dataset)
        said = np.full(len(chosen), chosen.negative[train].mean() >= 0.5)
        for name in np.unique(dataset):
            same = train & (dataset == name)
            if same.any():
                said[dataset == name] = chosen.negative[same].mean() >= 0.5
        return said

    return _by_rule(clips, subsets, rule)


def repeated(
    clips: Clips, features: Features, kind: Classifier, repeats: int, *, people: int = PEOPLE, matched: bool = False
) -> dict[str, NDArray[np.float64]]:
    """Macro F1 of each set over draws of people with seeds 0, 1, ...: arrays (repeats,) by the set's name.

    With `matched` they are shorter by the draws in which the set is left out, and a set without any is not there.
    """
    found: dict[str, list[float]] = {name: [] for name in (*clips.groups, "mixed")}
    for seed in range(repeats):
        subsets = draw(clips, seed, people)
        if matched:
            subsets = class_matched(clips, subsets, seed)
        for each in table(clips, features, subsets, kind):
            found[each.name].append(each.macro)
    return {name: np.array(values) for name, values in found.items() if values}


def permuted(
    clips: Clips, features: Features, subsets: list[Subset], kind: Classifier, repeats: int, seed: int = 0
) -> dict[str, NDArray[np.float64]]:
    """Macro F1 of each set with its labels permuted over its clips: what no relation at all scores, (repeats,)."""
    generator = np.random.default_rng(seed)
    found: dict[str, list[float]] = {subset.name: [] for subset in subsets}
    for subset in subsets:
        chosen = clips.take(subset.rows)
        for _ in range(repeats):
            shuffled = Clips(
                chosen.clip_id,
                chosen.dataset,
                chosen.person,
                chosen.first_group,
                generator.permutation(chosen.negative),
            )
            predicted = leave_one_person_out(shuffled, features[subset.rows], kind)
            found[subset.name].append(line(subset.name, shuffled, predicted).macro)
    return {name: np.array(values) for name, values in found.items()}


def noise(count: int, seed: int = 0, length: int = 512) -> Features:
    """Features that know nothing, (count, length): under `misindexed` they serve as well as any."""
    return np.random.default_rng(seed).normal(size=(count, length)).astype(np.float32)


def _by_rule(
    clips: Clips, subsets: list[Subset], rule: Callable[[Clips, NDArray[np.bool_]], Predictions]
) -> list[Line]:
    lines = []
    for subset in subsets:
        chosen = clips.take(subset.rows)
        predicted = np.zeros(len(chosen), dtype=bool)
        for person in np.unique(chosen.person):
            held_out = chosen.person == person
            predicted[held_out] = rule(chosen, ~held_out)[held_out]
        lines.append(line(subset.name, chosen, predicted))
    return lines


def _f1(true: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    both = int((true & predicted).sum())
    either = int(true.sum() + predicted.sum())
    return 2 * both / either if either else 0.0

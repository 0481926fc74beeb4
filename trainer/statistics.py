"""How sure scores are: intervals by bootstrap over people, and paired permutation tests between two runs.

Clips of one person are alike, so people and not clips are what is drawn and what is swapped (Efron and Tibshirani, "An
Introduction to the Bootstrap", 1993, ch. 8; Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005).
Where one network predicts several people, as by k folds, luck in its training is theirs together, and a difference that
people alone decide would seem surer than it is: networks are then swapped as well.
Everything works on one confusion matrix a person, (people, classes, classes): pooled scores are those of their sum. Of
action units, of which a row may show several, it is (people, 2 units, 2): row 2k + 1 is of those who show unit k, row
2k of the others. Where a class is meant below, of units it is one that a row shows.

A draw of people may lack a class that few of them show. Its UF1 and UAR would be means over fewer classes, not to be
compared with the others (trainer/metrics.py), so it is left out: an interval is of the draws that show all classes of
the whole, says how many do not, and has no bounds where those are more than half. Accuracy is no mean over classes.
Nor has it bounds where one person has all the rows, of a side in a gap: draws of one are all alike.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flowkit.errors import InputError
from trainer.types import CLASSES

Counts = NDArray[np.int64]
Statistic = Callable[..., NDArray[np.float64]]
"""From confusion matrices (..., classes, classes) to scores (...); NaN where there is nothing to score. A second
argument, (classes,) booleans, chooses the classes of a mean, which is NaN where one of them has no true row."""

Chosen = NDArray[np.bool_] | None

DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A score and the percentile interval of its bootstrap."""

    value: float
    low: float
    high: float
    people: int
    left_out: int
    """Draws without a score, as one that lacks a class."""

    def to_dict(self) -> dict[str, Any]:
        """All by name, ready for JSON; null are bounds of too few draws or people, and what nothing was scored for."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        told = {name: None if np.isnan(v) else v for name, v in numbers.items()}
        return {**told, "people": self.people, "left_out": self.left_out}


def counts_by_person(
    true: ArrayLike, predicted: ArrayLike, person: Sequence[Hashable], classes: int = len(CLASSES)
) -> Counts:
    """One confusion matrix a person, (people, classes, classes), rows true, people sorted by name.

    Of (n, units) zeros and ones it is (people, 2 units, 2), as above.

    Raises:
        InputError: where the three are not equally long, or a class number is out of range.
    """
    rows, columns = np.asarray(true), np.asarray(predicted)
    if not len(rows) == len(columns) == len(person):
        raise InputError(f"{len(rows)} true, {len(columns)} predicted, {len(person)} people: give one of each a row")
    units = 2 * np.arange(rows.shape[1]) if rows.ndim == 2 else None
    classes = classes if units is None else 2
    for name, values in (("true", rows), ("predicted", columns)):
        if len(values) and (values.min() < 0 or values.max() >= classes):
            raise InputError(f"{name} holds values outside the class numbers 0 to {classes - 1}")
    number = {who: k for k, who in enumerate(sorted(set(person), key=str))}
    owner = np.array([number[who] for who in person], dtype=np.int64)
    counts = np.zeros((len(number), classes if units is None else 2 * len(units), classes), dtype=np.int64)
    if units is not None:
        owner, rows = owner[:, None], rows + units
    np.add.at(counts, (owner, rows.astype(np.int64), columns.astype(np.int64)), 1)
    return counts


def uf1_of(counts: Counts, classes: Chosen = None) -> NDArray[np.float64]:
    """UF1 of (..., classes, classes): the mean F1 of the classes that have true rows, or of those chosen."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    support, said = counts.sum(axis=-1), counts.sum(axis=-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(support > 0, 2 * hits / (support + said), np.nan)
    return _mean_over_classes(f1, classes)


def uar_of(counts: Counts, classes: Chosen = None) -> NDArray[np.float64]:
    """UAR of (..., classes, classes): the mean recall of the classes that have true rows, or of those chosen."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    support = counts.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(support > 0, hits / support, np.nan)
    return _mean_over_classes(recall, classes)


def accuracy_of(counts: Counts, classes: Chosen = None) -> NDArray[np.float64]:
    """Accuracy of (..., classes, classes), of all rows whatever is chosen."""
    total = counts.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.trace(counts, axis1=-2, axis2=-1) / total, dtype=np.float64)


def unit_f1(counts: Counts) -> NDArray[np.float64]:
    """F1 of not showing and of showing each unit, (..., units, 2) of (..., 2 units, 2).

    It is NaN of what is neither true nor predicted.
    """
    cells = counts.reshape(*counts.shape[:-2], -1, 2, 2)
    hits = np.diagonal(cells, axis1=-2, axis2=-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * hits / (cells.sum(axis=-1) + cells.sum(axis=-2)), dtype=np.float64)


def binary_of(counts: Counts, classes: Chosen = None) -> NDArray[np.float64]:
    """Mean F1 of showing a unit, of (..., 2 units, 2): over the units that a row shows, or those chosen."""
    return _mean_over_units(unit_f1(counts)[..., 1], counts, classes)


def macro_of(counts: Counts, classes: Chosen = None) -> NDArray[np.float64]:
    """The same of the mean of both F1 of a unit, or the one of them that is of something true or predicted."""
    return _mean_over_units(_mean_over_classes(unit_f1(counts), None), counts, classes)


STATISTICS: dict[str, Statistic] = {"uf1": uf1_of, "uar": uar_of, "accuracy": accuracy_of}
UNIT_STATISTICS: dict[str, Statistic] = {"binary": binary_of, "macro": macro_of}


def statistics_of(true: NDArray[np.int64]) -> dict[str, Statistic]:
    """The scores of (n,) class numbers, or of (n, units) zeros and ones, by name."""
    return STATISTICS if true.ndim == 1 else UNIT_STATISTICS


def bootstrap(
    counts: Counts, statistic: Statistic = uf1_of, *, draws: int = DRAWS, level: float = 0.95, seed: int = 0
) -> Interval:
    """A pooled score with its interval: people are drawn with replacement, and each draw is scored as the whole is.

    Draws that lack a class of the whole are left out of the interval of a mean over classes.

    Args:
        counts: (people, classes, classes).
    """
    _require_people(counts)
    scores = _scores(counts, _drawn(len(counts), draws, seed), statistic)
    return _interval(float(statistic(counts.sum(axis=0))), scores, level, len(counts), _with_rows(counts))


def bootstrap_gap(
    first: Counts,
    second: Counts,
    statistic: Statistic = uf1_of,
    *,
    paired: bool = False,
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The score of one set of rows less that of another, whose people are drawn each by themselves.

    Draws are left out as above.

    Args:
        paired: the two have the same people in the same order, some perhaps without rows in one of them: a person is
            drawn once, with all rows.
    """
    _require_people(first)
    _require_people(second)
    weights = [_drawn(len(counts), draws, seed + i) for i, counts in enumerate((first, second))]
    if paired:
        weights[1] = weights[0]
    scores = [_scores(counts, drawn, statistic) for counts, drawn in zip((first, second), weights, strict=True)]
    value = float(statistic(first.sum(axis=0)) - statistic(second.sum(axis=0)))
    people = len(first) + (0 if paired else len(second))
    return _interval(value, scores[0] - scores[1], level, people, min(_with_rows(first), _with_rows(second)))


def paired_permutation(
    first: Counts,
    second: Counts,
    statistic: Statistic = uf1_of,
    *,
    networks: Sequence[NDArray[np.int64]] | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """The difference between two runs on the same people, and its two-sided p; of several seeds, between their means.

    Under the hypothesis that the runs are alike, whose predictions of a person are whose does not matter: they are
    swapped at random, in all seeds at once. Nor does it matter whose network is whose: where one predicts several
    people, those are swapped together, in each seed by themselves, and the larger p of the two counts. p counts the
    observed order too, so it is never 0. Where there are no more ways to swap than draws, all of them are counted: of
    n networks p is 2^(1 - n) at least.

    Args:
        first, second: (people, classes, classes), or (seeds, people, classes, classes), with the same people in the
            same order. The first seed of one is swapped with the first of the other, and so on.
        networks: of each seed, as `networks_of` gives them; None where each person has one of their own.

    Raises:
        InputError: where the two are not of the same rows.
    """
    first, second = (counts[None] if counts.ndim == 3 else counts for counts in (first, second))
    _require_people(first[0])
    if first.shape != second.shape or (first.sum(axis=3) != second.sum(axis=3)).any():
        raise InputError("the two runs do not predict the same rows of the same people, so they are no pair")
    whole = first.sum(axis=1), second.sum(axis=1)
    observed = float((statistic(whole[0]) - statistic(whole[1])).mean())

    def p(swapped: NDArray[np.int64]) -> float:
        """Of what is swapped together, numbers (seeds, people)."""
        numbers, own = np.unique(swapped, return_inverse=True)
        swapped = own.reshape(swapped.shape)
        if exact := (ways := 2 ** len(numbers)) <= draws:
            swap = np.arange(ways)[:, None] >> np.arange(len(numbers)) & 1
        else:
            swap = np.random.default_rng(seed).integers(0, 2, size=(draws, len(numbers)))
        parts = zip(swapped, second - first, strict=True)
        change = np.stack([np.tensordot(swap[:, own], each, axes=1) for own, each in parts], axis=1)
        differences = (statistic(whole[0] + change) - statistic(whole[1] - change)).mean(axis=-1)
        # Rounding must not make an equal difference a smaller one.
        as_large = np.abs(differences) >= abs(observed) - 1e-12
        return float(as_large.mean() if exact else (as_large.sum() + 1) / (draws + 1))

    seeds, people = first.shape[:2]
    by_people = p(np.tile(np.arange(people), (seeds, 1)))
    if networks is None:
        return observed, by_people
    apart = np.arange(seeds)[:, None] * people  # seeds have networks of their own
    return observed, max(by_people, p(np.stack(networks) + apart))


def networks_of(person: Sequence[Hashable], *folds: Sequence[Hashable]) -> NDArray[np.int64]:
    """(people,) which network predicts each person of a pair of runs, as a number below that of people.

    People who stand in one fold of any of the runs have one number, and so has a person who stands in several folds.

    Args:
        person: each row's.
        folds: each row's fold, of each of the runs.

    Returns:
        People in the order of `counts_by_person`.
    """
    number = {who: k for k, who in enumerate(sorted(set(person), key=str))}
    together: dict[Hashable, set[int]] = {}
    for run, fold in enumerate(folds):
        for who, name in zip(person, fold, strict=True):
            together.setdefault((run, name), set()).add(number[who])
    own, before = np.arange(len(number)), None
    while before is None or (own != before).any():
        before = own.copy()
        for some in map(list, together.values()):
            own[some] = own[some].min()
    return own


def _drawn(people: int, draws: int, seed: int) -> Counts:
    """How often each person is in each draw, (draws, people)."""
    return np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), size=draws)


def _scores(counts: Counts, weights: Counts, statistic: Statistic) -> NDArray[np.float64]:
    """The score of each draw, over the classes of the whole."""
    return statistic(np.tensordot(weights, counts, axes=1), counts.sum(axis=(0, 2)) > 0)


def _with_rows(counts: Counts) -> int:
    return int(counts.any(axis=(1, 2)).sum())


def _interval(value: float, scores: NDArray[np.float64], level: float, people: int, with_rows: int) -> Interval:
    usable = scores[np.isfinite(scores)]
    left_out = len(scores) - len(usable)
    if left_out > len(usable) or with_rows < 2:
        return Interval(value, float("nan"), float("nan"), people, left_out)
    low, high = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), people, left_out)


def _mean_over_classes(values: NDArray[np.float64], classes: Chosen) -> NDArray[np.float64]:
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        if classes is not None:
            return np.asarray(values[..., classes].sum(axis=-1) / classes.sum(), dtype=np.float64)
        return np.asarray(np.where(there, values, 0).sum(axis=-1) / there.sum(axis=-1), dtype=np.float64)


def _mean_over_units(values: NDArray[np.float64], counts: Counts, classes: Chosen) -> NDArray[np.float64]:
    shown = counts[..., 1::2, :].sum(axis=-1) > 0
    return _mean_over_classes(np.where(shown, values, np.nan), None if classes is None else classes[1::2])


def _require_people(counts: Counts) -> None:
    if not len(counts):
        raise InputError("there are no predictions to score")

"""What predictions alone give away."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from trainer.audit.findings import Finding, shortened
from trainer.audit.predictions import Predictions
from trainer.statistics import counts_by_person, uf1_of

PERMUTATIONS = 2000


def people_on_both_sides(found: Predictions) -> Finding:
    """A person held out in two folds trains each of them with rows of its own."""
    folds = defaultdict(set)
    for person, fold in zip(found.person, found.fold, strict=True):
        folds[person].add(fold)
    split = sorted(person for person, where in folds.items() if len(where) > 1)
    if split:
        told = (
            f"{len(split)} of {len(folds)} people are held out in several folds, and train the others with their rows"
        )
        return Finding("people on both sides", "leak", told, shortened(split))
    return Finding("people on both sides", "passed", f"each of {len(folds)} people is held out in one fold")


def repeated_clips(found: Predictions) -> Finding:
    """A clip that is held out twice is, in one of the two folds, also trained on."""
    where = defaultdict(list)
    for clip, person, fold in zip(found.clip, found.person, found.fold, strict=True):
        where[clip].append((fold, person))
    across = sorted(clip for clip, places in where.items() if len(set(places)) > 1)
    if across:
        told = f"{len(across)} clips stand under several people or folds: they are trained on where they are predicted"
        return Finding("repeated clips", "leak", told, shortened(across))
    often = sorted(clip for clip, places in where.items() if len(places) > 1)
    if often:
        told = f"{len(often)} clips have several rows: score by clip, or {len(found)} rows count as more than they are"
        return Finding("repeated clips", "warning", told, shortened(often))
    return Finding("repeated clips", "passed", f"{len(where)} clips, a row each")


def shifted_rows(found: Predictions) -> Finding:
    """Predictions that repeat the labels of the first training rows come from features under wrong rows.

    The released code of Khor et al. (ICMEW 2025) does so: held-out row k gets the features of training row k. How
    often the prediction is the label of training row k is compared with the same after shuffling within each fold; and
    with how often the true label is, for where everybody's clips stand in the same order a good prediction is, too.
    """
    if len(set(found.fold)) < 2:
        return Finding("shifted rows", "not checked", "there is one fold only, so no training rows are known")
    repeats, expected = _agreement(found)
    told = f"{repeats:.0%} of predictions are the label of the training row in the same place, {expected:.0%} by chance"
    ordered = _agreement(dataclasses.replace(found, predicted=found.true))[0]
    if repeats <= ordered:
        return Finding("shifted rows", "passed", f"{told}, and of true labels {ordered:.0%}")
    generator = np.random.default_rng(0)
    chance = np.array([_agreement(found, generator)[0] for _ in range(200)])
    if repeats > 0.9 and repeats > chance.max():
        return Finding("shifted rows", "leak", f"{told}: features stand under the wrong rows")
    if repeats > chance.max() and (repeats - chance.mean()) / max(chance.std(), 1e-9) > 6:
        return Finding("shifted rows", "warning", f"{told}: look at how features and rows are joined")
    return Finding("shifted rows", "passed", told)


def class_sets(found: Predictions) -> Finding:
    """A class that a fold's training rows lack cannot be predicted there; a class in one fold only says who it is."""
    counts = np.bincount(found.true, minlength=len(found.classes))
    if (counts > 0).sum() < 2:
        return Finding(
            "class sets", "leak", f"only {found.classes[int(counts.argmax())]!r} occurs: nothing is told apart"
        )
    absent = [name for name, count in zip(found.classes, counts, strict=True) if not count]
    if absent:
        return Finding("class sets", "warning", f"{', '.join(absent)} is predicted and never true: not one class set")
    fold = np.array(found.fold)
    lone = [
        f"{name} (fold {fold[found.true == k][0]})"
        for k, name in enumerate(found.classes)
        if len(set(fold[found.true == k])) == 1
    ]
    if lone and len(set(found.fold)) > 1:
        told = "a class occurs in one fold only, which then has no training row of it"
        return Finding("class sets", "warning", told, shortened(lone))
    single = sum(len(set(found.true[fold == name])) == 1 for name in set(found.fold))
    told = (
        f"{len(found.classes)} classes; {single} of {len(set(found.fold))} folds hold one class, so pool before scoring"
    )
    return Finding("class sets", "passed", told)


def chosen_epochs(found: Predictions, select: str | None) -> Finding:
    """Epochs that differ from fold to fold were chosen by something: only training people may be asked."""
    if select == "inner":
        return Finding("chosen epochs", "passed", "epochs were chosen on people set aside from training")
    if select == "held-out":
        return Finding("chosen epochs", "leak", "the epoch of each fold was chosen by its score on the held-out person")
    if found.epoch is None:
        return Finding("chosen epochs", "not checked", "no column epoch says which epoch predicted a row")
    of_fold = defaultdict(set)
    for fold, epoch in zip(found.fold, found.epoch, strict=True):
        of_fold[fold].add(epoch)
    if several := sorted(fold for fold, epochs in of_fold.items() if len(epochs) > 1):
        told = f"{len(several)} of {len(of_fold)} folds have rows of several epochs, and nothing says which one counts"
        return Finding("chosen epochs", "leak", told, shortened(several))
    epochs = set.union(*of_fold.values())
    if len(epochs) > 1:
        told = f"folds stop at {len(epochs)} different epochs, {min(epochs)} to {max(epochs)}, and nothing says by what"
        return Finding("chosen epochs", "leak", told)
    return Finding("chosen epochs", "passed", f"every fold stops at epoch {next(iter(epochs))}")


def above_chance(found: Predictions, shuffled: bool) -> Finding:
    """Whether predictions know more of their labels than of labels permuted over the people's clips."""
    observed, null = _against_permuted(found)
    p = float(((null >= observed).sum() + 1) / (len(null) + 1))
    below = np.quantile(null, 0.975)
    told = f"UF1 {observed:.3f}; with labels permuted {np.mean(null):.3f}, 97.5 % of times below {below:.3f}"
    if shuffled and p < 0.01:
        told += f" (p = {p:.4f}), though the labels were shuffled before training"
        return Finding("shuffled labels", "leak", told)
    if shuffled:
        return Finding("shuffled labels", "passed", f"{told} (p = {p:.2f}): shuffled labels leave chance")
    if p >= 0.05:
        return Finding("above chance", "warning", f"{told} (p = {p:.2f}): no better than chance")
    return Finding("above chance", "passed", f"{told} (p = {p:.4f})")


def audit_predictions(found: Predictions, *, select: str | None = None, shuffled: bool = False) -> list[Finding]:
    """All checks that need predictions alone.

    Args:
        select: how the epoch was chosen, where it is known: fixed, inner or held-out.
        shuffled: whether the labels were shuffled before training.
    """
    return [
        people_on_both_sides(found),
        repeated_clips(found),
        shifted_rows(found),
        class_sets(found),
        chosen_epochs(found, select),
        above_chance(found, shuffled),
    ]


def _agreement(found: Predictions, generator: np.random.Generator | None = None) -> tuple[float, float]:
    """The share of held-out rows whose prediction is the label of the training row in the same place of its fold.

    With a generator, predictions are shuffled within each fold first; the second value is what their frequencies give.
    """
    fold = np.array(found.fold)
    same, expected = 0, 0.0
    for name in dict.fromkeys(found.fold):
        held = np.flatnonzero(fold == name)
        train = np.flatnonzero(fold != name)
        first = found.true[train[np.arange(len(held)) % len(train)]]
        said = found.predicted[held]
        said = said if generator is None else generator.permutation(said)
        same += int((said == first).sum())
        expected += sum(float((said == k).mean() * (first == k).mean()) for k in range(len(found.classes))) * len(held)
    return same / len(found), expected / len(found)


def _against_permuted(found: Predictions) -> tuple[float, NDArray[np.float64]]:
    """UF1 of the predictions, and of the same against labels permuted over the clips, as `shuffle_labels` does.

    Rows of one clip share their label and much of what is predicted, so permuted by row they would seem to be above
    chance. Where rows of a clip have several labels, it is rows that are permuted.
    """
    generator = np.random.default_rng(0)
    everyone = ["all"] * len(found)
    classes = len(found.classes)
    number = {clip: i for i, clip in enumerate(dict.fromkeys(found.clip))}
    clip = np.array([number[name] for name in found.clip])
    label = found.true[np.unique(clip, return_index=True)[1]]
    if (label[clip] != found.true).any():
        clip, label = np.arange(len(found)), found.true

    def scored(true: NDArray[np.int64]) -> float:
        return float(uf1_of(counts_by_person(true, found.predicted, everyone, classes).sum(axis=0)))

    null = np.array([scored(generator.permutation(label)[clip]) for _ in range(PERMUTATIONS)])
    return scored(found.true), null

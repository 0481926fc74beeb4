"""What predictions alone give away."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainer.audit.findings import Finding, shortened
from trainer.audit.predictions import SEVERAL_FOLDS, Predictions
from trainer.statistics import uf1_of

PERMUTATIONS = 2000
PEOPLE_COMPARED = 200
"""Training people, at most, whose labels predictions are compared with besides those of the first."""
ONE_FOLD = "there is one fold only, so no training rows are known"
WHO_TRAINS = "a fold trains on people of its dataset alone; audit the run's folder, with its shards, which say who"
WITHIN = "loso-per-dataset"
"""The protocol that does not train on all other people."""


def people_on_both_sides(found: Predictions) -> Finding:
    """A person held out in two folds trains each of them with rows of its own."""
    name = "people on both sides"
    if found.fold is None:
        return Finding(name, "not checked", found.without("fold"))
    if len(set(found.fold)) < 2:
        return Finding(name, "not checked", ONE_FOLD)
    if found.protocol in SEVERAL_FOLDS:
        told = f"{found.protocol} holds a person of two datasets out in each; audit the run's folder, which says"
        return Finding(name, "not checked", f"{told} what each fold trains on")
    folds = defaultdict(set)
    for person, fold in zip(found.person, found.fold, strict=True):
        folds[person].add(fold)
    split = sorted(person for person, where in folds.items() if len(where) > 1)
    if split:
        told = (
            f"{len(split)} of {len(folds)} people are held out in several folds, and train the others with their rows"
        )
        return Finding(name, "leak", told, shortened(split))
    return Finding(name, "passed", f"each of {len(folds)} people is held out in one fold")


def repeated_clips(found: Predictions) -> Finding:
    """A clip that is held out twice is, in one of the two folds, also trained on."""
    if found.clip is None:
        return Finding("repeated clips", "not checked", found.without("clip"))
    where = defaultdict(list)
    for clip, person, fold in zip(found.clip, found.person, found.fold or found.person, strict=True):
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
    often the prediction is the label of training row k is compared with the same after shuffling within each fold.
    Where everybody's clips stand in one order a good prediction is that label, too: so it is also compared with how
    often the true label is, and the prediction the label in the same place of each other training person.
    """
    if found.fold is None:
        supposed = shifted_rows(dataclasses.replace(found, fold=found.person))
        told = f"{supposed.told}, if each person is a fold: {found.without('fold')}"
        return Finding("shifted rows", "not checked" if supposed.verdict == "passed" else supposed.verdict, told)
    if len(set(found.fold)) < 2:
        return Finding("shifted rows", "not checked", ONE_FOLD)
    if found.protocol == WITHIN and found.training is None:
        return Finding("shifted rows", "not checked", WHO_TRAINS)
    places = _places(found)
    repeats, expected = _agreement(found, places), _expected(found, places)
    told = f"{repeats:.0%} of predictions are the label of the training row in the same place, {expected:.0%} by chance"
    ordered = _agreement(dataclasses.replace(found, predicted=found.true), places)
    if repeats <= ordered:
        return Finding("shifted rows", "passed", f"{told}, and of true labels {ordered:.0%}")
    generator = np.random.default_rng(0)
    chance = np.array([_agreement(found, places, generator) for _ in range(200)])
    if repeats <= chance.max():
        return Finding("shifted rows", "passed", told)
    people = min(min(len(place.begins) for place in places), PEOPLE_COMPARED)
    elsewhere = max((_agreement(found, places, person=k) for k in range(1, people)), default=0.0)
    deviation = max(np.sqrt(elsewhere * (1 - elsewhere) / len(found)), 1 / len(found))
    alone = repeats - elsewhere > 3 * deviation
    if repeats > 0.9 and alone:
        return Finding("shifted rows", "leak", f"{told}: features stand under the wrong rows")
    if (repeats > 0.9 or alone) and repeats > elsewhere and (repeats - chance.mean()) / max(chance.std(), 1e-9) > 6:
        told += f", {elsewhere:.0%} at most with another training person"
        return Finding("shifted rows", "warning", f"{told}: look at how features and rows are joined")
    return Finding("shifted rows", "passed", f"{told}, {elsewhere:.0%} with another training person")


def class_sets(found: Predictions) -> Finding:
    """A class that a fold's training rows lack cannot be predicted there; a class in one fold only says who it is."""
    if found.units:
        return _unit_sets(found)
    counts = np.bincount(found.true, minlength=len(found.classes))
    if (counts > 0).sum() < 2:
        return Finding(
            "class sets", "leak", f"only {found.classes[int(counts.argmax())]!r} occurs: nothing is told apart"
        )
    absent = [name for name, count in zip(found.classes, counts, strict=True) if not count]
    if absent:
        return Finding("class sets", "warning", f"{', '.join(absent)} is predicted and never true: not one class set")
    if found.protocol == WITHIN and found.training is None:
        return Finding("class sets", "not checked", WHO_TRAINS)
    shown = np.eye(len(found.classes), dtype=bool)[found.true]
    if unseen := _unseen(found, shown, found.classes):
        told = "a class is held out where no training row shows it"
        return Finding("class sets", "warning", told, shortened(unseen))
    _, parts, names = _parts(found)
    of = np.array(names)
    single = sum(len(set(found.true[of == name])) == 1 for name in set(names))
    told = f"{len(found.classes)} classes; {single} of {len(set(names))} {parts} have one class, so pool before scoring"
    return Finding("class sets", "passed", told)


def _unit_sets(found: Predictions) -> Finding:
    """The same of action units, which a row may show several of."""
    shown = found.unit_sets()[found.true]
    told = f"rows show {shown.any(axis=0).sum()} of {len(found.units)} action units"
    if found.protocol == WITHIN and found.training is None:
        return Finding("class sets", "not checked", f"{told}; {WHO_TRAINS}")
    if unseen := _unseen(found, shown, found.units):
        told += "; one is held out where no training row shows it"
        return Finding("class sets", "warning", told, shortened(unseen))
    return Finding("class sets", "passed" if shown.any() else "warning", told)


def _unseen(found: Predictions, shown: NDArray[np.bool_], names: Sequence[str]) -> list[str]:
    """What (n, names) `shown` has of a fold's, or without folds a person's, held-out rows and of no training row."""
    part, _, parts = _parts(found)
    known, of = dataclasses.replace(found, fold=parts), np.array(parts)
    if len(set(parts)) < 2:
        return []
    return [
        f"{names[k]} ({part} {name})"
        for name in dict.fromkeys(parts)
        for k in np.flatnonzero(shown[of == name].any(axis=0) & ~shown[known.trains(name)].any(axis=0)).tolist()
    ]


def chosen_epochs(found: Predictions, select: str | None) -> Finding:
    """Epochs that differ from fold to fold were chosen by something: only training people may be asked."""
    if select == "held-out":
        return Finding("chosen epochs", "leak", "the epoch of each fold was chosen by its score on the held-out person")
    _, parts, names = _parts(found)
    of_part = defaultdict(set)
    for name, epoch in zip(names, found.epoch or (), strict=found.epoch is not None):
        of_part[name].add(epoch)
    if several := sorted(name for name, epochs in of_part.items() if len(epochs) > 1):
        told = (
            f"{len(several)} of {len(of_part)} {parts} have rows of several epochs, and nothing says which one counts"
        )
        return Finding("chosen epochs", "leak", told, shortened(several))
    if select == "inner":
        return Finding("chosen epochs", "passed", "epochs were chosen on people set aside from training")
    if found.epoch is None:
        return Finding("chosen epochs", "not checked", "no column epoch says which epoch predicted a row")
    epochs = set(found.epoch)
    if len(epochs) > 1:
        told = (
            f"{parts} have {len(epochs)} different epochs, {min(epochs)} to {max(epochs)}, and nothing says by what; "
            "if chosen on people set aside from training, give --select inner"
        )
        return Finding("chosen epochs", "leak", told)
    return Finding("chosen epochs", "passed", f"every fold stops at epoch {next(iter(epochs))}")


def above_chance(found: Predictions, shuffled: bool) -> Finding:
    """Whether predictions know more of their labels than of labels permuted.

    Labels that were shuffled before training are permuted over the clips, as they were then. Others are alike within a
    person, as predictions are: people and not clips are drawn. They are permuted within each person, and whole people's
    are exchanged between those with as many clips.
    """
    name = "shuffled labels" if shuffled else "above chance"
    clip, label, owner = _by_clip(found)
    if shuffled:
        owner = np.zeros_like(owner)
    clips = np.bincount(owner)
    if len(set(zip(clips[owner].tolist(), label.tolist(), strict=True))) == len(set(clips.tolist())):
        told = "no label can be permuted: nobody shows two classes, and people with as many clips show the same one"
        return Finding(name, "not checked", told)
    observed, null = _against_permuted(found, clip, label, owner)
    p, enough = _p(observed, null), 0.01 if shuffled else 0.05
    right = dataclasses.replace(found, predicted=found.true)
    if p >= enough and _p(*_against_permuted(right, clip, label, owner)) >= enough:
        told = "too few labels can be permuted: even predictions that are all right would be no better than chance"
        return Finding(name, "not checked", told)
    below = np.quantile(null, 0.975)
    how = "over the clips" if shuffled else _exchanged(clips)
    score = "mean F1 of the units that are shown" if found.units else "UF1"
    told = f"{score} {observed:.3f}; with labels permuted {how}: {np.mean(null):.3f}, 97.5 % of times below {below:.3f}"
    if shuffled and p < enough:
        told += f" (p = {p:.4f}), though the labels were shuffled before training"
        return Finding(name, "leak", told)
    if shuffled:
        return Finding(name, "passed", f"{told} (p = {p:.2f}): shuffled labels leave chance")
    if p >= enough:
        return Finding(name, "warning", f"{told} (p = {p:.2f}): no better than chance")
    return Finding(name, "passed", f"{told} (p = {p:.4f})")


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


@dataclasses.dataclass(frozen=True, slots=True)
class _Place:
    """A fold's rows, as numbers, and where in `train` each training person's first row is."""

    held: NDArray[np.int64]
    train: NDArray[np.int64]
    begins: NDArray[np.int64]


def _places(found: Predictions) -> list[_Place]:
    fold, person = np.array(found.fold), np.array(found.person)
    places = []
    for name in dict.fromkeys(found.fold or ()):
        train = found.trains(name)
        begins = np.sort(np.unique(person[train], return_index=True)[1])
        places.append(_Place(np.flatnonzero(fold == name), train, begins))
    return places


def _agreement(
    found: Predictions, places: Sequence[_Place], generator: np.random.Generator | None = None, person: int = 0
) -> float:
    """The share of held-out rows whose prediction is the label of the training row in the same place of its fold.

    Training rows are counted from that person's first one on, and behind the last from the first; with a generator,
    predictions are shuffled within each fold.
    """
    same = 0
    for place in places:
        said = found.predicted[place.held]
        said = said if generator is None else generator.permutation(said)
        same += int((said == _first_labels(found, place, person)).sum())
    return same / len(found)


def _expected(found: Predictions, places: Sequence[_Place]) -> float:
    """The same by chance: what the frequencies of predictions and labels of each fold give."""
    expected = 0.0
    for place in places:
        said, first = found.predicted[place.held], _first_labels(found, place, 0)
        expected += sum(float((said == k).sum() * (first == k).mean()) for k in range(len(found.classes)))
    return expected / len(found)


def _first_labels(found: Predictions, place: _Place, person: int) -> NDArray[np.int64]:
    rows = place.begins[person] + np.arange(len(place.held))
    labels: NDArray[np.int64] = found.true[place.train[rows % len(place.train)]]
    return labels


def _p(observed: float, null: NDArray[np.float64]) -> float:
    return float(((null >= observed - 1e-12).sum() + 1) / (len(null) + 1))


def _parts(found: Predictions) -> tuple[str, str, tuple[str, ...]]:
    """What a row belongs to, one and several of them in words: its fold, or where no column says it, its person."""
    return ("person", "people", found.person) if found.fold is None else ("fold", "folds", found.fold)


def _by_clip(found: Predictions) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Each row's clip as a number, each clip's label, and each clip's person as a number.

    Rows of one clip share their label and much of what is predicted, so permuted by row they would seem to be above
    chance. Where rows of a clip have several labels, each row is a clip.
    """
    rows = np.arange(len(found))
    _, first, clip = np.unique(rows if found.clip is None else found.clip, return_index=True, return_inverse=True)
    if (found.true[first][clip] != found.true).any():
        first = clip = rows
    return clip, found.true[first], np.unique(found.person, return_inverse=True)[1][first]


def _against_permuted(
    found: Predictions, clip: NDArray[np.int64], label: NDArray[np.int64], owner: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """The score of predictions, and of the same against labels permuted within people and between those alike in clips.

    It is UF1, or the mean F1 of the action units that are shown.

    Args:
        clip: (rows,) the number of each row's clip.
        label, owner: (clips,) class and person of each clip.
    """
    generator = np.random.default_rng(0)
    classes, clips = len(found.classes), np.bincount(owner)
    sets = found.unit_sets()

    def scored(true: NDArray[np.int64]) -> float:
        if found.units:
            return _mean_f1(sets[true], sets[found.predicted])
        counts = np.bincount(true * classes + found.predicted, minlength=classes**2)
        return float(uf1_of(counts.reshape(classes, classes)))

    def drawn() -> NDArray[np.int64]:
        """All clips, a person's after another's, at random but for the number of clips that people have."""
        people = np.lexsort((generator.random(len(clips)), clips))
        return np.lexsort((generator.random(len(owner)), np.argsort(people)[owner]))

    def permuted() -> NDArray[np.int64]:
        given = np.empty_like(label)
        given[drawn()] = label[drawn()]
        return given[clip]

    null = np.array([scored(permuted()) for _ in range(PERMUTATIONS)])
    return scored(found.true), null


def _mean_f1(true: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """Of (n, units), over the units that are shown."""
    support = true.sum(axis=0)
    f1 = 2 * (true & predicted).sum(axis=0) / np.maximum(support + predicted.sum(axis=0), 1)
    return float(f1[support > 0].mean()) if support.any() else 0.0


def _exchanged(clips: NDArray[np.int64]) -> str:
    """What was permuted, in a clause, of people with so many clips."""
    people = np.bincount(clips)
    if people.max() < 2:
        return "within people, of whom no two have as many clips"
    return (
        f"within people, and between the {people[people > 1].sum()} of {len(clips)} who have as many clips as another"
    )

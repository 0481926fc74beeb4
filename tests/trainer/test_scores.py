"""The scores of a run: scikit-learn's, by clip, by group with gaps, and of the ethnicity head beside rules."""

import dataclasses
import re

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from flowkit.errors import InputError
from tests.motions import motion_samples
from tests.trainer.test_results import guessed_units, guesses, with_units
from trainer.run import folds_of
from trainer.scores import ethnicity_scores, headline, run_scores
from trainer.types import RunConfig


@pytest.fixture(scope="module")
def samples():
    return motion_samples(subjects=6, clips=6, side=8)


@pytest.fixture(scope="module")
def scores(samples):
    return of(samples)


def of(samples, **changes):
    changed = dataclasses.replace(samples, **changes)
    result = guesses(changed)
    folds = folds_of(changed, RunConfig())
    return run_scores(changed, result.predicted, result.heads, (), folds)


def test_scores_are_those_of_scikit_learn(samples, scores):
    predicted = guesses(samples).predicted
    overall = scores["overall"]
    assert overall["uf1"] == pytest.approx(f1_score(samples.emotion, predicted, average="macro"))
    assert overall["uar"] == pytest.approx(recall_score(samples.emotion, predicted, average="macro"))
    assert overall["accuracy"] == pytest.approx(accuracy_score(samples.emotion, predicted))
    per_class = f1_score(samples.emotion, predicted, average=None)
    np.testing.assert_allclose(list(overall["f1"].values()), per_class)
    for interval in overall["intervals"].values():
        assert interval["low"] <= interval["value"] <= interval["high"]
        assert interval["people"] == 6


def test_the_headline_says_over_how_many_classes(samples, scores):
    assert headline(scores).endswith("means over 3 classes")
    two = of(samples, emotion=samples.emotion % 2)
    assert headline(two).endswith("means over 2 classes")


def test_the_gap_of_two_groups_has_an_interval(scores):
    (gap,) = scores["gaps"]
    first, second = (part["accuracy"] for part in scores["per_group"])
    assert gap["between"] == ["asian", "non_asian"]
    assert gap["accuracy"]["value"] == pytest.approx(first - second)
    assert gap["accuracy"]["low"] < gap["accuracy"]["high"]
    assert gap["comparable"] is True


def test_a_person_of_two_datasets_is_drawn_once(samples):
    """All people in both datasets, with as many right in each: whoever is drawn, there is no gap."""
    half = np.arange(len(samples)) % 6 < 3
    predicted = guesses(samples).predicted
    predicted = np.where(half, predicted, np.roll(predicted, 3))

    def gap_of(person):
        where = np.where(half, "one", "two").tolist()
        twice = dataclasses.replace(samples, dataset=where, person=person)
        gaps = run_scores(twice, predicted, guesses(twice).heads, (), [])["gaps"]
        return next(gap["uf1"] for gap in gaps if gap["of"] == "dataset")

    assert gap_of(samples.subject) == {"value": 0, "low": 0, "high": 0, "people": 6, "left_out": 0}
    lone = gap_of([code if code == "01" else f"{code}{one}" for code, one in zip(samples.subject, half, strict=True)])
    assert lone["people"] == 11
    assert lone["low"] < 0 < lone["high"]


def test_groups_of_different_classes_are_not_comparable(samples):
    emotion = np.where(np.array(samples.group) == "asian", samples.emotion % 2, samples.emotion)
    (gap,) = of(samples, emotion=emotion)["gaps"]
    assert gap["comparable"] is False


def test_many_pairs_of_a_clip_count_as_one(samples, scores):
    assert scores["by_clip"] is None
    # Two clips a person, of three pairs each.
    clip = [f"{person}/{i % 2}" for i, person in enumerate(samples.subject)]
    emotion = np.array([(i % 2 + int(person)) % 3 for i, person in enumerate(samples.subject)])
    by_clip = of(samples, clip_id=clip, emotion=emotion)["by_clip"]
    assert by_clip["n"] == 12
    assert by_clip["people"] == 6


def test_the_headline_is_of_clips_where_they_have_several_pairs(samples, scores):
    clip = [f"{person}/{i % 2}" for i, person in enumerate(samples.subject)]
    emotion = np.array([(i % 2 + int(person)) % 3 for i, person in enumerate(samples.subject)])
    metrics = of(samples, clip_id=clip, emotion=emotion)
    told = headline(metrics)
    assert told.startswith(f"UF1 {metrics['by_clip']['uf1']:.3f} (")
    assert told.endswith("means over 3 classes; of 12 clips, each by the mean probabilities of its pairs")
    assert " clips" not in headline(scores)


def test_the_ethnicity_head_stands_beside_the_dataset_alone(samples):
    dataset = ["one" if group == "asian" else "two" for group in samples.group]
    named = dataclasses.replace(samples, dataset=dataset)
    folds = folds_of(named, RunConfig())
    probabilities = np.tile(np.array([[0.9, 0.1]], np.float32), (36, 1))
    found = ethnicity_scores(named, probabilities, ("asian", "non_asian"), folds)
    assert found["accuracy"] == 0.5
    assert found["dataset_alone"]["value"] == 1.0
    # Without a person there are fewer of its group, so the commonest is always the other one.
    assert found["commonest"]["value"] == 0.0


def test_one_class_is_refused(samples):
    with pytest.raises(InputError, match=r"one class only \(negative\)"):
        of(samples, emotion=np.zeros(36, dtype=np.int64))


def of_units(samples, **changes):
    changed = with_units(samples, **changes)
    result = guessed_units(changed, ethnicity=True)
    folds = [fold.fold for fold in result.folds]
    return changed, result, run_scores(changed, result.predicted, result.heads, result.ethnic_classes, folds)


def test_units_are_scored_as_emotions_are(samples):
    dataset = ["one" if int(code) < 4 else "two" for code in samples.subject]
    changed, result, scores = of_units(samples, dataset=dataset)
    true, predicted, overall = changed.units, result.predicted, scores["overall"]
    shown = true.any(axis=0)
    for average in ("binary", "macro"):
        f1 = [f1_score(t, p, average=average, zero_division=0) for t, p in zip(true.T, predicted.T, strict=True)]
        assert overall[average] == pytest.approx(np.mean(np.array(f1)[shown]))
        assert overall["cd6me"][average] == pytest.approx(np.mean(f1))
        units = [unit["intervals"][average] for unit in overall["au"].values() if unit["support"]]
        assert [unit["value"] for unit in units] == pytest.approx(np.array(f1)[shown])
        for interval in (overall["intervals"][average], *units):
            assert interval["low"] <= interval["value"] <= interval["high"]
    assert [unit["people"] for unit in overall["au"].values()] == [6 * int(each) for each in shown]
    for name, keys in (("dataset", dataset), ("group", samples.group)):
        for part in scores[f"per_{name}"]:
            rows = np.array(keys) == part[name]
            f1 = f1_score(true[rows][:, shown], predicted[rows][:, shown], average="macro", zero_division=0)
            assert part["binary"] == pytest.approx(f1)
        (gap,) = (gap for gap in scores["gaps"] if gap["of"] == name)
        first, second = (part["binary"] for part in scores[f"per_{name}"])
        assert gap["binary"]["value"] == pytest.approx(first - second)
        assert gap["comparable"] is True
    assert scores["heads"]["ethnicity"]["accuracy"] == 0.5
    assert scores["heads"]["emotion"]["binary"] == overall["binary"]
    assert scores["always_shown"]["au"]["AU4"]["binary"] == pytest.approx(2 * 12 / (12 + 36))


def test_a_clip_shows_a_unit_where_its_pairs_do_so_on_average(samples):
    clip = [f"{person}/{i % 3}" for i, person in enumerate(samples.subject)]
    changed, result, scores = of_units(samples, clip_id=clip)
    by_clip = scores["by_clip"]
    assert (by_clip["n"], by_clip["people"]) == (18, 6)
    means = np.array([result.probabilities[np.array(clip) == name].mean(axis=0) for name in sorted(set(clip))])
    true = changed.units[[clip.index(name) for name in sorted(set(clip))]]
    shown = true.any(axis=0)
    assert by_clip["binary"] == pytest.approx(f1_score(true[:, shown], means[:, shown] > 0.5, average="macro"))
    assert of_units(samples)[2]["by_clip"] is None


def test_groups_that_show_other_units_are_not_comparable(samples):
    asian = np.array(samples.group) == "asian"
    changed = with_units(samples)
    units = np.where(asian[:, None], changed.units, np.roll(changed.units, 1, axis=1))
    result = guessed_units(changed)
    (gap,) = run_scores(dataclasses.replace(changed, units=units), result.predicted, result.heads, (), [])["gaps"]
    assert gap["comparable"] is False
    nothing = run_scores(
        dataclasses.replace(changed, units=changed.units * asian[:, None]), result.predicted, result.heads, (), []
    )
    assert [part["binary"] is None for part in nothing["per_group"]] == [False, True]
    assert nothing["gaps"][0]["binary"]["value"] is None


def test_the_headline_says_which_units_nobody_shows(samples):
    told = headline(of_units(samples)[2])
    assert "; means over 5 of 12 action units (no row shows AU5, AU7, AU9, " in told
    assert re.search(r"; over all, as CD6ME counts: 0\.\d{3} binary, 0\.\d{3} macro\)$", told)
    every = with_units(samples)
    every = dataclasses.replace(every, units=every.units | (np.arange(36)[:, None] % 12 == np.arange(12)))
    result = guessed_units(every)
    assert headline(run_scores(every, result.predicted, result.heads, (), [])).endswith(
        "; means over 12 of 12 action units"
    )
    with pytest.raises(InputError, match="no row shows one of the units 1, 2, 4, "):
        run_scores(dataclasses.replace(every, units=every.units * 0), result.predicted, result.heads, (), [])

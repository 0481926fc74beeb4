"""The scores of a run: scikit-learn's, by clip, by group with gaps, and of the ethnicity head beside rules."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from flowkit.errors import InputError
from tests.motions import motion_samples
from tests.trainer.test_results import guesses
from trainer.run import folds_of
from trainer.scores import emotion_scores, ethnicity_scores, headline
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
    return emotion_scores(changed, result.predicted, result.heads, (), folds)


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
        gaps = emotion_scores(twice, predicted, guesses(twice).heads, (), [])["gaps"]
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

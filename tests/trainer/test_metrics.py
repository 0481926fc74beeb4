"""Scores, against scikit-learn and against numbers worked out by hand."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from flowkit.errors import InputError
from trainer.metrics import accuracy, confusion, f1_per_class, recall_per_class, score, score_by, uar, uf1


def test_scores_worked_out_by_hand():
    counts = confusion([0, 0, 0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 2, 2, 0])
    assert counts.tolist() == [[3, 1, 0], [0, 1, 1], [1, 0, 1]]
    np.testing.assert_allclose(f1_per_class(counts), [6 / 8, 2 / 4, 2 / 4])
    np.testing.assert_allclose(recall_per_class(counts), [3 / 4, 1 / 2, 1 / 2])
    assert uf1(counts) == pytest.approx(1.75 / 3)
    assert uar(counts) == pytest.approx(1.75 / 3)
    assert accuracy(counts) == pytest.approx(5 / 8)


def test_scores_are_those_of_scikit_learn(rng):
    for _ in range(100):
        n = int(rng.integers(1, 80))
        true, predicted = rng.integers(0, 3, n), rng.choice(3, n, p=[0.7, 0.2, 0.1])
        counts = confusion(true, predicted)
        present = sorted(set(true.tolist()))
        options = {"labels": present, "average": "macro", "zero_division": 0}
        np.testing.assert_array_equal(counts, confusion_matrix(true, predicted, labels=[0, 1, 2]))
        assert uf1(counts) == pytest.approx(f1_score(true, predicted, **options))
        assert uar(counts) == pytest.approx(recall_score(true, predicted, **options))
        assert accuracy(counts) == pytest.approx(accuracy_score(true, predicted))


def test_a_class_without_rows_is_left_out_of_the_means_and_said():
    scores = score([0, 0, 1, 1], [0, 2, 1, 1]).to_dict()
    assert scores["classes"] == ["negative", "positive"]
    assert scores["f1"] == {"negative": pytest.approx(2 / 3), "positive": 1.0, "surprise": None}
    assert scores["recall"]["surprise"] is None
    assert scores["uf1"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["uar"] == pytest.approx((1 / 2 + 1) / 2)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_parts_add_up_to_the_whole(rng):
    true, predicted = rng.integers(0, 3, 90), rng.integers(0, 3, 90)
    keys = [["b", "a", None][k] for k in rng.integers(0, 3, 90)]
    parts = score_by(keys, true, predicted)
    assert list(parts) == ["a", "b", None]
    np.testing.assert_array_equal(sum(part.counts for part in parts.values()), score(true, predicted).counts)
    chosen = [key == "a" for key in keys]
    np.testing.assert_array_equal(parts["a"].counts, score(true[chosen], predicted[chosen]).counts)


@pytest.mark.parametrize(
    ("true", "predicted", "message"),
    [([0, 1], [0], "equally long"), ([0, 3], [0, 1], "true holds"), ([0, 1], [0, -1], "predicted holds")],
)
def test_impossible_labels_are_refused(true, predicted, message):
    with pytest.raises(InputError, match=message):
        confusion(true, predicted)


def test_nothing_has_no_score():
    with pytest.raises(InputError, match="no predictions"):
        uf1(np.zeros((3, 3), dtype=np.int64))

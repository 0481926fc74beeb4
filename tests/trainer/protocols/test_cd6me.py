"""The scorer of CD6ME on cases worked by hand, and beside scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from flowkit.errors import InputError
from trainer.protocols.cd6me import score_units


def rows(*columns):
    """(n, 12) zeros but for the given columns, which are lists."""
    bits = np.zeros((len(columns[0]), 12), dtype=np.int64)
    bits[:, : len(columns)] = np.array(columns).T
    return bits


def test_a_case_worked_by_hand():
    # AU1: true 1 1 0 0, predicted 1 0 1 0: TP 1, FP 1, FN 1, TN 1: F1 1/2 either way.
    # AU2: true 1 0 0 0, predicted 1 0 0 0: F1 1 either way. The others are neither true nor predicted: 0 and 1.
    true, predicted = rows([1, 1, 0, 0], [1, 0, 0, 0]), rows([1, 0, 1, 0], [1, 0, 0, 0])
    scores = score_units(true, predicted, ["a", "a", "b", "b"])
    assert scores["au"]["AU1"] == {"support": 2, "binary": 0.5, "macro": 0.5}
    assert scores["au"]["AU2"] == {"support": 1, "binary": 1.0, "macro": 1.0}
    assert scores["au"]["AU4"] == {"support": 0, "binary": 0.0, "macro": 0.5}
    assert scores["binary"] == pytest.approx(1.5 / 12)
    assert scores["macro"] == pytest.approx((0.5 + 1 + 10 * 0.5) / 12)
    assert (scores["binary_shown"], scores["shown"], scores["n"]) == (0.75, 2, 4)
    # Within b nobody shows AU1, and one row is predicted to: TP 0, FP 1.
    assert scores["datasets"]["b"]["au"]["AU1"] == {"support": 0, "binary": 0.0, "macro": pytest.approx(1 / 3)}
    assert scores["datasets"]["b"]["binary_shown"] is None
    assert scores["datasets"]["a"]["binary"] == pytest.approx((2 / 3 + 1) / 12)


def test_pooled_scores_are_those_of_scikit_learn(rng):
    true, predicted = (rng.random((60, 12)) < 0.3 for _ in range(2))
    true[:, 3] = predicted[:, 3] = False
    true, predicted = true.astype(np.int64), predicted.astype(np.int64)
    scores = score_units(true, predicted, ["a"] * 60)
    for column, unit in enumerate(scores["au"].values()):
        for average in ("binary", "macro"):
            wanted = f1_score(true[:, column], predicted[:, column], labels=[0, 1], average=average, zero_division=0)
            assert unit[average] == pytest.approx(wanted)
    assert scores["datasets"]["a"]["binary"] == scores["binary"]


def test_sizes_must_fit():
    with pytest.raises(InputError, match="do not fit"):
        score_units(np.zeros((3, 11), dtype=np.int64), np.zeros((3, 11), dtype=np.int64), ["a"] * 3)

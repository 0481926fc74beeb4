"""The scorer of CD6ME on cases worked by hand."""

import numpy as np
import pytest

from flowkit.errors import InputError
from trainer.protocols.cd6me import score_units


def rows(*columns):
    """(n, 12) zeros but for the given columns, which are lists."""
    bits = np.zeros((len(columns[0]), 12), dtype=np.int64)
    bits[:, : len(columns)] = np.array(columns).T
    return bits


def test_a_case_worked_by_hand():
    # AU1: true 1 1 0 0, predicted 1 0 1 0: TP 1, FP 1, FN 1, TN 1: F1 1/2 either way.
    # AU2: true 1 0 0 0, predicted 1 0 0 0: F1 1 either way.
    # The others are neither true nor predicted: binary 0, and not showing them is always right.
    true, predicted = rows([1, 1, 0, 0], [1, 0, 0, 0]), rows([1, 0, 1, 0], [1, 0, 0, 0])
    scores = score_units(true, predicted, ["a", "a", "b", "b"])
    assert scores["au"]["AU1"] == {"support": 2, "binary": 0.5, "macro": 0.5}
    assert scores["au"]["AU2"] == {"support": 1, "binary": 1.0, "macro": 1.0}
    assert scores["au"]["AU4"] == {"support": 0, "binary": 0.0, "macro": 1.0}
    assert scores["binary"] == pytest.approx(1.5 / 12)
    assert scores["macro"] == pytest.approx((0.5 + 1 + 10) / 12)
    assert (scores["binary_shown"], scores["shown"], scores["n"]) == (0.75, 2, 4)
    # Within b nobody shows AU1, and one row is predicted to: TP 0, FP 1.
    assert scores["datasets"]["b"]["au"]["AU1"] == {"support": 0, "binary": 0.0, "macro": pytest.approx(1 / 3)}
    assert scores["datasets"]["b"]["binary_shown"] is None
    assert scores["datasets"]["a"]["binary"] == pytest.approx((2 / 3 + 1) / 12)


def test_scores_are_pooled_over_datasets_and_not_averaged():
    true, predicted = rows([1, 0, 0, 0]), rows([1, 1, 0, 0])
    scores = score_units(true, predicted, ["a", "b", "b", "b"])
    assert scores["au"]["AU1"]["binary"] == pytest.approx(2 / 3)
    assert [scores["datasets"][name]["au"]["AU1"]["binary"] for name in "ab"] == [1, 0]


def test_sizes_must_fit():
    with pytest.raises(InputError, match="do not fit"):
        score_units(np.zeros((3, 11), dtype=np.int64), np.zeros((3, 11), dtype=np.int64), ["a"] * 3)

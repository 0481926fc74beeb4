"""The scorer of CD6ME: cases worked by hand, and scikit-learn's F1 on drawn ones."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from trainer.protocols.cd6me import score_units


def rows(*columns):
    """(n, 12) zeros but for the given columns, which are lists."""
    bits = np.zeros((len(columns[0]), 12), dtype=np.int64)
    bits[:, : len(columns)] = np.array(columns).T
    return bits


def test_a_case_worked_by_hand():
    # AU1: true 1 1 0 0, predicted 1 0 1 0: TP 1, FP 1, FN 1, TN 1: F1 1/2 either way.
    # AU2: true 1 0 0 0, predicted 1 0 0 0: F1 1 either way.
    # AU4 is predicted and never true: F1 of showing it 0, of not showing it 2 * 3 / (4 + 3) = 6/7.
    # The others are neither true nor predicted: binary 0, and not showing them is always right.
    true, predicted = rows([1, 1, 0, 0], [1, 0, 0, 0]), rows([1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1])
    scores = score_units(true, predicted)
    assert scores["au"]["AU1"] == {"support": 2, "predicted": 2, "binary": 0.5, "macro": 0.5}
    assert scores["au"]["AU2"] == {"support": 1, "predicted": 1, "binary": 1.0, "macro": 1.0}
    assert scores["au"]["AU4"] == {"support": 0, "predicted": 1, "binary": None, "macro": None}
    assert (scores["n"], scores["shown"], scores["binary"], scores["macro"]) == (4, ["AU1", "AU2"], 0.75, 0.75)
    assert scores["cd6me"]["binary"] == pytest.approx(1.5 / 12)
    assert scores["cd6me"]["macro"] == pytest.approx((0.5 + 1 + 3 / 7 + 9) / 12)


@pytest.mark.parametrize("seed", range(20))
def test_every_f1_is_that_of_scikit_learn(seed):
    """With units that nobody shows, that all show, and that are predicted of nobody or of all."""
    draw = np.random.default_rng(seed)
    n = int(draw.integers(1, 40))
    true, predicted = ((draw.random((n, 12)) < draw.choice([0, 0.1, 0.5, 1], 12)).astype(np.int64) for _ in range(2))
    scores = score_units(true, predicted)
    of_sklearn = {
        name: [f1_score(t, p, average=name, zero_division=0) for t, p in zip(true.T, predicted.T, strict=True)]
        for name in ("binary", "macro")
    }
    shown = true.any(axis=0)
    assert [unit["binary"] is not None for unit in scores["au"].values()] == shown.tolist()
    for name, expected in of_sklearn.items():
        found = [unit[name] for unit in scores["au"].values() if unit["support"]]
        assert found == pytest.approx(np.array(expected)[shown])
        assert scores["cd6me"][name] == pytest.approx(np.mean(expected))
        if shown.any():
            assert scores[name] == pytest.approx(np.mean(np.array(expected)[shown]))


def test_where_no_row_shows_a_unit_there_is_no_mean():
    scores = score_units(rows([0, 0, 0]), rows([0, 1, 0]))
    assert (scores["shown"], scores["binary"], scores["macro"]) == ([], None, None)
    assert scores["cd6me"] == {"binary": 0.0, "macro": pytest.approx((11 + 0.4) / 12)}

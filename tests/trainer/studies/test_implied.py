"""Counts behind printed accuracies."""

import pytest

from flowkit.errors import InputError
from trainer.paper import PAPER_CLIPS, PAPER_CORRECT
from trainer.studies.implied import implied_correct


@pytest.mark.parametrize("correct", PAPER_CORRECT.values())
def test_four_decimals_of_290_clips_name_one_count(correct):
    n = sum(PAPER_CLIPS.values())
    assert n == 290
    assert list(PAPER_CORRECT.values()) == [209, 220, 190, 221]
    assert implied_correct(f"{correct / n:.4f}", n) == [correct]
    assert implied_correct(f"{100 * correct / n:.2f}", n) == [correct]


def test_few_decimals_leave_several_counts_and_a_wrong_n_none():
    assert implied_correct("0.72", 290) == [208, 209, 210]
    assert implied_correct("0.7207", 7) == []


@pytest.mark.parametrize("printed", ["much", "101", "-0.1"])
def test_what_is_no_accuracy(printed):
    with pytest.raises(InputError, match="accuracy"):
        implied_correct(printed, 290)

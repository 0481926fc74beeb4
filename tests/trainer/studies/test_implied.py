"""Counts behind printed accuracies."""

import pytest

from flowkit.errors import InputError
from trainer.paper import PAPER_CLIPS, PAPER_CORRECT, paper_accuracy
from trainer.studies.implied import implied_correct


@pytest.mark.parametrize(
    ("printed", "correct"), [("0.7207", 209), ("72.07", 209), ("0.7586", 220), ("65.52 %", 190), ("0.7621", 221)]
)
def test_four_decimals_name_one_count_of_290_clips(printed, correct):
    """Arithmetic alone: the paper's own digits are not kept here."""
    assert implied_correct(printed, 290) == [correct]


def test_four_decimals_are_enough_for_any_count_of_290_clips():
    assert [implied_correct(f"{k / 290:.4f}", 290) for k in range(291)] == [[k] for k in range(291)]


def test_the_counts_of_table_v_are_of_the_papers_clips():
    assert sum(PAPER_CLIPS.values()) == 290
    assert list(PAPER_CORRECT.values()) == [209, 220, 190, 221]
    assert [f"{paper_accuracy(model):.4f}" for model in PAPER_CORRECT] == ["0.7207", "0.7586", "0.6552", "0.7621"]


def test_few_decimals_leave_several_counts_and_a_wrong_n_none():
    assert implied_correct("0.72", 290) == [208, 209, 210]
    assert implied_correct("0.7207", 7) == []


@pytest.mark.parametrize("printed", ["much", "101", "-0.1"])
def test_what_is_no_accuracy(printed):
    with pytest.raises(InputError, match="accuracy"):
        implied_correct(printed, 290)

"""Shifts by dataset and role, with intervals over people; and the page that shows them."""

import dataclasses
import math
import re

import numpy as np
import pytest

from flowkit.errors import FrameError
from flowkit.keyframes.page import Outcome, chart, page
from flowkit.keyframes.shifts import apex_shifts, bootstrap, offset_excess, shifts_between, table_of
from flowkit.types import Clip
from tests.planted import annotated


def moved(dataset, subject, onset, offset, fps=100.0):
    old = Clip(
        clip_id=f"{dataset}/{subject}/{onset}/{offset}", source="none", dataset=dataset, subject=str(subject),
        fps=fps, onset=0, apex=100, offset=200,
    )  # fmt: skip
    return old, dataclasses.replace(old, onset=onset, offset=200 - offset)


@pytest.fixture
def shifts():
    pairs = [moved("a", s, s % 3, 4 + s % 5) for s in range(20)] + [moved("b", s, 4, 4) for s in range(5)]
    before, after = zip(*pairs, strict=True)
    return shifts_between(before, after, [(10, 10)] * len(pairs))


def test_means_are_those_of_the_shifts(shifts):
    rows = {(row.dataset, row.role): row for row in table_of(shifts)}
    assert set(rows) == {(name, role) for name in ("a", "b", "all") for role in ("onset", "apex", "offset")}
    offset = rows["a", "offset"]
    assert (offset.clips, offset.people) == (20, 20)
    assert offset.signed.mean == -6.0
    assert offset.absolute.mean == 6.0
    assert offset.ms.mean == pytest.approx(60.0)
    assert offset.of_length.mean == pytest.approx(0.06)
    assert offset.of_allowed.mean == pytest.approx(0.6)
    assert offset.absolute.low < 6.0 < offset.absolute.high
    assert rows["a", "onset"].moved.mean == pytest.approx(13 / 20)
    assert rows["a", "apex"].moved.mean == 0


def test_offsets_are_compared_with_the_onsets_of_the_same_clips(shifts):
    (a, clips, excess), (b, _, none) = offset_excess(shifts)
    assert (a, clips, b) == ("a", 20, "b")
    assert excess.mean == pytest.approx(0.06 - 0.0095)
    assert excess.low > 0
    assert (none.mean, none.low, none.high) == (0, 0, 0)


def test_an_interval_resamples_people_not_clips():
    values = np.repeat([0.0, 1.0], 50)
    by_two = bootstrap(values, ["x"] * 50 + ["y"] * 50)
    by_all = bootstrap(values, [str(i) for i in range(100)])
    assert (by_two.low, by_two.high) == (0.0, 1.0)
    assert by_all.mean == by_two.mean == 0.5
    assert by_all.low == pytest.approx(0.5 - 1.96 * 0.05, abs=0.02)
    assert math.isnan(bootstrap(values, ["x"] * 100).low)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for trial in range(200):
        people = rng.normal(0, 1, 25)
        values = np.repeat(people, 4) + rng.normal(0, 1, 100)
        interval = bootstrap(values, np.repeat([str(i) for i in range(25)], 4).tolist(), trial)
        held += interval.low <= 0 <= interval.high
    assert 0.88 <= held / 200 <= 0.99


def test_what_was_not_searched_is_in_no_row():
    old, new = moved("a", 1, 2, 2)
    assert shifts_between([old], [new], [None]) == []
    assert {shift.role for shift in shifts_between([old], [new], [(0, 3)])} == {"offset"}
    assert apex_shifts([dataclasses.replace(old, apex=None)], [new]) == []


def test_the_page_has_rows_pictures_and_failures_and_loads_nothing(still_head, shifts):
    old = annotated(still_head)
    new, other = dataclasses.replace(old, onset=12), dataclasses.replace(old, clip_id="x")
    outcome = Outcome(
        rule="reselect range=0.1", source="<m>.csv", before=[old, other], after=[new, other],
        shifts=shifts_between([old], [new], [(3, 3)]), failures=[("x", str(FrameError("no <frame> 3")))], unsearched=1,
    )  # fmt: skip
    html = page(outcome, None, 3)
    assert html.count("data:image/jpeg;base64,") == 1
    assert "onset 10 → 12" in html
    assert "no &lt;frame&gt; 3" in html
    assert "&lt;m&gt;.csv" in html
    assert "66.7 % (one person)" in html
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert "<script" not in html
    assert html.count("<circle") == 3
    assert "data:image" not in page(outcome, None, 0)


def test_a_picture_that_cannot_be_made_says_why():
    old, new = moved("a", 1, 2, 2)
    shifts = shifts_between([old], [new], [(5, 5)])
    outcome = Outcome(rule="", source="m", before=[old], after=[new], shifts=shifts, failures=[], unsearched=0)
    assert "no picture: none does not exist" in page(outcome, None, 1)


def test_the_drawing_stays_within_its_frame(shifts):
    drawn = chart(table_of(shifts))
    ends = [mark[end] for mark in drawn["marks"] for end in ("low", "x", "high")]
    assert min(ends) >= drawn["left"]
    assert max(ends) <= drawn["grid"][-1]["x"] <= drawn["width"]
    assert len(drawn["grid"]) <= 10

"""The summary of many pairs' quality: medians, the worst, and how many lie beyond each limit."""

from __future__ import annotations

import dataclasses

import pyarrow as pa
import pytest

from flowkit.motion.quality import Quality
from flowkit.output.quality import LIMITS, NAMES, QUALITY, QualitySummary, quality_line

GOOD = {"residual": 1.0, "noise": 0.9, "brightness": 0.1, "gain": 1.001, "left": 0.0, "scatter_px": 0.005}


def column(*rows: dict[str, float] | None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(rows, QUALITY)])


def test_the_column_holds_what_is_measured():
    assert tuple(field.name for field in dataclasses.fields(Quality)) == NAMES == tuple(LIMITS)


def test_good_pairs_are_one_line():
    summary = QualitySummary()
    summary.add(column(GOOD, GOOD | {"noise": 1.3, "brightness": -2.0}))
    summary.add(column(GOOD | {"noise": 1.0}))
    assert summary.lines() == [
        "quality, median (worst): residual 1.00 (1.00), noise 1.00 (1.30), brightness 0.10 (-2.00) grey levels"
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"residual": 5.1}, "residual above 5 grey levels"),
        ({"noise": 4.1}, "noise above 4 grey levels"),
        ({"brightness": -3.1}, "brightness changed by more than 3 grey levels"),
        ({"gain": 0.97}, "gain changed by more than 2 %"),
        ({"left": 0.06}, "more than 5 % of the pixels left"),
        ({"scatter_px": 0.06}, "scatter above 0.05 px"),
    ],
)
def test_each_limit_is_counted_by_its_name(change, told):
    summary = QualitySummary()
    summary.add(column(GOOD, GOOD | change, None, GOOD | change))
    assert summary.rows == 3
    assert summary.lines()[1:] == [f"2 of 3 pairs: {told}"]


def test_nothing_is_said_of_nothing():
    summary = QualitySummary()
    summary.add(column(None))
    assert summary.lines() == []


def test_a_pair_s_line():
    assert quality_line(GOOD) == (
        "residual 1.00   noise 0.90   brightness +0.10   gain 1.001   left 0.0 %   scatter 0.0050 px"
    )

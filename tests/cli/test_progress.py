"""The last line of a run says what was there and what was done."""

import dataclasses
from pathlib import Path

from rich.console import Console

from flowkit.cli.progress import ProgressReport, last_line, reason_lines
from flowkit.extraction.run import Summary


def test_progress_shows_what_is_left():
    state = Summary(
        out=Path("out"),
        planned=500,
        computed=492,
        failed=8,
        computed_now=240,
        failed_now=4,
        seconds=12.2,
        parts=4,
        parts_done=4,
    )
    assert last_line(state) == (
        "500 pairs (256 of them earlier): 492 computed, 8 failed in 12.2 s (20 pairs/s), see out/failures -> out"
    )
    nothing = dataclasses.replace(state, computed_now=0, failed_now=0, failed=0, computed=500)
    assert last_line(nothing) == "500 pairs: 500 computed, 0 failed earlier, nothing left to do -> out"


def test_reasons_are_told_with_their_counts():
    state = Summary(
        out=Path("out"),
        planned=40,
        computed=2,
        failed=38,
        computed_now=2,
        failed_now=38,
        seconds=1.0,
        parts=1,
        parts_done=1,
        reasons=(("no apex is annotated", 30), ("frame 3 is missing", 5)),
    )
    assert reason_lines(state) == [
        "30 failed: no apex is annotated",
        "5 failed: frame 3 is missing",
        "3 failed for other reasons",
    ]
    assert reason_lines(dataclasses.replace(state, reasons=())) == []


def test_the_first_line_says_how_much_is_to_be_written(capsys, monkeypatch):
    monkeypatch.setattr("flowkit.cli.progress.EVERY_SECONDS", 0.0)
    state = Summary(
        out=Path("out"),
        planned=500,
        computed=100,
        failed=0,
        computed_now=100,
        failed_now=0,
        seconds=1.0,
        parts=4,
        parts_done=1,
        bytes_to_write=3 * 2**30,
    )
    with ProgressReport(Console(width=200)) as report:
        report(state)
        report(state)
    first, second = capsys.readouterr().out.splitlines()
    assert first == "100 of 500 pairs 100 pairs/s, 0:00:04 left, 3 GiB to write"
    assert second == "100 of 500 pairs 100 pairs/s, 0:00:04 left"

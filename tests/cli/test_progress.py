"""The last line of a run says what was there and what was done."""

import dataclasses
from pathlib import Path

from flowkit.cli.progress import last_line
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
